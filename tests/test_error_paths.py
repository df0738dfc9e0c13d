"""The error path never raises: what users' exceptions and fields do wrong is told, not raised.

Every kind of misbehaving exception goes through everything that an exception may go through, with
every kind of misbehaving field and note.
"""

import contextlib
import copy
import itertools
import json
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from godropbox import errors, memcache, net2, resource_pool
from godropbox._kernels._args import shown
from godropbox.errors import DropboxError
from godropbox.memcache.batches import partial_error
from godropbox.memcache.outcomes import located

PYPY = sys.implementation.name == "pypy"  # it asks for ``__traceback__`` where one is raised


class OddError(Exception):
    """What a user's code raises where it should not."""


def fails(*_: Any, **__: Any) -> Any:
    raise OddError("on purpose")


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int = 5


@dataclass(frozen=True)
class FrozenOursError(DropboxError):
    code: int = 5

    def __post_init__(self) -> None:
        DropboxError.__init__(self, "frozen", cause=KeyError("k"), code=self.code)


class NotesError(Exception):
    """Whose notes are what its first argument is."""

    def __init__(self, notes: Any) -> None:
        super().__init__("odd notes")
        self.__notes__ = notes


class StrRaisesError(Exception):
    __str__ = fails
    __repr__ = fails


class StrIsNoStrError(Exception):
    def __str__(self) -> Any:
        return 5


class LongStr(str):
    __slots__ = ()
    __len__ = __format__ = __getitem__ = __eq__ = __add__ = fails
    __hash__ = str.__hash__


class StrIsOddError(Exception):
    def __str__(self) -> str:
        return LongStr("odd")

    def __repr__(self) -> str:
        return LongStr("odd")


class AddNoteRaisesError(Exception):
    add_note = fails


class SlotsError(Exception):
    __slots__ = ("__notes__", "code")

    def __init__(self) -> None:
        super().__init__("slots")
        self.code = 5


UNNOTED = [SlotsError] if PYPY else []  # whose notes go elsewhere than to a slot of that name


class SetAttrRaisesError(Exception):
    __setattr__ = fails
    __delattr__ = fails


class GetAttributeRaisesError(Exception):
    def __getattribute__(self, name: str) -> Any:
        if PYPY and name == "__traceback__":
            return super().__getattribute__(name)
        return fails()


class PropertiesError(Exception):
    """All that others look at is a property that raises."""

    __notes__ = __cause__ = __context__ = __dict__ = __class__ = args = property(fails)
    if not PYPY:
        __traceback__ = property(fails)


class MessageRaisesError(DropboxError):
    message = property(fails)
    fields = property(fails)
    stack_frames = fails


class FieldsAreNoneError(DropboxError):
    def __init__(self) -> None:
        super().__init__("m")
        self._error_fields: Any = 5


class UnmadeError(DropboxError):
    """It never calls the ``__init__`` under it."""

    def __init__(self) -> None:
        pass


class OddMeta(type):
    __name__ = __module__ = property(fails)
    __getattribute__ = fails


def odd_class(base: type) -> Any:
    """Return an object of a class that nobody may look at; pytest would look at one of a module."""
    return OddMeta("Odd", (base,), {})()


class OddGroupError(ExceptionGroup):
    exceptions = property(fails)
    message = property(fails)


def cyclic() -> BaseException:
    first, second = ValueError("first"), DropboxError("second")
    first.__cause__, second.__cause__ = second, first
    group = ExceptionGroup("all", [first, second])
    first.__context__ = group
    return group


def with_fields(fields: Any) -> BaseException:
    error = ValueError("m")
    error._error_fields = fields  # type: ignore[attr-defined]
    return error


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "frozen": FrozenError,
    "frozen, ours": FrozenOursError,
    **{
        f"notes {notes!r:.30}": partial(NotesError, notes)
        for notes in (None, (), ("a", "b"), "text", 5, [None, 5, b"x"], {"a": 1})
    },
    "notes whose str raises": lambda: NotesError([StrRaisesError()]),
    "str raises": StrRaisesError,
    "str is no str": StrIsNoStrError,
    "str is odd": StrIsOddError,
    "add_note raises": AddNoteRaisesError,
    "slots": SlotsError,
    "setattr raises": SetAttrRaisesError,
    "getattribute raises": GetAttributeRaisesError,
    "properties raise": PropertiesError,
    "message raises": lambda: MessageRaisesError("m"),
    "fields are no dict": FieldsAreNoneError,
    "fields are none": lambda: with_fields(None),
    "fields are a str": lambda: with_fields("x"),
    "never made": UnmadeError,
    "odd class": lambda: odd_class(Exception),
    "odd group": lambda: OddGroupError("odd", [StrRaisesError(), FrozenError()]),
    "cyclic": cyclic,
    "args": lambda: DropboxError("m").with_traceback(None),
    "interrupt": KeyboardInterrupt,
}


class OddMapping(Mapping[str, Any]):
    def __init__(self, what: str) -> None:
        self._what = what

    def __getitem__(self, key: str) -> Any:
        return fails() if self._what == "getitem" else 1

    def __iter__(self) -> Iterator[str]:
        return fails() if self._what == "iter" else iter(["a", "b"])

    def __len__(self) -> int:
        return fails() if self._what == "len" else 2

    def items(self) -> Any:
        return fails() if self._what == "items" else super().items()

    def keys(self) -> Any:
        return fails() if self._what == "keys" else super().keys()


class ReprRaises:
    __repr__ = fails


class ReprIsOdd:
    def __repr__(self) -> str:
        return LongStr("odd")


class ClassRaises:
    __class__ = property(fails)


class OddInt(int):
    bit_length = __int__ = __index__ = __repr__ = __str__ = __lt__ = fails


class OddFloat(float):
    __float__ = __repr__ = fails


class OddList(list[Any]):
    __iter__ = __len__ = __repr__ = fails


class OddDict(dict[Any, Any]):
    items = keys = __iter__ = __repr__ = fails


def holds_itself() -> list[Any]:
    made: list[Any] = []
    made.extend([made] * 10)
    return made


VALUES: dict[str, Callable[[], Any]] = {
    **{
        f"mapping, {what}": partial(OddMapping, what)
        for what in ("items", "iter", "len", "getitem", "keys")
    },
    "repr raises": ReprRaises,
    "repr is odd": ReprIsOdd,
    "class raises": ClassRaises,
    "int": lambda: OddInt(5),
    "big int": lambda: OddInt(10**5000),
    "float": lambda: OddFloat(1.5),
    "nan": lambda: OddFloat("nan"),
    "str": lambda: LongStr("odd"),
    "str with half a pair": lambda: "\ud800",
    "list": lambda: OddList([1]),
    "dict": lambda: OddDict({1: 2}),
    "dict with an odd key": lambda: {ReprIsOdd(): 1, LongStr("key"): 2},
    "deep": lambda: [[[[[[[[[[[OddList()]]]]]]]]]]],
    "itself": holds_itself,
    "odd class": lambda: odd_class(object),
}


def passed(make: Callable[[], BaseException], **fields: Any) -> BaseException:
    """Return an exception that went through two contexts, which must be the one that was raised."""
    error = make()
    inner, outer = errors.context("inner", **fields), errors.context("outer", shard=3)
    with pytest.raises(BaseException) as caught, outer, inner:  # noqa: PT011  # it is that very one
        raise error
    assert caught.value is error
    return error


def told_of(error: BaseException) -> dict[str, Any]:
    """Ask everything of an exception, and return its dict."""
    told = errors.to_dict(error)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert errors.fingerprint(error) == told["fingerprint"]
    assert isinstance(errors.get_message(error), str)
    assert isinstance(errors.root_error(error), BaseException)
    assert next(errors.chain(error)) is error
    assert errors.is_error(error, BaseException)
    assert not errors.is_error(error, FloatingPointError("x"))
    return told


@pytest.mark.parametrize("make", EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_an_exception_that_misbehaves_comes_out_and_can_be_told(
    make: Callable[[], BaseException],
) -> None:
    told_of(make())
    error = passed(make, key="a")
    told = told_of(error)
    wrapped = errors.wrap(error, "outer")
    assert told_of(wrapped)["chain"][0] == {
        name: value for name, value in told.items() if name not in ("chain", "fingerprint")
    }
    if type(error) not in (GetAttributeRaisesError, PropertiesError, *UNNOTED):
        assert told["notes"][-2:] == ["inner (key='a')", "outer (shard=3)"]
    if type(error) is FrozenOursError:
        assert (told["message"], told["fields"]) == ("frozen", {"code": 5, "key": "a", "shard": 3})
        assert isinstance(error.__cause__, KeyError)


@pytest.mark.parametrize("make", VALUES.values(), ids=VALUES)
def test_a_field_that_misbehaves_is_told_in_some_way(make: Callable[[], Any]) -> None:
    for error in (passed(ValueError, odd=make()), DropboxError("m", odd=make(), plain=5)):
        told = told_of(error)
        assert told["fields"]["odd"] is not None
    assert told["fields"]["plain"] == 5
    assert isinstance(shown(make()), str)


PARTS: list[tuple[str, Callable[[], Any]]] = [
    ("__notes__", lambda: None),
    ("__notes__", lambda: ("a",)),
    ("__notes__", lambda: [ReprRaises()]),
    ("_error_fields", lambda: None),
    ("_error_fields", lambda: {"a": OddMapping("items")}),
    ("_stack", lambda: None),
    ("args", lambda: (ReprRaises(),)),
    ("args", tuple),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(list(EXCEPTIONS)), min_size=1, max_size=6), st.data())
def test_any_mixture_can_be_told(names: list[str], data: st.DataObject) -> None:
    error = EXCEPTIONS[names[0]]()
    for name in names[1:]:
        near = EXCEPTIONS[name]()
        kind = data.draw(st.sampled_from(["cause", "context", "group", "wrap"]))
        with contextlib.suppress(OddError, AttributeError):  # where there is no place for one
            if kind == "cause":
                near.__cause__ = error
            elif kind == "context":
                near.__context__ = error
            elif kind == "group":
                near = BaseExceptionGroup("a group", [near, error])
            else:
                near = errors.wrap(
                    error, "m", odd=VALUES[data.draw(st.sampled_from(list(VALUES)))]()
                )
        attribute, make = data.draw(st.sampled_from(PARTS))
        with contextlib.suppress(Exception):  # as many have no such place
            setattr(near, attribute, make())
        error = near
    passed(lambda: error, odd=VALUES[data.draw(st.sampled_from(list(VALUES)))]())
    told_of(error)


def test_at_the_end_of_the_stack_it_is_the_recursion_that_comes_out() -> None:
    loading = errors.context("deeper", odd=ReprRaises(), even=5)

    def deeper() -> None:
        with loading:
            deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    assert told_of(caught.value)["notes"][-1].startswith("deeper (odd=<")


@pytest.mark.parametrize("fields", [{}, {"shard": 3}])
def test_a_context_notes_any_kind_of_message(fields: dict[str, int]) -> None:
    message = "loading"
    for odd in (message, LongStr(message)):
        with pytest.raises(KeyError) as caught, errors.context(odd, **fields):
            raise KeyError("foo")
        (note,) = caught.value.__notes__
        assert type(note) is str
        assert list(note) == list("loading (shard=3)" if fields else message)


def test_entries_whose_names_have_one_text_are_all_told() -> None:
    twice = [1, "1", 1.5, "1.5", None, "None"]
    error = DropboxError("odd", held={name: number for number, name in enumerate(twice)})
    held = errors.to_dict(error)["fields"]["held"]
    assert sorted(held.values()) == list(range(6))
    assert all(type(name) is str for name in held)
    assert held == json.loads(json.dumps(held))
    error.__dict__["_error_fields"] = {"1": "a", 1: "b", "1 (int)": "c"}
    assert errors.to_dict(error)["fields"] == {
        "1": "a",
        "1 (int)": "b",
        "1 (int) (str)": "c",
    }


def test_a_context_says_at_once_that_its_message_is_none() -> None:
    with pytest.raises(TypeError, match=r"^message must be a str, got 5$"):
        errors.context(5)  # type: ignore[arg-type]


def test_an_error_without_a_stack_has_an_empty_one() -> None:
    error = DropboxError("m")
    for stack in (None, 5):
        error.__dict__["_stack"] = stack
        assert (error.stack_frames(), error.stack_text()) == ((), "")
        assert told_of(pickle.loads(pickle.dumps(error)))["message"] == "m"


# Fields of any name


NAMES = ["message", "exc", "self", "cls", "args", "fields", "key", "keys_", "class", "None"]


@pytest.mark.parametrize("name", NAMES)
def test_a_field_may_have_any_name(name: str) -> None:
    fields: dict[str, Any] = {name: 5}
    assert dict(DropboxError("m", **fields).fields) == fields
    assert dict(resource_pool.OpenError("m", **fields).fields) == fields
    assert dict(errors.wrap(KeyError("k"), "m", **fields).fields) == fields
    assert told_of(passed(KeyError, **fields))["fields"] == {name: 5, "shard": 3}


def test_a_cause_is_a_field_where_the_cause_is_said_in_another_way() -> None:
    wrapped = errors.wrap(KeyError("k"), "m", cause="disk full")
    assert dict(wrapped.fields) == {"cause": "disk full"}
    assert isinstance(wrapped.__cause__, KeyError)
    assert told_of(passed(KeyError, cause="full"))["fields"] == {"cause": "full", "shard": 3}


# Errors that are made of others' errors


@pytest.mark.parametrize("name", ["str raises", "str is no str", "odd class", "frozen", "args"])
def test_a_pool_says_what_failed_however_it_says_it(name: str) -> None:
    error = EXCEPTIONS[name]()

    def opens(location: Any) -> Any:
        raise error

    pool = resource_pool.SimpleResourcePool(resource_pool.PoolOptions(open=opens), ReprRaises())
    with pytest.raises(DropboxError) as caught:
        pool.get()
    assert caught.value is error or caught.value.__cause__ is error
    pool.enter_lame_duck_mode()


class OddOSError(OSError):
    __str__ = fails


def test_a_dial_says_what_failed_however_it_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: Any, **__: Any) -> Any:
        raise OddOSError(5)

    monkeypatch.setattr("socket.getaddrinfo", lookup)
    with pytest.raises(
        errors.ConnectionLostError, match="OddOSError whose __str__ raised OddError"
    ):
        net2.dial("nowhere:1", net2.ConnectionOptions())


class TakesMoreError(memcache.ConnectionLostError):
    """What a user's channel raises."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port}")


def test_an_error_of_a_shard_names_it_whatever_its_fields_and_its_class() -> None:
    shard: Any = SimpleNamespace(id=3, address="host:1", name="host:1", where="3 at host:1")
    other = memcache.ConnectionLostError("gone", self=5)
    with pytest.raises(memcache.ConnectionLostError), errors.context("sending", cause="power"):
        raise other
    found: Any = located(shard, other)
    assert (type(found), found.message) == (type(other), "shard 3 at host:1: gone")
    assert found.fields == {
        "self": 5,
        "cause": "power",
        "shard": 3,
        "address": "host:1",
    }
    stubborn = TakesMoreError("host", 1)
    assert located(shard, stubborn) is stubborn


@pytest.mark.parametrize("name", ["str raises", "str is no str", "odd class", "message raises"])
def test_a_batch_that_failed_says_why_however_that_is_said(name: str) -> None:
    error: Any = EXCEPTIONS[name]()
    told = partial_error({}, {"key": error}, 2)
    assert told.message.startswith("1 of 2 keys failed; 'key': ")
    assert told.__cause__ is error


# Pickles


def wrapped(times: int, error: BaseException, **fields: Any) -> DropboxError:
    made = errors.wrap(error, "0", **fields)
    for number in range(1, times):
        made = errors.wrap(made, str(number), inner=made)
    return made


def through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("again", [through_pickle, copy.deepcopy])
@pytest.mark.parametrize("times", [1, 200, 1000])
def test_a_chain_of_any_length_can_be_copied(again: Callable[[Any], Any], times: int) -> None:
    copied = again(wrapped(times, KeyError("root"), shard=3))
    found = list(errors.chain(copied))
    assert len(found) == times + 1
    assert isinstance(found[-1], KeyError)
    assert found[-2].fields == {"shard": 3}  # type: ignore[attr-defined]
    for outer, inner in itertools.pairwise(found[:-1]):
        assert outer.fields["inner"] is inner  # type: ignore[attr-defined]
    while copied.__cause__ is not None:  # a long chain must not be let go all at once
        copied.__dict__.pop("_error_fields", None)
        copied = copied.__cause__


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("again", [through_pickle, copy.deepcopy])
def test_causes_behind_the_members_of_a_group_are_kept(again: Callable[[Any], Any]) -> None:
    shared = DropboxError("shared", shard=3)
    group = ExceptionGroup(
        "outer",
        [
            caused(ValueError("one"), KeyError("behind one")),
            ExceptionGroup("inner", [caused(OSError(5, "two"), shared), TypeError("y")]),
            caused(DropboxError("three"), shared),
        ],
    )
    group.add_note("a note")
    copied = again(errors.wrap(group, "top"))
    texts = [errors.get_message(error).split("\n")[0] for error in errors.chain(copied)]
    assert texts == [
        "top",
        "outer (3 sub-exceptions)",
        "one",
        "'behind one'",
        "inner (2 sub-exceptions)",
        "[Errno 5] two",
        "shared",
        "y",
        "three",
    ]
    again_group = copied.__cause__
    assert type(again_group) is ExceptionGroup
    assert again_group.__notes__ == ["a note"]
    inner = again_group.exceptions[1]
    assert inner.exceptions[0].__cause__ is again_group.exceptions[2].__cause__


def test_deep_groups_can_be_copied() -> None:
    group: BaseException = ValueError("root")
    for _ in range(300):
        group = BaseExceptionGroup("m", [group])
    copied = through_pickle(errors.wrap(group, "top"))
    assert sum(1 for _ in errors.chain(copied)) == 302
    assert str(errors.root_error(copied)) == "root"


def test_a_group_of_a_class_that_no_pickle_keeps_is_a_plain_one() -> None:
    class LocalGroup(ExceptionGroup):
        pass

    group = LocalGroup("local", [caused(ValueError("one"), KeyError("two"))])
    group.add_note("a note")
    copied = through_pickle(errors.wrap(group, "top"))
    assert type(copied.__cause__) is ExceptionGroup
    assert copied.__cause__.__notes__ == ["a note"]
    assert str(errors.root_error(copied)) == "'two'"


def test_what_slots_hold_is_copied() -> None:
    class_ = SlotsOursError("m")
    for again in (copy.copy, copy.deepcopy, through_pickle):
        copied = again(class_)
        assert (copied.message, copied.code) == ("m", 5)


class SlotsOursError(DropboxError):
    __slots__ = ("code",)

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 5


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle])
def test_an_error_with_odd_notes_can_be_copied(again: Callable[[Any], Any]) -> None:
    for notes in (None, ("a",), "text"):
        error = DropboxError("m")
        error.__notes__ = notes  # type: ignore[assignment]
        assert again(error).__notes__ == notes
    frozen = again(passed(FrozenOursError))
    assert (frozen.message, frozen.code) == ("frozen", 5)
    assert isinstance(frozen.__cause__, KeyError)
