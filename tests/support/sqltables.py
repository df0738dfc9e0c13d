"""The tables that the tests of the SQL builder share."""

from godropbox.database import sqlbuilder as sb

t1 = sb.Table(
    "table1",
    sb.IntColumn("col1", nullable=True),
    sb.IntColumn("col2", nullable=True),
    sb.IntColumn("col3", nullable=True),
    sb.DateTimeColumn("col4", nullable=True),
)
t2 = sb.Table("table2", sb.IntColumn("col3", nullable=True), sb.IntColumn("col4", nullable=True))
t3 = sb.Table("table3", sb.IntColumn("col1", nullable=True), sb.IntColumn("col2", nullable=True))
people = sb.Table("people", sb.IntColumn("id"), sb.StrColumn("name"), sb.BoolColumn("active"))


def where(condition: sb.Expression[bool], **options: str) -> str:
    """Return the text of a condition over `t1`, `t2` and `t3`."""
    source = t1.cross_join(t2).cross_join(t3).cross_join(people)
    text = source.select(t1.c.col1).where(condition).sql("db", **options)  # type: ignore[arg-type]
    return text.split(" WHERE ", 1)[1]


def shown(expression: sb.Expression[object], **options: str) -> str:
    """Return the text of an expression over `t1`, `t2` and `t3`."""
    source = t1.cross_join(t2).cross_join(t3).cross_join(people)
    text = source.select(expression).sql("db", **options)  # type: ignore[arg-type]
    return text.removeprefix("SELECT ").split(" FROM ", 1)[0]
