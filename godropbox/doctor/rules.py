"""What facts mean, and what to do: a rule for each finding. No I/O.

`findings_of` applies the rules to what ``probing`` found. A rule reads facts and yields findings;
its limits are the constants at the top, each with its reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from ..memcache.errors import NotSupportedError
from .facts import Facts, Finding, Level

__all__ = ["findings_of", "findings_of_installation"]

SKEW: Final = 2.0
"""Seconds: an expiry as a moment is off by it; memcached's clock itself ticks once a second."""

NEAR: Final = 0.8
"""Of a limit: beyond it a busy minute may reach it."""

SLOW: Final = 0.005
"""Seconds of a median round trip: a machine in the same data centre takes a tenth of that."""

YOUNG: Final = 3600
"""Seconds of uptime: such a server began empty not long ago, and its hit rate says little."""

CERTIFICATE: Final = 14
"""Days: below that a certificate ought to have been renewed."""

EVICTED: Final = 0.01
"""Of the items stored: below that evictions are the odd item."""


def findings_of_installation(about: Mapping[str, str]) -> Iterator[Finding]:
    """Say what the implementation that runs here means."""
    subject = "this installation"
    here = f"{about['python']}, {about['platform']}; vector units: {about['simd']}"
    yield Finding(Level.NOTE, "platform", subject, here)
    text = f"godropbox {about['version']} runs {about['implementation']} ({about['reason']})"
    is_wanted = "asks for it" in about["reason"] or about["python"].startswith("PyPy")
    if about["implementation"] == "native" or is_wanted:
        yield Finding(Level.NOTE, "implementation", subject, text)
        return
    advice = (
        "The compiled package is several times as fast: install a wheel for this Python "
        "(pip install --force-reinstall --only-binary godropbox godropbox), or build with a C "
        "compiler, and leave GODROPBOX_IMPL unset. GODROPBOX_IMPL=native says what is missing."
    )
    yield Finding(Level.WARNING, "implementation", subject, text, advice)


def findings_of(servers: Sequence[Facts]) -> Iterator[Finding]:
    """Yield what is to be said of each server, then of the fleet."""
    for facts in servers:
        yield from _of_reach(facts)
        if facts.error is not None:
            yield _of_failure(facts, facts.error)
        elif facts.lookup_error is None:
            for rule in _RULES:
                yield from rule(facts)
    yield from _of_versions(servers)


def _of_reach(facts: Facts) -> Iterator[Finding]:
    if facts.lookup_error is not None:
        yield Finding(
            Level.ERROR,
            "lookup",
            facts.address,
            f"the name cannot be looked up: {facts.lookup_error}",
            "Check the spelling, and this machine's resolver: getent hosts shows what it finds.",
        )
    failed = [each for each in facts.reached if each.error is not None]
    if not failed or len(failed) == len(facts.reached):
        return
    those = ", ".join(f"{each.address} ({each.error})" for each in failed)
    works = ", ".join(each.address for each in facts.reached if each.error is None)
    yield Finding(
        Level.WARNING,
        "some addresses",
        facts.address,
        f"the name has {len(facts.reached)} addresses, and not all accept: {those}",
        "A client tries them in order, which costs time at each connection. Have the server "
        f"listen there too (memcached -l), or give clients the address that works: {works}.",
    )


_FAILURES: Final = {
    "connections": "Raise memcached -c, give clients a max_active, or find who leaks connections "
    "(stats conns on the server).",
    "failed": "If it closes the connection at once, it may want TLS (--tls) or a login (--user), "
    "or be no memcached.",
    "login": "Check the user, the password and the mechanism (--mechanism ascii or sasl).",
    "no socket": "Start memcached with -s and this path, or check the path; -a says who may use "
    "it.",
    "refused": "Start memcached, or check the port and the interface that it listens on "
    "(memcached -l; by default 127.0.0.1 on Debian). A firewall may refuse, too.",
    "silent": "The process is stopped, swapped out or overloaded (the system accepts connections "
    "for it): look at its state (ps, top), and restart it. If it wants TLS, add --tls.",
    "tls": "Check that the server speaks TLS on this port (memcached -Z), that --cafile is who "
    "signed its certificate, and that the certificate has the server's name.",
    "unreachable": "A firewall or a security group drops the packets, the machine is down, or the "
    "address is wrong. Check the route from this machine.",
}


def _of_failure(facts: Facts, error: Exception) -> Finding:
    code, text = _kind_of_failure(facts, error, str(error))
    return Finding(Level.ERROR, code, facts.address, text, _FAILURES[code])


def _kind_of_failure(facts: Facts, error: Exception, words: str) -> tuple[str, str]:
    """Return the kind of a failure, and what to say of it."""
    if "Too many open connections" in words:
        return "connections", "all of its connections are taken: it closes new ones"
    if "the login of" in words:
        return "login", words
    if isinstance(error, ConnectionRefusedError) or "refused" in words.lower():
        return "refused", f"nothing listens there: {words}"
    if "No such file" in words:
        return "no socket", f"there is no such socket: {words}"
    if "SSL" in words or "certificate" in words:
        return "tls", f"TLS failed: {words}"
    if not isinstance(error, TimeoutError):
        return "failed", f"it cannot be used: {words}"
    within = f"within {facts.limit:g} s: {words}"
    if any(each.error is None for each in facts.reached):
        return "silent", f"it accepts connections and does not answer {within}"
    return "unreachable", f"nothing answers there {within}"


def _of_dialect(facts: Facts) -> Iterator[Finding]:
    dialect, subject = facts.dialect, facts.address
    if dialect is None:
        return
    if dialect.error is not None:
        advice = (
            "Ask again; if it stays, see the server's log."
            if not isinstance(dialect.error, NotSupportedError)
            else "Give clients protocol='ascii'."
        )
        text = f"what it speaks was not found out: {dialect.error}"
        yield Finding(Level.WARNING, "dialect", subject, text, advice)
        return
    lacks = f", without {', '.join(dialect.lacks)}" if dialect.lacks else ""
    text = f"version {dialect.version}, spoken to in {dialect.protocol}{lacks}"
    yield Finding(Level.NOTE, "dialect", subject, text)
    if not facts.stats:
        yield Finding(
            Level.NOTE,
            "proxy",
            subject,
            "it gives no statistics, as proxies do: what is behind it was not examined",
            "Run the doctor on the servers behind it. A ConsistentCacheOnStorage must reach "
            "servers directly.",
        )
    if "tokens" in dialect.lacks and dialect.protocol == "meta":
        yield Finding(
            Level.WARNING,
            "tokens",
            subject,
            "it has no CAS tokens (memcached -C)",
            "gets, cas, get_or_set among processes and ConsistentCacheOnStorage need them: start "
            "it without -C, which saves 8 bytes an item.",
        )
    elif "leases" in dialect.lacks:
        yield Finding(
            Level.WARNING,
            "leases",
            subject,
            "get_or_set loads once in each process, not once among all: it has no leases",
            "Use memcached 1.6.10 or later, reached directly or through its own proxy.",
        )


def _of_tls(facts: Facts) -> Iterator[Finding]:
    if not facts.tls:
        return
    days = facts.certificate_days
    yield Finding(Level.NOTE, "tls", facts.address, f"speaks {facts.tls}")
    if days is not None and days < CERTIFICATE:
        yield Finding(
            Level.ERROR if days < 0 else Level.WARNING,
            "certificate",
            facts.address,
            f"its certificate is valid for {days:.1f} days more",
            "Renew it, and have memcached load it (its refresh_certs command).",
        )


def _of_clock(facts: Facts) -> Iterator[Finding]:
    if facts.skew is None:
        return
    off = abs(facts.skew)
    if off - facts.skew_error <= SKEW:
        return
    way = "ahead of" if facts.skew > 0 else "behind"
    yield Finding(
        Level.WARNING,
        "clock",
        facts.address,
        f"its clock is {off:.1f} s (+-{facts.skew_error:.1f}) {way} this machine's",
        "Expiries that are moments (a datetime, or more than 30 days) end so much too "
        f"{'early' if facts.skew > 0 else 'late'}. Synchronize both clocks (NTP); memcached reads "
        "the time at its start, so restart it after its machine's clock was set.",
    )


def _of_connections(facts: Facts) -> Iterator[Finding]:
    most, now = facts.number("max_connections"), facts.number("curr_connections")
    if most is None or now is None:
        return
    # memcached keeps some descriptors of its limit for itself.
    free = max(1, most - (facts.number("reserved_fds") or 0))
    refused = (
        (facts.number("rejected_connections") or 0) or facts.number("listen_disabled_num") or 0
    )
    text = f"{now:,} of the {free:,} connections that it takes (-c {most}) are in use"
    advice = (
        "Raise -c, and the limit of open files with it; or give clients a max_active. Each process "
        "with a Client has a connection for each call that is under way at a time."
    )
    if refused:
        text += f", and it has refused {refused:,} since it started"
        yield Finding(Level.WARNING, "connections", facts.address, text, advice)
    elif now >= NEAR * free:
        yield Finding(Level.WARNING, "connections", facts.address, text, advice)


def _of_items(facts: Facts) -> Iterator[Finding]:
    most, largest = facts.number("item_size_max"), facts.largest_chunk
    if most is None:
        return
    refused = facts.number("store_too_large") or 0
    near = f"; the largest items in it have chunks of {largest:,} bytes" if largest else ""
    text = f"an item may have {most:,} bytes (-I){near}"
    if refused:
        yield Finding(
            Level.WARNING,
            "item size",
            facts.address,
            f"{text}; it has refused {refused} larger ones since it started",
            "Give clients large_values='split', or compress values, or raise -I.",
        )
    else:
        yield Finding(Level.NOTE, "item size", facts.address, text)


def _of_memory(facts: Facts) -> Iterator[Finding]:
    limit, used = facts.number("limit_maxbytes"), facts.number("bytes")
    evictions, stored = facts.number("evictions"), facts.number("total_items")
    if not limit or used is None or evictions is None:
        return
    hours = max(1, facts.number("uptime") or 1) / 3600
    text = f"{used / limit:.0%} of its {limit / 2**20:,.0f} MiB (-m) hold items"
    if facts.settings.get("evictions") == "off" and used >= NEAR * limit:
        advice = "Raise -m, or start it without -M: a full server refuses to store."
        yield Finding(Level.WARNING, "memory", facts.address, f"{text}, and -M is set", advice)
    elif evictions > EVICTED * (stored or 0):
        unread = facts.number("evicted_unfetched") or 0
        yield Finding(
            Level.WARNING,
            "evictions",
            facts.address,
            f"{text}; it has evicted {evictions:,} of {stored:,} items "
            f"({evictions / hours:,.0f} an hour), {unread:,} of them never read",
            "It holds less than it is given: raise -m or add servers, store less of what is never "
            "read, or give shorter expiries.",
        )
    else:
        evicted = f"; {evictions:,} evictions" if evictions else "; no evictions"
        yield Finding(Level.NOTE, "memory", facts.address, text + evicted)


def _of_time(facts: Facts) -> Iterator[Finding]:
    if facts.pings:
        middle, worst = median(facts.pings), max(facts.pings)
        text = (
            f"a round trip takes {_shown(middle)} in the middle, {_shown(worst)} at worst, of "
            f"{len(facts.pings)}"
        )
        advice = ""
        level = Level.NOTE
        if worst > NEAR * facts.limit:
            level = Level.WARNING
            advice = (
                f"A client with a timeout of {facts.limit:g} s would fail: raise the timeout, or "
                "find out what stalls (swapping, a full CPU, packet loss)."
            )
        elif middle > SLOW:
            level = Level.WARNING
            advice = (
                "That is another data centre or a loaded machine. Read many keys with one "
                "get_many, which takes one round trip."
            )
        yield Finding(level, "latency", facts.address, text, advice)
    uptime = facts.number("uptime")
    if uptime is not None and uptime < YOUNG:
        text = f"it started {uptime} s ago, and was empty then"
        advice = (
            "If nobody restarted it, see its log and the system's: it may be killed for memory."
        )
        yield Finding(Level.NOTE, "uptime", facts.address, text, advice)
    elif uptime is not None:
        yield Finding(
            Level.NOTE, "uptime", facts.address, f"it started {uptime / 86400:.1f} days ago"
        )


def _of_versions(servers: Sequence[Facts]) -> Iterator[Finding]:
    found = {each.stats["version"] for each in servers if "version" in each.stats}
    if len(found) > 1:
        yield Finding(
            Level.NOTE,
            "versions",
            "the fleet",
            f"its servers are of {len(found)} versions: {', '.join(sorted(found))}",
            "Each is spoken to as it can; what the oldest lacks is missing for its keys.",
        )


def _shown(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


_RULES: Final = (
    _of_dialect,
    _of_tls,
    _of_clock,
    _of_connections,
    _of_items,
    _of_memory,
    _of_time,
)
