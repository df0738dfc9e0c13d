"""The clauses of a SELECT that few statements have, and the terms of GROUP BY and ORDER BY.

DISTINCT ON, ROLLUP, named windows, optimizer hints, locks of some tables only, and LIMIT by a slot.
A ``Select`` keeps them in one ``Extras``, so that the others do not pay for them.
"""

from ..._kernels._signature import declared
from ._clauses import Ordering
from ._names import check_count, check_identifier, shown
from ._nodes import Expression
from ._render import Renderer
from ._terms import Alias, Literal, Slot
from ._windows import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "Extras",
    "Grouping",
    "checked_hint",
    "count_term",
    "cube",
    "depth_of_windows",
    "extended",
    "grouped",
    "grouping_sets",
    "named_window",
    "rollup",
    "ungrouped",
    "write_count",
    "write_group",
    "write_order",
    "write_windows",
]

_HINT: "Final" = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ .,()@=+-#`'"
)


class Extras:
    """The rarer clauses of one SELECT; those that it lacks are empty or None."""

    __slots__ = ("hint", "limit", "of", "offset", "on", "windows")

    hint: str
    limit: "Expression | None"  # a slot or a literal
    of: "tuple[str, ...]"  # the tables whose rows are locked
    offset: "Expression | None"
    on: "tuple[object, ...]"  # of DISTINCT ON
    windows: "tuple[tuple[str, Window], ...]"


def extended(extras: "Extras | None") -> Extras:
    """Return a copy of `extras` to change."""
    node = Extras.__new__(Extras)
    if extras is None:
        node.hint = ""
        node.limit = node.offset = None
        node.of = node.on = node.windows = ()
        return node
    node.hint = extras.hint
    node.limit = extras.limit
    node.offset = extras.offset
    node.of = extras.of
    node.on = extras.on
    node.windows = extras.windows
    return node


class Grouping:
    """Term of GROUP BY that groups in several ways at once, made by ``rollup`` and the like."""

    __slots__ = ("_items", "_word")
    __signature__ = declared

    _items: "tuple[object, ...]"  # expressions, tuples of them, and in sets other groupings
    _word: str

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._word}>"


def rollup(*terms: object) -> Grouping:
    """Return ROLLUP (a, b): groups by a and b, by a alone, and one group of all rows.

    A term is an expression, or a tuple of expressions that stay together.
    """
    return _grouping("ROLLUP", terms)


def cube(*terms: object) -> Grouping:
    """Return CUBE (a, b): groups by every subset of the terms, which are as in ``rollup``."""
    return _grouping("CUBE", terms)


def grouping_sets(*sets: object) -> Grouping:
    """Return GROUPING SETS: groups by each of `sets` in turn.

    A set is an expression, a tuple of expressions (empty for one group of all rows), or a
    ``rollup`` or ``cube``.
    """
    return _grouping("GROUPING SETS", sets)


def _grouping(word: str, items: "tuple[object, ...]") -> Grouping:
    if not items:
        raise ValueError(f"{word} needs at least one term")
    for item in items:
        if word == "GROUPING SETS" and isinstance(item, Grouping):
            continue
        terms: tuple[object, ...] = item if isinstance(item, tuple) else (item,)
        if not terms and word != "GROUPING SETS":
            raise ValueError(f"a tuple of terms of {word} must not be empty")
        for term in terms:
            if not isinstance(term, Expression):
                raise TypeError(
                    f"a term of {word} must be an expression or a tuple of them, got {shown(term)}"
                )
    node = Grouping.__new__(Grouping)
    node._word = word
    node._items = items
    return node


def grouped(terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return `terms` if there is at least one and GROUP BY accepts all."""
    if not terms:
        raise ValueError("GROUP BY needs at least one column")
    for term in terms:
        if not isinstance(term, (Expression, Grouping)):
            raise TypeError(f"a term of GROUP BY must be an expression, got {shown(term)}")
    return terms


def ungrouped(terms: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return the expressions in the terms of a GROUP BY."""
    found: list[object] = []
    for term in terms:
        if isinstance(term, Grouping):
            grouping = term
            found.extend(ungrouped(grouping._items))
        elif isinstance(term, tuple):
            found.extend(term)
        else:
            found.append(term)
    return tuple(found)


def write_group(
    out: Renderer, terms: "tuple[object, ...]", items: "tuple[Expression, ...]"
) -> bool:
    """Write the terms of GROUP BY for the select list `items`; return whether there is a ROLLUP."""
    rolled = False
    for index in range(len(terms)):
        if index:
            out.text.put(",")
        term = terms[index]
        if isinstance(term, Grouping):
            rolled = True
            grouping = term
            out.need(grouping._word)
            if grouping._word != "ROLLUP" or out.can("ROLLUP beside other terms"):
                _write_grouping(out, grouping, items)
                continue
            if len(terms) > 1:
                out.need("ROLLUP beside other terms")
            _write_set(out, grouping._items, items)
            out.text.put(" WITH ROLLUP")
        else:
            _write_term(out, term, items)
    return rolled


def _write_grouping(out: Renderer, grouping: Grouping, items: "tuple[Expression, ...]") -> int:
    out.text.put(grouping._word)
    out.text.put(" (")
    first = True
    for item in grouping._items:
        if not first:
            out.text.put(",")
        first = False
        if isinstance(item, Grouping):
            _write_grouping(out, item, items)
        elif isinstance(item, tuple):
            out.text.put("(")
            _write_set(out, item, items)
            out.text.put(")")
        else:
            _write_term(out, item, items)
    out.text.put(")")
    return 0


def _write_set(out: Renderer, terms: "tuple[object, ...]", items: "tuple[Expression, ...]") -> int:
    for index in range(len(terms)):
        if index:
            out.text.put(",")
        term = terms[index]
        if isinstance(term, tuple):
            out.need("GROUPING SETS")
        _write_term(out, term, items)
    return 0


def _write_term(out: Renderer, term: object, items: "tuple[Expression, ...]") -> int:
    """Write an expression of GROUP BY.

    Where a name would be a column's before it is an alias, write the alias as its position in the
    select list: its expression, written again, is another one to PostgreSQL if it has parameters.
    """
    if isinstance(term, Alias) and not out.can("aliases in HAVING"):
        alias = term
        position = _position(alias, items)
        if position:
            out.text.put(str(position))
            return 0
    if isinstance(term, Literal):
        raise _constant("GROUP BY", term)
    if isinstance(term, Expression):
        node = term
        return node._write(out)
    return 0


def _constant(clause: str, term: object) -> Exception:
    return ValueError(
        f"a literal in {clause} is a position in the text and a constant as a parameter: use the "
        f"column or the alias, got {term!r}"
    )


def _position(alias: Alias, items: "tuple[Expression, ...]") -> int:
    """Return the position of `alias` in a select list, from 1, or 0 if it is not known."""
    for index in range(len(items)):
        item = items[index]
        if item._is_star():
            return 0
        if isinstance(item, Alias):
            found = item
            if found._name == alias._name:
                return index + 1
    return 0


def write_order(out: Renderer, terms: "tuple[object, ...]") -> int:
    """Write the terms of an ORDER BY after a select list; a term that is an alias is its name."""
    outer = out.place
    for index in range(len(terms)):
        if index:
            out.text.put(",")
        term = terms[index]
        if isinstance(term, Ordering):
            ordering = term
            if isinstance(ordering._term, Literal):
                raise _constant("ORDER BY", ordering._term)
            if outer != 3:
                out.place = 2 if isinstance(ordering._term, Alias) else 1
            ordering._write(out)
        elif isinstance(term, Expression):
            if isinstance(term, Literal):
                raise _constant("ORDER BY", term)
            node = term
            if outer != 3:
                out.place = 2 if isinstance(term, Alias) else 1
            node._write(out)
    out.place = outer
    return 0


def count_term(what: str, value: object) -> Expression:
    """Return `value` if LIMIT and OFFSET accept it: a slot of an int, or a literal one."""
    if isinstance(value, Slot):
        slot = value
        if slot._place._type is int and not slot._place._nullable and not slot._place._many:
            return slot
    elif isinstance(value, Literal):
        literal = value
        check_count(what, literal._value)
        return literal
    raise TypeError(
        f"{what} must be an int, a slot of one int that is not nullable, or a literal, "
        f"got {shown(value)}"
    )


def write_count(
    out: Renderer, limit: int, offset: int, by: "Expression | None", after: "Expression | None"
) -> int:
    """Write LIMIT and OFFSET: `limit` or, unless None, `by`; `offset` or `after`; -1 means none."""
    text = out.text
    dialect = out.dialect
    limited = limit >= 0 or by is not None
    moved = offset >= 0 or after is not None
    if limited or dialect.no_limit:
        text.put(" LIMIT ")
        if moved and dialect.offset_first:
            _write_number(out, offset, after)
            text.put(", ")
        if limited:
            _write_number(out, limit, by)
        else:
            text.put(dialect.no_limit)
    if moved and not dialect.offset_first:
        text.put(" OFFSET ")
        _write_number(out, offset, after)
    return 0


def _write_number(out: Renderer, number: int, term: "Expression | None") -> int:
    if isinstance(term, Slot):
        slot = term
        return out.slot(slot._place.as_count(), False)
    if term is not None:
        return term._write(out)
    out.text.literal(number)
    return 0


def checked_hint(text: object) -> str:
    """Return `text` if it can stand in ``/*+ ... */``, or raise."""
    if not isinstance(text, str):
        raise TypeError(f"hint must be a str, got {shown(text)} ({type(text).__name__})")
    hint = str.__str__(text)  # a subclass may override __str__
    if not hint.strip() or not _HINT.issuperset(hint) or hint.count("'") % 2:
        raise ValueError(
            "hint must be ASCII letters, digits, spaces, pairs of ' and any of _.,()@=+-#`, "
            f"got {shown(text)}"
        )
    return hint


def named_window(name: object, window: object, known: "Extras") -> "tuple[str, Window]":
    """Return a window and its checked name, which is not among those `known`."""
    if not isinstance(window, Window):
        raise TypeError(f"window must be made by window(), got {shown(window)}")
    checked = check_identifier("window name", name)
    for other, _ in known.windows:
        if other == checked:
            raise ValueError(f"the statement has a window named {checked} already")
    return checked, window


def depth_of_windows(extras: "Extras | None") -> int:
    """Return the depth of the deepest window in a WINDOW clause."""
    deepest = 0
    if extras is not None:
        for _, item in extras.windows:
            window = item
            deepest = max(deepest, window._depth)
    return deepest


def write_windows(out: Renderer, windows: "tuple[tuple[str, Window], ...]") -> int:
    """Write WINDOW and the definitions of named windows."""
    first = True
    for name, item in windows:
        out.text.put(" WINDOW " if first else ", ")
        first = False
        out.name(name)
        out.text.put(" AS ")
        window = item
        window._write(out)
    return 0
