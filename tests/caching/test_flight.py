"""Single-flight: one load for all who ask at once, whatever becomes of the one who leads."""

import concurrent.futures
import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
from support.caches import Gate
from support.memory import let_go
from support.pools import in_child, until

from godropbox import errors
from godropbox.caching import MISSING, SingleFlight, StorageError
from godropbox.caching._calls import Calls, run

KILLS = pytest.mark.skipif(
    not hasattr(ctypes, "pythonapi"), reason="PyPy raises no exception in another thread"
)


class Flying:
    """A leader that stands in its load of ``"key"``, and followers that wait for it."""

    def __init__(self, flight: SingleFlight, ends: Callable[[], Any], followers: int = 3) -> None:
        self.loads = 0
        self.flight = flight
        self.gate = Gate()
        self.threads = ThreadPoolExecutor(followers + 1)

        def load() -> Any:
            self.gate.pass_through()
            return ends()

        self.leader = self.threads.submit(flight.run, "key", load)
        self.gate.wait_for_someone()
        self.followers = [self.threads.submit(self.follow) for _ in range(followers)]
        until(lambda: flight.followers == followers)

    def follow(self) -> Any:
        return self.flight.run("key", self.load)

    def load(self) -> str:
        self.loads += 1
        return "loaded again"

    def land(self) -> list["Future[Any]"]:
        """Let the leader end, and return what became of the followers."""
        self.gate.open()
        self.threads.shutdown()
        assert len(self.flight) == 0
        until(lambda: self.flight.followers == 0)
        return self.followers


def raises(error: BaseException) -> Callable[[], Any]:
    def ends() -> Any:
        raise error

    return ends


def test_one_load_for_a_thousand_callers() -> None:
    flight = SingleFlight()
    loads = []

    def load() -> object:
        loads.append(1)
        until(lambda: flight.followers == 999)
        return loads

    with ThreadPoolExecutor(1000) as threads:
        values = [threads.submit(flight.run, "key", load) for _ in range(1000)]
    assert [value.result() is loads for value in values] == [True] * 1000
    assert loads == [1]


def test_one_failing_load_for_a_thousand_callers() -> None:
    flight = SingleFlight()
    loads = []

    def load() -> object:
        loads.append(1)
        until(lambda: flight.followers == 999)
        raise ConnectionError("no such host")

    with ThreadPoolExecutor(1000) as threads:
        values = [threads.submit(flight.run, "key", load) for _ in range(1000)]
    assert {repr(value.exception()) for value in values} == {"ConnectionError('no such host')"}
    assert loads == [1]


def test_nothing_is_kept() -> None:
    flight = SingleFlight()
    assert [flight.run("key", lambda: 1), flight.run("key", lambda: 2)] == [1, 2]
    with pytest.raises(KeyError):
        flight.run("key", raises(KeyError("key")))
    assert flight.run("key", lambda: None) is None
    assert repr(flight) == "<SingleFlight: 0 flying, 4 ended>"


def test_keys_do_not_wait_for_each_other() -> None:
    flight = SingleFlight()
    flying = Flying(flight, lambda: 1)
    assert flight.run("other", lambda: 2) == 2
    assert [each.result() for each in flying.land()] == [1, 1, 1]


def test_followers_get_copies_of_what_the_load_raised() -> None:
    error = StorageError("no such host", cause=OSError(5), host="db1")
    error.add_note("while loading")
    flying = Flying(SingleFlight(), raises(error))
    got = [each.exception() for each in flying.land()]
    assert flying.leader.exception() is error
    assert len({id(each) for each in [error, *got]}) == 4
    for each in got:
        assert isinstance(each, StorageError)
        assert (each.message, each.fields) == ("no such host", {"host": "db1"})
        assert isinstance(each.__cause__, OSError)
        assert each.__notes__ == ["while loading"]
        assert each.__traceback__ is not None
    assert flying.loads == 0


class AwkwardError(Exception):
    """Whose ``__init__`` takes something else than its ``args``."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class UncopiableError(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("there is only one of me")


def test_followers_get_the_error_itself_where_it_cannot_be_copied() -> None:
    error = UncopiableError("no such host")
    flying = Flying(SingleFlight(), raises(error))
    assert all(each.exception() is error for each in flying.land())


class SlotsError(Exception):
    """With an attribute that no pickle keeps."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        super().__init__("slots", code)
        self.code = code


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int


class OddArgument:
    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = object.__hash__


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class NotesError(Exception):
    def __init__(self, notes: Any) -> None:
        super().__init__("odd notes")
        self.__notes__ = notes


FAILURES: list[BaseException] = [
    ValueError("plain"),
    StorageError("ours", host="db1"),
    AwkwardError(5, "no such host"),
    SlotsError(5),
    FrozenError(5),
    OSError(5, "no such file", "a.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    ExceptionGroup("several", [KeyError("a"), StorageError("b")]),
    MuteError("mute"),
    ValueError(OddArgument()),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_every_follower_has_notes_and_fields_of_its_own(error: BaseException) -> None:
    with pytest.raises(type(error)), errors.context("loading", shard=3):
        raise error
    cause = KeyError("cause")
    BaseException.__setattr__(error, "__cause__", cause)
    flying = Flying(SingleFlight(), raises(error))
    got: list[Any] = [each.exception() for each in flying.land()]
    assert len({id(each) for each in [error, *got]}) == 4
    for number, each in enumerate(got):
        assert type(each) is type(error)
        assert len(each.args) == len(error.args)
        assert getattr(each, "code", None) == getattr(error, "code", None)
        assert each.__cause__ is cause
        assert each.__suppress_context__
        with pytest.raises(type(error)), errors.context("following", number=number):
            raise each
    assert error.__notes__ == ["loading (shard=3)"]
    assert errors.to_dict(error)["fields"].get("number") is None
    for number, each in enumerate(got):
        assert each.__notes__ == ["loading (shard=3)", f"following (number={number})"]
        assert errors.to_dict(each)["fields"]["number"] == number


class LateError(Exception):
    """Of which other threads than the leader's get no copy before the leader is through with it."""

    def __init__(self) -> None:
        super().__init__("no such host")
        self.through = threading.Event()
        self.leader = threading.get_ident()
        self.copies: list[int] = []

    def __reduce__(self) -> Any:
        assert threading.get_ident() == self.leader or self.through.wait(10)
        self.copies.append(1)
        return LateError, (), self.__dict__


@pytest.mark.parametrize("way", ["run", "run_multi"])
def test_followers_see_nothing_of_what_the_leader_adds_to_its_error(way: str) -> None:
    flight, gate = SingleFlight(), Gate()
    made: list[LateError] = []

    def load(*_: Any) -> Any:
        gate.pass_through()
        made.append(LateError())
        with errors.context("loading", shard=3):
            raise made[0]

    def ask(name: str) -> Any:
        with errors.context("asking", user=name):
            return flight.run("key", load) if way == "run" else flight.run_multi(["key"], load)

    def lead() -> Any:
        try:
            return ask("ann")
        finally:
            made[0].through.set()

    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(lead)]
        gate.wait_for_someone()
        asked += [threads.submit(ask, name) for name in ("bob", "eve")]
        until(lambda: flight.followers == 2)
        gate.open()
    assert len(made) == 1
    for each, name in zip(asked, ("ann", "bob", "eve"), strict=True):
        error = each.exception()
        assert isinstance(error, LateError)
        assert error.__notes__ == ["loading (shard=3)", f"asking (user='{name}')"]
        assert errors.to_dict(error)["fields"] == {"shard": 3, "user": name}


def test_a_leader_whom_nobody_follows_makes_no_copy() -> None:
    error = LateError()
    with pytest.raises(LateError) as caught:
        SingleFlight().run("key", raises(error))
    assert caught.value is error
    assert error.copies == []


def test_who_asks_while_a_failure_is_copied_loads_again() -> None:
    """The copy is made of another's code, which may ask for the key itself."""
    flight = SingleFlight()
    got: list[Any] = []

    class AskingError(Exception):
        def __reduce__(self) -> Any:
            got.append(flight.run("key", lambda: "another"))
            return super().__reduce__()

    error = AskingError("asks")
    flying = Flying(flight, raises(error))
    assert [type(each.exception()) for each in flying.land()] == [AskingError] * 3
    assert set(got) == {"another"}


HIDDEN: list[tuple[Exception, list[str]]] = [
    (AttributeError("no foo", name="foo", obj=[1]), ["name", "obj"]),
    (NameError("no foo", name="foo"), ["name"]),
    (ImportError("no foo", name="foo", path="/foo"), ["name", "path"]),
    (ModuleNotFoundError("no foo", name="foo", path="/foo"), ["name", "path"]),
    (SyntaxError("no foo", ("foo.py", 1, 2, "foo", 1, 3)), ["filename", "lineno", "text"]),
    (OSError(2, "no foo", "foo", None, "bar"), ["filename", "filename2", "errno"]),
    (OSError(2, "no foo"), ["filename", "filename2", "errno"]),
    (StopIteration(5), ["value"]),
]


@pytest.mark.parametrize(("error", "names"), HIDDEN, ids=lambda each: type(each).__name__)
def test_copies_keep_what_pythons_own_errors_know(error: Exception, names: list[str]) -> None:
    flying = Flying(SingleFlight(), raises(error))
    for each in flying.land():
        got = each.exception()
        assert type(got) is type(error)
        assert got is not error
        assert str(got) == str(error)
        assert [getattr(got, name) for name in names] == [getattr(error, name) for name in names]


@pytest.mark.parametrize("error", [AttributeError("foo"), StopIteration(1), SyntaxError("foo")])
def test_copies_keep_what_was_set_on_pythons_own_errors(error: Any) -> None:
    name = "value" if isinstance(error, StopIteration) else "name"
    name = "text" if isinstance(error, SyntaxError) else name
    setattr(error, name, "set later")
    flying = Flying(SingleFlight(), raises(error))
    assert [getattr(each.exception(), name) for each in flying.land()] == ["set later"] * 3


@pytest.mark.parametrize("notes", [None, ("a",), "text"], ids=repr)
def test_an_error_with_odd_notes_reaches_its_followers(notes: Any) -> None:
    flying = Flying(SingleFlight(), raises(NotesError(notes)))
    assert [type(each.exception()) for each in flying.land()] == [NotesError] * 3


async def promised(*_: Any) -> Any:
    return 5


def generated(*_: Any) -> Any:
    yield 5


async def both(*_: Any) -> Any:
    yield 5


class Awaitable:
    def __await__(self) -> Any:
        yield 5


@pytest.mark.parametrize("load", [promised, generated, both, lambda *_: Awaitable()])
def test_a_load_that_returns_a_promise_is_refused(load: Any) -> None:
    """And closed: nobody warns that a coroutine was never awaited."""
    flight = SingleFlight()
    calls: list[Callable[[], Any]] = [
        lambda: flight.run("key", load),
        lambda: flight.run_multi(["key"], load),
        lambda: flight.run_multi(["key"], lambda keys: {key: load() for key in keys}),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"^load must return a value, got <.*: is it async, or"):
            call()
    assert len(flight) == 0
    flying = Flying(flight, load)
    assert [type(each.exception()) for each in flying.land()] == [TypeError] * 3


def test_a_load_of_many_returns_a_mapping() -> None:
    with pytest.raises(TypeError, match=r"^load must return a mapping of keys, got None"):
        SingleFlight().run_multi(["key"], lambda keys: None)  # type: ignore[arg-type, return-value]


class Cancelled(BaseException):
    """What a timeout of gevent's or a task's cancellation is."""


class RequestTimeoutError(Exception):
    """What a framework stops a request with."""


@pytest.mark.parametrize(
    "error",
    [
        Cancelled(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
        concurrent.futures.CancelledError(),
        RequestTimeoutError(),
    ],
    ids=repr,
)
def test_a_leader_that_is_cancelled_is_replaced_by_one_follower(error: BaseException) -> None:
    flying = Flying(SingleFlight(cancellations=(RequestTimeoutError,)), raises(error))
    assert [each.result() for each in flying.land()] == ["loaded again"] * 3
    assert flying.leader.exception() is error
    assert flying.loads == 1


@KILLS
def test_a_leader_that_is_killed_from_outside_is_replaced() -> None:
    stuck = threading.Event()

    def hangs() -> None:
        until(stuck.is_set)

    idents: list[int] = []

    def ends() -> None:
        idents.append(threading.get_ident())
        hangs()

    flying = Flying(SingleFlight(), ends)
    flying.gate.open()
    until(lambda: bool(idents))
    ident = ctypes.c_ulong(idents[0])
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Cancelled)) == 1
    assert [each.result() for each in flying.land()] == ["loaded again"] * 3
    assert isinstance(flying.leader.exception(), Cancelled)


def test_a_leader_that_vanishes_without_a_word_is_replaced() -> None:
    """A claim that is begun and let go stands for a frame that is freed with nothing raised."""
    flight = SingleFlight()
    lead = flight.claim(["key"])
    assert lead.begin() == ["key"]
    with ThreadPoolExecutor(1) as threads:
        follower = threads.submit(flight.run, "key", lambda: "loaded again")
        until(lambda: flight.followers == 1)
        del lead
        let_go()
        assert follower.result(10) == "loaded again"


@KILLS
def test_a_follower_that_is_cancelled_disturbs_nobody() -> None:
    flying = Flying(SingleFlight(), lambda: 1, followers=2)
    idents: list[int] = []

    def follow() -> object:
        idents.append(threading.get_ident())
        return flying.follow()

    with ThreadPoolExecutor(1) as threads:
        third = threads.submit(follow)
        until(lambda: flying.flight.followers == 3)
        ident = ctypes.c_ulong(idents[0])
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Cancelled))
        assert [each.result() for each in flying.land()] == [1, 1]
        assert isinstance(third.exception(), Cancelled)


def test_a_leader_that_does_not_end_is_replaced_when_patience_does() -> None:
    flight = SingleFlight(patience=0.01)
    gate = Gate()

    def stuck() -> str:
        gate.pass_through()
        return "late"

    with ThreadPoolExecutor(1) as threads:
        leader = threads.submit(flight.run, "key", stuck)
        gate.wait_for_someone()
        assert flight.run("key", lambda: "in its place") == "in its place"
        gate.open()
        assert leader.result() == "late"
    assert len(flight) == 0


def test_a_load_that_asks_for_its_own_key_loads_it() -> None:
    flight = SingleFlight()
    assert flight.run("key", lambda: flight.run("key", lambda: 1) + 1) == 2
    assert len(flight) == 0


def test_loads_that_ask_for_each_other_in_a_circle_end() -> None:
    flight = SingleFlight()
    meet = threading.Barrier(3)

    def loading(key: int) -> Callable[[], list[int]]:
        def load() -> list[int]:
            meet.wait(10)
            following = (key + 1) % 3
            return [key, *flight.run(following, lambda: [following])]

        return load

    with ThreadPoolExecutor(3) as threads:
        values = [threads.submit(flight.run, key, loading(key)) for key in range(3)]
        got = sorted(each.result(10) for each in values)
    # Two wait for the next one; the one that would close the circle loads that key itself.
    assert sorted(map(len, got)) == [2, 3, 4]


def test_a_child_of_a_fork_waits_for_nobody() -> None:
    flying = Flying(SingleFlight(), lambda: 1)

    def child() -> None:
        assert len(flying.flight) == 0
        assert flying.flight.run("key", lambda: "own") == "own"

    assert in_child(child) == 0
    assert [each.result() for each in flying.land()] == [1, 1, 1]


# Many keys


def test_a_batch_loads_only_what_nobody_is_loading() -> None:
    flying = Flying(SingleFlight(), lambda: "theirs")
    asked: list[list[str]] = []

    def load(keys: list[str]) -> dict[str, str]:
        asked.append(keys)
        return dict.fromkeys(keys, "ours")

    with ThreadPoolExecutor(1) as threads:
        batch = threads.submit(flying.flight.run_multi, ["a", "key", "b", "a"], load)
        until(lambda: flying.flight.followers == 4)
        flying.land()
    assert batch.result() == {"a": "ours", "b": "ours", "key": "theirs"}
    assert asked == [["a", "b"]]


def test_what_a_batch_does_not_find_is_absent_or_missing() -> None:
    flight = SingleFlight()
    gate = Gate()

    def load(keys: list[str]) -> dict[str, int]:
        gate.pass_through()
        return {"a": 1}

    with ThreadPoolExecutor(3) as threads:
        batch = threads.submit(flight.run_multi, ["a", "b"], load)
        gate.wait_for_someone()
        single = threads.submit(flight.run, "b", lambda: 0)
        other = threads.submit(flight.run_multi, ["a", "b"], lambda keys: {})
        until(lambda: flight.followers == 2)
        gate.open()
    assert batch.result() == {"a": 1}
    assert single.result() is MISSING
    assert other.result() == {"a": 1}


def test_a_batch_that_fails_does_not_fail_who_wants_one_of_its_keys() -> None:
    flight = SingleFlight()
    gate = Gate()

    def load(keys: list[str]) -> dict[str, int]:
        gate.pass_through()
        raise errors.ServerError("b is too much")

    with ThreadPoolExecutor(2) as threads:
        batch = threads.submit(flight.run_multi, ["a", "b"], load)
        gate.wait_for_someone()
        single = threads.submit(flight.run, "a", lambda: 1)
        until(lambda: flight.followers == 1)
        gate.open()
    assert isinstance(batch.exception(), errors.ServerError)
    assert single.result() == 1


def test_a_batch_fails_with_a_key_that_it_follows() -> None:
    flying = Flying(SingleFlight(), raises(ConnectionError("no such host")))
    with ThreadPoolExecutor(1) as threads:
        batch = threads.submit(flying.flight.run_multi, ["a", "key"], lambda keys: {"a": 1})
        until(lambda: flying.flight.followers == 4)
        flying.land()
    assert isinstance(batch.exception(), ConnectionError)


def test_two_batches_that_want_each_others_keys_end() -> None:
    flight = SingleFlight()
    meet = threading.Barrier(2)

    def load(keys: list[str]) -> dict[str, list[str]]:
        meet.wait(10)
        return dict.fromkeys(keys, keys)

    with ThreadPoolExecutor(2) as threads:
        gate = Gate()

        def first(keys: list[str]) -> dict[str, list[str]]:
            gate.pass_through()
            return load(keys)

        one = threads.submit(flight.run_multi, ["a", "b"], first)
        gate.wait_for_someone()
        two = threads.submit(flight.run_multi, ["b", "c"], load)
        until(lambda: len(flight) == 3)
        gate.open()
    assert one.result() == {"a": ["a", "b"], "b": ["a", "b"]}
    assert two.result() == {"b": ["a", "b"], "c": ["c"]}


# Forgetting


def test_who_asks_after_a_key_is_forgotten_does_not_get_the_load_from_before() -> None:
    flying = Flying(SingleFlight(), lambda: "old")
    flying.flight.forget(["key", "nothing"])
    assert flying.flight.run("key", lambda: "new") == "new"
    assert [each.result() for each in flying.land()] == ["old"] * 3


def test_everything_is_forgotten() -> None:
    flying = Flying(SingleFlight(), lambda: "old")
    flying.flight.forget_all()
    assert len(flying.flight) == 0
    flying.land()


# Claims


def test_nobody_waits_for_a_claim_that_is_not_begun() -> None:
    flight = SingleFlight()
    lead = flight.claim(["a", "b"])
    assert flight.claim(["b", "c"]).keys == ["c"]
    assert flight.run("a", lambda: "sooner") == "sooner"
    assert lead.begin() == ["b"]

    def load(lead: Any) -> Calls[Any]:
        return (yield dict.fromkeys, (lead.keys, 1))

    assert run(lead.fly(load)) == {"b": 1}
    let_go()  # of the other claim
    assert len(flight) == 0


@pytest.mark.parametrize("patience", [0, -1, float("nan")])
def test_patience_is_some_time(patience: float) -> None:
    with pytest.raises(ValueError, match="patience must be over 0 seconds or None, got"):
        SingleFlight(patience=patience)
    with pytest.raises(TypeError, match="patience must be over 0 seconds or None, got '1'"):
        SingleFlight(patience="1")  # type: ignore[arg-type]


GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent
from godropbox.caching import SingleFlight

flight = SingleFlight()
loads = []

def load():
    loads.append(1)
    gevent.sleep(0.01)
    return len(loads)

leader = gevent.spawn(flight.run, "key", load)
followers = [gevent.spawn(flight.run, "key", load) for _ in range(9)]
gevent.sleep(0)
leader.kill()
gevent.joinall(followers, timeout=10)
assert [each.value for each in followers] == [2] * 9, (loads, followers)

def impatient():
    with gevent.Timeout(0.005, False):
        return flight.run("key", lambda: gevent.sleep(60))

leader = gevent.spawn(impatient)
followers = [gevent.spawn(flight.run, "key", load) for _ in range(9)]
gevent.joinall([leader, *followers], timeout=10)
assert leader.value is None
assert [each.value for each in followers] == [3] * 9, (loads, followers)
"""

UNPATCHED = """
import gevent
from godropbox.caching import SingleFlight

flight = SingleFlight()

def load():
    gevent.sleep(0.001)
    return 1

greenlets = [gevent.spawn(flight.run, "key", load) for _ in range(9)]
gevent.joinall(greenlets, timeout=10)
assert [each.value for each in greenlets] == [1] * 9, greenlets
"""


@pytest.mark.parametrize("code", [GEVENT, UNPATCHED], ids=["patched", "unpatched"])
def test_greenlets(code: str) -> None:
    import_module("gevent")  # where it is missing, this skips the test
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("patience", [float("inf"), 1e10, 10**400])
def test_a_patience_without_end_waits_for_ever(patience: float) -> None:
    flying = Flying(SingleFlight(patience=patience), lambda: 1)
    assert [each.result() for each in flying.land()] == [1, 1, 1]
