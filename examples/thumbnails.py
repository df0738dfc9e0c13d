"""A page of 200 thumbnails out of a sharded cache: one by one, and all at once.

Run it: ``python examples/thumbnails.py``. It starts four memcached on free ports (or takes those
of ``--servers``), fills them from a slow store as the first page is asked for, then times the same
page with a get for each thumbnail and with one ``get_many``, and says what it saw. ``--chart``
draws that as SVG. Without memcached it runs on the client in memory, and says so.
"""

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from godropbox.memcache.client import Client
from godropbox.memcache.testing import MockClient

Page = Callable[[list[str]], dict[str, bytes]]


class Store:
    """The place where thumbnails are kept for good: slow, whether for one or for many."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = 0

    def load(self, names: Iterable[str]) -> dict[str, bytes]:
        """Return thumbnails, of about 4 KiB each."""
        self.asked += 1
        time.sleep(self.seconds)
        return {name: name.encode().ljust(4096, b".") for name in names}


def one_by_one(client: Client, store: Store) -> Page:
    """Return how a page is made with a get, and maybe a load and a set, for each thumbnail."""

    def page(names: list[str]) -> dict[str, bytes]:
        found = {}
        for name in names:
            image = client.get(name)
            if image is None:
                image = store.load([name])[name]
                client.set(name, image, 3600)
            found[name] = image
        return found

    return page


def all_at_once(client: Client, store: Store) -> Page:
    """Return how a page is made with one get, and maybe one load and one set, for all."""

    def page(names: list[str]) -> dict[str, bytes]:
        found = client.get_many(names)
        missing = [name for name in names if name not in found]
        if missing:
            loaded = store.load(missing)
            client.set_many(loaded, 3600)
            found |= loaded
        return found

    return page


@contextlib.contextmanager
def servers(count: int) -> Iterator[list[str]]:
    """Run memcached on free ports; give their addresses, none if it is not installed."""
    program = shutil.which("memcached")
    running: list[subprocess.Popen[bytes]] = []
    addresses = []
    try:
        for _ in range(count if program else 0):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = str(probe.getsockname()[1])
            command = [str(program), "-l", "127.0.0.1", "-p", port, "-U", "0"]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                command += ["-u", "root"]
            running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            addresses.append(f"127.0.0.1:{port}")
        for address in addresses:
            wait_for(address)
        yield addresses
    finally:
        for process in running:
            process.kill()
            process.wait()


def wait_for(address: str) -> None:
    """Return when somebody listens at an address."""
    host, _, port = address.partition(":")
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 1).close()
            return
        time.sleep(0.02)
    raise SystemExit(f"memcached does not listen at {address}")


def timed(page: Page, names: list[str], pages: int) -> list[float]:
    """Return the seconds that each of many pages took."""
    taken = []
    for _ in range(pages):
        start = time.perf_counter()
        found = page(names)
        taken.append(time.perf_counter() - start)
        assert len(found) == len(names)
    return taken


def chart(rows: dict[str, list[float]], title: str, note: str) -> str:
    """Return the medians as bars, with a line up to the 95th percentile, as SVG."""
    medians = {label: statistics.median(times) for label, times in rows.items()}
    slow = {label: sorted(times)[int(0.95 * (len(times) - 1))] for label, times in rows.items()}
    scale = 460 / max(slow.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{112 + 44 * len(rows)}"'
        ' role="img" font-family="-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif">',
        "<style>text{fill:#1f2328}.n{fill:#656d76}.c{fill:#fff;stroke:#d8dee4}.b{fill:#0061fe}"
        ".o{fill:#bcc4ce}.s{stroke:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e8ebef}"
        ".n{fill:#98a1ac}.c{fill:#12161c;stroke:#2d343d}.b{fill:#4a90ff}.o{fill:#4d5763}"
        ".s{stroke:#fff}}</style>",
        f'<rect class="c" x=".5" y=".5" width="859" height="{111 + 44 * len(rows)}" rx="10"/>',
        f'<text x="24" y="36" font-size="18" font-weight="650">{title}</text>',
        '<text class="n" x="24" y="58" font-size="12">time for a page: shorter is better; the thin '
        "line ends at the 95th percentile</text>",
    ]
    fastest = min(medians, key=lambda label: medians[label])
    for place, (label, median) in enumerate(medians.items()):
        y, end = 76 + 44 * place, 226 + scale * slow[label]
        css = "b" if label == fastest else "o"
        width = max(scale * median, 2)
        parts += [
            f'<text x="214" y="{y + 21}" font-size="13" text-anchor="end">{label}</text>',
            f'<rect class="{css}" x="226" y="{y + 4}" width="{width:.1f}" height="24" rx="3"/>',
            f'<path class="s" d="M{226 + width:.1f} {y + 16}H{end:.1f}" stroke-opacity=".6"/>',
            f'<text x="{end + 9:.1f}" y="{y + 21}" font-size="13">{1e3 * median:.2f} ms'
            f'<tspan class="n" dx="8">{median / medians[fastest]:.1f}x</tspan></text>',
        ]
    bottom = 92 + 44 * len(rows)
    parts.append(f'<text class="n" x="24" y="{bottom}" font-size="12">{note}</text></svg>\n')
    return "\n".join(parts)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pages of thumbnails out of a sharded cache.")
    parser.add_argument("--servers", nargs="*", help="memcached servers, instead of four new ones")
    parser.add_argument("--thumbnails", type=int, default=200, help="how many on a page")
    parser.add_argument("--pages", type=int, default=200, help="how many pages are timed")
    parser.add_argument("--store", type=float, default=0.005, help="seconds that a load takes")
    parser.add_argument("--chart", type=Path, help="where to write the chart")
    given = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        addresses = given.servers or stack.enter_context(servers(4))
        if addresses:
            where = f"{len(addresses)} memcached"
            client = Client(addresses, prefix="thumb:", timeout=5.0)
        else:
            where = "a cache in memory, as memcached is not installed"
            client = Client.over(MockClient())
        stack.enter_context(client)
        names = [f"photo-{number:05}" for number in range(given.thumbnails)]
        show(client, Store(given.store), names, given.pages, where, given.chart)


def show(
    client: Client, store: Store, names: list[str], pages: int, where: str, path: Path | None
) -> None:
    """Time the page each way, print what was seen, and draw it."""
    single, batch = one_by_one(client, store), all_at_once(client, store)
    rows: dict[str, list[float]] = {}
    for label, page in (("one by one", single), ("all at once", batch)):
        client.delete_many(names)
        before = store.asked
        (cold,) = timed(page, names, 1)
        print(f"{label}, nothing cached: {1e3 * cold:.1f} ms, {store.asked - before} loads")
        rows[label] = []
    # Turn by turn, so that whatever else the machine does slows both.
    before = store.asked
    for _ in range(pages):
        rows["one by one"] += timed(single, names, 1)
        rows["all at once"] += timed(batch, names, 1)
    assert store.asked == before, "a page that was all in the cache asked the store"
    medians = [statistics.median(times) for times in rows.values()]
    for label, median in zip(rows, medians, strict=True):
        print(f"{label}, all cached: {1e3 * median:.2f} ms")
    print(f"{where}: all at once is {medians[0] / medians[1]:.1f} times as fast")
    if path is not None:
        title = f"A page of {len(names)} thumbnails of 4 KiB"
        note = f"{where} on the same machine, median of {pages} pages, everything in the cache"
        path.write_text(chart(rows, title, note), encoding="utf-8")
        print(f"the chart: {path}")


if __name__ == "__main__":
    main()
