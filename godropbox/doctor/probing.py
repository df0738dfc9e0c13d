"""Asks servers what the doctor wants to know; stores nothing there.

Each server is asked by itself, over connections of its own, all servers side by side: one that does
not answer takes the time of its deadlines and delays none of the others.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .._address import address_text
from ..errors import DropboxError
from ..memcache import Client, Credentials, RawAsciiClient, RawBinaryClient, connect
from ..memcache.address import check_transport, listed_addresses, parse_address
from ..memcache.errors import InvalidArgumentError, InvalidTypeError
from .facts import Facts, Reached

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["Settings", "examine"]

_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How servers are asked. Times are seconds.

    `timeout` is for connecting and for each operation, in (0, 1000); `pings` is how many round
    trips are timed, in [1, 100_000]; `tls` and `auth` are a client's. `clock` counts seconds,
    `wall_clock` is seconds since 1970; both are replaced in tests.
    """

    timeout: float = 1.0
    pings: int = 50
    tls: "ssl.SSLContext | None" = None
    auth: Credentials | None = None
    clock: Callable[[], float] = time.perf_counter
    wall_clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, (int, float)):
            raise InvalidTypeError(f"timeout must be a number of seconds, got {self.timeout!r}")
        if not 0 < self.timeout < 1000:
            raise InvalidArgumentError(
                f"timeout must be in (0, 1000) seconds, got {self.timeout!r}"
            )
        if isinstance(self.pings, bool) or not isinstance(self.pings, int):
            raise InvalidTypeError(f"pings must be an int, got {self.pings!r}")
        if not 1 <= self.pings <= 100_000:
            raise InvalidArgumentError(f"pings must be in [1, 100000], got {self.pings}")


def examine(servers: Iterable[str], settings: Settings | None = None) -> list[Facts]:
    """Ask all servers at once what they are; return the facts in the order of `servers`.

    `servers` are addresses as ``connect`` takes them, each once. What fails is in the facts; only
    bad arguments raise, ``InvalidArgumentError`` or ``InvalidTypeError``.
    """
    chosen = settings or Settings()
    addresses = listed_addresses("servers", servers)
    for address in addresses:
        check_transport(parse_address(address), chosen.tls)
    turn = threading.Lock()
    with ThreadPoolExecutor(min(_AT_ONCE, len(addresses))) as pool:
        return list(pool.map(lambda address: _examined(address, chosen, turn), addresses))


def _examined(address: str, settings: Settings, turn: threading.Lock) -> Facts:
    facts = Facts(address=address, limit=settings.timeout)
    target = parse_address(address)
    if not isinstance(target, str):
        try:
            facts = replace(facts, reached=_reached(target, settings))
        except (OSError, UnicodeError) as error:
            return replace(facts, lookup_error=error)
        if all(each.error is not None for each in facts.reached):
            return replace(facts, error=facts.reached[0].error)
    try:
        channel = connect(
            address,
            timeout=settings.timeout,
            connect_timeout=settings.timeout,
            tls=settings.tls,
            auth=settings.auth,
        )
    except (DropboxError, OSError) as error:
        return replace(facts, error=error)
    is_sasl = settings.auth is not None and settings.auth.mechanism == "sasl"
    raw = RawBinaryClient if is_sasl else RawAsciiClient
    facts = replace(facts, **_of_tls(channel, settings))
    with raw(channel, timeout=settings.timeout) as client:
        try:
            facts = replace(facts, pings=_pings(client, settings, turn))
        except (DropboxError, OSError) as error:
            return replace(facts, error=error)
        facts = replace(facts, **_said(client, settings))
    return replace(facts, dialect=_dialect(address, is_sasl, settings))


def _reached(target: tuple[str, int], settings: Settings) -> tuple[Reached, ...]:
    """Connect to every address of a name, and say how that went."""
    host, port = target
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    reached = []
    for family, kind, number, _, where in dict.fromkeys(found):
        error: Exception | None = None
        begun = settings.clock()
        try:
            with socket.socket(family, kind, number) as probe:
                probe.settimeout(settings.timeout)
                probe.connect(where)
        except OSError as raised:
            error = raised
        name = address_text((str(where[0]), port))
        reached.append(Reached(name, settings.clock() - begun, error))
    return tuple(reached)


def _of_tls(channel: Any, settings: Settings) -> Mapping[str, Any]:
    """Return what a channel says of its TLS session."""
    if settings.tls is None:
        return {}
    import ssl  # only where TLS is asked for: it takes megabytes

    protocol, cipher = channel.version() or "", (channel.cipher() or ("",))[0]
    days = None
    certificate = channel.getpeercert()
    if certificate and "notAfter" in certificate:
        until = ssl.cert_time_to_seconds(certificate["notAfter"])
        days = (until - settings.wall_clock()) / 86400
    return {"tls": f"{protocol}, {cipher}", "certificate_days": days}


def _pings(client: Any, settings: Settings, turn: threading.Lock) -> tuple[float, ...]:
    """Return the times of round trips; raises what the first one that fails raised.

    The first is not counted: the server accepts the connection in it, and may not answer. The
    others are made while no other server is timed, so that threads do not wait for each other, and
    for `timeout` in all.
    """
    times = [_ping(client, settings)]
    with turn:
        until = settings.clock() + settings.timeout
        while len(times) <= settings.pings and (len(times) == 1 or settings.clock() < until):
            times.append(_ping(client, settings))
    return tuple(times[1:])


def _ping(client: Any, settings: Settings) -> float:
    begun = settings.clock()
    response = client.version()
    took = settings.clock() - begun
    if response.error is not None:
        raise response.error
    return took


def _said(client: Any, settings: Settings) -> Mapping[str, Any]:
    """Return what a server says of itself; nothing of what a proxy does not know."""
    said: dict[str, Any] = {}
    with suppress(DropboxError, OSError):
        before = settings.wall_clock()
        stats = _stats(client, "")
        after = settings.wall_clock()
        said["stats"] = stats
        if stats.get("time", "").isdigit():
            # Its clock shows whole seconds: half of one, and of the round trip, is the doubt.
            said["skew"] = int(stats["time"]) + 0.5 - (before + after) / 2
            said["skew_error"] = 0.5 + (after - before) / 2
        said["settings"] = _stats(client, "settings")
        said["largest_chunk"] = _largest_chunk(_stats(client, "slabs"))
    return said


def _stats(client: Any, name: str) -> Mapping[str, str]:
    response = client.stats(name)
    if response.error is not None:
        raise response.error
    [entries] = response.entries.values()
    return dict(entries)


def _largest_chunk(slabs: Mapping[str, str]) -> int | None:
    """Return the size of the largest chunks that are in use, None if none are."""
    sizes = [
        int(slabs.get(f"{number}:chunk_size", 0))
        for number, _, name in (key.partition(":") for key in slabs)
        if name == "used_chunks" and int(slabs[f"{number}:used_chunks"])
    ]
    return max(sizes, default=None)


def _dialect(address: str, is_sasl: bool, settings: Settings) -> Any:
    options: dict[str, Any] = {"timeout": settings.timeout, "connect_timeout": settings.timeout}
    options |= {"tls": settings.tls, "auth": settings.auth}
    with Client([address], protocol="binary" if is_sasl else "auto", **options) as client:
        found: Sequence[Any] = list(client.dialects().values())
    return found[0]
