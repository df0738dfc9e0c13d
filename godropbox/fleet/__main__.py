"""The command ``python -m godropbox.fleet``; its status is as ``main`` says."""

import argparse
import io
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from ..errors import DropboxError
from ..memcache import AutoProtocol, ShardedClient, ShardOptions, StaticShardManager
from ..memcache.discovery.types import Server
from ..memcache.errors import InvalidArgumentError
from ..memcache.fleet.shards import ShardState
from . import arguments
from .copying import Copier
from .ends import listed_keys, words_of
from .planning import BY_NUMBER, CHUNK, Layout, Plan, Planner, moving
from .progress import Progress
from .reports import (
    copy_as_json,
    copy_as_tables,
    plan_as_json,
    plan_as_tables,
    status_as_json,
    status_as_tables,
    warnings_of_plan,
)
from .svg import drawn
from .tables import Screen
from .task import Counts, Settings
from .watching import Watcher

__all__ = ["main"]

_DONE: Final = 0
_PARTLY: Final = 1
_WRONG: Final = 2
_INTERRUPTED: Final = 130


def main(typed: Sequence[str] | None = None) -> int:
    """Run the command and return its status.

    It is 0 when all is done, 1 when a part failed, 2 for wrong arguments or a fleet that cannot be
    found out, and 130 when interrupted.
    """
    parser = arguments.parser()
    given = parser.parse_args(typed)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names may have letters it lacks
    # It tells of each try on standard error; what came of them is raised.
    logging.getLogger("kazoo").addHandler(logging.NullHandler())
    command = {
        "plan": _plan,
        "warm": _warm,
        "drain": _drain,
        "status": _status,
        "set-state": _set_state,
    }[given.command]
    try:
        status = command(given)
        sys.stdout.flush()
    except BrokenPipeError:  # of ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DONE
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except (DropboxError, OSError, ValueError, OverflowError) as error:
        print(f"{parser.prog}: error: {_words(error)}", file=sys.stderr)
        return _WRONG
    return status


def _words(error: BaseException) -> str:
    if isinstance(error, DropboxError):
        return error.message or type(error).__name__
    return str(error) or type(error).__name__


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _as_json(value: Any, indent: int | None = 2) -> str:
    return json.dumps(value, indent=indent)


def _layout(given: argparse.Namespace, texts: Sequence[str]) -> Layout:
    servers = arguments.fleet_of(texts, given)
    return Layout(servers, arguments.function_of(given.hash, given.weight))


# plan


def _plan(given: argparse.Namespace) -> int:
    before = _layout(given, given.fleet)
    changes = given.add or given.remove or given.replace
    if given.to and changes:
        raise InvalidArgumentError("--to says the whole fleet: it goes without --add and the like")
    after = before
    if given.to:
        after = _layout(given, given.to)
    elif changes:
        after = arguments.changed(before, given.add, given.remove, given.replace)
    elif not given.to_hash:
        raise InvalidArgumentError("nothing changes: give --add, --remove, --replace or --to")
    if given.to_hash:
        after = Layout(after.servers, arguments.function_of(given.to_hash, given.weight))
    options = arguments.options_of(given, before.servers)
    planner = Planner(before, after)
    errors: dict[str, str] = {}
    hit_rate = None
    with _moved(given, before, after) as note:
        if given.metadump:
            hit_rate = _hit_rate(before, options)
            _take_listed(given, planner, options, errors, note)
        else:
            for keys in _chunks(_keys(given), CHUNK):
                planner.add(keys)
                note(keys)
    plan = planner.result()
    if given.svg:
        Path(given.svg).write_text(drawn(plan, note=_note(given, plan)), "utf-8")
    function = given.hash if not given.to_hash else f"{given.hash} to {given.to_hash}"
    if given.json:
        print(_as_json(plan_as_json(plan, function, hit_rate, errors)))
    else:
        screen = Screen(plain=given.plain)
        screen.show(*plan_as_tables(plan, hit_rate, screen.block))
        for warning in warnings_of_plan(plan):
            _warn(warning)
        for server, error in errors.items():
            _warn(f"{server}: its keys are not in this: {error}")
    return _PARTLY if errors or not plan.keys else _DONE


def _note(given: argparse.Namespace, plan: Plan) -> str:
    function = given.hash if not given.to_hash else f"{given.hash}, then {given.to_hash}"
    return (
        f"{len(plan.before)} servers before, {len(plan.after)} after; {function}; "
        f"by {plan.keys:,} keys"
    )


def _take_listed(
    given: argparse.Namespace,
    planner: Planner,
    options: ShardOptions,
    errors: dict[str, str],
    note: Any,
) -> None:
    """Give a planner the keys of all servers; what failed is in `errors`."""
    prefix = given.prefix.encode()
    servers = planner.before.servers
    with Progress(given.json, given.plain) as progress:
        for number, server in enumerate(servers):
            total = 0
            with _client(server, options) as client:
                try:
                    infos = listed_keys(client)
                    with closing(infos):
                        listed = infos if given.sample is None else islice(infos, given.sample)
                        for chunk in _chunks(listed, CHUNK):
                            mine = [info for info in chunk if info.key.startswith(prefix)]
                            keys = [info.key[len(prefix) :] for info in mine]
                            planner.add(keys, [info.size for info in mine], number)
                            note(keys, number)
                            total += len(chunk)
                            progress.show(f"list {server.name}", total, None)
                except (DropboxError, OSError) as error:
                    errors[server.name] = words_of(error, server.address)
    if len(errors) == len(servers):
        name, words = next(iter(errors.items()))
        raise InvalidArgumentError(f"no server lists its keys; {name}: {words}")


def _client(server: Server, options: ShardOptions) -> ShardedClient:
    manager = StaticShardManager([server.address], options=options)
    return ShardedClient(manager, AutoProtocol(), options.timeout)


def _hit_rate(fleet: Layout, options: ShardOptions) -> float | None:
    """Return the share of gets that hit, over all servers that say it."""
    with Watcher(fleet.servers, options, pings=0) as watcher:
        statuses = watcher.look()
    hits = sum(each.number("get_hits") or 0 for each in statuses)
    misses = sum(each.number("get_misses") or 0 for each in statuses)
    return hits / (hits + misses) if hits + misses else None


def _keys(given: argparse.Namespace) -> Iterator[bytes]:
    """Yield the keys of a file, without their prefix, or made-up ones."""
    if given.keys is None:
        for number in range(given.sample or arguments.SAMPLES):
            yield b"key:%d" % number
        return
    prefix = given.prefix.encode()
    with nullcontext(sys.stdin.buffer) if given.keys == "-" else open(given.keys, "rb") as stream:
        lines = (line.strip(b"\r\n") for line in stream)
        mine = (line[len(prefix) :] for line in lines if line and line.startswith(prefix))
        yield from mine if given.sample is None else islice(mine, given.sample)


def _chunks(given: Iterable[Any], size: int) -> Iterator[list[Any]]:
    each = iter(given)
    while chunk := list(islice(each, size)):
        yield chunk


@contextmanager
def _moved(given: argparse.Namespace, before: Layout, after: Layout) -> Iterator[Any]:
    """Give a function that writes which of some keys move to the file that is asked for."""
    if not given.moved:
        yield lambda keys, at=None: None
        return
    prefix = given.prefix.encode()
    with open(given.moved, "wb") as file:

        def note(keys: list[Any], found_at: int | None = None) -> None:
            for key, at, to in moving(before, after, keys):
                if found_at is None or at == found_at:
                    names = f"\t{before.names[at]}\t{after.names[to]}\n".encode()
                    file.write(prefix + key + names)

        yield note


# warm and drain


def _warm(given: argparse.Namespace) -> int:
    fleet = _layout(given, given.fleet)
    known = fleet.find(given.server)
    if given.to:
        before, after = fleet, _layout(given, given.to)
    elif known is not None:
        name = known.name
        if known.state is ShardState.ACTIVE:
            raise InvalidArgumentError(
                f"{name} is ACTIVE: clients use it already; give FLEET without it"
            )
        if given.hash in BY_NUMBER and name != fleet.names[-1]:
            raise InvalidArgumentError(
                f"{name} is not the last of the fleet, and {given.hash} places keys by number: "
                "give as FLEET the fleet that has the keys now, and the new one by --to"
            )
        before, after = fleet.without(name), fleet
    else:
        before, after = fleet, arguments.changed(fleet, [given.server])
    server = after.server(given.server.rpartition("=")[2])
    sources = [
        each.name
        for each in before.servers
        if each.state is ShardState.ACTIVE and before.find(server.address) is not each
    ]
    if not sources:
        raise InvalidArgumentError(f"no server has keys for {server.name}: none is ACTIVE")
    copy = _copied(given, before, after, sources, [server.name])
    _tell(given, copy)
    return copy.status


def _drain(given: argparse.Namespace) -> int:
    state = None
    if given.set_state is not None:
        state = arguments.state_of(given.set_state)
        if state not in (ShardState.WRITE_ONLY, ShardState.DOWN):
            raise InvalidArgumentError(
                f"--set-state must be WRITE_ONLY or DOWN, got {given.set_state}"
            )
        if not arguments.is_url(given.fleet[0]):
            raise InvalidArgumentError("--set-state needs a source of states, such as zookeeper:")
        if given.max is not None:
            raise InvalidArgumentError("--set-state is for a server that is copied whole: no --max")
        _check_states(given.fleet[0], given)
    before = _layout(given, given.fleet)
    server = before.server(given.server)
    if server.state is not ShardState.ACTIVE:
        raise InvalidArgumentError(
            f"{server.name} is {server.state.name}: what it has may be old, and is not copied"
        )
    after = _layout(given, given.to) if given.to else before.without(server.name)
    targets = [
        each.name
        for each in after.servers
        if each.state is ShardState.ACTIVE and each.name != server.name
    ]
    if not targets:
        raise InvalidArgumentError(f"no server takes the keys of {server.name}: none is ACTIVE")
    copy = _copied(given, before, after, [server.name], targets)
    is_given = False
    try:
        if state is not None and copy.status == _DONE:
            _give(given.fleet[0], given, server.name, state)
            is_given = True
    finally:
        _tell(given, copy, {"state": state.name if state is not None and is_given else None})
    if state is not None:
        if not is_given:
            _warn(f"{server.name} stays {server.state.name}, as not all is copied")
        elif not given.json:
            print(f"{server.name} is {state.name}")
    return copy.status


class _Copy(NamedTuple):
    """What came of a copy; `took` is in seconds."""

    status: int
    counts: Counts
    settings: Settings
    took: float
    is_whole: bool


def _copied(
    given: argparse.Namespace,
    before: Layout,
    after: Layout,
    sources: Sequence[str],
    targets: Sequence[str],
) -> _Copy:
    """Copy, with progress; return what came of it."""
    rate, is_bytes = given.rate or (None, False)
    settings = Settings(
        batch=given.batch,
        rate=None if is_bytes else rate,
        byte_rate=rate if is_bytes else None,
        most=given.max,
        hottest=given.hot,
        max_ttl=given.max_ttl,
        prefix=given.prefix.encode(),
        allow_strays=given.allow_strays,
        follow=given.follow,
        refresh=given.refresh,
    )
    options = arguments.options_of(given, (*before.servers, *after.servers))
    began = time.monotonic()
    with (
        Copier(before, after, sources, targets, options, settings) as copier,
        _stopping(copier),
        Progress(given.json, given.plain) as progress,
    ):
        for step in copier.run():
            where = f" {step.server}" if step.server else ""
            progress.show(f"{step.phase}{where}", step.done, step.total)
    counts = copier.counts
    status = _PARTLY if counts.failed or counts.errors or counts.differing else _DONE
    if not copier.is_whole:
        status = _INTERRUPTED
    return _Copy(status, counts, settings, time.monotonic() - began, copier.is_whole)


def _tell(given: argparse.Namespace, copy: _Copy, more: Mapping[str, Any] | None = None) -> None:
    """Print what came of a copy, with `more` in the object for JSON."""
    _, counts, settings, took, is_whole = copy
    if given.json:
        print(_as_json({**copy_as_json(counts, settings, took, is_whole), **(more or {})}))
    else:
        Screen(plain=given.plain).show(*copy_as_tables(counts, took, is_whole))


@contextmanager
def _stopping(copier: Copier) -> Iterator[None]:
    """Have Ctrl-C stop a copy after the batch under way, and a second one at once."""

    def stop(number: int, frame: object) -> None:
        if copier.is_stopped:
            raise KeyboardInterrupt
        copier.stop()

    try:
        old = signal.signal(signal.SIGINT, stop)
    except ValueError:  # of another thread than the main one
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


# status


def _status(given: argparse.Namespace) -> int:
    servers = arguments.fleet_of(given.fleet, given)
    options = arguments.options_of(given, servers)
    screen = Screen(plain=given.plain)
    times = given.count or (None if given.watch else 1)
    status = done = 0
    with Watcher(servers, options, given.pings) as watcher, _canvas(given, screen) as show:
        try:
            while True:
                began = time.monotonic()
                statuses = watcher.look()
                status = _PARTLY if any(each.error is not None for each in statuses) else _DONE
                show(statuses)
                done += 1
                if times is not None and done >= times:
                    return status
                time.sleep(max(0.0, began + (given.watch or 1.0) - time.monotonic()))
        except KeyboardInterrupt:
            if not given.watch:
                raise
            return status  # the ordinary end of a watch


@contextmanager
def _canvas(given: argparse.Namespace, screen: Screen) -> Iterator[Any]:
    """Give a function that shows statuses, in the place of those before on a terminal."""
    if given.json:
        indent = None if given.watch else 2
        yield lambda found: print(_as_json(status_as_json(found, time.time()), indent), flush=True)
        return
    if given.watch and screen.console is not None:
        from rich.live import Live

        with Live(console=screen.console, auto_refresh=False, transient=False) as live:
            yield lambda found: live.update(screen.drawn_all(status_as_tables(found)), refresh=True)
        return
    first = True

    def show(found: Any) -> None:
        nonlocal first
        if given.watch and screen.is_terminal:
            screen.out.write("\x1b[H\x1b[J")
        elif not first:
            screen.out.write("\n")
        first = False
        screen.show(*status_as_tables(found))

    yield show


# set-state


def _set_state(given: argparse.Namespace) -> int:
    state = arguments.state_of(given.state)
    if not arguments.is_url(given.source):
        raise InvalidArgumentError(
            f"SOURCE must be a source of states, as zookeeper://zk1:2181/cache, got {given.source}"
        )
    servers = arguments.fleet_of([given.source], given)
    was = next((each for each in servers if each.name == given.name), None)
    if was is None:
        raise InvalidArgumentError(f"{given.source} has no server {given.name!r}")
    _give(given.source, given, given.name, state)
    if given.json:
        told = {"source": given.source, "server": given.name, "state": state.name}
        print(_as_json({**told, "was": was.state.name}))
    else:
        print(f"{given.name} is {state.name}, was {was.state.name}")
    return _DONE


def _check_states(url: str, given: argparse.Namespace) -> None:
    """Raise ``InvalidArgumentError`` for a source that has no states to set."""
    source = arguments.source_of(url, given)
    try:
        _setter(source)
    finally:
        source.close()


def _setter(source: Any) -> Any:
    give = getattr(source, "set_state", None)
    if give is None:
        raise InvalidArgumentError(f"{source.name} has no states to set: ZooKeeper and etcd have")
    return give


def _give(url: str, given: argparse.Namespace, name: str, state: ShardState) -> None:
    source = arguments.source_of(url, given)
    try:
        _setter(source)(name, state)
    finally:
        source.close()


if __name__ == "__main__":
    sys.exit(main())
