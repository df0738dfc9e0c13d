"""UNION, and named queries for FROM and WITH."""

from . import _grammar
from ._clauses import Ordering, ordered, unordered, write_limit, write_list
from ._columns import Column, bound
from ._groups import scalar_node
from ._names import check_count, shown
from ._nodes import Expression
from ._render import Renderer
from ._selects import Select, Source, named, output_names, write_with
from ._statement import Query

__all__ = ["NamedQuery", "Union", "name_query", "new_union"]

SQLITE = _grammar.SQLITE
MAX_DEPTH = _grammar.MAX_DEPTH


class Union(Query):
    """UNION of SELECTs, made by ``union`` and ``union_all``."""

    __slots__ = ("_all", "_limit", "_offset", "_order", "_selects", "_with")

    _all: bool
    _limit: int
    _offset: int
    _order: "tuple[object, ...]"
    _selects: "tuple[Select, ...]"
    _with: "tuple[Source, ...]"

    def _copy(self) -> "Union":
        node = Union.__new__(Union)
        node._all = self._all
        node._limit = self._limit
        node._offset = self._offset
        node._order = self._order
        node._selects = self._selects
        node._with = self._with
        return node

    def order_by(self, *terms: "Expression | Ordering") -> "Union":
        """Return the statement with its ORDER BY replaced by `terms`.

        They are columns and aliases of the first SELECT, written without their table, which SQL
        does not know outside its SELECT.
        """
        node = self._copy()
        node._order = ordered(terms)
        known = output_names(self._selects[0])
        for term in unordered(terms):
            if not hasattr(term, "name") or term.name not in known:
                raise ValueError(
                    f"a UNION is ordered by columns of its first SELECT, {', '.join(known)}, "
                    f"got {shown(term)}"
                )
        return node

    def with_(self, *queries: Source) -> "Union":
        """Return the statement with `queries`, made by ``cte``, added to its WITH."""
        node = self._copy()
        node._with = self._with + named(queries)
        return node

    def scalar(self) -> Expression:
        """Return the query, which has one column and at most one row, as a value."""
        return scalar_node(self)

    def limit(self, count: int) -> "Union":
        """Return the statement with LIMIT `count`, an int in [0, 2**63)."""
        node = self._copy()
        node._limit = check_count("limit", count)
        return node

    def offset(self, count: int) -> "Union":
        """Return the statement with OFFSET `count`, an int in [0, 2**63)."""
        node = self._copy()
        node._offset = check_count("offset", count)
        return node

    def _width(self) -> int:
        first = self._selects[0]
        return first._width()

    def _levels(self) -> int:
        deepest = 0
        for index in range(len(self._selects)):
            select = self._selects[index]
            deepest = max(deepest, select._levels())
        return deepest + 1

    def _write_statement(self, out: Renderer) -> int:
        return self._write_query(out)

    def _write_query(self, out: Renderer) -> int:
        text = out.text
        ctes = out.ctes
        if self._with:
            write_with(out, self._with)
        self._write_members(out)
        if self._order:
            text.put(" ORDER BY ")
            outer = out.scope
            out.scope = None
            out.unqualified = True
            first = self._selects[0]
            out.aliases = first._list
            write_list(out, self._order)
            out.scope = outer
            out.unqualified = False
            out.aliases = None
        if self._limit >= 0 or self._offset >= 0:
            write_limit(out, self._limit, self._offset)
        out.ctes = ctes
        return 0

    def _write_members(self, out: Renderer) -> int:
        text = out.text
        bounded = self._order or self._limit >= 0 or self._offset >= 0
        if len(self._selects) == 1 and not bounded:
            only = self._selects[0]
            return only._write_query(out)
        for index in range(len(self._selects)):
            if index:
                text.put(" UNION ALL " if self._all else " UNION ")
            select = self._selects[index]
            if out.dialect != SQLITE:
                text.put("(")
                select._write_query(out)
                text.put(")")
            elif select._bounded():
                text.put("SELECT * FROM (")
                select._write_query(out)
                text.put(")")
            else:
                select._write_query(out)
        return 0


class NamedQuery(Source):
    """Query with a name, which writes itself in FROM or in WITH."""

    __slots__ = ("_all", "_query", "_shared")

    _all: "tuple[Column, ...]"
    _query: Query
    _shared: bool

    def _columns(self) -> "tuple[Column, ...]":
        return self._all

    def _write_source(self, out: Renderer) -> int:
        name = self._names[0]
        if self._shared:
            if name not in out.ctes:
                raise ValueError(f"query {name} is not in the WITH of this statement")
            return out.name(name)
        self._write_body(out)
        out.text.put(" AS ")
        return out.name(name)

    def _write_definition(self, out: Renderer) -> int:
        if not self._shared:
            raise ValueError(f"query {self._names[0]} is for FROM; pass cte(...) to with_()")
        out.name(self._names[0])
        out.text.put(" AS ")
        return self._write_body(out)

    def _write_body(self, out: Renderer) -> int:
        outer = out.scope
        out.scope = None
        out.text.put("(")
        self._query._write_query(out)
        out.text.put(")")
        out.scope = outer
        return 0


def new_union(selects: "tuple[object, ...]", every: bool) -> Union:
    """Return the UNION of `selects`, or with `every` the UNION ALL."""
    if not selects:
        raise ValueError("UNION needs at least one SELECT")
    node = Union.__new__(Union)
    width = -1
    taken: list[Select] = []
    for item in selects:
        if not isinstance(item, Select):
            raise TypeError(f"selects must be SELECTs, got {shown(item)}")
        select = item
        if select._order and select._limit < 0 and len(selects) > 1:
            raise ValueError("a SELECT in a UNION must have LIMIT if it has ORDER BY")
        own = select._width()
        if min(own, width) >= 0 and own != width:
            raise ValueError(
                f"SELECTs in a UNION must have the same number of columns, got {width} and {own}"
            )
        width = own
        taken.append(select)
    node._selects = tuple(taken)
    node._all = every
    node._limit = node._offset = -1
    node._order = node._with = ()
    return node


def name_query(node: NamedQuery, name: str, query: object, shared: bool) -> int:
    """Initialize a source with `query` and its name, for WITH if `shared`, else for FROM."""
    if isinstance(query, Select):
        select = query
    elif isinstance(query, Union):
        union = query
        select = union._selects[0]
    else:
        raise TypeError(f"query must be a SELECT or a UNION, got {shown(query)}")
    names = output_names(select)
    if len(names) < len(select._list):
        raise ValueError(f"all columns of query {name} must have names: use alias()")
    node._names = (name,)
    node._query = query
    node._shared = shared
    node._level = node._query._levels() + 1
    if node._level > MAX_DEPTH:
        raise ValueError(f"queries may nest at most {MAX_DEPTH} levels")
    node._all = tuple([bound(Column(known), name) for known in names])
    return 0
