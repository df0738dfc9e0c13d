"""Methods of expressions beside the operators: matching, texts, documents, arrays, ordering.

The nodes that they build are made above this module, which is given their makers at import.
"""

from . import _grammar
from ._arrays import ARRAY_RELATION
from ._base import Node, family_of, never_true, nulls_of, operand, same_width
from ._clauses import Ordering, ordering
from ._documents import (
    JSON_CONTAINS,
    JSON_DOCUMENT,
    JSON_PLAIN,
    JSON_TEXT,
    document,
    text_of,
)
from ._forms import (
    CAST,
    COLLATE,
    CONCAT,
    DISTINCT,
    ESCAPED,
    ILIKE,
    TRUTH,
    check_collation,
    check_type,
    concatenated,
    pattern,
    truth_words,
)
from ._names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

__all__ = ["Methods", "Operator", "give"]

# Compiled, these are C variables.
COMPARE = _grammar.COMPARE
BITS = _grammar.BITS
ADD = _grammar.ADD
MUL = _grammar.MUL
NULL = _grammar.NULL
ARRAY = _grammar.ARRAY
JSON = _grammar.JSON

# The symbols that ``op`` writes with their own precedence.
_ARITHMETIC: "Final" = {"+": ADD, "-": ADD, "*": MUL, "/": MUL, "%": MUL}

# What makes nodes: complete once the package is imported, and unchanged from then on.
_MAKERS: "Final[dict[str, Any]]" = {}


class Methods(Node):
    """Methods that every expression has."""

    __slots__ = ()

    def ilike(self, pattern: object) -> "Any":
        """Return ``self ILIKE pattern``: LIKE without regard to case."""
        return _ilike(self, " ILIKE ", pattern)

    def not_ilike(self, pattern: object) -> "Any":
        """Return ``self NOT ILIKE pattern``."""
        return _ilike(self, " NOT ILIKE ", pattern)

    def startswith(self, text: object) -> "Any":
        """Return whether `text`, in which no character is a wildcard, is the start: with LIKE."""
        return _like(self, "", text, "%")

    def endswith(self, text: object) -> "Any":
        """Return whether `text`, in which no character is a wildcard, is the end: with LIKE."""
        return _like(self, "%", text, "")

    def contains(self, item: object) -> "Any":
        """Return whether `item` is in the text, the array or the JSON document.

        Text contains a text in which no character is a wildcard; an array contains all elements of
        an array or a list; a document contains one, given as an expression, a dict or a list.
        """
        return _containing(self, item)

    def contained_by(self, other: object) -> "Any":
        """Return whether `other` contains this array or this JSON document."""
        return _contained(self, other)

    def overlaps(self, other: object) -> "Any":
        """Return whether the array and another array or list have an element in common."""
        return _related(" && ", self, other)

    def concat(self, *others: object) -> "Any":
        """Return the text with `others` after it: ``self || other``, or ``CONCAT(self,other)``."""
        return _applied(CONCAT, concatenated((self, *others)), None)

    def collate(self, collation: str) -> "Any":
        """Return ``self COLLATE collation``, a name that the server knows."""
        return _applied(COLLATE, (self,), check_collation(collation))

    def cast(self, kind: str) -> "Any":
        """Return ``CAST(self AS kind)``; see the function ``cast``."""
        return _applied(CAST, (self,), check_type(kind))

    def as_text(self) -> "Any":
        """Return what a JSON document has under some keys, as text and not as JSON."""
        return _text_at(JSON_TEXT, self)

    def as_integer(self) -> "Any":
        """Return what a JSON document has under some keys, as an integer."""
        return _applied(CAST, (_text_at(JSON_PLAIN, self),), "integer")

    def as_float(self) -> "Any":
        """Return what a JSON document has under some keys, as a double."""
        return _applied(CAST, (_text_at(JSON_PLAIN, self),), "double")

    def op(self, symbol: str) -> "Operator":
        """Return the operator `symbol`, to call with its right side: ``column.op("&&")(other)``.

        `symbol` is written as it is in every dialect, and is made of ``+ - * / < > = ~ ! @ # % ^ &
        |``.
        """
        return _operator(symbol, self)

    def asc(self) -> Ordering:
        """Return ``self ASC``, for ORDER BY."""
        return ordering(self, " ASC")

    def desc(self) -> Ordering:
        """Return ``self DESC``, for ORDER BY."""
        return ordering(self, " DESC")

    def nulls_first(self) -> Ordering:
        """Return the term for ORDER BY that has NULL before all values."""
        return ordering(self, "", " NULLS FIRST")

    def nulls_last(self) -> Ordering:
        """Return the term for ORDER BY that has NULL after all values."""
        return ordering(self, "", " NULLS LAST")

    def label(self, name: str) -> "Any":
        """Return ``(self) AS name`` for a select list; in later clauses it is just the name."""
        made: Any = _MAKERS["alias"](name, self)
        return made

    def is_(self, value: "bool | None") -> "Any":
        """Return ``self IS null``, ``self IS TRUE`` or ``self IS FALSE``."""
        return _truth(self, value, " IS ")

    def is_not(self, value: "bool | None") -> "Any":
        """Return ``self IS NOT null``, ``self IS NOT TRUE`` or ``self IS NOT FALSE``."""
        return _truth(self, value, " IS NOT ")

    def is_distinct_from(self, other: object) -> "Any":
        """Return whether the values differ; NULL differs from all values but not from NULL."""
        if other is None or nulls_of(other) == NULL:
            return _binary("!=", self, None)
        if self._family() == JSON and not isinstance(other, Node):
            other = _applied(JSON_DOCUMENT, (document(other),), None)
        same_width("IS DISTINCT FROM", self, other)
        return _applied(DISTINCT, (self, other), None)

    def is_not_distinct_from(self, other: object) -> "Any":
        """Return whether the values are equal or both NULL."""
        if other is None or nulls_of(other) == NULL:
            return _binary("=", self, None)
        if self._family() == JSON and not isinstance(other, Node):
            other = _applied(JSON_DOCUMENT, (document(other),), None)
        return _binary(" <=> ", self, other)


class Operator:
    """Operator with its left side, made by ``Expression.op``; call it with the right side."""

    __slots__ = ("_left", "_symbol")

    _left: Node
    _symbol: str

    def __call__(self, right: object) -> "Any":
        """Return ``left symbol right``."""
        level = _ARITHMETIC.get(self._symbol, BITS)
        made: Any = _MAKERS["binary"](f" {self._symbol} ", self._left, right, level)
        return made


def give(**makers: object) -> None:
    """Add what makes nodes of a kind: ``applied``, ``array``, ``binary`` or ``alias``."""
    _MAKERS.update(makers)


def _applied(form: object, items: "tuple[object, ...]", detail: object) -> "Any":
    made: Any = _MAKERS["applied"](form, items, detail)
    return made


def _binary(symbol: str, left: Node, right: object) -> "Any":
    made: Any = _MAKERS["binary"](symbol, left, right, COMPARE)
    return made


def _like(left: Node, before: str, text: object, after: str) -> "Any":
    """Return ``left LIKE`` a pattern in which `text` has no wildcards."""
    plain = pattern(text)
    if plain is not None:
        return _binary(" LIKE ", left, before + plain + after)
    items: list[object] = [_applied(ESCAPED, (text,), None)]
    if before:
        items.insert(0, before)
    if after:
        items.append(after)
    return _binary(" LIKE ", left, _applied(CONCAT, tuple(items), None))


def _ilike(left: Node, symbol: str, text: object) -> "Any":
    nulls = left._nulls() | nulls_of(operand(text))
    if nulls:
        raise never_true(f"{symbol.strip()} with", nulls)
    return _applied(ILIKE, (left, text), symbol)


def _truth(condition: Node, value: object, words: str) -> "Any":
    if value is None:
        return _binary("=" if words == " IS " else "!=", condition, None)
    return _applied(TRUTH, (condition,), truth_words(value, words))


def _text_at(form: object, part: Node) -> "Any":
    items, keys = text_of(part)
    return _applied(form, items, keys)


def _containing(left: Node, item: object) -> "Any":
    family = left._family() or family_of(item)
    if family == ARRAY:
        return _related(" @> ", left, item)
    if family == JSON or isinstance(item, dict):
        return _applied(JSON_CONTAINS, (left, document(item)), None)
    return _like(left, "%", item, "%")


def _contained(left: Node, other: object) -> "Any":
    family = left._family() or family_of(other)
    if family == JSON or isinstance(other, dict):
        return _applied(JSON_CONTAINS, (document(other), left), None)
    return _related(" <@ ", left, other)


def _related(symbol: str, left: Node, right: object) -> "Any":
    """Return ``left symbol right`` for two arrays; a list becomes one of the left side's type."""
    if isinstance(right, (list, tuple)):
        listed = left._listed(right)
        if listed is not None:
            return _applied(ARRAY_RELATION, (left, listed), symbol)
        right = _MAKERS["array"](right, left._item())
    if not isinstance(right, Node):
        raise TypeError(f"an array must be compared with an array or a list, got {shown(right)}")
    return _applied(ARRAY_RELATION, (left, right), symbol)


def _operator(symbol: object, left: Node) -> Operator:
    """Return an operator with its left side."""
    if not isinstance(symbol, str) or not symbol or symbol.strip("+-*/<>=~!@#%^&|"):
        raise ValueError(f"symbol must be made of +-*/<>=~!@#%^&|, got {shown(symbol)}")
    if "--" in symbol or "/*" in symbol:
        raise ValueError(f"symbol must not open a comment, got {shown(symbol)}")
    if "#" in symbol:
        raise ValueError(
            f'symbol must have no #, which opens comments in MySQL: write raw("? {symbol} ?", a, b)'
        )
    node = Operator.__new__(Operator)
    node._symbol = str.__str__(symbol)
    node._left = left
    return node
