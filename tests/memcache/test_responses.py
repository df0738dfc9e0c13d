"""The responses: what each tells, and that it is a value which nobody can change."""

import copy
import gc
import pickle
import weakref
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from support.memory import let_go

from godropbox import memcache
from godropbox.memcache import (
    CountResponse,
    GetResponse,
    MetaResponse,
    MutateResponse,
    Response,
    ResponseStatus,
    ServerError,
    StatsResponse,
    VersionResponse,
    responses,
)

OK = ResponseStatus.OK
MISS = ResponseStatus.KEY_NOT_FOUND
EXISTS = ResponseStatus.KEY_EXISTS
BUSY = ResponseStatus.BUSY
ERROR = ServerError("SERVER_ERROR busy", status=BUSY)
SHOWN = "error=ServerError('SERVER_ERROR busy')"

# Each response, how it is shown, and whether it is ok.
CASES: dict[str, tuple[Any, str, bool]] = {
    "get": (
        GetResponse("a", OK, b"v", 3, 2**64 - 1),
        "GetResponse(key='a', status=OK, value=b'v', flags=3, cas=18446744073709551615)",
        True,
    ),
    "miss": (
        GetResponse(b"a", MISS),
        "GetResponse(key=b'a', status=KEY_NOT_FOUND, value=None, flags=0, cas=0)",
        False,
    ),
    "failed get": (
        responses.failed_get("a", BUSY, ERROR),
        f"GetResponse(key='a', status=BUSY, value=None, flags=0, cas=0, {SHOWN})",
        False,
    ),
    "mutate": (MutateResponse("a", OK, 7), "MutateResponse(key='a', status=OK, cas=7)", True),
    "lost race": (
        MutateResponse("a", EXISTS),
        "MutateResponse(key='a', status=KEY_EXISTS, cas=0)",
        False,
    ),
    "failed mutate": (
        responses.failed_mutate("a", BUSY, ERROR),
        f"MutateResponse(key='a', status=BUSY, cas=0, {SHOWN})",
        False,
    ),
    "response": (Response(OK), "Response(status=OK)", True),
    "failed response": (Response(BUSY, ERROR), f"Response(status=BUSY, {SHOWN})", False),
    "count": (CountResponse("n", OK, 5), "CountResponse(key='n', status=OK, count=5)", True),
    "failed count": (
        CountResponse("n", BUSY, 0, ERROR),
        f"CountResponse(key='n', status=BUSY, count=0, {SHOWN})",
        False,
    ),
    "version": (
        VersionResponse(OK, {1: "1.6.18"}),
        "VersionResponse(status=OK, versions={1: '1.6.18'})",
        True,
    ),
    "stats": (
        StatsResponse(OK, {1: {"pid": "7"}}),
        "StatsResponse(status=OK, entries={1: {'pid': '7'}})",
        True,
    ),
    "meta": (
        MetaResponse("a", OK, b"v", 1, 2, {"ttl": -1, "won": 1}),
        "MetaResponse(key='a', status=OK, value=b'v', flags=1, cas=2, ttl=-1, won=1)",
        True,
    ),
    "failed meta": (
        MetaResponse("a", BUSY, error=ERROR),
        f"MetaResponse(key='a', status=BUSY, value=None, flags=0, cas=0, {SHOWN})",
        False,
    ),
}

EACH = pytest.mark.parametrize("name", CASES)


@EACH
def test_what_is_shown_and_whether_it_is_ok(name: str) -> None:
    response, shown, ok = CASES[name]
    assert repr(response) == shown
    assert response.ok is ok
    assert response.error is (ERROR if "failed" in name else None)


def test_a_long_value_is_shown_in_part() -> None:
    shown = repr(GetResponse("a", OK, b"x" * 1000))
    assert f"value=b'{'x' * 50}'... (1000 bytes)," in shown
    assert len(shown) < 150


@EACH
def test_nothing_can_be_changed(name: str) -> None:
    response, shown, _ = CASES[name]
    fields = [each for each in dir(response) if not each.startswith("_")]
    assert {"status", "error", "ok"} <= set(fields)
    for field in (*fields, "surplus"):
        with pytest.raises(AttributeError):
            setattr(response, field, 1)
        with pytest.raises(AttributeError):
            delattr(response, field)
    assert not hasattr(response, "__dict__")
    assert repr(response) == shown


@EACH
def test_equal_are_those_of_one_kind_that_tell_the_same(name: str) -> None:
    response = CASES[name][0]
    for other_name, (other, _, _) in CASES.items():
        assert (response == other) is (name == other_name)
        assert (response != other) is (name != other_name)
    again = copy.copy(response)
    assert again is not response
    assert again == response
    assert hash(again) == hash(response)
    assert response != repr(response)
    assert len({response, again}) == 1


def test_equality_looks_at_every_field() -> None:
    given: list[tuple[Callable[..., object], list[Any], list[Any]]] = [
        (GetResponse, ["a", OK, b"v", 1, 2], [b"a", MISS, b"w", 2, 3]),
        (MutateResponse, ["a", OK, 1], ["b", EXISTS, 2]),
        (CountResponse, ["a", OK, 1, None], ["b", MISS, 2, ERROR]),
        (Response, [OK, None], [BUSY, ERROR]),
        (VersionResponse, [OK, {0: "1"}, None], [BUSY, {}, ERROR]),
        (StatsResponse, [OK, {0: {}}, None], [BUSY, {}, ERROR]),
        (MetaResponse, ["a", OK, b"v", 1, 2, {"ttl": 1}], ["b", MISS, b"w", 2, 3, {"ttl": 2}]),
        (responses.failed_get, ["a", OK, ERROR], ["b", BUSY, ServerError("SERVER_ERROR busy")]),
        (responses.failed_mutate, ["a", OK, ERROR], ["b", BUSY, ServerError("SERVER_ERROR busy")]),
    ]
    for make, values, others in given:
        assert make(*values) == make(*values)
        for at, other in enumerate(others):
            assert make(*values) != make(*values[:at], other, *values[at + 1 :])


@EACH
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(name: str, protocol: int) -> None:
    response, shown, ok = CASES[name]
    for again in (pickle.loads(pickle.dumps(response, protocol)), copy.deepcopy(response)):
        assert type(again) is type(response)
        assert (repr(again), again.ok) == (shown, ok)
        if response.error is None:
            assert again == response  # an error is like no other, so what has one is neither
        else:
            assert again.error.fields == ERROR.fields


def test_what_was_found() -> None:
    for status in ResponseStatus:
        assert GetResponse("a", status, b"").found is (status is OK)
        assert MetaResponse("a", status, b"").found is (status is OK)
        assert MutateResponse("a", status).found is (status is not MISS)
        assert CountResponse("a", status).found is (status is not MISS)
        assert MutateResponse("a", status).ok is (status is OK)
    assert not responses.failed_get("a", BUSY, ERROR).found
    assert responses.failed_mutate("a", BUSY, ERROR).found  # or may be: nobody knows


def test_an_error_is_never_ok() -> None:
    for response in (
        responses.failed_get("a", OK, ERROR),
        responses.failed_mutate("a", OK, ERROR),
        Response(OK, ERROR),
        CountResponse("a", OK, 1, ERROR),
        MetaResponse("a", OK, error=ERROR),
    ):
        assert not response.ok


def test_what_only_meta_tells() -> None:
    bare = MetaResponse("a", OK, b"v")
    assert (bare.won, bare.taken, bare.stale) == (False, False, False)
    assert (bare.ttl, bare.size, bare.hit_before, bare.last_access) == (None,) * 4
    details = {"won": 4, "taken": 8, "stale": 16, "ttl": -1, "size": 3, "hit_before": 0}
    full = MetaResponse("a", OK, b"v", 0, 0, {**details, "last_access": 9})
    assert (full.won, full.taken, full.stale) == (True, True, True)
    assert (full.ttl, full.size, full.hit_before, full.last_access) == (-1, 3, False, 9)


def test_flags_and_tokens_at_their_limits() -> None:
    found: dict[Any, GetResponse] = {}
    flags, cas = memoryview(bytearray(b"\xff" * 4)), memoryview(bytearray(b"\xff" * 8))
    responses.fill_gets(found, ["a"], [b""], flags.cast("I"), cas.cast("Q"))
    assert (found["a"].flags, found["a"].cas) == (2**32 - 1, 2**64 - 1)
    (stored,) = responses.list_mutations(["a"], b"\0", cas.cast("Q"))
    assert stored == MutateResponse("a", OK, 2**64 - 1)


def test_batches_have_one_length() -> None:
    one, two = memoryview(bytes(4)).cast("I"), memoryview(bytes(16)).cast("Q")
    with pytest.raises(ValueError, match="must be of one length"):
        responses.fill_gets({}, ["a"], [b""], one, two)
    with pytest.raises(ValueError, match="must be of one length"):
        responses.list_mutations(["a"], b"\0", two)


def test_the_kinds_are_public() -> None:
    for response, _, _ in CASES.values():
        assert isinstance(response, getattr(memcache, repr(response).partition("(")[0]))


class Key(str):
    """A key that can hold its response."""

    held: Any


class Raw(bytes):
    """A key, or a value, that can hold its response."""

    held: Any


class Witness:
    """What lives as long as the key that holds it."""


MAKERS: dict[str, Callable[[Any], Any]] = {
    "get": lambda key: GetResponse(key, OK, b"v"),
    "value": lambda key: GetResponse("k", OK, key if isinstance(key, bytes) else None),
    "mutate": lambda key: MutateResponse(key, OK),
    "meta": lambda key: MetaResponse(key, OK),
    "count": lambda key: CountResponse(key, OK),
    "one": lambda key: responses.one_get(key, b"v", 0, 0),
    "stored": lambda key: responses.stored_mutate(key, OK),
    "many": lambda key: responses.fill_gets({}, [key], [b"v"], array("I", [0]), array("Q", [0])),
    "mutations": lambda key: responses.list_mutations([key], b"\0", array("Q", [0])),
    "failed get": lambda key: responses.failed_get(key, BUSY, ERROR),
    "failed mutate": lambda key: responses.failed_mutate(key, BUSY, ERROR),
    "skipped get": responses.skipped_get,
    "skipped mutate": responses.skipped_mutate,
    "skipped count": responses.skipped_count,
    "skipped meta": responses.skipped_meta,
}


@pytest.mark.parametrize("kind", [Key, lambda text: Raw(text.encode())], ids=["str", "bytes"])
@pytest.mark.parametrize("name", MAKERS)
def test_no_response_keeps_itself_alive(name: str, kind: Any) -> None:
    key, witness = kind("k"), Witness()
    key.held = MAKERS[name](key), witness
    gone = weakref.ref(witness)
    del key, witness
    gc.collect()
    let_go()
    assert gone() is None


def test_a_key_of_any_kind_is_told_as_it_was_given() -> None:
    for key in (Key("a"), Raw(b"a")):
        plain = key[:]
        many = responses.fill_gets(
            {}, [key, "b"], [b"v", None], array("I", [3, 0]), array("Q", [7, 0])
        )
        (stored,) = responses.list_mutations([key], b"\2", array("Q", [7]))
        one = responses.one_get(key, b"v", 3, 7)
        assert all(each.key is key for each in (many[key], one, stored))
        assert many[key] == one == GetResponse(plain, OK, b"v", 3, 7)
        assert hash(one) == hash(GetResponse(plain, OK))
        assert repr(one) == f"GetResponse(key={plain!r}, status=OK, value=b'v', flags=3, cas=7)"
        assert stored == MutateResponse(plain, EXISTS, 7)
        assert repr(stored) == f"MutateResponse(key={plain!r}, status=KEY_EXISTS, cas=7)"
        assert type(GetResponse(key, OK).key) is type(plain)
        assert pickle.loads(pickle.dumps(GetResponse(key, OK))).key == plain
    with pytest.raises(memcache.InvalidTypeError, match="key must be str or bytes, got 5"):
        GetResponse(5, OK)  # type: ignore[arg-type]
