"""Errors that know their stack, contexts that nothing passes through, and SQL literals.

A stack is right if it has all ten frames; a literal, if MySQL's rules read the value back.
"""

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from .model import AtMost, Case, Group, Names, Row, Within, WrongError
from .ours import PURE, load

__all__ = ["GROUPS"]

DEPTH = 10
BATCH = 1000

Work = Callable[[], Any]


def at_depth(work: Work) -> Any:
    """Call `work`, which makes BATCH of something, as the DEPTH-th function of its thread."""
    depth = 1
    frame = sys._getframe().f_back
    while frame is not None:
        depth += 1
        frame = frame.f_back
    return work() if depth == DEPTH - 1 else at_depth(work)


def stack_names(work: Work, size: Callable[[Any], int]) -> Names:
    """Return how to run `work` in a thread of its own, whose stack is as deep as it should be.

    Handing it over costs some 20 us for each BATCH, in every row alike.
    """
    pool = ThreadPoolExecutor(1)
    return {
        "run": lambda: pool.submit(at_depth, work).result(),
        "size": size,
        "close": pool.shutdown,
    }


def has_whole_stack(result: Any, names: Names) -> None:
    if names["size"](result) != DEPTH:
        raise WrongError(f"the stack has {names['size'](result)} frames, not {DEPTH}")


def error_names(implementation: str) -> Names:
    error_class = load("errors", implementation).DropboxError

    def work() -> Any:
        for _ in range(BATCH):
            error = error_class("m")
        return error

    return stack_names(work, lambda error: len(error.stack_frames()))


def exception_names(_: Any) -> Names:
    def work() -> Any:
        for _ in range(BATCH):
            error = Exception("m")
        return error

    return stack_names(work, lambda error: DEPTH)


def frame_walk_names(_: Any) -> Names:
    def walk() -> list[Any]:
        held = []
        frame = sys._getframe().f_back
        while frame is not None:
            held.append((frame.f_code, frame.f_lasti))
            frame = frame.f_back
        return held

    def work() -> Any:
        for _ in range(BATCH):
            error = Exception("m")
            error.stack = walk()  # type: ignore[attr-defined]  # as one does
        return error

    return stack_names(work, lambda error: len(error.stack))


def extract_stack_names(_: Any) -> Names:
    def work() -> Any:
        for _ in range(BATCH):
            stack = traceback.extract_stack()
        return stack

    return stack_names(work, len)


def summary_names(_: Any) -> Names:
    def work() -> Any:
        for _ in range(BATCH):
            stack = traceback.StackSummary.extract(
                traceback.walk_stack(sys._getframe()), lookup_lines=False
            )
        return stack

    return stack_names(work, len)


def stack_row(label: str, make: Callable[[Any], Names], **more: Any) -> Row:
    return Row(label, "run()", make, operations=str(BATCH), check=has_whole_stack, **more)


STACKS = Case(
    f"an error with its stack, {DEPTH} deep",
    (
        stack_row("Exception, no stack", exception_names, kind="floor"),
        stack_row(
            "native",
            lambda _: error_names("native"),
            kind="native",
            target=Within(0.6e-6, "Go takes 770"),
        ),
        stack_row("pure", lambda _: error_names("pure"), kind="pure", env=PURE),
        stack_row("Exception and sys._getframe", frame_walk_names),
        stack_row("StackSummary, lines unread", summary_names),
        stack_row("traceback.extract_stack", extract_stack_names),
    ),
    floor="Exception, no stack",
)


def context_names(implementation: str, fresh: bool) -> Names:
    context = load("errors", implementation).context
    held = context("loading", shard=3)

    def again() -> None:
        with held:
            pass

    def anew() -> None:
        with context("loading", shard=3):
            pass

    return {"enter": anew if fresh else again}


def null_names(_: Any) -> Names:
    def enter() -> None:
        with nullcontext():
            pass

    return {"enter": enter}


def note_names(_: Any) -> Names:
    def enter() -> None:
        try:
            pass
        except BaseException as error:
            error.add_note("loading (shard=3)")
            raise

    return {"enter": enter}


CONTEXTS = Case(
    "a context that nothing passes through",
    (
        Row("try and except", "enter()", note_names, kind="floor"),
        Row("native", "enter()", lambda _: context_names("native", False), kind="native"),
        Row("native, made anew", "enter()", lambda _: context_names("native", True), kind="native"),
        Row("pure", "enter()", lambda _: context_names("pure", False), kind="pure", env=PURE),
        Row("contextlib.nullcontext", "enter()", null_names, kind="peer"),
    ),
    floor="try and except",
    about="made once and entered often",
)

PLAIN = [f"the {n}th of the plain file names" for n in range(100)]
QUOTED = [f'the {n}th "quoted" text, isn\'t it?\n' for n in range(100)]
LONG = [f"{n} " + "a long text without anything to escape in it; " * 100 for n in range(10)]
WIDE = [f"第{n}個文件的名字, 不長也不短" for n in range(100)]

UNESCAPED = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


def reads_back(result: Sequence[str], names: Names) -> None:
    for text, value in zip(result, names["values"], strict=True):
        inner = re.fullmatch(r"'((?:[^'\\]|\\.)*)'", text, re.DOTALL)
        if inner is None:
            raise WrongError(f"{text!r} is not one literal")
        read = re.sub(
            r"\\(.)", lambda found: UNESCAPED.get(found[1], found[1]), inner[1], flags=re.DOTALL
        )
        if read != value:
            raise WrongError(f"{text!r} does not say {value!r}")


def literal_names(implementation: str, values: list[str]) -> Names:
    return {"encode": load("database.sqltypes", implementation).encode_sql, "values": values}


def pymysql_names(values: list[str]) -> Names:
    from pymysql.converters import escape_item

    return {"escape_item": escape_item, "values": values}


def translate_names(values: list[str]) -> Names:
    escapes = {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\x1a": "\\Z"}
    table = str.maketrans(escapes | {'"': '\\"', "'": "\\'", "\\": "\\\\"})
    return {"table": table, "values": values}


def literal_row(label: str, expression: str, make: Callable[[Any], Names], **more: Any) -> Row:
    return Row(
        label,
        expression,
        make,
        loop="value in values",
        operations="len(values)",
        check=reads_back,
        **more,
    )


def literals(name: str, values: list[str]) -> Case:
    return Case(
        name,
        (
            literal_row(
                "str.translate",
                """"'%s'" % value.translate(table)""",
                lambda _: translate_names(values),
                kind="floor",
            ),
            literal_row(
                "native",
                "encode(value)",
                lambda _: literal_names("native", values),
                kind="native",
                target=AtMost(1.0, "pymysql escape_item"),
            ),
            literal_row(
                "pure",
                "encode(value)",
                lambda _: literal_names("pure", values),
                kind="pure",
                env=PURE,
            ),
            literal_row(
                "pymysql escape_item",
                'escape_item(value, "utf8mb4")',
                lambda _: pymysql_names(values),
                peer="pymysql",
            ),
        ),
        floor="str.translate",
        base=True,
    )


GROUPS = (
    Group(
        "errors",
        "Errors",
        "Making an error that knows the stack where it was made, without raising it, against an "
        "exception that knows nothing; and entering a context that would add to an error.",
        "error",
        (STACKS, CONTEXTS),
    ),
    Group(
        "literals",
        "SQL literals",
        "A str as a literal of MySQL's, against the translation table that one writes by hand.",
        "literal",
        (
            literals("a plain text of 33 characters", PLAIN),
            literals("one with quotes", QUOTED),
            literals("4,600 characters", LONG),
            literals("one that is not Latin", WIDE),
        ),
    ),
)
