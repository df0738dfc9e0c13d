"""Queries combined with UNION, INTERSECT and EXCEPT, and named queries for FROM and WITH."""

from . import _grammar
from ._clauses import Ordering, ordered, unordered
from ._columns import Column, bound, nullable_copy
from ._extras import count_term, write_count, write_order
from ._makers import MAKERS
from ._names import check_count, shown
from ._nodes import Expression
from ._queries import SelectBase
from ._render import Renderer
from ._selects import Select, Source, named, write_with

__all__ = ["CompoundSelect", "NamedQuery", "add_step", "name_query", "new_compound", "read_again"]

MAX_DEPTH = _grammar.MAX_DEPTH


class CompoundSelect(SelectBase):
    """Queries combined with one operator, made by ``union``, ``intersect``, ``except_``.

    Each member is a SELECT or another combination, so operators mix as they are nested.
    """

    __slots__ = ("_after", "_by", "_limit", "_offset", "_order", "_selects", "_with", "_word")

    _after: "Expression | None"  # a slot or a literal for OFFSET
    _by: "Expression | None"  # a slot or a literal for LIMIT
    _limit: int
    _offset: int
    _order: "tuple[object, ...]"
    _selects: "tuple[SelectBase, ...]"
    _with: "tuple[Source, ...]"
    _word: str

    def _copy(self) -> "CompoundSelect":
        node = CompoundSelect.__new__(CompoundSelect)
        node._word = self._word
        node._by = self._by
        node._after = self._after
        node._limit = self._limit
        node._offset = self._offset
        node._order = self._order
        node._selects = self._selects
        node._with = self._with
        return node

    def order_by(self, *terms: "Expression | Ordering") -> "CompoundSelect":
        """Return the statement with its ORDER BY replaced by `terms`.

        They are columns and aliases of the first SELECT, written without their table, which SQL
        does not know outside its SELECT.
        """
        node = self._copy()
        node._order = ordered(terms)
        known = output_names(self)
        for term in unordered(terms):
            if not hasattr(term, "name") or term.name not in known:
                raise ValueError(
                    f"a {self._word} is ordered by columns of its first SELECT, "
                    f"{', '.join(known)}, got {shown(term)}"
                )
        return node

    def with_(self, *queries: Source) -> "CompoundSelect":
        """Return the statement with `queries`, made by ``cte``, added to its WITH."""
        node = self._copy()
        node._with = self._with + named(queries)
        return node

    def limit(self, count: "int | Expression") -> "CompoundSelect":
        """Return the statement with LIMIT `count`: an int in [0, 2**63), a slot or a literal."""
        node = self._copy()
        if isinstance(count, Expression):
            node._limit = -1
            node._by = count_term("limit", count)
        else:
            node._limit = check_count("limit", count)
            node._by = None
        return node

    def offset(self, count: "int | Expression") -> "CompoundSelect":
        """Return the statement with OFFSET `count`: an int in [0, 2**63), a slot or a literal."""
        node = self._copy()
        if isinstance(count, Expression):
            node._offset = -1
            node._after = count_term("offset", count)
        else:
            node._offset = check_count("offset", count)
            node._after = None
        return node

    def _width(self) -> int:
        first = self._selects[0]
        return first._width()

    def _list_of_first(self) -> "tuple[Expression, ...]":
        first = self._selects[0]
        return first._list_of_first()

    def _gathering(self) -> "tuple[object, ...]":
        return (
            self._list_of_first(),
            self._order,
            self._limit if self._by is None else self._by,
            self._offset if self._after is None else self._after,
            self._word != "UNION ALL",
        )

    def _outputs(self) -> "tuple[Column, ...]":
        first = self._selects[0]
        found = list(first._outputs())
        for index in range(1, len(self._selects)):
            member = self._selects[index]
            if member._width() < 0:
                continue
            for place, column in enumerate(member._outputs()):
                if column.nullable and not found[place].nullable:
                    found[place] = nullable_copy(found[place])
        return tuple(found)

    def _bounded(self) -> bool:
        return True  # never a member without parentheses, or what stands for them

    def _has_with(self) -> bool:
        return bool(self._with)

    def _reads(self, name: str) -> bool:
        for index in range(len(self._selects)):
            select = self._selects[index]
            if select._reads(name):
                return True
        return False

    def _levels(self) -> int:
        deepest = 0
        for index in range(len(self._selects)):
            select = self._selects[index]
            deepest = max(deepest, select._levels())
        for index in range(len(self._with)):
            table = self._with[index]
            deepest = max(deepest, table._level)
        return deepest + 1

    def _write_statement(self, out: Renderer) -> int:
        return self._write_query(out)

    def _write_query(self, out: Renderer) -> int:
        ctes = out.ctes
        if self._with:
            write_with(out, self._with)
        self._write_members(out)
        if self._order:
            self._write_order(out)
        if self._by is not None or self._after is not None or self._limit >= 0 or self._offset >= 0:
            write_count(out, self._limit, self._offset, self._by, self._after)
        out.ctes = ctes
        return 0

    def _write_order(self, out: Renderer) -> int:
        scope, unqualified, aliases = out.scope, out.unqualified, out.aliases
        out.scope = None
        out.unqualified = True
        place = out.place
        out.aliases = self._list_of_first()
        out.place = 3
        out.text.put(" ORDER BY ")
        write_order(out, self._order)
        out.place = place
        out.scope = scope
        out.unqualified = unqualified
        out.aliases = aliases
        return 0

    def _write_members(self, out: Renderer) -> int:
        text = out.text
        bounded = self._order or self._limit >= 0 or self._offset >= 0
        if len(self._selects) == 1 and not bounded and self._by is None and self._after is None:
            only = self._selects[0]
            return only._write_query(out)
        if self._word not in ("UNION", "UNION ALL"):
            out.need(self._word)
        unqualified = out.unqualified
        out.unqualified = False
        for index in range(len(self._selects)):
            if index:
                text.put(" ")
                text.put(self._word)
                text.put(" ")
            write_member(out, self._selects[index], False)
        out.unqualified = unqualified
        return 0


def write_member(out: Renderer, member: SelectBase, bare: bool) -> int:
    """Write a member of a set operation so that its clauses stay its own.

    That is in parentheses, or as a table in FROM where the dialect has none; `bare` leaves the
    parentheses out where they are not needed.
    """
    text = out.text
    if member._is_locked():
        out.need("row locks in UNION")
    parentheses = out.can("parentheses in UNION")
    simple = not member._bounded() and not member._has_with()
    if simple and (bare or not parentheses):
        return member._write_query(out)
    wrapped = not parentheses or (member._has_with() and not out.can("WITH in UNION"))
    if parentheses:
        text.put("(")
    if wrapped:
        text.put("SELECT * FROM (")
    member._write_query(out)
    if wrapped:
        text.put(")")
        if parentheses:
            text.put(" AS ")
            out.name("member")
    if parentheses:
        text.put(")")
    return 0


class NamedQuery(Source):
    """Query with a name, which writes itself in FROM or in WITH."""

    __slots__ = ("_all", "_every", "_kind", "_materialized", "_query", "_shared", "_step", "c")

    _all: "tuple[Column, ...]"
    _every: bool  # whether UNION ALL adds the step
    _kind: int  # 0 in FROM, 1 LATERAL in FROM, 2 in WITH
    _materialized: int  # 0 as the server likes, 1 MATERIALIZED, 2 NOT MATERIALIZED
    _query: SelectBase
    _shared: str  # its name in WITH
    _step: "SelectBase | None"  # the part that reads from the query itself
    c: object  # its columns by name

    def _columns(self) -> "tuple[Column, ...]":
        return self._all

    def _is_recursive(self) -> bool:
        return self._step is not None

    def _is_lateral(self) -> bool:
        return self._kind == 1

    def _write_source(self, out: Renderer) -> int:
        name = self._names[0]
        if self._kind == 2:
            if self._shared not in out.ctes:
                raise ValueError(
                    f"query {self._shared} is not in the WITH of this statement: pass it to "
                    "with_(), or to read it from itself, call its union_all()"
                )
            out.name(self._shared)
            if name == self._shared:
                return 0
        elif self._kind == 1:
            out.need("LATERAL")
            out.text.put("LATERAL ")
            scope = out.scope
            self._write_body(out, None if scope is None else scope[1:])
        else:
            self._write_body(out, None)
        out.text.put(" AS ")
        return out.name(name)

    def _write_definition(self, out: Renderer) -> int:
        name = self._names[0]
        if self._kind != 2:
            raise ValueError(f"query {name} is for FROM; pass cte(...) to with_()")
        if name != self._shared:
            raise ValueError(f"query {name} is an alias: pass {self._shared} itself to with_()")
        out.name(name)
        out.text.put(" AS ")
        if self._materialized:
            out.need("MATERIALIZED")
            out.text.put("NOT MATERIALIZED " if self._materialized == 2 else "MATERIALIZED ")
        return self._write_body(out, None)

    def _write_body(self, out: Renderer, visible: "tuple[str, ...] | None") -> int:
        """Write the query, which may use columns of the tables `visible`."""
        outer, aliases = out.scope, out.aliases
        out.scope = visible
        out.aliases = None
        out.text.put("(")
        if self._step is None:
            self._query._write_query(out)
        else:
            write_member(out, self._query, True)
            out.text.put(" UNION ALL " if self._every else " UNION ")
            ctes = out.ctes
            out.ctes = (*ctes, self._shared)
            write_member(out, self._step, True)
            out.ctes = ctes
        out.text.put(")")
        out.scope = outer
        out.aliases = aliases
        return 0


def output_names(query: SelectBase) -> "tuple[str, ...]":
    """Return the names of those columns of a query that have one."""
    items = query._list_of_first()
    return tuple([item.name for item in items if hasattr(item, "name")])


def new_compound(word: str, selects: "tuple[object, ...]") -> CompoundSelect:
    """Return `selects` combined with the operator `word`."""
    if not selects:
        raise ValueError(f"{word} needs at least one SELECT")
    node = CompoundSelect.__new__(CompoundSelect)
    width = -1
    taken: list[SelectBase] = []
    for item in selects:
        if not isinstance(item, SelectBase):
            raise TypeError(f"selects must be SELECTs or combinations of them, got {shown(item)}")
        select = item
        if isinstance(item, Select):
            _check_order(word, item, len(selects))
        own = select._width()
        if min(own, width) >= 0 and own != width:
            raise ValueError(
                f"SELECTs in {word} must have the same number of columns, got {width} and {own}"
            )
        width = own
        taken.append(select)
    node._word = word
    node._selects = tuple(taken)
    node._by = node._after = None
    node._limit = node._offset = -1
    node._order = node._with = ()
    return node


MAKERS["compound"] = new_compound


def _check_order(word: str, select: Select, count: int) -> int:
    limited = select._limit >= 0 or (
        select._extras is not None and (select._extras.limit is not None or select._extras.on)
    )
    if select._order and not limited and count > 1:
        raise ValueError(f"a SELECT in {word} must have LIMIT if it has ORDER BY")
    return 0


def name_query(
    node: NamedQuery, name: str, query: object, kind: int, materialized: "bool | None"
) -> int:
    """Initialize a source with `query` and its name; see ``NamedQuery`` for `kind`."""
    if not isinstance(query, SelectBase):
        raise TypeError(f"query must be a SELECT or a UNION, got {shown(query)}")
    select = query
    outputs = select._outputs()
    names: list[str] = []
    for column in outputs:
        if not column._bare:
            raise ValueError(f"all columns of query {name} must have names: use alias()")
        if column._bare in names:
            raise ValueError(
                f"query {name} has two columns named {column._bare}: rename one with alias()"
            )
        names.append(column._bare)
    node._names = (name,)
    node._query = select
    node._kind = kind
    node._shared = name
    node._step = None
    node._every = False
    node._materialized = 0 if materialized is None else 1 if materialized else 2
    node._level = select._levels() + 1
    if node._level > MAX_DEPTH:
        raise ValueError(f"queries may nest at most {MAX_DEPTH} levels")
    node._all = tuple([bound(column, name) for column in outputs])
    return 0


def add_step(node: NamedQuery, old: NamedQuery, step: object, every: bool) -> int:
    """Initialize a source as `old`, a common table expression, with a step that reads from it."""
    name = old._names[0]
    if old._kind != 2 or name != old._shared:
        raise ValueError(f"query {name} must be made by cte() to read from itself")
    if old._step is not None:
        raise ValueError(f"query {name} reads from itself already: combine the steps with union()")
    if not isinstance(step, SelectBase):
        raise TypeError(f"step must be a SELECT or a UNION, got {shown(step)}")
    select = step
    width = select._width()
    if width >= 0 and width != len(old._all):
        raise ValueError(
            f"the step of query {name} must have {len(old._all)} columns like its first part, "
            f"got {width}"
        )
    _share(node, old)
    node._names = old._names
    node._step = select
    node._every = every
    node._level = max(old._level, select._levels() + 1)
    node._all = old._all
    return 0


def read_again(node: NamedQuery, old: NamedQuery, name: str) -> int:
    """Initialize a source as `old` under another name."""
    _share(node, old)
    node._names = (name,)
    node._step = old._step
    node._every = old._every
    node._level = old._level
    node._all = tuple([bound(column, name) for column in old._all])
    return 0


def _share(node: NamedQuery, old: NamedQuery) -> int:
    node._query = old._query
    node._kind = old._kind
    node._shared = old._shared
    node._materialized = old._materialized
    return 0
