"""Prepared statements: rendered once, then filled many times through their slots.

A prepared statement keeps the text between its slots. Filling it checks and writes the values.
"""

from math import isfinite

from godropbox._kernels import lasting, sqltext

from ..._kernels._signature import declared
from ._names import check_count, shown
from ._params import is_named
from ._render import Renderer, double_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

__all__ = ["Place", "Prepared", "new_place", "prepared"]

# Compiled, these are C variables.
plain_value = sqltext.plain_value
sent_value = sqltext.parameter
ABSENT = object()


class Place:
    """The type and the options of a slot's values."""

    __slots__ = ("_counts", "_factor", "_many", "_name", "_nullable", "_plain", "_type")

    _counts: bool  # whether a value is a number of rows, for LIMIT and OFFSET
    _factor: bool  # whether to write a float as a double, like ``Renderer.factor``
    _many: bool
    _name: str
    _nullable: bool
    _plain: bool  # whether a value of exactly this type is already plain
    _type: type

    def as_factor(self) -> "Place":
        """Return the same slot as an operand of MySQL's ``*``, ``/`` or ``%``."""
        node = new_place(self._name, self._type, self._nullable, self._many)
        node._factor = True
        return node

    def as_count(self) -> "Place":
        """Return the same slot as the row count of a LIMIT or OFFSET."""
        node = new_place(self._name, self._type, self._nullable, self._many)
        node._counts = True
        node._plain = False
        return node

    def __str__(self) -> str:
        return f":{self._name}"

    def __repr__(self) -> str:
        return f"slot {self._name}"

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


class Prepared:
    """Statement with slots, made by ``statement.prepare``; any thread can fill it."""

    __slots__ = ("_copies", "_count", "_mark", "_named", "_params", "_pieces", "_slots", "_style")
    __signature__ = declared

    _copies: "lasting.Copies | None"  # for the threads that fill it, without an interpreter lock
    _count: int  # number of distinct slot names
    _mark: "str | None"  # the placeholder of each value of a list
    _named: bool
    _params: "tuple[object, ...] | None"  # parameters, including slots; None for literals
    _pieces: "tuple[str, ...]"  # the text before each of _slots, and after the last
    _slots: "tuple[Place, ...]"  # slots that are filled in the text
    _style: int

    @property
    def slots(self) -> "tuple[str, ...]":
        """The names of the slots in alphabetical order."""
        return tuple(sorted(_names(self._all())))

    def sql(self, /, **values: object) -> str:
        """Return the text with `values`, which are keyword arguments named after the slots.

        Raise ``TypeError`` for a slot without a value, a value without a slot, or a value that is
        not of its slot's class.
        """
        if self._params is not None:
            raise TypeError("this statement was prepared with a paramstyle: fill it with bind()")
        if len(values) != self._count:
            raise self._surplus(values)
        if lasting.is_foreign(self) and self._copies is not None:
            return self._own()._fill(values)
        return self._fill(values)

    def _own(self) -> "Prepared":
        """Return what the calling thread is to fill, which did not make this."""
        assert self._copies is not None
        own: Prepared = self._copies.own(self)
        return own

    def _fill(self, values: "dict[str, object]") -> str:
        text = sqltext.new_text(self._style)
        for index in range(len(self._slots)):
            slot = self._slots[index]
            text.put(self._pieces[index])
            if slot._many:
                many = _many(slot, values)
                if sqltext.plainness(many) == 2:
                    text.ints(many)
                else:
                    text.literals(many, ",")
                continue
            value = _value(slot, values)
            if slot._factor and isinstance(value, float) and isfinite(value):
                text.put(double_text(value))
            else:
                text.literal(value)
        text.put(self._pieces[len(self._slots)])
        return text.take()

    def bind(self, /, **values: object) -> "tuple[str, tuple[object, ...] | dict[str, object]]":
        """Return the text and the parameters with `values`, named after the slots.

        Raise as ``sql`` does.
        """
        if self._params is None:
            raise TypeError("this statement was prepared without a paramstyle: fill it with sql()")
        if len(values) != self._count:
            raise self._surplus(values)
        if lasting.is_foreign(self) and self._copies is not None:
            return self._own()._bound(values)
        return self._bound(values)

    def _bound(
        self, values: "dict[str, object]"
    ) -> "tuple[str, tuple[object, ...] | dict[str, object]]":
        params = self._filled(values)
        if self._named:
            named = {f"p{number}": value for number, value in enumerate(params, 1)}
            return self._pieces[0], named
        if self._slots:
            return self._expanded(values), tuple(params)
        return self._pieces[0], tuple(params)

    def _filled(self, values: "dict[str, object]") -> "list[object]":
        params: list[object] = []
        for item in self._params or ():
            if not isinstance(item, Place):
                params.append(item)
                continue
            slot = item
            if slot._many:
                many = _many(slot, values)
                if sqltext.plainness(many) == 2:
                    params.extend(many)
                else:
                    params.extend([self._sent(slot, value) for value in many])
            else:
                params.append(self._sent(slot, _value(slot, values)))
        return params

    def _sent(self, slot: Place, value: object) -> object:
        if sqltext.sendable(value):
            return value
        if slot._factor and isinstance(value, float) and isfinite(value):
            return value
        return sent_value(value, self._style)

    def _expanded(self, values: "dict[str, object]") -> str:
        text = sqltext.new_text(self._style)
        for index in range(len(self._slots)):
            slot = self._slots[index]
            text.put(self._pieces[index])
            text.put(",".join([str(self._mark)] * len(_many(slot, values))))
        text.put(self._pieces[len(self._slots)])
        return text.take()

    def _surplus(self, values: "dict[str, object]") -> Exception:
        known = ", ".join(self.slots)
        return TypeError(f"the slots are {known or 'none'}, got {', '.join(values) or 'none'}")

    def _all(self) -> "list[Place]":
        return [*self._slots, *[item for item in self._params or () if isinstance(item, Place)]]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {' ... '.join(self._pieces)}>"

    def __copy__(self) -> "Self":
        return self

    def __deepcopy__(self, memo: object) -> "Self":
        return self


def new_place(name: str, kind: type, nullable: bool, many: bool) -> Place:
    """Return a ``Place`` for values of class `kind`."""
    if not isinstance(kind, type):
        raise TypeError(f"type of slot {name} must be a class, got {shown(kind)}")
    node = Place.__new__(Place)
    node._name = name
    node._type = kind
    node._nullable = nullable
    node._many = many
    node._factor = node._counts = False
    node._plain = kind is int or kind is str
    return node


def prepared(out: Renderer) -> Prepared:
    """Return the prepared statement that a renderer collected."""
    node = Prepared.__new__(Prepared)
    pieces: list[str] = []
    slots: list[Place] = []
    for item in out.slots or ():
        if isinstance(item, str):
            pieces.append(item)
        elif isinstance(item, Place):
            slots.append(item)
    node._pieces = (*pieces, out.text.take())
    node._slots = tuple(slots)
    node._params = out.text.kept() if out.binding else None
    node._mark = out.mark
    node._named = out.binding and out.mark is None and is_named(out.paramstyle)
    node._style = out.style
    if node._slots and out.binding and out.mark is None:
        raise ValueError(f"a slot of many values needs format or qmark, got {out.paramstyle}")
    node._count = _count(node._all())
    node._copies = lasting.copies()
    return lasting.shared(node)


def _count(slots: "list[Place]") -> int:
    known: dict[str, tuple[object, ...]] = {}
    for item in slots:
        slot = item
        kind = (slot._type, slot._nullable, slot._many)
        if known.setdefault(slot._name, kind) != kind:
            raise ValueError(f"slot {slot._name} is declared twice with different options")
    return len(known)


def _names(slots: "list[Place]") -> "set[str]":
    names: set[str] = set()
    for item in slots:
        slot = item
        names.add(slot._name)
    return names


def _value(slot: Place, values: "dict[str, object]") -> object:
    """Return the checked value for a slot."""
    value = values.get(slot._name, ABSENT)
    if value is ABSENT:
        raise TypeError(f"slot {slot._name} must be given a value, got {', '.join(values)}")
    if type(value) is not slot._type:
        _check(slot, value)
    elif slot._plain:
        return value
    return _plain(slot, value)


def _many(slot: Place, values: "dict[str, object]") -> "tuple[object, ...]":
    """Return the checked values for a slot of many."""
    value = values.get(slot._name, ABSENT)
    if value is ABSENT:
        raise TypeError(f"slot {slot._name} must be given a value, got {', '.join(values)}")
    if not isinstance(value, (list, tuple)) or not value:
        raise TypeError(
            f"slot {slot._name} must be a list or a tuple of at least one value, got {shown(value)}"
        )
    taken = tuple(value)
    plain = slot._plain
    for item in taken:
        if type(item) is not slot._type:
            _check(slot, item)
            plain = False
    return taken if plain else tuple([_plain(slot, item) for item in taken])


def _plain(slot: Place, value: object) -> object:
    """Return a checked value as a plain value."""
    plain = plain_value(value)
    if plain is None and not slot._nullable:
        raise TypeError(f"slot {slot._name} must not be None, got {shown(value)}")
    if slot._counts:
        check_count(f"slot {slot._name}", plain)
    return plain


def _check(slot: Place, value: object) -> int:
    if value is None and slot._nullable:
        return 0
    exact = slot._type is bool or not isinstance(value, bool)
    if isinstance(value, slot._type) and exact:
        return 0
    raise TypeError(
        f"slot {slot._name} must be {slot._type.__name__}, got {shown(value)} "
        f"({type(value).__name__})"
    )
