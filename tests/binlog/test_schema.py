"""What a schema says of columns, beside a log that does not say it."""

import pytest

from godropbox.database import binlog
from godropbox.database.binlog._schema import described

ENUM, SET, TIME, TIME2 = 247, 248, 11, 19


def told(column: binlog.Column, declared: str) -> binlog.Column:
    table = binlog.Table("shop", "orders", (column,))
    return described(table, [("c", declared, None)]).columns[0]


@pytest.mark.parametrize("kind", [("enum", ENUM), ("set", SET)])
@pytest.mark.parametrize(
    ("written", "members"),
    [
        ("'a','b'", ("a", "b")),
        ("'it''s',''", ("it's", "")),
        (r"'a\\b','\\'", ("a\\b", "\\")),
        (r"'\\n','\n','\r','\0'", ("\\n", "\n", "\r", "\0")),
        (r"'\\''','x'", ("\\'", "x")),
        ("'\t','漢,字','a\nb'", ("\t", "漢,字", "a\nb")),
    ],
)
def test_members_are_those_that_the_server_escaped(
    kind: tuple[str, int], written: str, members: tuple[str, ...]
) -> None:
    name, code = kind
    assert told(binlog.Column(code, 1), f"{name}({written})").members == members


def test_a_time_of_the_old_format_has_no_fraction_that_can_be_read() -> None:
    assert told(binlog.Column(TIME, 0), "time /* mariadb-5.3 */").name == "c"
    assert told(binlog.Column(TIME2, 3), "time(3)").name == "c"
    with pytest.raises(binlog.MetadataError, match=r"c of shop\.orders is time\(3\)"):
        told(binlog.Column(TIME, 0), "time(3) /* mariadb-5.3 */")
