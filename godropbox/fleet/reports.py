"""What the commands print: plans, copies and statuses as tables, lines of text and JSON. No I/O."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..memcache.fleet.shards import ShardState
from .planning import Alternative, Plan
from .tables import Cell, Table, bar, count, share, size, span
from .task import Counts, Settings
from .watching import Status

__all__ = [
    "copy_as_json",
    "copy_as_tables",
    "plan_as_json",
    "plan_as_tables",
    "status_as_json",
    "status_as_tables",
    "warnings_of_plan",
]

_MATRIX: Final = 8  # servers that a matrix has room for on 100 columns
_MOVES: Final = 20
_BAR: Final = 24
_FULL: Final = 0.9
_NOBODY: Final = "(no server)"


# Plans


def plan_as_tables(plan: Plan, hit_rate: float | None, block: str) -> Iterator[Table | str]:
    """Yield what is shown of a plan; `hit_rate` is the fleet's now, None if it is not known."""
    sizes = plan.size is not None
    words = f"{share(plan.share)} of {count(plan.keys)} keys move"
    if sizes:
        words += f", and {share(plan.size_share)} of {size(plan.size)}"
    yield words
    if plan.lost:
        yield f"{share(plan.lost)} of the keys would have no server that serves them"
    if plan.regained:
        yield f"{share(plan.regained)} of the keys get a server again"
    if hit_rate is None:
        yield f"of the reads that hit now, {share(plan.missed)} miss at first"
    else:
        yield (
            f"the hit rate falls from {share(hit_rate)} to {share(hit_rate * (1 - plan.missed))} "
            "at first"
        )
    yield ""
    yield _loads(plan, block)
    if plan.moves:
        yield ""
        yield _matrix(plan) if len(plan.loads) <= _MATRIX else _moves(plan, block)
    if plan.alternatives:
        yield ""
        yield _functions(plan, block)
        better = _better(plan)
        if better is not None:
            best, now = better
            yield f"with {best.function} {share(best.moved)} would move instead of {share(now)}"


def warnings_of_plan(plan: Plan) -> Iterator[str]:
    """Yield what makes a plan doubtful."""
    if plan.strays > plan.keys:
        yield (
            f"{count(plan.strays)} of {count(plan.strays + plan.keys)} keys are not on the server "
            "where this fleet looks for them: is it another shard function (--hash), another order "
            "of servers, or is there a prefix (--prefix)?"
        )
    elif plan.strays:
        yield (
            f"{count(plan.strays)} keys more are on servers where the fleet does not look for them "
            "(left by an earlier fleet)"
        )
    if plan.unplaced:
        yield f"{count(plan.unplaced)} keys are none that the shard function can place"
    if not plan.keys:
        yield "there are no keys to plan by"


def _loads(plan: Plan, block: str) -> Table:
    sizes = plan.size is not None
    heads = ["server", ">before", ">after", *([">bytes before", ">bytes after"] if sizes else [])]
    table = Table([*heads, "keys after"])
    most = max((max(each.before or 0, each.after or 0) for each in plan.loads), default=0)
    for each in plan.loads:
        tone = "good" if each.before is None else "bad" if each.after is None else ""
        mark = " (new)" if each.before is None else " (gone)" if each.after is None else ""
        cells: list[Cell | str] = [Cell(each.server + mark, tone)]
        cells += [count(each.before), count(each.after)]
        if sizes:
            cells += [size(each.size_before), size(each.size_after)]
        table.add(*cells, Cell(bar(each.after or 0, most, _BAR, block), tone or "dim"))
    return table


def _matrix(plan: Plan) -> Table:
    """Return what moves from where, down, to where, across."""
    moves = {(move.source, move.target): move.keys for move in plan.moves}
    targets: list[str | None] = [
        name for name in plan.after if any(target == name for _, target in moves)
    ]
    sources: list[str | None] = [
        name for name in plan.before if any(source == name for source, _ in moves)
    ]
    targets += [None] if any(target is None for _, target in moves) else []
    sources += [None] if any(source is None for source, _ in moves) else []
    table = Table(["keys from", *(f">to {target or _NOBODY}" for target in targets)])
    for source in sources:
        cells = [count(moves[pair]) if (pair := (source, to)) in moves else "" for to in targets]
        table.add(source or _NOBODY, *cells)
    return table


def _moves(plan: Plan, block: str) -> Table:
    table = Table(["from", "to", ">keys", ">share", ""])
    most = plan.moves[0].keys
    for move in plan.moves[:_MOVES]:
        cells = [move.source or _NOBODY, move.target or _NOBODY, count(move.keys)]
        table.add(*cells, share(move.keys / plan.keys), bar(move.keys, most, _BAR, block))
    rest = plan.moves[_MOVES:]
    if rest:
        keys = sum(move.keys for move in rest)
        table.add(f"and {len(rest)} more pairs", "", count(keys), share(keys / plan.keys), "")
    return table


def _functions(plan: Plan, block: str) -> Table:
    table = Table(["shard function", ">would move", ">fullest server", ""])
    for each in plan.alternatives:
        tone = "strong" if each.is_chosen else ""
        table.add(
            Cell(each.function + (" (this)" if each.is_chosen else ""), tone),
            Cell(share(each.moved), tone),
            f"{each.fullest:.2f} of the mean",
            Cell(bar(each.moved, 1.0, _BAR, block), "good" if each.is_chosen else "dim"),
        )
    return table


def _better(plan: Plan) -> tuple[Alternative, float] | None:
    """Return the function that would move the fewest keys, and the share that moves as it is.

    None if that is not worth a word.
    """
    now = next((each.moved for each in plan.alternatives if each.is_chosen), plan.share)
    best = min(plan.alternatives, key=lambda each: each.moved)
    return None if best.is_chosen or best.moved > 0.8 * now else (best, now)


def plan_as_json(
    plan: Plan, function: str, hit_rate: float | None, errors: Mapping[str, str]
) -> dict[str, Any]:
    """Return a plan as an object for JSON."""

    def held(keys: int | None, stored: int | None) -> dict[str, int | None] | None:
        return None if keys is None else {"keys": keys, "bytes": stored}

    return {
        "before": list(plan.before),
        "after": list(plan.after),
        "function": function,
        "keys": plan.keys,
        "bytes": plan.size,
        "moved": {
            "keys": plan.moved,
            "bytes": plan.moved_size,
            "share": plan.share,
            "bytes_share": plan.size_share,
        },
        "lost": plan.lost,
        "regained": plan.regained,
        "missed": plan.missed,
        "strays": plan.strays,
        "unplaced": plan.unplaced,
        "moves": [
            {"from": each.source, "to": each.target, "keys": each.keys, "bytes": each.size}
            for each in plan.moves
        ],
        "loads": [
            {
                "server": each.server,
                "before": held(each.before, each.size_before),
                "after": held(each.after, each.size_after),
            }
            for each in plan.loads
        ],
        "functions": [
            {
                "name": each.function,
                "moved": each.moved,
                "fullest": each.fullest,
                "is_chosen": each.is_chosen,
            }
            for each in plan.alternatives
        ],
        "hit_rate": None
        if hit_rate is None
        else {"now": hit_rate, "then": hit_rate * (1 - plan.missed)},
        "errors": dict(errors),
    }


# Copies

_COUNTED: Final = {
    "listed": "keys listed on the sources",
    "strays": "left there by an earlier fleet",
    "copied": "copied",
    "renewed": "copied again, as they were written or differed",
    "deleted": "deleted, as their originals were",
    "present": "there already",
    "differing": "there with another value, which stays (--refresh replaces it)",
    "gone": "gone before they were read",
    "expiring": "about to expire",
    "stale": "marked stale",
    "leased": "leases, without a value yet",
    "guarded": "of a ConsistentCacheOnStorage, which fills itself",
    "unsendable": "with keys that no text command can name",
    "undone": "taken back, as the originals changed meanwhile",
    "failed": "failed",
}


def copy_as_tables(counts: Counts, seconds: float, is_whole: bool) -> Iterator[Table | str]:
    """Yield what is shown of a copy: what became of the keys, and of which servers failed."""
    speed = f", {count(counts.copied / seconds)} a second" if seconds > 0 else ""
    end = "" if is_whole else "stopped: "
    yield (
        f"{end}{count(counts.copied)} keys copied, {size(counts.size)} of values, in "
        f"{span(seconds)}{speed}"
    )
    table = Table([">", ""])
    for name, words in _COUNTED.items():
        number = getattr(counts, name)
        if number or name in ("listed", "copied"):
            tone = "bad" if name in ("failed", "differing") else "good" if name == "copied" else ""
            table.add(Cell(count(number), tone), words)
    yield table
    for server, error in counts.errors.items():
        yield f"{server}: {error}"


def copy_as_json(
    counts: Counts, settings: Settings, seconds: float, is_whole: bool
) -> dict[str, Any]:
    """Return what came of a copy as an object for JSON."""
    return {
        **{name: getattr(counts, name) for name in _COUNTED},
        "bytes": counts.size,
        "passes": counts.passes,
        "seconds": seconds,
        "is_complete": is_whole and not counts.failed and not counts.errors,
        "follow": settings.follow,
        "errors": dict(counts.errors),
    }


# Statuses


def status_as_tables(statuses: Sequence[Status]) -> Iterator[Table | str]:
    """Yield a table with a row a server, and why those that say nothing do not.

    Where there was a look before, hit rates are those since then.
    """
    has_rates = any(each.rates is not None for each in statuses)
    has_states = any(each.server.state is not ShardState.ACTIVE for each in statuses)
    heads = ["server", *(["state"] if has_states else []), ">hit rate"]
    heads += [">gets/s"] if has_rates else []
    heads += [">memory", ">full", ">items", ">conns", ">evicted"]
    heads += [">/s"] if has_rates else []
    heads += [">median", ">worst", ">up", "version"]
    table = Table(heads)
    failures = []
    for each in statuses:
        name = _named(each)
        head = [Cell(name, "bad" if each.error else "")]
        head += [Cell(each.server.state.name, _tone(each.server.state))] if has_states else []
        if each.error is None:
            table.add(*head, *_numbers(each, has_rates))
        else:
            table.add(*head, Cell("down", "bad"), *[""] * (len(heads) - len(head) - 1))
            failures.append(f"{name}: {each.error}")
    yield table
    if failures:
        yield ""
        yield from failures


def _named(status: Status) -> str:
    server = status.server
    return server.name if server.name == server.address else f"{server.name} ({server.address})"


def _tone(state: ShardState) -> str:
    if state is ShardState.ACTIVE:
        return "good"
    return "bad" if state is ShardState.DOWN else "strong"


def _numbers(status: Status, has_rates: bool) -> list[Cell | str]:
    rates = status.rates
    hit_rate = status.hit_rate if rates is None else rates.hit_rate
    cells: list[Cell | str] = [share(hit_rate)]
    if has_rates:
        cells.append(count(rates.gets) if rates is not None else "-")
    used, limit = status.number("bytes"), status.number("limit_maxbytes")
    full = used / limit if used is not None and limit else None
    cells += [
        size(used),
        Cell("-" if full is None else f"{full:.0%}", "strong" if (full or 0) > _FULL else ""),
        count(status.number("curr_items")),
        count(status.number("curr_connections")),
    ]
    evicted = status.number("evictions")
    cells.append(Cell(count(evicted), "strong" if evicted else ""))
    if has_rates:
        cells.append(count(rates.evictions) if rates is not None else "-")
    dialect = status.dialect
    speaks = dialect.protocol or "?" if dialect is not None else "?"
    if not status.stats:
        speaks += ", a proxy"
    cells += [span(status.latency), span(status.worst), span(status.number("uptime"))]
    return [*cells, f"{status.version or '?'} {speaks}"]


def status_as_json(statuses: Sequence[Status], now: float) -> dict[str, Any]:
    """Return all statuses as an object for JSON; `now` is seconds since 1970."""
    return {"time": now, "servers": [_server(each) for each in statuses]}


def _server(status: Status) -> dict[str, Any]:
    dialect, rates = status.dialect, status.rates
    return {
        "name": status.server.name,
        "address": status.server.address,
        "state": status.server.state.name,
        "error": status.error,
        "version": status.version,
        "protocol": dialect.protocol if dialect is not None else None,
        "lacks": list(dialect.lacks) if dialect is not None else [],
        "uptime": status.number("uptime"),
        "hit_rate": status.hit_rate,
        "bytes": status.number("bytes"),
        "limit": status.number("limit_maxbytes"),
        "items": status.number("curr_items"),
        "connections": status.number("curr_connections"),
        "max_connections": status.number("max_connections"),
        "evictions": status.number("evictions"),
        "latency": {"median": status.latency, "worst": status.worst} if status.pings else None,
        "rates": None
        if rates is None
        else {
            "seconds": rates.seconds,
            "gets": rates.gets,
            "sets": rates.sets,
            "evictions": rates.evictions,
            "hit_rate": rates.hit_rate,
        },
    }
