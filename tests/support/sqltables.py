"""The tables that the SQL builder's tests share, untyped, for uses that are wrong on purpose."""

import re
from typing import Any

from godropbox.database import sqlbuilder as sb

t1: Any = sb.Table(
    "table1",
    sb.IntColumn("col1", nullable=True),
    sb.IntColumn("col2", nullable=True),
    sb.IntColumn("col3", nullable=True),
    sb.DateTimeColumn("col4", nullable=True),
)
t2: Any = sb.Table(
    "table2", sb.IntColumn("col3", nullable=True), sb.IntColumn("col4", nullable=True)
)
t3: Any = sb.Table(
    "table3", sb.IntColumn("col1", nullable=True), sb.IntColumn("col2", nullable=True)
)
people: Any = sb.Table("people", sb.IntColumn("id"), sb.StrColumn("name"), sb.BoolColumn("active"))


def where(condition: Any, **options: Any) -> str:
    """Return the text of a condition over `t1`, `t2` and `t3`."""
    source = t1.cross_join(t2).cross_join(t3).cross_join(people)
    text: str = source.select(t1.c.col1).where(condition).sql("db", **options)
    return text.split(" WHERE ", 1)[1]


def shown(expression: Any, **options: Any) -> str:
    """Return the text of an expression over `t1`, `t2` and `t3`."""
    source = t1.cross_join(t2).cross_join(t3).cross_join(people)
    text: str = source.select(expression).sql("db", **options)
    return re.split(" FROM .db.[.].table1. CROSS JOIN ", text.removeprefix("SELECT "))[0]
