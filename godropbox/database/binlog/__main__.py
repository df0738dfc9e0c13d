"""``python -m godropbox.binlog``: print, follow, filter and convert binary logs.

What an event looks like is in ``_printing``; here are the arguments, the filters and the loop.
"""

import argparse
import getpass
import os
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit

from godropbox.errors import DropboxError

from . import _events as e
from ._errors import BinlogError
from ._files import open_log
from ._gtids import GtidSet, MariaDBGtidSet
from ._printing import KINDS, PROLOGUE, as_json, as_sql, as_text, control_of, name_of
from ._stream import connect

__all__ = ["main"]

_EPILOG: Final = """\
LOG is a file, a folder with the logs of a server and their .index, or a server as
mysql://user@host:port; the password comes from MYSQL_PWD or is asked for.

  python -m godropbox.binlog binlog.000001 --table 'shop.*' --kind update,delete
  python -m godropbox.binlog mysql://repl@db:3306 --follow --json
  python -m godropbox.binlog binlog.000001 --gtid 0-1-120 --flashback > undo.sql

Status: 0 when the log ended, 1 for a log that cannot be read or a server that refuses, 2 for wrong
arguments, 130 when interrupted."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m godropbox.binlog",
        description="Print the events of a binary log of MySQL or MariaDB.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("log", metavar="LOG", help="a file, a folder, or mysql://user@host:port")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a line of JSON for each event")
    form.add_argument("--sql", action="store_true", help="SQL that does the same again")
    form.add_argument("--flashback", action="store_true", help="SQL that undoes it, last first")
    add("--follow", action="store_true", help="wait for more at the end of the log")
    add(
        "--table",
        action="append",
        default=[],
        metavar="DATABASE.TABLE",
        help="only these tables; * and ? stand for any; may be repeated",
    )
    add(
        "--kind",
        action="append",
        default=[],
        metavar="KIND,...",
        help="only these: insert, update, delete, changed, query, gtid, commit, ...",
    )
    add("--gtid", action="append", default=[], metavar="GTID,...", help="only these transactions")
    add("--start", metavar="FILE:OFFSET", help="begin at a place, which a transaction begins at")
    add("--stop", metavar="FILE:OFFSET", help="end before this place")
    add(
        "--since",
        metavar="TIME",
        type=_time,
        help="only what was written at or after, as "
        "2026-01-31T12:00:00 (UTC) or seconds since 1970",
    )
    add("--until", metavar="TIME", type=_time, help="only what was written before")
    add("--position", metavar="GTIDS", help="of a server: behind these transactions, start or now")
    add("--lenient", action="store_true", help="read text as bytes where the log does not say")
    add("--no-progress", action="store_true", help="no progress on a terminal")
    return parser


def _time(text: str) -> float:
    if text.isdecimal():
        return float(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be as 2026-01-31T12:00:00, or seconds since 1970, got {text!r}"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _place(name: str, text: str | None) -> e.Position | None:
    if text is None:
        return None
    file, _, offset = text.rpartition(":")
    if not file or not offset.isdecimal():
        raise ValueError(f"{name} must be a file and an offset, as binlog.000001:4, got {text!r}")
    return e.Position(file, int(offset))


def _set(name: str, texts: Sequence[str]) -> GtidSet | MariaDBGtidSet | None:
    text = ",".join(texts)
    if not text:
        return None
    try:
        return GtidSet.parse(text) if ":" in text else MariaDBGtidSet.parse(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


class _Filter:
    """Which events are printed. A transaction's beginning is held until something of it is."""

    def __init__(self, given: argparse.Namespace) -> None:
        for pattern in given.table:
            if "." not in pattern:
                raise ValueError(f"--table must be as database.table, got {pattern!r}")
        self._tables = given.table
        self._kinds = {kind.strip() for text in given.kind for kind in text.lower().split(",")}
        for kind in sorted(self._kinds.difference(KINDS)):
            raise ValueError(f"--kind must be of {', '.join(KINDS)}, got {kind!r}")
        self._gtids = _gtids_of(given.gtid)
        self._since = float("-inf") if given.since is None else given.since
        self._until = float("inf") if given.until is None else given.until
        if self._until <= self._since:
            raise ValueError("--until must be after --since")

    def takes(self, event: e.Event) -> bool:
        """Return whether an event is printed."""
        if self._kinds and name_of(event) not in self._kinds:
            return False
        if not self._since <= event.timestamp < self._until:
            return False
        if self._gtids is not None and not self._gtids(getattr(event, "gtid", None)):
            return False
        if not self._tables:
            return True
        if isinstance(event, (e.Rows, e.Changed)):
            return any(_matches(event, pattern) for pattern in self._tables)
        return False


def _matches(event: Any, pattern: str) -> bool:
    database, _, table = pattern.partition(".")
    return (event.database is None or fnmatchcase(event.database, database)) and (
        event.table is None or fnmatchcase(event.table, table)
    )


def _gtids_of(texts: Sequence[str]) -> Callable[[Any], bool] | None:
    wanted = _set("--gtid", texts)
    if wanted is None:
        return None
    if isinstance(wanted, GtidSet):
        return lambda gtid: gtid in wanted
    exact = {part.strip() for text in texts for part in text.split(",")}
    return lambda gtid: str(gtid) in exact


# Sources


def _events(given: argparse.Namespace) -> Any:
    """Return the events of what is named."""
    options: dict[str, Any] = {"lenient": given.lenient}
    exact = [name for name in given.table if not any(mark in name for mark in "*?[")]
    if exact and len(exact) == len(given.table) and not given.sql:
        options["tables"] = exact
    if "://" not in given.log:
        if given.position:
            raise ValueError(f"--position is for a server, as mysql://user@host, got {given.log}")
        return open_log(given.log, blocks=given.follow, **options)
    url = urlsplit(given.log)
    try:
        port = url.port
    except ValueError:
        raise ValueError(f"LOG must have a port in [0, 65535], got {_masked(given.log)}") from None
    if url.scheme not in ("mysql", "mariadb") or not url.hostname or not url.username:
        raise ValueError(f"LOG must be as mysql://user@host:port, got {_masked(given.log)}")
    if url.query or url.path not in ("", "/"):
        raise ValueError(f"LOG must have nothing behind the port, got {_masked(given.log)}")
    password = unquote(url.password) if url.password is not None else os.environ.get("MYSQL_PWD")
    if password is None:
        password = getpass.getpass(f"Password of {url.username}: ") if sys.stdin.isatty() else ""
    position: Any = given.position or _place("--start", given.start) or "start"
    if isinstance(position, str) and position not in ("start", "now"):
        position = _set("--position", [position])
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    return connect(
        f"{host}:{port or 3306}",
        user=unquote(url.username),
        password=password,
        position=position,
        blocks=given.follow,
        **options,
    )


def _masked(text: str) -> str:
    """Return a URL without its password."""
    head, at, tail = text.rpartition("@")
    scheme, _, who = head.partition("://")
    return f"{scheme}://{who.partition(':')[0]}{at}{tail}" if at else text


def _between(events: Any, given: argparse.Namespace) -> Iterator[e.Event]:
    """Yield the events from the place to start at to that to stop at."""
    start, stop = _place("--start", given.start), _place("--stop", given.stop)
    begun = start is None or "://" in given.log
    for event in events:
        place = event.position
        if place is not None:
            if not begun and start is not None and _rank(place) >= _rank(start):
                begun = True
            if stop is not None and _rank(place) >= _rank(stop):
                return
        if begun or isinstance(event, e.FormatDescription):
            yield event
    if not begun:
        raise BinlogError(f"--start is behind the end of the log, got {given.start}")


def _rank(place: e.Position) -> tuple[str, int, int]:
    """Return what sorts places in the order of the log: after binlog.999999 is binlog.1000000."""
    stem, _, number = place.file.rpartition(".")
    if not number.isdecimal():
        return place.file, 0, place.offset
    return stem, int(number), place.offset


def _check_file(name: str, place: e.Position | None, log: str) -> None:
    """Raise for a place in a file that is not one of the log."""
    if place is None or "://" in log or not os.path.exists(log):
        return
    folder = Path(log) if os.path.isdir(log) else Path(log).parent
    if not (folder / place.file).is_file():
        raise ValueError(f"{name} must be in a file of {folder}, got {place.file}:{place.offset}")


class _Progress:
    """Tells a terminal how far a log was read, a few times a second."""

    def __init__(self, given: argparse.Namespace) -> None:
        path = Path(given.log)
        self._sizes: dict[str, int] = {}
        self._total = 0
        self._next = 0.0
        self._done = 0
        self._file = ""
        self.is_on = sys.stderr.isatty() and not given.no_progress and not sys.stdout.isatty()
        if "://" not in given.log and path.is_file():
            self._total = path.stat().st_size
        self._began = time.monotonic()
        self._count = 0

    def tell(self, event: e.Event) -> None:
        """Note an event."""
        self._count += 1
        if self._count & 255 or not self.is_on:
            return
        now = time.monotonic()
        if now < self._next or event.position is None:
            return
        self._next = now + 0.2
        offset = event.position.offset
        share = (
            f" of {self._total / 1e6:,.1f} MB ({offset / self._total:.0%})" if self._total else ""
        )
        sys.stderr.write(
            f"\r\x1b[K{event.position.file} {offset / 1e6:,.1f}{share or ' MB'}, "
            f"{self._count:,} events, {self._count / (now - self._began):,.0f} a second"
        )
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self.is_on:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


# Output


def _print_all(events: Iterator[e.Event], given: argparse.Namespace, out: IO[str]) -> None:
    chosen = _Filter(given)
    progress = _Progress(given)
    is_live = given.follow
    try:
        if given.sql:
            out.write(PROLOGUE)
        if given.flashback:
            _print_reversed(events, chosen, progress, out)
            return
        forward = _Forward(chosen, out)
        for event in events:
            progress.tell(event)
            if given.sql:
                forward.take(event)
            elif chosen.takes(event):
                out.writelines(
                    f"{line}\n" for line in ([as_json(event)] if given.json else as_text(event))
                )
            if is_live:
                out.flush()
    finally:
        progress.end()


def _ends(event: e.Event) -> bool:
    return isinstance(event, e.Commit)


def _located(event: e.Event, reversed_: bool) -> list[str]:
    try:
        return as_sql(event, reversed_=reversed_)
    except BinlogError as error:
        where = event.position
        if where is None:
            raise
        raise type(error)(f"{where.file} at {where.offset}: {error}") from None


class _Forward:
    """Prints events as SQL: a transaction with what is rolled back of it, whatever is chosen."""

    def __init__(self, chosen: _Filter, out: IO[str]) -> None:
        self._chosen = chosen
        self._out = out
        self._is_open = False  # whether BEGIN is printed
        self._savepoints: list[str] = []  # statements, before it is

    def take(self, event: e.Event) -> None:
        """Print an event."""
        if isinstance(event, e.Query) and (control := control_of(event.statement)):
            self._control(control[0], event.statement)
        elif self._chosen.takes(event) and (statements := _located(event, False)):
            if isinstance(event, e.Rows) and not self._is_open:
                self._is_open = True
                self._print("BEGIN", *self._savepoints)
            self._out.writelines(f"{statement}\n" for statement in statements)
        if _ends(event):
            if self._is_open:
                self._print("COMMIT")
            self._is_open, self._savepoints = False, []

    def _control(self, verb: str, statement: str) -> None:
        if self._is_open:
            self._print(statement)
            self._is_open = verb != "ROLLBACK"
        if verb == "SAVEPOINT" and not self._is_open:
            self._savepoints.append(statement)
        elif verb == "ROLLBACK":
            self._savepoints = []

    def _print(self, *statements: str) -> None:
        self._out.writelines(f"{statement};\n" for statement in statements)


def _print_reversed(
    events: Iterator[e.Event], chosen: _Filter, progress: _Progress, out: IO[str]
) -> None:
    """Print what undoes the events, the last first; it waits in a file until all were read."""
    with tempfile.TemporaryFile("w+b") as kept:
        starts = array("Q")
        begun = 0  # of them before this transaction
        savepoints: dict[str, int] = {}

        def keep(text: str) -> None:
            starts.append(kept.tell())
            kept.write(text.encode() + b"\n")

        def forget(count: int) -> None:
            """Forget all behind the first so many, which a rollback has undone."""
            if count < len(starts):
                kept.seek(starts[count])
                kept.truncate()
                del starts[count:]

        for event in events:
            progress.tell(event)
            if isinstance(event, e.Query) and (control := control_of(event.statement)):
                verb, name = control
                if verb == "SAVEPOINT":
                    savepoints[name] = len(starts)
                elif verb == "ROLLBACK TO":
                    forget(savepoints.get(name, begun))
                elif verb == "ROLLBACK":
                    forget(begun)
                    savepoints = {}
            elif chosen.takes(event):
                for statement in reversed(_located(event, True)):
                    if len(starts) == begun:
                        keep("COMMIT;")
                    keep(statement)
            if _ends(event):
                if len(starts) > begun:
                    keep("BEGIN;")
                begun, savepoints = len(starts), {}
        if len(starts) > begun:
            keep("BEGIN;")
        out.write(PROLOGUE)
        end = kept.tell()
        for start in reversed(starts):
            kept.seek(start)
            out.write(kept.read(end - start).decode())
            end = start


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        for name, text in (("--start", given.start), ("--stop", given.stop)):
            _check_file(name, _place(name, text), given.log)
        _Filter(given)
        if given.flashback and given.follow:
            raise ValueError("--flashback begins with what came last: it cannot --follow")
    except ValueError as error:
        parser.error(str(error))
    try:
        try:
            source = _events(given)
        except ValueError as error:
            if isinstance(error, BinlogError):
                raise
            parser.error(str(error))
        with source as events:
            _print_all(_between(events, given), given, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # What reads has had enough; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (DropboxError, OSError) as error:
        sys.stdout.flush()
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
