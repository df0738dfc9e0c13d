"""SQL statements from Python objects: typed, safe from injection, and as cheap as formatting.

Declare tables and their columns once, and build expressions with operators or functions. A
statement is a value. Render it as text (``sql``), as text with parameters (``bind``) or as a
prepared statement (``prepare``), for the shard that you name in that call::

    sfj = Table("sfj", IntColumn("ns_id"), StrColumn("filename"))
    query = sfj.select(sfj.c.filename).where(sfj.c.ns_id == 456)
    query.sql("shard1")  # SELECT `sfj`.`filename` FROM `shard1`.`sfj` WHERE `sfj`.`ns_id`=456

This module only exports the public names.
"""

from ._clauses import Ordering
from ._columns import (
    BoolColumn,
    BytesColumn,
    Column,
    DateTimeColumn,
    DoubleColumn,
    IntColumn,
    StrColumn,
)
from ._nodes import Expression
from ._prepared import Prepared
from ._selects import Join, Select, Source
from ._session import GtidNext, LockTables, UnlockTables, gtid_next, lock_tables, unlock_tables
from ._statement import Query, Statement
from ._tables import Columns, Subquery, Table, cte, subquery, union, union_all
from ._terms import Alias, Call, Slot
from ._unions import Union
from ._writes import Change, Delete, Insert, Update
from .dialects import UnsupportedFeature
from .functions import (
    add,
    alias,
    and_,
    asc,
    between,
    bit_and,
    bit_or,
    bit_xor,
    case,
    cast,
    count,
    desc,
    div,
    eq,
    escape_for_like,
    exists,
    func,
    ge,
    gt,
    if_,
    in_,
    interval,
    le,
    like,
    literal,
    lt,
    mul,
    ne,
    not_,
    not_in,
    or_,
    regexp,
    slot,
    star,
    sub,
    tuple_,
    values,
)

__all__ = [
    "Alias",
    "BoolColumn",
    "BytesColumn",
    "Call",
    "Change",
    "Column",
    "Columns",
    "DateTimeColumn",
    "Delete",
    "DoubleColumn",
    "Expression",
    "GtidNext",
    "Insert",
    "IntColumn",
    "Join",
    "LockTables",
    "Ordering",
    "Prepared",
    "Query",
    "Select",
    "Slot",
    "Source",
    "Statement",
    "StrColumn",
    "Subquery",
    "Table",
    "Union",
    "UnlockTables",
    "UnsupportedFeature",
    "Update",
    "add",
    "alias",
    "and_",
    "asc",
    "between",
    "bit_and",
    "bit_or",
    "bit_xor",
    "case",
    "cast",
    "count",
    "cte",
    "desc",
    "div",
    "eq",
    "escape_for_like",
    "exists",
    "func",
    "ge",
    "gt",
    "gtid_next",
    "if_",
    "in_",
    "interval",
    "le",
    "like",
    "literal",
    "lock_tables",
    "lt",
    "mul",
    "ne",
    "not_",
    "not_in",
    "or_",
    "regexp",
    "slot",
    "star",
    "sub",
    "subquery",
    "tuple_",
    "union",
    "union_all",
    "unlock_tables",
    "values",
]
