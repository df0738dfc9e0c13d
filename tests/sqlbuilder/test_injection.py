"""Words, comments and tags refuse whatever is outside their grammar; ``test_names`` has names."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.sqltables import t1

from godropbox.database import sqlbuilder as sb

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
COMMENT = re.compile(r"[A-Za-z0-9_ .?]*")
a = t1.c.col1
base = t1.select(a)

NAMES: dict[str, Callable[[str], object]] = {
    "charset": lambda name: sb.StrColumn("x", charset=name),
    "collation": lambda name: sb.StrColumn("x", collation=name),
    "function": lambda name: sb.func(name),
    "slot": lambda name: sb.slot(name, int),
}

hostile = st.one_of(
    st.text(),
    st.text(alphabet="aZ_09`'\"\\;-/*# .?\n\r\0\u00e9\u0661\u1d7d9\u212a\uff21", max_size=8),
    st.from_regex(r"[A-Za-z_]\w{0,5}\n?", fullmatch=True),
)


@pytest.mark.parametrize("what", NAMES)
@given(name=hostile)
@example(name="a\n")
@example(name="a\u0661")
@example(name="\u212a")
@example(name="a`")
@example(name="")
@example(name="x" * 65)
@example(name="1a")
def test_names(what: str, name: str) -> None:
    if NAME.fullmatch(name):
        NAMES[what](name)
    else:
        with pytest.raises(ValueError, match=r"must (be ASCII letters|have at most 64)"):
            NAMES[what](name)


@given(comment=hostile)
@example(comment="*/")
@example(comment="a\n")
@example(comment="\u0661")
@example(comment="!40101 x")
def test_comments(comment: str) -> None:
    table = t1.insert(t1.c.col1).row(1), t1.update(), t1.delete(), base
    for statement in table:
        if COMMENT.fullmatch(comment):
            statement.comment(comment)
        else:
            with pytest.raises(ValueError, match="comment must be ASCII letters"):
                statement.comment(comment)


@given(tags=st.dictionaries(hostile, hostile, max_size=3))
def test_tags_never_leave_their_comment(tags: dict[str, str]) -> None:
    plain = base.sql("db")
    tail = base.sql("db", tags=tags).removeprefix(plain)
    pair = r"[A-Za-z0-9%._~-]*='[A-Za-z0-9%._~-]*'"
    assert re.fullmatch(rf"( /\*{pair}(,{pair})*\*/)?", tail)


# The words that enter the text unquoted: how, what they may be, and the text around them.
_TYPE = r"[A-Za-z_]\w*( [A-Za-z_]\w*)*( ?\(\d{1,5}(, ?\d{1,5})?\))?( [A-Za-z_]\w*)*(\[\])*"
_HINT = r"(?=.*\S)[\w .,()@=+#`-]*('[\w .,()@=+#`-]*'[\w .,()@=+#`-]*)*"
WORDS: dict[str, tuple[Callable[[str], sb.Statement], str, str]] = {
    "type": (
        lambda word: t1.select(sb.cast(a, word)),
        _TYPE,
        'SELECT CAST("table1"."col1" AS {}) FROM "table1"',
    ),
    "type of an array": (
        lambda word: t1.select(sb.array([], word)),
        _TYPE,
        'SELECT CAST(ARRAY[] AS {}[]) FROM "table1"',
    ),
    "collation": (
        lambda word: t1.select(sb.func.f(sb.literal("x").collate(word))),
        r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}",
        'SELECT f(\'x\' COLLATE "{}") FROM "table1"',
    ),
    "hint": (
        lambda word: base.hint(word),
        _HINT,
        'SELECT /*+ {} */ "table1"."col1" FROM "table1"',
    ),
    "operator": (
        lambda word: t1.select(a.op(word)(1)),
        r"(?!.*(--|/\*))[+*/<>=~!@%^&|-]+",
        'SELECT "table1"."col1" {} 1 FROM "table1"',
    ),
    "path of JSON_TABLE": (
        lambda word: sb.select(sb.star()).from_(sb.json_table("j", "[]", word, sb.IntColumn("x"))),
        r"\$[A-Za-z0-9 ._*\[\]-]*",
        "",
    ),
}
_PIECES = ["integer", "a", " ", "(", ")", "1", ",", "[", "]", "'", '"', "`", "\\", ";", "--", "/*"]
_PIECES += ["*/", "#", "$", "$.x", "%", "?", ":", "\n", "\0", ".", "-", "=", "é", "day", "OR"]
words = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join) | hostile


@pytest.mark.parametrize("what", WORDS)
@given(word=words)
@example(word="integer) OR (1")
@example(word="a/**/b")
@example(word="decimal(1,2)")
def test_no_word_says_more_than_a_word(what: str, word: str) -> None:
    make, allowed, text = WORDS[what]
    is_word = re.fullmatch(allowed, word, re.ASCII)
    try:
        statement = make(word)
    except ValueError:
        assert not is_word or len(word) > 64
        return
    assert is_word
    try:
        shown = statement.sql(dialect="postgresql")
    except sb.UnsupportedFeature:
        assert not text or word == "unsigned"
    else:
        assert shown == text.format("BIGINT" if "type" in what and word == "integer" else word)


def test_quotes_that_only_some_dialects_have_are_refused_elsewhere() -> None:
    named = t1.select(sb.raw("`it's` = ?", "'; x"))
    assert named.sql("db", dialect="sqlite").startswith("SELECT `it's` = '''; x' FROM")
    with pytest.raises(sb.UnsupportedFeature, match="names in backquotes"):
        named.sql("db", dialect="postgresql")
    subscript = t1.select(sb.raw("x[?] = 'y'", "]'; x"))
    assert subscript.sql("db", dialect="postgresql").startswith("SELECT x[']''; x'] = 'y' FROM")
    for dialect in (sb.sqlite, sb.mysql):
        with pytest.raises(sb.UnsupportedFeature, match="arrays"):
            subscript.sql("db", dialect=dialect)


def test_a_subclass_of_str_cannot_say_it_is_another() -> None:
    class Liar(str):
        def __str__(self) -> str:
            return "x`; DROP TABLE y; --"

        def isidentifier(self) -> bool:
            return True

        def isascii(self) -> bool:
            return True

    assert base.sql(Liar("db")) == base.sql("db")
    assert base.comment(Liar("fine")).sql("db").count("/* fine */") == 1
    assert "FROM `d``b`.`table1`" in base.sql(Liar("d`b"))
    assert "`c``d`" in t1.alias(Liar("c`d")).select(sb.star()).sql("db")
    with pytest.raises(ValueError, match="comment must be ASCII letters"):
        base.comment(Liar("*/"))
    assert base.where(t1.c.col1 == Liar("a'b")).sql("db").endswith("='a\\'b'")
