"""The table of operation x server x result in ``docs/servers.md``, and what fills it.

``tests/servers/table`` runs this: it starts the servers, asks each for every operation, blocking
and under asyncio, by every protocol, and writes the page or compares it.
"""

import argparse
import contextlib
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from godropbox import memcache
from godropbox.memcache import aio
from support.blocking import Blocking, end_all
from support.memcached import PASSWORD, USER, Server, installed, running, version_of
from support.operations import OPERATIONS, WITH_OPTIONS, InPartError, Operation
from support.real_proxies import memcached_proxy, nutcracker, nutcracker_program, own_proxy_program

__all__ = ["PAGE", "Column", "Results", "ask", "columns_of", "rows_of", "shape"]

PAGE = Path(__file__).parent.parent.parent / "docs" / "servers.md"
BEGIN, END = "<!-- tests/servers/table writes: -->", "<!-- until here -->"
PROTOCOLS = ("meta", "ascii", "binary")
BINARY_KEYS = "keys of any bytes (`binary_keys=True`)"
Start = Callable[[Path], "contextlib.AbstractContextManager[Server]"]
Results = dict[str, str]  # the result of each row; a failure has its message after a line end


@dataclass(frozen=True, eq=False)
class Column:
    """A server, how it is started, and what a client of it is given."""

    name: str
    start: Start
    login: Literal["", "ascii", "sasl"] = ""
    tls: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def given(self) -> str:
        """Return what a client is given, in words for the table."""
        words = ["`tls=`"] * self.tls + [f"`auth=` ({self.login})"] * bool(self.login)
        words += [f"`{name}={value!r}`" for name, value in self.options.items()]
        return ", ".join(words) or "nothing"

    def connecting(self) -> dict[str, Any]:
        """Return the options of a connection."""
        auth = memcache.Credentials(USER, PASSWORD, self.login) if self.login else None
        return {"timeout": 5.0, "tls": _trusting() if self.tls else None, "auth": auth}


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _plain(program: str, kind: str = "tcp", *extra: str) -> Start:
    return lambda folder: running(kind, folder, program=program, extra=extra)


def _over_two(proxy: Callable[[Path, list[str]], Any], program: str) -> Start:
    """Return what starts a proxy over two servers."""

    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[Server]:
        with contextlib.ExitStack() as stack:
            each = [stack.enter_context(running("tcp", folder, program=program)) for _ in range(2)]
            yield stack.enter_context(proxy(folder, [server.address for server in each]))

    return start


def columns_of(program: str, newest: str, router: str | None) -> list[Column]:
    """Return the columns: memcached `program`, the `newest` in its modes, and nutcracker."""
    of = version_of(newest)
    columns = [
        Column(version_of(program), _plain(program)),
        Column(of, _plain(newest)),
        Column(f"{of} `-t 4 -o modern`", _plain(newest, "tcp", "-t", "4", "-o", "modern")),
        Column(f"{of} `-C`", _plain(newest, "tcp", "-C")),
        Column(f"{of} `-Z`", _plain(newest, "tls"), tls=True),
        Column(f"{of} `-S`", _plain(newest, "sasl"), login="sasl", options={"protocol": "binary"}),
        Column(f"{of} `-Y`", _plain(newest, "ascii-auth"), login="ascii"),
    ]
    if own_proxy_program(newest):
        start = _over_two(lambda at, servers: memcached_proxy(at, servers, newest), newest)
        columns.append(Column(f"{of}'s proxy", start))
    if router is not None:
        start = _over_two(lambda at, servers: nutcracker(at, servers, router), program)
        columns.append(Column("nutcracker 0.5.0", start))
    return columns


def rows_of() -> list[str]:
    """Return the names of the first table's rows."""
    return [_title(name) for name in OPERATIONS] + [*WITH_OPTIONS, BINARY_KEYS]


def _title(name: str) -> str:
    return f"`{name}`" if hasattr(memcache.Client, name) else name


def protocols_of() -> list[str]:
    """Return the protocols that a client may be told to speak, other than its default."""
    default = memcache.ClientOptions().protocol
    return [each for each in PROTOCOLS if each != default]


# Asking


def _outcome(call: Callable[[], str | None]) -> str:
    """Return a result in words; what failed has its message, or a remark, after a line end."""
    try:
        remark = call()
    except InPartError as error:
        return f"in part\n{error}"
    except (memcache.NetworkError, memcache.ServerError, memcache.UsageError) as error:
        return f"no: {type(error).__name__}\n{_neutral(str(error))}"
    except (AssertionError, pytest.fail.Exception) as error:
        return f"WRONG\n{error}"
    return f"yes\n{remark}" if remark else "yes"


def _neutral(text: str) -> str:
    """Return a message without what differs from run to run."""
    text = re.sub(r": b['\"].*", "", text, flags=re.DOTALL)  # of bytes of a reply
    text = re.sub(r"127\.0\.0\.1:\d+", "the server", text)
    text = re.sub(r"t[0-9a-f]{8}-\w+", "key", text)
    return re.sub(r"\bpid \d+|\d+\.\d+ s\b", "...", text)


def _clients(column: Column, address: str, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    options = column.connecting() | column.options | given
    yield "blocking", memcache.Client(address, **options)
    yield "asyncio", Blocking(aio.AsyncClient(address, **options))


def _ask(
    column: Column, address: str, given: dict[str, Any], operations: Mapping[str, Operation]
) -> Results:
    """Return each operation's result, which has to be one for both clients."""
    try:
        clients = list(_clients(column, address, given))
    except memcache.UsageError as error:  # a login that this protocol does not know
        return dict.fromkeys(operations, f"no: {type(error).__name__}\n{error}")
    both: list[Results] = []
    for kind, client in clients:
        with client:
            found: Results = {}
            for at, (name, operation) in enumerate(operations.items()):
                key = f"t{os.urandom(4).hex()}-{kind}{at}-"
                found[name] = _outcome(lambda: operation(client, key))  # noqa: B023
        both.append(found)
    results = {}
    for name in operations:
        first, second = (found[name] for found in both)
        is_one = first.split("\n")[0] == second.split("\n")[0]
        results[name] = first if is_one else f"{first}\nunder asyncio: {second}"
    return results


def _binary_keys(column: Column, address: str) -> None:
    channel = memcache.connect(address, **column.connecting())
    with memcache.RawMetaClient(channel, binary_keys=True) as client:
        key = b"\r\n \0" + os.urandom(8)
        response = client.set(memcache.Item(key, b"1", expire=60))
        if response.error is not None:
            raise response.error
        assert client.append(key, b"2").ok
        assert client.increment(key, 100 - 12).count == 100
        assert client.get_multi([key, b"none\n"])[key].value == b"100"
        assert client.delete(key).ok


def ask(column: Column, folder: Path) -> Results:
    """Start a server, and return the results of all rows, by their titles."""
    with column.start(folder) as server:
        found = _ask(column, server.address, {}, OPERATIONS)
        results = {_title(name): found[name] for name in OPERATIONS}
        for name, (options, operation) in WITH_OPTIONS.items():
            results |= _ask(column, server.address, options, {name: operation})
        results[BINARY_KEYS] = _outcome(lambda: _binary_keys(column, server.address))
        for protocol in protocols_of():
            found = _ask(column, server.address, {"protocol": protocol}, OPERATIONS)
            results[f"protocol={protocol}"] = _summary(found)
    return results


def _summary(found: Results) -> str:
    """Return the results of a whole protocol in words."""
    kinds = {name: result.split("\n")[0] for name, result in found.items()}
    bad = {name: kind for name, kind in kinds.items() if kind != "yes"}
    if not bad:
        return "all"
    if len(bad) == len(found):
        (first, *_), (kind, *_) = found.values(), kinds.values()
        return f"{kind.replace('no', 'none', 1)}\n{first.partition(chr(10))[2]}"
    return "all but " + ", ".join(f"{_title(name)} ({kind})" for name, kind in bad.items())


# The page


def _tables(results: dict[Column, Results]) -> str:
    notes: list[str] = []

    def cell(result: str) -> str:
        word, _, note = result.partition("\n")
        if not note:
            return word
        note = " ".join(note.split())
        if note not in notes:
            notes.append(note)
        return f"{word}[^{notes.index(note) + 1}]"

    names = [column.name for column in results]
    lines = [_row(["", *names]), _row(["---"] * (len(names) + 1))]
    lines.append(_row(["the client is given", *(column.given() for column in results)]))
    for title in rows_of():
        lines.append(_row([title, *(cell(found[title]) for found in results.values())]))
    lines += ["", "The same by each protocol:", ""]
    protocols = protocols_of()
    lines += [_row(["", *(f'`protocol="{each}"`' for each in protocols)])]
    lines.append(_row(["---"] * (len(protocols) + 1)))
    for column, found in results.items():
        cells = [cell(found[f"protocol={each}"]) for each in protocols]
        lines.append(_row([column.name, *cells]))
    lines.append("")
    lines += [f"[^{at}]: {note}" for at, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def shape(text: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the columns' names and the rows' cells of the page's first table."""
    table = text.partition(BEGIN)[2].partition(END)[0].strip().split("\n\n")[0]
    head, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()
    )
    return head[1:], {row[0]: row[1:] for row in rows}


def written(results: dict[Column, Results]) -> str:
    """Return the page with the tables of these results."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE} has no markers"
    return f"{before}{begin}\n\n{_tables(results)}\n{end}{after}"


def main() -> int:
    """Fill the table; return 1 if a result is wrong, or the page differs where it is checked."""
    parser = argparse.ArgumentParser(prog="tests/servers/table", description=__doc__)
    parser.add_argument("--newest", metavar="PATH", help="a memcached of 1.6.40 or later")
    parser.add_argument("--nutcracker", metavar="PATH", default=nutcracker_program())
    parser.add_argument("--check", action="store_true", help="compare the page, and write nothing")
    given = parser.parse_args()
    newest = given.newest or os.environ.get("GODROPBOX_MEMCACHED_WITH_PROXY")
    if newest is None or not own_proxy_program(newest) or given.nutcracker is None:
        parser.error("it needs --newest, a memcached with the proxy, and nutcracker on PATH")
    results: dict[Column, Results] = {}
    for column in columns_of(installed(), newest, given.nutcracker):
        print(column.name, file=sys.stderr)
        with tempfile.TemporaryDirectory() as made:
            results[column] = ask(column, Path(made))
            end_all()
    page = written(results)
    wrong = [
        (column.name, title, result)
        for column, found in results.items()
        for title, result in found.items()
        if "WRONG" in result
    ]
    for each in wrong:
        print(*each, file=sys.stderr)
    if given.check:
        return 1 if wrong or page != PAGE.read_text(encoding="utf-8") else 0
    PAGE.write_text(page, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
