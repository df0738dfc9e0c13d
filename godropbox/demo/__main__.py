"""The command ``python -m godropbox demo``: starts servers, the load and the page; ends them."""

import argparse
import logging
import signal
import sys
import time
import webbrowser
from types import FrameType

from ..errors import DropboxError
from .engine import Engine, Load
from .fleets import MOST, DemoFleet, MemoryFleet, ServerFleet
from .processes import Processes, program
from .story import Story
from .web import Web

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the demo until Ctrl-C or SIGTERM; return 0, or 2 if it cannot begin."""
    parser = argparse.ArgumentParser(
        prog="python -m godropbox demo",
        description="Start memcached servers and the same load over two caches, a plain one and "
        "godropbox's, and show in a page on 127.0.0.1 what they do while servers are killed, "
        "stopped and added. Ctrl-C ends all that was started.",
        epilog="The status is 0 after Ctrl-C or SIGTERM, and 2 if the demo cannot begin.",
    )
    parser.add_argument("--port", type=int, default=0, help="of the page; a free one unless named")
    parser.add_argument("--servers", type=int, default=3, help=f"how many, 1 to {MOST}; 3")
    parser.add_argument("--memory", action="store_true", help="servers in memory, no memcached")
    parser.add_argument("--no-story", action="store_true", help="nothing happens unless you click")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    options = parser.parse_args(arguments)
    if not 1 <= options.servers <= MOST:
        parser.error(f"--servers must be in [1, {MOST}], got {options.servers}")
    if not 0 <= options.port < 65536:
        parser.error(f"--port must be in [0, 65536), got {options.port}")
    # What fails is what the page is about.
    logging.getLogger("godropbox").setLevel(logging.CRITICAL)
    signals: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        signals.append(number)  # no lock: this thread may hold it just now

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        return _run(options, signals)
    except (DropboxError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace, signals: list[int]) -> int:
    engine = Engine(_fleet(options), Load())
    try:
        story = None if options.no_story else Story(engine, time.monotonic)
        web = Web(engine, story, options.port)
        try:
            engine.start()
            web.start()
            servers = ", ".join(engine.fleet.names())
            print(f"{web.url} shows two caches over {servers}; Ctrl-C ends them", flush=True)
            if options.open:
                webbrowser.open(web.url)
            while not signals:
                time.sleep(0.1)  # one that comes just before a longer wait would not end it
        finally:
            web.close()
    finally:
        engine.close()
    return 0


def _fleet(options: argparse.Namespace) -> DemoFleet:
    path = None if options.memory else program()
    if path is None:
        if not options.memory:
            print("memcached is not installed: servers in memory are used", flush=True)
        return MemoryFleet(options.servers)
    return ServerFleet(Processes(path), options.servers)


if __name__ == "__main__":
    sys.exit(main())
