"""Clauses that several statements share: lists of terms, ORDER BY, LIMIT, comments."""

from ..._kernels._signature import declared
from . import _grammar
from ._base import Node, write_operand
from ._names import shown
from ._render import Renderer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

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

COMPARE = _grammar.COMPARE  # compiled, a C variable


class Ordering:
    """Term of ORDER BY with a direction or a place for NULL, made by ``asc`` and ``desc``."""

    __slots__ = ("_nulls", "_term", "_word")
    __signature__ = declared

    _nulls: str  # " NULLS FIRST", " NULLS LAST" or nothing
    _term: Node
    _word: str

    def nulls_first(self) -> "Ordering":
        """Return the term with NULL before all values."""
        return ordering(self, self._word, " NULLS FIRST")

    def nulls_last(self) -> "Ordering":
        """Return the term with NULL after all values."""
        return ordering(self, self._word, " NULLS LAST")

    def _write(self, out: Renderer) -> int:
        # A dialect without these words sorts NULL below all values, so that half of them say what
        # holds anyway, and the others need a term of their own before this one.
        native = self._nulls and out.can("NULLS FIRST and LAST")
        if self._nulls and not native and (self._word == " DESC") == (self._nulls[7] == "F"):
            place = out.place
            if place == 2:
                out.place = 1  # an alias is not the whole term here
            write_operand(out, self._term, COMPARE + 1)
            out.place = place
            out.text.put(" IS NOT null," if self._nulls[7] == "F" else " IS null,")
        self._term._write(out)
        out.text.put(self._word)
        if native:
            out.text.put(self._nulls)
        return 0

    def _parts(self) -> "tuple[Node, bool, str]":
        """Return the term, whether it descends, and the place of NULL: FIRST, LAST or nothing."""
        return self._term, self._word == " DESC", self._nulls[7:]

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


def expressions(what: str, terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return `terms` if there is at least one and all are expressions."""
    if not terms:
        raise ValueError(f"{what} needs at least one column")
    for term in terms:
        if not isinstance(term, Node):
            raise TypeError(f"a term of {what} must be an expression, got {shown(term)}")
    return terms


def ordered(terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return `terms` if there is at least one and ORDER BY accepts all."""
    if not terms:
        raise ValueError("ORDER BY needs at least one column")
    for term in terms:
        if not isinstance(term, (Node, Ordering)):
            raise TypeError(
                f"a term of ORDER BY must be an expression, asc() or desc(), got {shown(term)}"
            )
    return terms


def ordering(term: object, word: str, nulls: str = "") -> Ordering:
    """Return a term of ORDER BY with the direction `word` and the place of NULL."""
    node = Ordering.__new__(Ordering)
    if isinstance(term, Ordering) and nulls:
        other = term
        node._term = other._term
        node._word = other._word
    elif isinstance(term, Node):
        node._term = term
        node._word = word
    else:
        raise TypeError(f"a term of ORDER BY must be an expression, got {shown(term)}")
    node._nulls = nulls
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
            direction = term
            direction._write(out)
        elif isinstance(term, Node):
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
    dialect = out.dialect
    if limit >= 0 or dialect.no_limit:
        text.put(" LIMIT ")
        if offset >= 0 and dialect.offset_first:
            text.literal(offset)
            text.put(", ")
        if limit >= 0:
            text.literal(limit)
        else:
            text.put(dialect.no_limit)
    if offset >= 0 and not dialect.offset_first:
        text.put(" OFFSET ")
        text.literal(offset)
    return 0
