"""Keys of calls: readable, within memcached's rules, and never the same for different arguments."""

import enum
import string
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from godropbox.caching import DictStorage, cached


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Name(str):
    """A str of another class, as libraries return."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def one(value: Any) -> None:
    """Stand for a function of one argument."""


def two(a: Any, b: Any = 2) -> None:
    """Stand for a function of two."""


def many(a: Any, *rest: Any, flag: Any = False, **more: Any) -> None:
    """Stand for a function of every kind of argument."""


def keys(template: Any, function: Callable[..., Any] = one) -> Callable[..., str]:
    """Return what makes the keys of `function`."""
    decorated: Callable[..., str] = cached(DictStorage(), key=template, ttl=60)(function).key
    return decorated


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (42, "42"),
        (-1, "-1"),
        (True, "True"),
        (None, "None"),
        ("42", "'42'"),
        ("it's 100 %", "'it%27s%20100%20%25'"),
        ("a:b/c,d(e)", "'a:b/c,d(e)'"),
        ("zoë\n", "'zo%c3%ab%0a'"),
        ("\ud800", "'%ed%a0%80'"),
        (Name("ann"), "'ann'"),
        (b"42", "b'42'"),
        (b"\x00\xff'", "b'%00%c3%bf%27'"),
        (1.0, "float(1.0)"),
        (float("nan"), "float(nan)"),
        ((), "()"),
        ((1, ("a", None)), "(1,('a',None,),)"),
        (frozenset([2, 1]), "{1,2,}"),
        (Colour.RED, "enum(caching.test_cached_keys:Colour:RED)"),
        (Level.HIGH, "enum(caching.test_cached_keys:Level:HIGH)"),
        (Right.READ | Right.WRITE, "enum(caching.test_cached_keys:Right:READ|WRITE)"),
        (Right(0), "enum(caching.test_cached_keys:Right:0)"),
        (Decimal("1.50"), "Decimal(1.50)"),
        (uuid.UUID(int=1), "UUID(00000000-0000-0000-0000-000000000001)"),
        (date(2026, 1, 2), "date(2026-01-02)"),
        (time(1, 2), "time(01:02:00)"),
        (datetime(2026, 1, 2, tzinfo=UTC), "datetime(2026-01-02T00:00:00+00:00)"),
        (
            datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Oslo")),
            "datetime(2026-01-02T00:00:00+01:00%20Europe/Oslo)",
        ),
        (datetime(2026, 1, 2, fold=1), "datetime(2026-01-02T00:00:00%20fold)"),
        (timedelta(1, 2, 3), "timedelta(1%202%203)"),
        (dict, "type(builtins:dict)"),
        (-(1 << 300), f"int(-0x1{'0' * 75})"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, Name) else "Name",
)
def test_tokens(value: Any, text: str) -> None:
    module = __name__
    assert keys("v:{value}")(value) == f"v:{text}".replace("caching.test_cached_keys", module)


def test_what_is_equal_by_value_is_told_apart() -> None:
    alike = [1, True, 1.0, "1", b"1", Decimal(1), Level.HIGH, "True", "None", None, "", b"", ()]
    assert len({keys("v:{value}")(value) for value in alike}) == len(alike)


def test_calls_that_mean_the_same_have_one_key() -> None:
    key = keys("{b}/{a}", two)
    assert key(1) == key(1, 2) == key(a=1) == key(b=2, a=1) == key(1, b=2) == "2/1"
    assert keys(None, many)(1, flag=False, x=1, y=2) == keys(None, many)(1, y=2, x=1)


def test_no_separator_moves() -> None:
    key = keys("{a}:{b}", two)
    assert key("a:b", "c") == "'a:b':'c'"
    assert key("a", "b:c") == "'a':'b:c'"
    assert key("a':'b", "c") != key("a", "b':'c")


@pytest.mark.parametrize("template", ["{a}{b}", "{a}1{b}", "{a}0{b}7"])
def test_ints_side_by_side_are_marked(template: str) -> None:
    key = keys(template, two)
    assert "int(1)" in key(1, 23)
    assert key(1, 23) != key(12, 3)
    assert key(1, 11) != key(11, 1)
    assert key("a", "b") == template.format(a="'a'", b="'b'")


def test_without_a_template_the_name_and_all_arguments_are_the_key() -> None:
    where = f"{__name__}.many"
    assert keys(None, many)(1) == f"{where}(a=1,rest=(),flag=False,more=())"
    assert (
        keys(None, many)(1, 2, flag=None, x="y")
        == f"{where}(a=1,rest=(2,),flag=None,more=(('x','y',),))"
    )
    assert keys(None, no_arguments)() == f"{__name__}.no_arguments()"


def no_arguments() -> None:
    """Stand for a function without arguments."""


def test_attributes_identify_arguments() -> None:
    user = SimpleNamespace(id=7, team=SimpleNamespace(name="x"))
    assert keys("{value.team.name}:{value.id}")(user) == "'x':7"
    with pytest.raises(AttributeError) as caught:
        keys("u:{value.id}")(None)
    assert caught.value.__notes__ == ["in the key of one: {value.id}"]


def test_literal_text_may_be_anything() -> None:
    assert keys("a b{{c}}é%:{value}")(1) == "a%20b{c}%c3%a9%25:1"


def test_a_template_needs_no_argument() -> None:
    assert keys("all")(1) == keys("all")(2) == "all"


def test_a_function_makes_keys() -> None:
    key = keys(lambda a, b=5: f"k:{a} {b}", two)
    assert key([1]) == "k:[1]%205"
    assert key("%20") == "k:%2520%205"
    with pytest.raises(TypeError, match="the key of two must be a str, got 1"):
        keys(lambda a: 1, two)(1)
    with pytest.raises(ValueError, match="the key of two must not be empty"):
        keys(lambda a: "", two)(1)
    assert keys(lambda a: "x" * 300, two)(1).startswith("xxx")


def test_a_long_key_is_cut_and_hashed() -> None:
    key = keys("v:{value}")
    longest, longer, other = key("x" * 195), key("x" * 196), key("x" * 195 + "y")
    assert longest == f"v:'{'x' * 195}'"
    assert len(longest) == 199
    assert len(longer) == len(other) == len(key("x" * 100_000)) == 200
    assert longer[:159] == other[:159] == f"v:'{'x' * 156}"
    assert longer[159] == "#"
    assert set(longer[160:]) <= set(string.hexdigits)
    assert longer != other


# Mistakes


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "key must not be empty"),
        ("{}", "key must have names of arguments and attributes in its braces, such as {id} "),
        ("u:{0}", "key must have names of arguments and attributes in its braces, such as {id} "),
        ("{a[0]}", "key must have names of arguments and attributes in its braces, such as {id} "),
        ("{a.}", "key must have names of arguments and attributes in its braces, such as {id} "),
        ("{a .b}", "key must have names of arguments and attributes in its braces, such as {id} "),
        ("u:{uid}", "key names uid, but two has a, b: 'u:{uid}'"),
        ("{user.id}", "key names user, but two has a, b: '{user.id}'"),
        ("{a!r}", "key takes no format and no conversion, got '{a!r}'"),
        ("{a:>5}", "key takes no format and no conversion, got '{a:>5}'"),
        ("{a", "key must be a template: expected '}' before end of string, in '{a'"),
        ("a}", "key must be a template: Single '}' encountered in format string, in 'a}'"),
    ],
)
def test_a_bad_template_is_refused_at_once(template: str, message: str) -> None:
    decorate = cached(DictStorage(), key=template, ttl=60)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # its whole text is compared
        decorate(two)
    assert str(caught.value).startswith(message)


def test_a_key_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="key must be a template, a function or None, got 5"):
        cached(DictStorage(), key=5, ttl=60)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [[1], {1}, {}, object(), bytearray(b"x"), (1, [2]), len])
def test_an_argument_that_cannot_be_part_of_a_key_is_named(value: Any) -> None:
    for template in ("x:{b}", None):
        with pytest.raises(TypeError, match=r"argument b of two cannot be part of a key, got ."):
            keys(template, two)(1, value)
    with pytest.raises(TypeError, match="argument more of many cannot be part of a key"):
        keys(None, many)(1, x=value)


def test_a_time_zone_without_a_name_is_refused() -> None:
    class Zone(tzinfo):
        def utcoffset(self, moment: datetime | None, /) -> timedelta:
            return timedelta(0)

        dst = utcoffset

        def tzname(self, moment: datetime | None, /) -> str:
            return "nameless"

    with pytest.raises(TypeError, match="its time zone has no name in attribute key"):
        keys("{value}")(datetime(2026, 1, 2, tzinfo=Zone()))


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "two(): missing a required argument: 'a'"),
        ((1, 2, 3), {}, "two(): too many positional arguments"),
        ((1,), {"c": 1}, "two(): got an unexpected keyword argument 'c'"),
        ((1,), {"a": 1}, "two(): multiple values for argument 'a'"),
    ],
)
def test_arguments_that_do_not_fit(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        keys("{a}", two)(*args, **kwargs)
    assert str(caught.value) == message


def test_a_function_whose_name_does_not_identify_it_needs_a_key() -> None:
    with pytest.raises(ValueError, match="key must be given, as the function has no name"):
        keys(None, lambda: 1)
    with pytest.raises(ValueError, match="depends on variables around it: around"):
        keys(None, made("x"))
    assert keys("k", made("x"))() == "k"
    assert keys(None, recursive())(1).endswith("recursive.<locals>.count(n=1)")


def made(around: str) -> Callable[[], str]:
    def inner() -> str:
        return around

    return inner


def recursive() -> Callable[[int], int]:
    def count(n: int) -> int:
        return count(n - 1) if n else 0

    return count


# No two calls share a key

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-30, 30),
    st.floats(),
    st.text(max_size=8),
    st.text(alphabet="(){}[]:,'%0127b#", max_size=8),
    st.binary(max_size=8),
    st.dates(),
    st.times(),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=1))])),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
    st.sampled_from([Colour.RED, Level.HIGH, Right.READ, int, str]),
)
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)
PIECES = ["", ":", "0", "1", "-", ".", "'", ",", "(", "b", "x1", "N", "e", "%"]


def exact(value: Any) -> Any:
    """Return what equals that of another value only if both are the same and of one type."""
    if isinstance(value, tuple):
        return ("tuple", *map(exact, value))
    return (type(value), repr(value))


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), min_size=3, max_size=3),
    st.tuples(VALUES, VALUES),
    st.tuples(VALUES, VALUES),
)
def test_different_arguments_have_different_keys(
    pieces: list[str], left: tuple[Any, Any], right: tuple[Any, Any]
) -> None:
    template = f"{pieces[0]}{{a}}{pieces[1]}{{b}}{pieces[2]}"
    for key in (keys(template, two), keys(None, two)):
        made = [key(*left), key(*right)]
        assert (made[0] == made[1]) == (exact(left) == exact(right))
        for text in made:
            assert 1 <= len(text) <= 200
            assert text.isascii()
            assert text.isprintable()
            assert " " not in text


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(-130, 130), min_size=2, max_size=2), st.data())
def test_ints_are_not_run_together(pair: list[int], data: st.DataObject) -> None:
    between = data.draw(st.sampled_from(["", "0", "1", "-", "-1", "e", ".", ":"]))
    key = keys(f"{{a}}{between}{{b}}", two)
    text = key(*pair)
    digits = "".join(each for each in text if each in "0123456789-")
    others = [
        (int(digits[:cut]), int(digits[end:]))
        for cut in range(1, len(digits))
        for end in (cut, cut + len(between))
        if digits[:cut].lstrip("-").isdigit() and digits[end:].lstrip("-").isdigit()
        if digits[:cut].count("-") < 2 and digits[end:].count("-") < 2
    ]
    for other in others:
        assert (key(*other) == text) == (list(other) == pair)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=3))
def test_keyword_arguments_are_told_apart(more: dict[str, int]) -> None:
    names = ["flag", "a"]
    more = {name: value for name, value in more.items() if name not in names}
    key = keys(None, many)
    assert key(1, **more) == key(1, **dict(reversed(more.items())))
    if more:
        assert key(1, **more) != key(1)
        assert key(1, **more) != key(1, tuple(more.items()))
