"""Errors: their stacks, chains, fields and copies; the Go library's test cases among them."""

import copy
import errno
import gc
import importlib
import json
import pickle
import pkgutil
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.memory import let_go

import godropbox
from godropbox import errors
from godropbox.errors import DropboxError

HERE = __file__


class DatabaseError(DropboxError):
    """As a user's would: another signature, and state of its own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, code=code)
        self.code = code


class RefusedError(errors.NetworkError, ConnectionRefusedError):
    def __init__(self, message: str) -> None:
        super().__init__(message, host="a")


def deep(n: int, make: Callable[[], Any]) -> Any:
    return deep(n - 1, make) if n else make()


def functions(error: DropboxError) -> list[str]:
    return [frame.function for frame in error.stack_frames()]


def line_of(text: str) -> int:
    with open(HERE, encoding="utf-8") as source:
        lines = [n for n, line in enumerate(source, 1) if line.strip() == text]
    assert len(lines) == 1
    return lines[0]


def test_stack_is_where_the_error_is_made() -> None:
    error = DropboxError("test error")  # the line looked for
    assert error.message == str(error) == "test error"
    assert error.args == ("test error",)
    frame = error.stack_frames()[-1]
    text = 'error = DropboxError("test error")  # the line looked for'
    assert frame == ("test_stack_is_where_the_error_is_made", HERE, line_of(text))
    assert all(char.isprintable() or char.isspace() for char in error.stack_text())
    assert error.stack_text().endswith(
        f'  File "{HERE}", line {frame.line}, in {frame.function}\n    {text}\n'
    )
    assert "godropbox" not in error.stack_text().rpartition(f'"{HERE}"')[2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: DropboxError("m"),
        lambda: DatabaseError("m", 5),
        lambda: RefusedError("m"),
        lambda: errors.wrap(KeyError(1), "m", a=1),
        lambda: errors.wrap(KeyError(1), "m"),
    ],
)
def test_stack_ends_at_the_maker(make: Callable[[], DropboxError]) -> None:
    assert functions(deep(3, make))[-6:] == [
        "test_stack_ends_at_the_maker",
        "deep",
        "deep",
        "deep",
        "deep",
        "<lambda>",
    ]


def test_stack_keeps_the_innermost_200() -> None:
    error = deep(300, lambda: DropboxError("m"))
    assert functions(error) == ["deep"] * 199 + [
        "test_stack_keeps_the_innermost_200.<locals>.<lambda>"
    ]


def test_stack_through_generators_coroutines_and_exec() -> None:
    def generator() -> Iterator[DropboxError]:
        yield DropboxError("m")

    async def coroutine() -> DropboxError:
        return DropboxError("m")

    ran: dict[str, Any] = {"DropboxError": DropboxError}
    exec(compile("def f():\n\n  return DropboxError('m')", "<made>", "exec"), ran)
    here = "test_stack_through_generators_coroutines_and_exec"
    assert functions(next(generator()))[-2:] == [here, f"{here}.<locals>.generator"]
    with pytest.raises(StopIteration) as stopped:
        coroutine().send(None)
    assert functions(stopped.value.value)[-2:] == [here, f"{here}.<locals>.coroutine"]
    assert ran["f"]().stack_frames()[-1] == ("f", "<made>", 3)


def test_stack_made_in_one_thread_and_read_in_another() -> None:
    made: list[DropboxError] = []

    def work() -> None:
        made.append(DropboxError("m"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert functions(made[0])[-1].endswith("<locals>.work")
    assert "test_stack_made_in_one_thread_and_read_in_another" not in functions(made[0])


def test_capture_stack() -> None:
    stack = errors.capture_stack()
    assert [frame.function for frame in stack.frames()][-1] == "test_capture_stack"
    assert len(stack) == len(stack.frames())
    assert repr(stack) == f"<Stack of {len(stack)} frames>"
    inner: errors.Stack = deep(3, lambda: errors.capture_stack(skip=1, limit=2))
    assert [frame.function for frame in inner.frames()] == ["deep", "deep"]
    assert len(deep(3, lambda: errors.capture_stack(0, 0))) == 0
    assert len(deep(3, lambda: errors.capture_stack(100_000))) == 0
    assert len(deep(400, lambda: errors.capture_stack(limit=350))) == 350
    assert pickle.loads(pickle.dumps(inner)).text() == inner.text()
    with pytest.raises(ValueError, match=r"^skip must be an int in \[0, 2\*\*31\), got -1$"):
        errors.capture_stack(-1)
    with pytest.raises(TypeError, match=r"^limit must be an int in \[0, 2\*\*31\), got 1.5"):
        errors.capture_stack(limit=1.5)  # type: ignore[arg-type]


def test_nothing_is_kept_alive() -> None:
    class Local:
        pass

    def make() -> tuple[DropboxError, errors.Stack, "weakref.ref[Local]"]:
        local = Local()
        return DropboxError("m"), errors.capture_stack(), weakref.ref(local)

    gc.disable()
    try:
        error, stack, local = make()
        let_go()
        assert local() is None
        dead = weakref.ref(error)
        del error
        let_go()
        assert dead() is None
        assert len(stack) > 0
    finally:
        gc.enable()


def test_arguments() -> None:
    cause = KeyError("k")
    error = DropboxError("m", cause=cause, shard=3)
    assert error.__cause__ is cause
    assert error.__suppress_context__
    assert dict(error.fields) == {"shard": 3}
    with pytest.raises(TypeError):
        error.fields["shard"] = 4  # type: ignore[index]
    with pytest.raises(TypeError, match=r"^message must be a str, got 5$"):
        DropboxError(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^cause must be an exception or None, got 'x' \(str\)$"):
        DropboxError("m", cause="x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^exc must be an exception, got None \(NoneType\)$"):
        errors.wrap(None, "m")  # type: ignore[arg-type]


def test_families() -> None:
    families = [errors.ServerError, errors.NetworkError, errors.UsageError]
    for family in families:
        assert family.__mro__[1] is DropboxError
    refused = RefusedError("m")
    assert isinstance(refused, OSError)
    assert str(refused) == "m"
    assert dict(refused.fields) == {"host": "a"}


COPIES: list[Callable[[Any], Any]] = [
    copy.copy,
    copy.deepcopy,
    *(
        lambda value, protocol=protocol: pickle.loads(pickle.dumps(value, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
]


@pytest.mark.parametrize("again", COPIES)
def test_copies(again: Callable[[Any], Any]) -> None:
    error = DatabaseError("m", 1205)
    error.__cause__ = errors.wrap(RefusedError("refused"), "cause", deep={"a": [1]})
    error.add_note("a note")
    copied = again(again(error))
    assert type(copied) is DatabaseError
    assert (copied.args, copied.message, copied.code) == (("m",), "m", 1205)
    assert copied.fields == error.fields
    assert copied.__notes__ == ["a note"]
    assert copied.stack_text() == error.stack_text()
    assert [type(found) for found in errors.chain(copied)] == [
        DatabaseError,
        DropboxError,
        RefusedError,
    ]
    assert isinstance(copied.__cause__, DropboxError)
    assert copied.__cause__.fields == {"deep": {"a": [1]}}
    assert errors.fingerprint(copied) == errors.fingerprint(error)
    copied.add_note("another")
    assert error.__notes__ == ["a note"]
    assert errors.to_dict(error) != errors.to_dict(copied)


def test_a_cycle_of_causes_can_be_copied() -> None:
    error = DropboxError("a")
    error.__cause__ = DropboxError("b", cause=error)
    copied = pickle.loads(pickle.dumps(error))
    assert copied.__cause__.__cause__ is copied
    error.__cause__ = ExceptionGroup("a group of its cause", [error])
    copied = pickle.loads(pickle.dumps(error))
    assert copied.__cause__.exceptions == (copied,)


class StubbornError(Exception):
    """As many are: its ``args`` are not what its ``__init__`` takes."""

    def __init__(self, path: str, line: int) -> None:
        super().__init__(f"{path}:{line}")


def fail_stubbornly() -> None:
    try:
        try:
            raise DropboxError("first")
        except DropboxError as error:
            raise KeyError("second") from error
    except KeyError as error:
        raise StubbornError("a.py", 5) from error


def test_a_pickle_keeps_the_causes_of_others_and_tells_of_those_it_cannot_keep() -> None:
    with pytest.raises(StubbornError) as caught, errors.context("in a context", shard=3):
        fail_stubbornly()
    error = errors.wrap(caught.value, "outer")
    shallow = copy.copy(error)
    assert shallow.__cause__ is caught.value
    for again in COPIES[1:]:
        copied = again(again(error))
        outer, stand_in, second, first = errors.chain(copied)
        assert str(outer) == "outer"
        assert isinstance(stand_in, DropboxError)
        assert stand_in.message.endswith("test_errors.StubbornError: a.py:5")
        assert dict(stand_in.fields) == {"shard": 3}
        assert stand_in.stack_frames()[-1].function == "fail_stubbornly"
        assert isinstance(second, KeyError)
        assert str(first) == "first"
        assert errors.root_error(copied) is first


# The Go library's cases of wrapping and of finding.


def test_wrapped_messages() -> None:
    inner = ValueError("I am inner error")
    middle = errors.wrap(inner, "I am the middle error")
    outer = errors.wrap(middle, "I am the mighty outer error")
    assert errors.get_message(outer) == (
        "I am the mighty outer error\nI am the middle error\nI am inner error"
    )
    assert errors.root_error(outer) is inner
    ours = [error for error in errors.chain(outer) if isinstance(error, DropboxError)]
    assert ours[-1] is middle


def test_custom_error_in_a_chain() -> None:
    database = DatabaseError("database error 1205 (lock wait time exceeded)", 1205)
    outer = errors.wrap(database, "outer msg")
    message = errors.get_message(outer)
    assert "1205" in message
    assert "outer msg" in message
    assert "test_custom_error_in_a_chain" in outer.stack_text()


def test_root_error() -> None:
    plain = OSError(111, "refused")
    assert errors.root_error(plain) is plain
    assert errors.root_error(errors.wrap(plain, "m")) is plain
    with pytest.raises(TypeError, match=r"^exc must be an exception, got None"):
        errors.root_error(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^exc must be an exception, got None"):
        errors.chain(None)  # type: ignore[arg-type]


class Classifier:
    """Picks an error by its message, or the top by another; counts what it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, error: BaseException, top: BaseException) -> BaseException | None:
        self.calls += 1
        if isinstance(error, DropboxError):
            return {"return_me": error, "return_top": top}.get(error.message)
        return None


@pytest.mark.parametrize(
    ("messages", "found", "calls"),
    [
        (["skip"], None, 1),
        (["skip", "skip"], None, 2),
        (["skip", "skip", "skip"], None, 3),
        (["return_me"], 0, 1),
        (["return_me", "skip"], 0, 2),
        (["return_me", "skip", "skip"], 0, 3),
        (["return_me", "skip", "skip", "return_me"], 3, 1),
        (["return_me", "skip", "skip", "return_me", "skip"], 3, 2),
        (["return_top"], 0, 1),
        (["return_top", "skip"], 1, 2),
        (["return_top", "skip", "skip"], 2, 3),
    ],
)
def test_find_wrapped_error(messages: list[str], found: int | None, calls: int) -> None:
    made = [DropboxError(messages[0])]
    for message in messages[1:]:
        made.append(errors.wrap(made[-1], message))
    classifier = Classifier()
    result = errors.find_wrapped_error(made[-1], classifier)
    assert result is (None if found is None else made[found])
    assert classifier.calls == calls


def test_is_error() -> None:
    sentinel = ValueError("out of cheese")
    outer = errors.wrap(errors.wrap(sentinel, "middle"), "outer")
    assert errors.is_error(outer, sentinel)
    assert errors.is_error(outer, ValueError)
    assert errors.is_error(outer, (KeyError, ValueError))
    assert errors.is_error(outer, ValueError("out of cheese"))
    assert not errors.is_error(outer, ValueError("out of luck"))
    assert not errors.is_error(outer, KeyError("out of cheese"))
    assert not errors.is_error(outer, KeyError)
    assert errors.is_error(pickle.loads(pickle.dumps(outer)), sentinel)


# What Python has and Go has not: contexts, groups, cycles.


def fail_while_handling() -> None:
    try:
        raise KeyError("first")
    except KeyError:
        raise ValueError("second")  # noqa: B904  # the context is what is tested


def test_chain_follows_the_context_unless_suppressed() -> None:
    with pytest.raises(ValueError, match=r"^second$") as caught:
        fail_while_handling()
    error = caught.value
    assert [str(found) for found in errors.chain(error)] == ["second", "'first'"]
    assert isinstance(errors.root_error(error), KeyError)
    error.__suppress_context__ = True
    assert list(errors.chain(error)) == [error]
    assert errors.root_error(error) is error


def test_chain_through_groups() -> None:
    leaves = [ValueError(str(n)) for n in range(3)]
    wrapped = errors.wrap(leaves[1], "wrapped")
    inner = ExceptionGroup("inner", [wrapped, leaves[2]])
    group = ExceptionGroup("group", [leaves[0], inner])
    outer = errors.wrap(group, "outer")
    assert list(errors.chain(outer)) == [
        outer,
        group,
        leaves[0],
        inner,
        wrapped,
        leaves[1],
        leaves[2],
    ]
    assert errors.root_error(outer) is leaves[0]
    assert errors.is_error(outer, leaves[2])
    assert errors.find_wrapped_error(outer, lambda error, top: error is wrapped or None)
    cause = KeyError("why")
    group.__cause__ = cause
    assert errors.root_error(outer) is cause
    assert list(errors.chain(group))[-1] is cause


def test_chain_is_safe_on_cycles_and_on_length() -> None:
    first, second = DropboxError("1"), ValueError("2")
    first.__cause__, second.__context__ = second, first
    assert list(errors.chain(first)) == [first, second]
    assert errors.root_error(first) is second
    assert len(errors.to_dict(first)["chain"]) == 1
    error: BaseException = ValueError("root")
    for _ in range(20_000):
        error = errors.wrap(error, "m")
    assert sum(1 for _ in errors.chain(error)) == 20_001
    assert str(errors.root_error(error)) == "root"
    while error.__cause__ is not None:  # a long chain must not be let go all at once
        error = error.__cause__


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_error_without_a_text() -> None:
    error = MuteError()
    assert errors.get_message(error) == "<MuteError whose __str__ raised RuntimeError>"
    assert not errors.is_error(error, ValueError("x"))
    assert errors.to_dict(error)["message"] == errors.get_message(error)


def test_context() -> None:
    loading = errors.context("loading", shard=3, key="a")
    with loading, errors.context("nothing happens"):
        pass
    for kind in (ValueError, KeyboardInterrupt, DropboxError):
        with pytest.raises(kind) as caught, errors.context("outer", shard=9, host="h"), loading:
            raise kind("m")
        assert caught.value.__notes__ == ["loading (shard=3, key='a')", "outer (shard=9, host='h')"]
        fields = errors.to_dict(caught.value)["fields"]
        assert fields == {"shard": 3, "key": "a", "host": "h"}
    with pytest.raises(DropboxError) as ours, errors.context("bare"), errors.context("c", a=2, b=3):
        raise DropboxError("m", a=1)
    assert dict(ours.value.fields) == {"a": 1, "b": 3}
    assert ours.value.__notes__ == ["c (a=2, b=3)", "bare"]


class Unshown:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def fail_and_wrap(**fields: object) -> None:
    try:
        int("x")
    except ValueError as error:
        raise errors.wrap(error, "outer", **fields) from error


def test_to_dict_is_json() -> None:
    odd = {"deep": {1: [b"x", {2}, (None, True)]}, "nan": float("nan"), "big": 10**5000}
    with pytest.raises(DropboxError) as caught, errors.context("ctx", where=Unshown()):
        fail_and_wrap(**odd)
    told = errors.to_dict(caught.value)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["type"] == "godropbox.errors.DropboxError"
    assert told["message"] == "outer"
    assert told["fields"]["deep"] == {"1": ["b'x'", [2], [None, True]]}
    assert told["fields"]["nan"] == "nan"
    assert told["fields"]["big"].endswith("int of 16610 bits")
    assert told["fields"]["where"].startswith("<")
    assert told["notes"][0].startswith("ctx (where=<")
    assert told["stack"][-1]["function"] == "fail_and_wrap"
    assert told["fingerprint"] == errors.fingerprint(caught.value)
    (inner,) = told["chain"]
    assert inner["type"] == "builtins.ValueError"
    assert inner["stack"][-1]["function"] == "fail_and_wrap"
    holds_itself: list[Any] = []
    holds_itself.append(holds_itself)
    json.dumps(errors.to_dict(DropboxError("m", it=holds_itself)))


def made_from(source: str, path: str, message: str = "m") -> DropboxError:
    ran: dict[str, Any] = {"DropboxError": DropboxError, "message": message}
    exec(compile(source, path, "exec"), ran)
    made: DropboxError = ran["f"]()
    return made


def test_fingerprint() -> None:
    source = "def f(): return DropboxError(message)"
    first = errors.fingerprint(made_from(source, "/srv/1/a.py"))
    assert len(first) == 16
    assert int(first, 16) >= 0
    same = [
        made_from("\n\n" + source, "/srv/1/a.py"),
        made_from(source, "C:\\srv\\2\\a.py"),
        made_from(source, "/srv/1/a.py", "another message"),
    ]
    assert {errors.fingerprint(error) for error in same} == {first}
    others = [
        made_from(source, "/srv/1/b.py"),
        made_from(source.replace("def f", "def g") + "\nf = g", "/srv/1/a.py"),
        errors.wrap(same[0], "m"),
        ValueError("m"),
    ]
    assert len({first, *map(errors.fingerprint, others)}) == 5


# Python's own families


def subclasses(cls: type) -> set[type]:
    direct: list[type] = cls.__subclasses__()
    return {cls, *(each for child in direct for each in subclasses(child))}


def of_package(cls: type) -> set[type]:
    """Return the package's own classes under `cls`; those of tests are not its business."""
    for module in pkgutil.walk_packages(godropbox.__path__, "godropbox."):
        if not module.name.endswith(("__main__", "_c", "_native")):
            importlib.import_module(module.name)
    return {each for each in subclasses(cls) if each.__module__.startswith("godropbox.")}


def test_every_error_of_the_network_is_an_oserror() -> None:
    found = of_package(errors.NetworkError)
    assert len(found) >= 6
    for each in found:
        assert issubclass(each, OSError)
    for each in of_package(errors.ConnectionLostError):
        assert issubclass(each, ConnectionError)
        assert not issubclass(each, TimeoutError)
    for each in of_package(errors.DeadlineExceededError):
        assert issubclass(each, socket.timeout)
        assert issubclass(each, TimeoutError)
    for each in of_package(DropboxError) - found:
        assert not issubclass(each, OSError)


@pytest.mark.parametrize("kind", [errors.ConnectionLostError, errors.DeadlineExceededError])
def test_an_error_of_the_network_has_the_number_of_its_cause(
    kind: type[errors.NetworkError],
) -> None:
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "no", "a file")
    for cause in (
        refused,
        errors.NetworkError("inner", cause=refused),
        ExceptionGroup("both", [ValueError(), refused, OSError(errno.EPERM, "later")]),
    ):
        error = kind("m", cause=cause, host="a")
        assert (error.errno, error.strerror) == (errno.ECONNREFUSED, "no")
        assert (error.filename, error.filename2) == (None, None)
        assert (str(error), error.args) == ("m", ("m",))
        for again in COPIES:
            copied = again(error)
            assert (copied.errno, copied.strerror) == (errno.ECONNREFUSED, "no")
            assert (str(copied), copied.args, copied.fields) == ("m", ("m",), {"host": "a"})
    assert (kind("m").errno, kind("m").strerror) == (None, None)
    assert kind("m", cause=TimeoutError("no number")).errno is None


def test_the_number_is_of_the_cause_not_of_what_was_handled_meanwhile() -> None:
    with pytest.raises(errors.NetworkError) as caught:  # noqa: PT012
        try:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        except FileNotFoundError:
            raise errors.NetworkError("m")  # noqa: B904
    assert caught.value.__context__ is not None
    assert caught.value.errno is None


def test_causes_in_a_circle_have_no_number() -> None:
    error = errors.NetworkError("m")
    error.__cause__ = DropboxError("n", cause=error)
    assert error.errno is None


@pytest.mark.parametrize("base", [DropboxError, errors.NetworkError, errors.ConnectionLostError])
def test_a_subclass_has_a_new_of_its_own(base: Any) -> None:
    class MarkedError(base):  # type: ignore[misc]  # it is any of them
        def __new__(cls, *args: object, **fields: object) -> Any:
            self = super().__new__(cls, *args, **fields)
            self.marked = True
            return self

    error: Any = MarkedError("m", cause=OSError(errno.ENOENT, "no"), host="a")
    assert (str(error), error.args, error.fields) == ("m", ("m",), {"host": "a"})
    assert error.marked
    assert "test_a_subclass_has_a_new_of_its_own" in error.stack_text()


class TwoArgumentsError(errors.ConnectionLostError):
    def __init__(self, host: int, port: str) -> None:
        super().__init__(f"{host}:{port}", cause=None)


class UnpassedError(errors.DeadlineExceededError):
    def __init__(self, *parts: object) -> None:
        self.parts = parts  # and calls no one


@pytest.mark.parametrize("again", [lambda error: error, *COPIES])
def test_arguments_are_not_read_as_those_of_oserror(again: Callable[[Any], Any]) -> None:
    error = again(TwoArgumentsError(errno.ENOENT, "text"))
    assert type(error) is TwoArgumentsError
    assert (error.args, str(error), error.errno) == (("2:text",), "2:text", None)
    assert functions(error)[-1] == "test_arguments_are_not_read_as_those_of_oserror"
    odd = again(UnpassedError(errno.ENOENT, "text", "file"))
    assert (odd.args, odd.parts, odd.errno) == ((2, "text", "file"), (2, "text", "file"), None)
    assert functions(odd)[-1] == "test_arguments_are_not_read_as_those_of_oserror"
    with pytest.raises(TypeError, match="argument"):
        errors.NetworkError(2, "text")  # type: ignore[call-arg, arg-type]
    with pytest.raises(TypeError, match=r"message must be a str, got 2"):
        errors.NetworkError(2)  # type: ignore[arg-type]


def test_the_stack_of_an_error_with_another_base_ends_at_the_maker() -> None:
    error = RefusedError("m")
    assert functions(error)[-1] == "test_the_stack_of_an_error_with_another_base_ends_at_the_maker"
    assert isinstance(error, ConnectionRefusedError)
    assert errors.to_dict(error)["fields"] == {"host": "a"}
