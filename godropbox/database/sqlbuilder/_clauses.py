"""Clauses that several statements share: lists of terms, ORDER BY, LIMIT, comments."""

from ..._kernels._identity import refuse_copies
from ..._kernels._signature import declared
from . import _grammar
from ._names import shown
from ._nodes import Expression
from ._render import Renderer

__all__ = [
    "Ordering",
    "expressions",
    "ordered",
    "ordering",
    "unordered",
    "write_comment",
    "write_limit",
    "write_list",
]

# Compiled, these are C variables.
MYSQL = _grammar.MYSQL
SQLITE = _grammar.SQLITE


class Ordering:
    """Term of ORDER BY with a direction, made by ``asc`` and ``desc``."""

    __slots__ = ("_term", "_word")
    __signature__ = declared

    __reduce_ex__ = refuse_copies

    _term: Expression
    _word: str

    def _write(self, out: Renderer) -> int:
        self._term._write(out)
        out.text.put(self._word)
        return 0


def expressions(what: str, terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return `terms` if there is at least one and all are expressions."""
    if not terms:
        raise ValueError(f"{what} needs at least one column")
    for term in terms:
        if not isinstance(term, Expression):
            raise TypeError(f"a term of {what} must be an expression, got {shown(term)}")
    return terms


def ordered(terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return `terms` if there is at least one and ORDER BY accepts all."""
    if not terms:
        raise ValueError("ORDER BY needs at least one column")
    for term in terms:
        if not isinstance(term, (Expression, Ordering)):
            raise TypeError(
                f"a term of ORDER BY must be an expression, asc() or desc(), got {shown(term)}"
            )
    return terms


def ordering(term: object, word: str) -> Ordering:
    """Return a term of ORDER BY with the direction `word`."""
    if not isinstance(term, Expression):
        raise TypeError(f"a term of ORDER BY must be an expression, got {shown(term)}")
    node = Ordering.__new__(Ordering)
    node._term = term
    node._word = word
    return node


def unordered(terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return the expressions in the terms of an ORDER BY."""
    found: list[object] = []
    for term in terms:
        if isinstance(term, Ordering):
            node = term
            found.append(node._term)
        else:
            found.append(term)
    return tuple(found)


def write_list(out: Renderer, terms: "tuple[object, ...]") -> int:
    """Write expressions and orderings, separated by commas."""
    first = True
    for term in terms:
        if not first:
            out.text.put(",")
        first = False
        if isinstance(term, Ordering):
            ordering = term
            ordering._write(out)
        elif isinstance(term, Expression):
            expression = term
            expression._write(out)
    return 0


def write_comment(out: Renderer, comment: str) -> int:
    """Write a comment that ``check_comment`` accepted."""
    out.text.put("/* ")
    out.text.put(comment.replace("?", ".") if out.mark == "?" else comment)
    out.text.put(" */")
    return 0


def write_limit(out: Renderer, limit: int, offset: int) -> int:
    """Write LIMIT and OFFSET; -1 means none, and at least one is given."""
    text = out.text
    if out.dialect == MYSQL:
        text.put(" LIMIT ")
        if offset >= 0:
            text.literal(offset)
            text.put(", ")
        text.literal(limit if limit >= 0 else 18446744073709551615)
        return 0
    if limit >= 0 or out.dialect == SQLITE:
        text.put(" LIMIT ")
        text.literal(limit)
    if offset >= 0:
        text.put(" OFFSET ")
        text.literal(offset)
    return 0
