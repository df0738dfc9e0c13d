"""Fleets in DNS: ``DNSSource``, by addresses or by names, and ``SRVSource``.

A resolver that fails, or knows no such name, never empties a fleet: it raises ``SourceError``.
"""

import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..._address import address_text
from ..._kernels._args import checked_int, shown
from ..._kernels._guarded import text_of
from ..address import DEFAULT_PORT, parse_address
from ..errors import InvalidArgumentError, InvalidTypeError, UsageError
from ..fleet.shards import ShardState
from .entries import as_query
from .polling import PolledSource, checked_seconds
from .types import Answer, Server, SourceError

if TYPE_CHECKING:
    import dns.resolver

__all__ = ["DNSSource", "SRVSource"]

_FAMILIES: Final = {
    None: (socket.AF_INET, socket.AF_INET6),
    "ipv4": (socket.AF_INET,),
    "ipv6": (socket.AF_INET6,),
}
_KNOWS_NONE: Final = {socket.EAI_NONAME} | {
    getattr(socket, name) for name in ("EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
}
_AT_ONCE: Final = 16  # look-ups of names
_MOST_NAMES: Final = 65535
_RANGE: Final = re.compile(r"\{([0-9]{1,9})\.\.([0-9]{1,9})\}")


class _NoSuchNameError(Exception):
    """There is no such name, or it has no address."""


class DNSSource(PolledSource):
    """The servers behind a name, or one server behind each of several, on one `port`.

    `host` alone: each of its addresses is a server, and the address is its name; so a server that
    comes back at another address is another server. IPv4 addresses are taken if there are any, else
    IPv6 ones; `family` is ``"ipv4"`` or ``"ipv6"`` for one kind alone.

    `names` instead: host names, such as those of a StatefulSet, of which each is one server and
    keeps its keys wherever it is; ``cache-{0..2}.cache`` stands for three. One that does not
    resolve is ``DOWN``, not gone, and one that the resolver fails for stays as it was. Of several
    addresses that before is kept, else the lowest is taken.

    The system's resolver is asked every `interval` seconds (it does not tell a TTL), and has
    `timeout` seconds. `lookup` has the arguments of ``socket.getaddrinfo``.
    """

    def __init__(
        self,
        host: str = "",
        port: int = DEFAULT_PORT,
        *,
        names: Sequence[str] = (),
        interval: float = 10.0,
        timeout: float = 10.0,
        family: str | None = None,
        lookup: Callable[..., Any] = socket.getaddrinfo,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if not isinstance(host, str):
            raise InvalidTypeError(f"host must be a str, got {shown(host)}")
        if isinstance(names, str) or not all(isinstance(each, str) for each in names):
            raise InvalidTypeError(f"names must be a list of host names, got {shown(names)}")
        given, names = names, [name for each in names for name in _expanded(each)]
        if bool(host) is bool(names):
            raise InvalidArgumentError("host or names must be given, not both and not neither")
        if family not in _FAMILIES:
            raise InvalidArgumentError(
                f"family must be 'ipv4', 'ipv6' or None, got {shown(family)}"
            )
        if isinstance(port, bool) or not checked_int("port", "[1, 65535]", port, 65536):
            raise InvalidArgumentError(f"port must be in [1, 65535], got {port!r}")
        for each in names or (host,):
            parse_address(address_text((each, port)))
        if len(set(names)) < len(names):
            raise InvalidArgumentError(f"names must differ, got {shown(list(names))}")
        query = as_query({"names": ",".join(given) or None, "family": family})
        super().__init__(f"dns://{host}:{port}{query}", interval, timeout, clock)
        self._host: Final = host
        self._port: Final = port
        self._families: Final = _FAMILIES[family]
        self._lookup: Final = lookup
        self._names: Final = _Names(self._addresses)
        self._wanted: Final = [_Wanted(each, each, port) for each in names]

    def _ask(self) -> Answer:
        if self._wanted:
            until = monotonic() + self._timeout
            return Answer(None, self._names.found(self._name, self._wanted, until), is_ordered=True)
        try:
            found = self._addresses(self._host)
        except _NoSuchNameError as error:
            raise SourceError(f"{self._name}: the resolver knows no address: {error}") from None
        except OSError as error:
            raise SourceError(f"{self._name}: the resolver failed: {text_of(error)}") from error
        texts = [address_text((each, self._port)) for each in found]
        return Answer(None, tuple(Server(text, text) for text in texts))

    def _addresses(self, host: str) -> list[str]:
        """Return the addresses of a host, in their order; raise where there is none."""
        error: OSError | None = None
        for family in self._families:
            try:
                rows = self._lookup(host, self._port, family, socket.SOCK_STREAM)
            except socket.gaierror as failed:
                if failed.errno not in _KNOWS_NONE:
                    raise
                error = failed
            else:
                found = _in_order({row[4][0] for row in rows})
                if found:
                    return found
        raise _NoSuchNameError(text_of(error) if error else "it gave none")


def _expanded(name: str) -> list[str]:
    """Return the names that a name with a range of numbers stands for."""
    found = _RANGE.search(name)
    if found is None:
        return [name]
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + _MOST_NAMES:
        raise InvalidArgumentError(
            f"names must have ranges of 1 to {_MOST_NAMES} numbers, got {shown(name)}"
        )
    return [f"{name[: found.start()]}{i}{name[found.end() :]}" for i in range(first, last + 1)]


def _in_order(addresses: set[str]) -> list[str]:
    return sorted(addresses, key=_number)


def _number(address: str) -> tuple[int, int, str]:
    plain, _, zone = address.partition("%")
    parsed = ipaddress.ip_address(plain)
    return parsed.version, int(parsed), zone


class _Wanted(NamedTuple):
    """A server that is looked for: its name, and the host and port where it is."""

    name: str
    host: str
    port: int


class _Names:
    """Where servers with names are, and were; `addresses` looks one host up."""

    def __init__(self, addresses: Callable[[str], list[str]]) -> None:
        self._addresses = addresses
        self._known: dict[str, tuple[str, ShardState]] = {}

    def found(self, source: str, wanted: Sequence[_Wanted], until: float) -> tuple[Server, ...]:
        """Return the servers; raise ``SourceError`` where none of the hosts can be found."""
        hosts = list(dict.fromkeys(each.host for each in wanted))
        found = self._looked_up(hosts, until)
        errors = [each for each in found.values() if isinstance(each, Exception)]
        if len(errors) == len(hosts):
            raise SourceError(
                f"{source}: none of {len(hosts)} names resolves: {text_of(errors[0])}"
            )
        servers = []
        known: dict[str, tuple[str, ShardState]] = {}
        for name, host, port in wanted:
            looked_up = found[host]
            address, state = self._known.get(host, (None, ShardState.DOWN))
            if isinstance(looked_up, list):
                address = address if address in looked_up else looked_up[0]
                state = ShardState.ACTIVE
            elif isinstance(looked_up, _NoSuchNameError):
                state = ShardState.DOWN
            if address is not None:
                known[host] = address, state
            servers.append(Server(name, address_text((address or host, port)), state))
        self._known = known
        return tuple(servers)

    def _looked_up(self, hosts: list[str], until: float) -> dict[str, list[str] | Exception]:
        """Look all hosts up, several at a time; begin with none after `until`."""
        late = TimeoutError("there was no time left to look it up")
        found: dict[str, list[str] | Exception] = dict.fromkeys(hosts, late)
        left = list(reversed(hosts))

        def run() -> None:
            while left and monotonic() < until:
                try:
                    host = left.pop()
                except IndexError:
                    return  # another thread took the last
                try:
                    found[host] = self._addresses(host)
                except Exception as error:
                    found[host] = error

        count = min(_AT_ONCE, len(hosts)) - 1
        threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        run()
        for thread in threads:
            thread.join()
        return found


class SRVSource(PolledSource):
    """The servers of an SRV record, such as ``_memcached._tcp.example.org``, by dnspython.

    A server's name is its target and port, and it keeps its keys wherever that is. A target that
    does not resolve is ``DOWN``, as with ``DNSSource(names=...)``. Priority and weight say nothing
    here: every target is a server, and its weight is one (``Ketama(weights)`` has others).

    It is asked when the record's TTL is over, within `min_interval` and `max_interval`, and has
    `timeout` seconds. `resolver` is a ``dns.resolver.Resolver``, by default the system's
    configuration. Raises ``UsageError`` where dnspython is missing.
    """

    def __init__(
        self,
        service: str,
        *,
        min_interval: float = 1.0,
        max_interval: float = 60.0,
        timeout: float = 10.0,
        resolver: "dns.resolver.Resolver | None" = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if not isinstance(service, str) or not service:
            raise InvalidTypeError(
                "service must be a name, such as '_memcached._tcp.example.org',"
                f" got {shown(service)}"
            )
        checked_seconds("min_interval", min_interval, 0.01, 86400)
        checked_seconds("max_interval", max_interval, min_interval, 86400)
        super().__init__(f"srv://{service}", min_interval, timeout, clock)
        self._dns: Final = _dnspython()
        self._service: Final = service
        self._bounds: Final = min_interval, max_interval
        self._given: Final = resolver
        self._resolver = resolver
        self._names: Final = _Names(self._addresses)

    def _ask(self) -> Answer:
        self._until = monotonic() + self._timeout
        try:
            if self._resolver is None:
                self._resolver = self._dns.resolver.Resolver()
            answer = self._resolved(self._service, "SRV")
        except _NoSuchNameError as error:
            raise SourceError(f"{self._name}: the resolver knows no servers: {error}") from None
        except (self._dns.exception.DNSException, OSError) as error:
            self._resolver = self._given  # whose configuration is read anew if it is the system's
            raise SourceError(f"{self._name}: the resolver failed: {text_of(error)}") from error
        least, most = self._bounds
        self._interval = min(max(float(answer.rrset.ttl), least), most)
        targets = {(str(row.target).rstrip("."), row.port) for row in answer}
        wanted = [_Wanted(address_text(each), *each) for each in sorted(targets) if each[0]]
        if not wanted:  # a target of "." says that there is no such service
            return Answer(None, ())
        return Answer(None, self._names.found(self._name, wanted, self._until))

    def _resolved(self, name: str, kind: str) -> Any:
        left = self._until - monotonic()
        if left <= 0:
            raise self._dns.exception.Timeout
        assert self._resolver is not None
        try:
            # A truncated answer is asked for anew by TCP.
            return self._resolver.resolve(name, kind, lifetime=left, search=False)
        except (self._dns.resolver.NXDOMAIN, self._dns.resolver.NoAnswer) as error:
            raise _NoSuchNameError(text_of(error)) from None

    def _addresses(self, host: str) -> list[str]:
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        for kind in ("A", "AAAA"):
            try:
                rows = self._resolved(f"{host}.", kind)
            except _NoSuchNameError:
                if kind == "AAAA":
                    raise
            else:
                return _in_order({row.address for row in rows})
        raise AssertionError("unreachable")


def _dnspython() -> Any:
    try:
        import dns.exception
        import dns.resolver
    except ImportError as error:
        raise UsageError(
            "SRVSource needs dnspython: python -m pip install 'godropbox[dns]'"
        ) from error
    return dns
