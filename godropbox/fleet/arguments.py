"""What is typed after ``python -m godropbox.fleet``: the parser, fleets, shard functions, rates."""

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..memcache import Credentials, Ketama, ShardFunction, ShardOptions, discovery
from ..memcache.address import check_transport, parse_address, same_server
from ..memcache.discovery.rules import checked_answer
from ..memcache.discovery.types import Answer, Server, SourceError
from ..memcache.errors import InvalidArgumentError
from ..memcache.fleet.shards import ShardState
from .planning import FUNCTIONS, Layout

if TYPE_CHECKING:
    import ssl

__all__ = [
    "changed",
    "fleet_of",
    "function_of",
    "is_url",
    "options_of",
    "parser",
    "source_of",
    "state_of",
]

SAMPLES: Final = 100_000
_SCHEMES: Final = ("file", "dns", "srv", "elasticache", "zookeeper", "etcd", "consul")
_URL: Final = re.compile(rf"(?:{'|'.join(_SCHEMES)}):|[a-z][a-z0-9+.-]*://")
_HASHES: Final = (*FUNCTIONS, "ketama-unweighted")
_UNITS: Final = {"b": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?)(b?)(?:/s)?", re.IGNORECASE)

_EPILOG: Final = """\
FLEET is a list of addresses (host:port, [IPv6]:port or unix:/path, with commas or spaces in
between, shard 0 first), or where a fleet comes from: file:/etc/pools.json, dns://cache.prod:11211,
zookeeper://zk1:2181/cache, ... It is asked once.

  python -m godropbox.fleet plan 10.0.0.1,10.0.0.2 --add 10.0.0.3 --metadump --svg plan.svg
  python -m godropbox.fleet warm 10.0.0.1,10.0.0.2 --server 10.0.0.3 --hot --rate 20000
  python -m godropbox.fleet status zookeeper://zk1:2181/cache --watch 2

Status: 0 when it is done; 1 when a part of it failed, such as a server that does not answer; 2 when
the arguments are wrong or the fleet cannot be found out; 130 when interrupted."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command and its parts."""
    found = argparse.ArgumentParser(
        prog="python -m godropbox.fleet",
        description="Plan a change of a fleet of memcached servers, fill and drain servers, watch "
        "them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parts = found.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_plan(_part(parts, "plan", "what moves when servers come or go; nothing is changed"))
    warm = _part(parts, "warm", "copy to a server the keys that it will have, before it is used")
    _add_fleet(warm)
    warm.add_argument("--server", required=True, metavar="NAME", help="a name or an address")
    warm.add_argument(
        "--to",
        action="append",
        metavar="FLEET",
        help="the fleet that will be; by default FLEET with the server, at its end if it is new",
    )
    _add_copy(warm)
    drain = _part(parts, "drain", "copy a server's keys to where they will be without it")
    _add_fleet(drain)
    drain.add_argument(
        "--server", required=True, metavar="NAME", help="which: a name or an address"
    )
    drain.add_argument(
        "--to", action="append", metavar="FLEET", help="the fleet that will be; FLEET without it"
    )
    drain.add_argument(
        "--set-state",
        metavar="STATE",
        help="give it this state in the end if nothing failed: WRITE_ONLY or DOWN",
    )
    _add_copy(drain)
    status = _part(parts, "status", "how all servers are")
    _add_fleet(status)
    status.add_argument(
        "--watch", type=_seconds, metavar="SECONDS", help="again and again, this far apart"
    )
    status.add_argument("--count", type=_number, metavar="N", help="how many times; without end")
    status.add_argument("--pings", type=int, default=5, help="how many round trips are timed")
    _add_servers(status)
    state = _part(parts, "set-state", "give a server a state, over ZooKeeper or etcd")
    state.add_argument("source", metavar="SOURCE", help="zookeeper://... or etcd://...")
    state.add_argument("name", metavar="NAME", help="the server's name there")
    state.add_argument("state", metavar="STATE", help=", ".join(ShardState.__members__))
    _add_shown(state)
    state.add_argument("--timeout", type=_seconds, default=10.0, help="seconds for all of it")
    return found


def _part(parts: Any, name: str, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = parts.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    return made


def _add_plan(plan: argparse.ArgumentParser) -> None:
    add = plan.add_argument
    _add_fleet(plan)
    add("--add", action="append", default=[], metavar="[NAME=]ADDR", help="a server that comes")
    add("--remove", action="append", default=[], metavar="NAME", help="a server that goes")
    add(
        "--replace",
        action="append",
        default=[],
        metavar="NAME=ADDR",
        help="another server in the place of one",
    )
    add("--to", action="append", metavar="FLEET", help="the fleet that will be")
    _add_placement(plan)
    add("--to-hash", choices=_HASHES, help="the shard function that will be; --hash")
    keys = plan.add_mutually_exclusive_group()
    keys.add_argument("--keys", metavar="FILE", help="keys, a line each; - is standard input")
    keys.add_argument(
        "--metadump", action="store_true", help="the keys that the servers have, and their sizes"
    )
    add(
        "--sample",
        type=_number,
        metavar="N",
        help=f"how many keys are made up ({SAMPLES:,}), or read of the file or of each server",
    )
    add("--svg", metavar="FILE", help="draw it")
    add("--moved", metavar="FILE", help="write the keys that move: key, from, to, with tabs")
    _add_servers(plan)


def _add_fleet(part: argparse.ArgumentParser) -> None:
    part.add_argument("fleet", nargs="+", metavar="FLEET", help="addresses, or where it comes from")


def _add_placement(part: argparse.ArgumentParser) -> None:
    part.add_argument("--hash", choices=_HASHES, default="hash2", help="the shard function; hash2")
    part.add_argument(
        "--weight", action="append", default=[], metavar="NAME=N", help="a weight, for ketama"
    )
    part.add_argument(
        "--prefix", default="", help="the clients' prefix, without which keys are placed"
    )


def _add_copy(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    _add_placement(part)
    add("--hot", action="store_true", help="those that were read last come first")
    add("--max", type=_number, metavar="N", help="so many keys at most")
    add(
        "--rate",
        type=_rate,
        metavar="RATE",
        help="at most so many keys a second (20000), or bytes (10MB)",
    )
    add("--max-ttl", type=_number, metavar="SECONDS", help="let copies live so long at most")
    add(
        "--follow",
        action="store_true",
        help="go on until Ctrl-C: copy what is new or written again, delete what is deleted",
    )
    add(
        "--refresh",
        action="store_true",
        help="replace what is on the target already and differs from its original",
    )
    add(
        "--allow-strays",
        action="store_true",
        help="go on where most keys are not where the fleet looks for them",
    )
    add("--batch", type=_number, default=1000, metavar="N", help="keys under way at a time; 1000")
    _add_servers(part)


def _add_servers(part: argparse.ArgumentParser) -> None:
    add = part.add_argument
    add("--timeout", type=_seconds, default=1.0, help="seconds for each operation; 1")
    add("--tls", action="store_true", help="speak TLS")
    add("--cafile", metavar="FILE", help="certificates to trust; implies --tls")
    add("--user", help="log in as this user")
    add("--password-file", metavar="FILE", help="whose first line is the password")
    add(
        "--mechanism",
        choices=("ascii", "sasl"),
        default="ascii",
        help="of the login: ascii (memcached -Y), unless named, or sasl (memcached -S)",
    )
    _add_shown(part)


def _add_shown(part: argparse.ArgumentParser) -> None:
    part.add_argument("--source-user", metavar="USER", help="log in at the source as this user")
    part.add_argument(
        "--source-password-file", metavar="FILE", help="whose first line is the password there"
    )
    part.add_argument(
        "--source-token-file", metavar="FILE", help="whose first line is the token, for Consul"
    )
    part.add_argument("--json", action="store_true", help="print JSON")
    part.add_argument("--plain", action="store_true", help="plain text on a terminal, too")


def _number(text: str) -> int:
    digits = text.replace(",", "").replace("_", "")
    if not digits.isdecimal() or not int(digits):
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, got {text!r}")
    return int(digits)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1000:
        raise argparse.ArgumentTypeError(f"must be seconds in (0, 1000), got {text!r}")
    return value


def _rate(text: str) -> tuple[float, bool]:
    """Return how many a second, and whether that is bytes."""
    match = _RATE.fullmatch(text.replace(",", "").replace("_", ""))
    if match is None or not 0 < float(match[1]) * _UNITS[match[2].lower() or "b"] < math.inf:
        raise argparse.ArgumentTypeError(
            f"must be keys a second, as 20000, or bytes, as 10MB, got {text!r}"
        )
    return float(match[1]) * _UNITS[match[2].lower() or "b"], bool(match[3])


# What was typed


def is_url(text: str) -> bool:
    """Return whether a fleet is named by where it comes from."""
    return _URL.match(text) is not None


def source_of(url: str, given: argparse.Namespace) -> Any:
    """Return the source of a URL; raises ``InvalidArgumentError``, or what making it raises."""
    secrets = {
        "user": given.source_user,
        "password": _first_line(given.source_password_file),
        "token": _first_line(given.source_token_file),
    }
    secrets = {name: secret for name, secret in secrets.items() if secret is not None}
    try:
        return discovery.source(url, **secrets)
    except ImportError as error:  # it says which library the source needs
        raise InvalidArgumentError(f"{url} cannot be asked: {error}") from None


def _first_line(path: str | None) -> str | None:
    if path is None:
        return None
    lines = Path(path).read_text("utf-8").splitlines()
    return lines[0] if lines else ""


def fleet_of(texts: Sequence[str], given: argparse.Namespace) -> tuple[Server, ...]:
    """Return the servers that `texts` name; a source has ten seconds, or the timeout, to say them.

    Raises ``InvalidArgumentError``, or ``SourceError`` of a source that cannot be asked.
    """
    if any(map(is_url, texts)):
        if len(texts) > 1:
            raise InvalidArgumentError(
                "FLEET must be addresses or one source, got both or several sources: "
                f"{', '.join(texts)}"
            )
        return _asked(texts[0], given)
    names = [name for text in texts for part in text.split(",") if (name := part.strip())]
    return _checked(Layout(tuple(server_of(name) for name in names)).servers, "FLEET")


def _checked(servers: Iterable[Server], source: str) -> tuple[Server, ...]:
    """Return servers, in their order; raises ``InvalidArgumentError`` if no client takes them."""
    try:
        return checked_answer(Answer(None, tuple(servers), True), source).servers
    except SourceError as error:
        raise InvalidArgumentError(error.message) from None


def _asked(url: str, given: argparse.Namespace) -> tuple[Server, ...]:
    timeout = max(given.timeout, 10.0)
    source = source_of(url, given)
    try:
        answer = source.next(timeout)
        if answer is None:
            raise InvalidArgumentError(f"{source.name} says nothing within {timeout:g} s")
        servers = checked_answer(answer, source.name).servers
        if not servers:
            raise InvalidArgumentError(f"{source.name} has no servers")
        return servers
    finally:
        source.close()


def server_of(text: str) -> Server:
    """Return a server by its address, or by its name, ``=`` and its address."""
    name, equals, address = text.rpartition("=")
    parse_address(address)
    return Server(name if equals else address, address)


def function_of(name: str, weights: Sequence[str]) -> ShardFunction:
    """Return a shard function by its name."""
    given = {}
    for text in weights:
        server, _, weight = text.rpartition("=")
        if not server or not weight.isdecimal() or len(weight) > 20:
            raise InvalidArgumentError(f"--weight must be as NAME=2, got {text!r}")
        given[server] = int(weight)
    if given and name != "ketama":
        raise InvalidArgumentError(f"--weight is for --hash ketama, got {name}")
    if name == "ketama-unweighted":
        return Ketama(weighted=False)
    try:
        return Ketama(given) if given else FUNCTIONS[name]
    except ValueError as error:
        raise InvalidArgumentError(f"--weight: {error}") from None


def changed(
    fleet: Layout,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    replace: Iterable[str] = (),
) -> Layout:
    """Return the fleet as it will be: some replaced in their places, some gone, some at the end."""
    servers = list(fleet.servers)
    for text in replace:
        name, equals, address = text.partition("=")
        if not equals:
            raise InvalidArgumentError(f"--replace must be as NAME=ADDR, got {text!r}")
        parse_address(address)
        at = servers.index(fleet.server(name))
        # One that is known by its address is another server; a name stays.
        old = servers[at]
        servers[at] = Server(address if old.name == old.address else old.name, address)
    for name in remove:
        going = fleet.server(name)
        if going not in servers:
            raise InvalidArgumentError(f"--remove names {name} a second time, or after --replace")
        servers.remove(going)
    servers += [server_of(text) for text in add]
    seen: dict[Any, Server] = {}
    for each in servers:
        where = same_server(parse_address(each.address))
        if where in seen:
            raise InvalidArgumentError(
                f"the fleet would have one server twice: {seen[where].address}, {each.address}"
            )
        seen[where] = each
    return Layout(_checked(servers, "the change"), fleet.function)


def state_of(text: str) -> ShardState:
    """Return a state by its name."""
    name = text.upper().replace("-", "_")
    if name not in ShardState.__members__:
        known = ", ".join(ShardState.__members__)
        raise InvalidArgumentError(f"a state must be one of {known}, got {text!r}")
    return ShardState[name]


def options_of(given: argparse.Namespace, servers: Iterable[Server]) -> ShardOptions:
    """Return how servers are reached; raises ``InvalidArgumentError``, ``OSError``."""
    auth = None
    if bool(given.user) != bool(given.password_file):
        raise InvalidArgumentError("--user and --password-file go together")
    if given.user:
        auth = Credentials(given.user, _first_line(given.password_file) or "", given.mechanism)
    context = _context(given.cafile) if given.tls or given.cafile else None
    for server in servers:
        check_transport(parse_address(server.address), context)
    return ShardOptions(
        timeout=given.timeout, connect_timeout=given.timeout, tls=context, auth=auth
    )


def _context(cafile: str | None) -> "ssl.SSLContext":
    import ssl

    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:  # which does not name the file
        raise InvalidArgumentError(f"--cafile {cafile}: {error.strerror or error}") from None
