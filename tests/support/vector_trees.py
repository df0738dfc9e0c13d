"""The trees of `vectors/sqlbuilder.jsonl` as statements of ours.

One small interpreter, through the public functions only: what the recorded library printed for a
tree, the statement made here must print.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from godropbox.database import sqlbuilder as sb

TABLES = {
    "parent_prefix": sb.Table(
        "parent_prefix", sb.IntColumn("ns_id"), sb.IntColumn("hash"), sb.StrColumn("prefix")
    ),
    "sfj": sb.Table(
        "sfj",
        sb.IntColumn("ns_id"),
        sb.IntColumn("sjid"),
        sb.StrColumn("filename"),
        sb.DateTimeColumn("mtime", nullable=True),
    ),
    "users": sb.Table(
        "users",
        sb.IntColumn("id"),
        sb.StrColumn("name"),
        sb.StrColumn("email", nullable=True),
        sb.BytesColumn("blob", nullable=True),
        sb.DoubleColumn("score", nullable=True),
        sb.BoolColumn("active"),
    ),
}

_VALUES: dict[str, Callable[[Any], object]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "bytes": bytes.fromhex,
    "datetime": datetime.fromisoformat,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "eq": sb.eq,
    "ne": sb.ne,
    "lt": sb.lt,
    "le": sb.le,
    "gt": sb.gt,
    "ge": sb.ge,
    "like": sb.like,
    "regexp": sb.regexp,
    "and": sb.and_,
    "or": sb.or_,
    "not": sb.not_,
    "add": sb.add,
    "sub": sb.sub,
    "mul": sb.mul,
    "div": sb.div,
    "plus": lambda left, right: left.op("+")(right),
    "minus": lambda left, right: left - right,
    "bitor": sb.bit_or,
    "bitand": sb.bit_and,
    "bitxor": sb.bit_xor,
    "if": sb.if_,
    "values": sb.values,
    "asc": sb.asc,
    "desc": sb.desc,
}
_LOCKS = {"share": "with_shared_lock", "update": "for_update"}
_JOINS = {"inner": "join", "left": "left_join", "right": "right_join"}


def plain(tree: list[Any]) -> object:
    """Return the Python value of a literal."""
    return None if tree[0] == "null" else _VALUES[tree[0]](tree[1])


def expression(tree: list[Any]) -> Any:
    """Return the expression of a tree."""
    name, *rest = tree
    if name == "null" or name in _VALUES:
        return sb.literal(plain(tree))
    if name == "col":
        return TABLES[rest[0]].c[rest[1]]
    if name == "alias":
        return sb.alias(rest[0], expression(rest[1]))
    if name == "func":
        return sb.func(rest[0], *map(expression, rest[1:]))
    if name == "in":
        return expression(rest[0]).in_([plain(value) for value in rest[1]])
    if name == "interval":
        return sb.interval(timedelta(microseconds=rest[0]))
    return _CALLS[name](*map(expression, rest))


def _select(tree: dict[str, Any]) -> Any:
    source: Any = TABLES[tree["from"]]
    if "force_index" in tree:
        source = source.force_index(tree["force_index"])
    if "join" in tree:
        join = tree["join"]
        source = getattr(source, _JOINS[join["type"]])(
            TABLES[join["table"]], expression(join["on"])
        )
    made: Any = source.select(*map(expression, tree["columns"]))
    if "lock" in tree:
        made = getattr(made, _LOCKS[tree["lock"]])()
    return _common(made.distinct() if tree.get("distinct") else made, tree)


def _common(made: Any, tree: dict[str, Any]) -> Any:
    if "where" in tree:
        made = made.where(expression(tree["where"]))
    for key in ("group_by", "order_by"):
        if key in tree:
            made = getattr(made, key)(*map(expression, tree[key]))
    for key in ("limit", "offset", "comment"):
        if key in tree:
            made = getattr(made, key)(tree[key])
    return made


def _insert(tree: dict[str, Any]) -> Any:
    table = TABLES[tree["into"]]
    made = table.insert(*[table.c[name] for name in tree["columns"]])
    for row in tree["rows"]:
        made = made.row(*map(expression, row))
    for name, value in tree.get("on_duplicate_key_update", ()):
        made = made.on_duplicate_key_update(table.c[name], expression(value))
    return _common(made.ignore_errors() if tree.get("ignore") else made, tree)


def _update(tree: dict[str, Any]) -> Any:
    table = TABLES[tree["table"]]
    made = table.update()
    for name, value in tree["set"]:
        made = made.set(table.c[name], expression(value))
    return _common(made, tree)


def _union(tree: dict[str, Any]) -> Any:
    union = sb.union_all if tree.get("all") else sb.union
    return _common(union(*map(_select, tree["selects"])), tree)


def _lock(tree: dict[str, Any]) -> Any:
    made = sb.lock_tables()
    for name, kind in tree["tables"]:
        made = made.read(TABLES[name]) if kind == "read" else made.write(TABLES[name])
    return made


def statement(tree: dict[str, Any]) -> sb.Statement:
    """Return the statement of a tree."""
    makers: dict[str, Callable[[dict[str, Any]], sb.Statement]] = {
        "select": _select,
        "insert": _insert,
        "update": _update,
        "delete": lambda tree: _common(TABLES[tree["from"]].delete(), tree),
        "union": _union,
        "lock": _lock,
        "gtid_next": lambda tree: sb.gtid_next(bytes.fromhex(tree["sid_hex"]), int(tree["gno"])),
    }
    return makers[tree["kind"]](tree)
