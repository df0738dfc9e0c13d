"""Forms: how the rarer expressions are written, and the precedence that they have in a dialect.

An expression of a form holds its operands and a detail, and the form does the rest; see
``_nodes.Applied``. Forms know nodes only as operands, so that the methods of expressions can use
them. ``_documents`` and ``_arrays`` have those of documents and of arrays.
"""

from . import _grammar
from ._base import Node, always_null, family_of, never_true, nulls_of, operand, write_operand
from ._names import shown
from ._render import Renderer
from ._statement import Query
from .dialects import unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "BIT_NOT",
    "CAST",
    "COLLATE",
    "CONCAT",
    "DISTINCT",
    "ESCAPED",
    "EXTRACT",
    "ILIKE",
    "NEGATIVE",
    "QUANTIFIED",
    "TRUTH",
    "Form",
    "Template",
    "bit_inverted",
    "check_collation",
    "check_type",
    "concatenated",
    "escaped",
    "negated",
    "pattern",
    "refuse_text",
    "truth_words",
    "words_for_extract",
]

# Compiled, these are C variables.
LOOSE = _grammar.LOOSE
NOT = _grammar.NOT
COMPARE = _grammar.COMPARE
BITS = _grammar.BITS
UNARY = _grammar.UNARY
ATOM = _grammar.ATOM
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
NULL = _grammar.NULL
TEXT = _grammar.TEXT

# The names that a dialect's ``types`` translate. Any other type is written as it is named.
_PORTABLE: "Final" = frozenset(
    {
        "bytes",
        "boolean",
        "date",
        "datetime",
        "decimal",
        "double",
        "integer",
        "json",
        "text",
        "time",
        "timestamptz",
        "unsigned",
        "uuid",
    }
)
_TYPE: "Final" = (
    r"[A-Za-z_][A-Za-z0-9_]*(?: [A-Za-z_][A-Za-z0-9_]*)*"
    r"(?: ?\([0-9]{1,5}(?:, ?[0-9]{1,5})?\))?(?: [A-Za-z_][A-Za-z0-9_]*)*(?:\[\])*"
)
_FIELDS: "Final" = (
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "microsecond",
    "dow",
    "isodow",
    "doy",
    "epoch",
)
_COLLATION: "Final" = r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}"


# The forms by their names, complete once the package is imported.
_FORMS: "Final[dict[str, Form]]" = {}


class Form:
    """One way to write an expression, with a `name` that no other has.

    `prec` is the lowest precedence that the form has in any dialect.
    """

    __slots__ = ("family", "kind", "name", "prec")

    family: int
    kind: int
    name: str
    prec: int

    def __init__(self, name: str, prec: int, kind: int = VALUE, family: int = 0) -> None:
        self.name = name
        self.prec = prec
        self.kind = kind
        self.family = family
        _FORMS[name] = self

    def __reduce__(self) -> "tuple[object, ...]":
        return form_named, (self.name,)  # there is one form of a name

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the expression of `items`, its operands, and `detail`."""
        raise TypeError(f"{type(self).__name__} is abstract")

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        return self.prec

    def nulls(self, items: "tuple[object, ...]") -> int:
        """Return the NULL bits of the expression."""
        return 0


class Prefix(Form):
    """An operator before its operand; the detail is the symbol."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the symbol and the operand, so that no minus follows another character."""
        out.text.put(str(detail))
        item = items[0]
        if isinstance(item, Node):
            node = item
            if not node._is_value():
                return write_operand(out, node, ATOM)
        # A value may be negative, -- opens a comment, and ~- is another operator in PostgreSQL.
        out.text.put("(")
        write_operand(out, item, 0)
        out.text.put(")")
        return 0

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        levels: dict[str, int] = out.dialect.levels
        return levels.get(self.name, UNARY)


class Concat(Form):
    """Text made of texts: ``a || b``, or ``CONCAT(a,b)``."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the operator or the function."""
        operator = out.can("||")
        if not operator:
            out.text.put("CONCAT(")
        for index in range(len(items)):
            if index:
                out.text.put(" || " if operator else ",")
            write_operand(out, items[index], UNARY if operator else 0)
        if not operator:
            out.text.put(")")
        return 0

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        if not out.can("||"):
            return ATOM
        levels: dict[str, int] = out.dialect.levels
        return levels.get("||", BITS)


class Collate(Form):
    """``text COLLATE name``; the detail is the name."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the text and the collation, quoted."""
        write_operand(out, items[0], ATOM)
        out.text.put(" COLLATE ")
        return out.name(str(detail))


class Truth(Form):
    """``condition IS TRUE`` and its like; the detail is what follows the condition."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the condition and the words after it."""
        write_operand(out, items[0], COMPARE + 1)
        out.text.put(str(detail))
        return 0


class Distinct(Form):
    """``a IS DISTINCT FROM b``, or ``NOT (a <=> b)``."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the operator, or the opposite one in NOT."""
        native = out.can("IS DISTINCT FROM")
        if not native:
            out.text.put("NOT (")
        write_operand(out, items[0], COMPARE + 1)
        out.text.put(out.operator(" IS DISTINCT FROM " if native else " <=> "))
        write_operand(out, items[1], COMPARE + 1)
        if not native:
            out.text.put(")")
        return 0

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        return COMPARE if out.can("IS DISTINCT FROM") else NOT


class Ilike(Form):
    """``text ILIKE pattern``; the detail is the operator."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the text, the operator and the pattern."""
        out.need("ILIKE")
        write_operand(out, items[0], COMPARE + 1)
        out.text.put(str(detail))
        write_operand(out, items[1], COMPARE + 1)
        if out.like_escape:
            out.text.put(" ESCAPE '\\'")
        return 0


class Quantified(Form):
    """``left = ANY (query or array)``; the detail is the comparison and ANY or ALL."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the comparison with a query or an array."""
        out.need("ANY and ALL")
        symbol, word = str(detail).rsplit(" ", 1)
        write_operand(out, items[0], COMPARE + 1)
        out.text.put(out.operator(symbol))
        out.text.put(f"{word} (")
        of = items[1]
        if isinstance(of, Query):
            query = of
            query._write_query(out)
        else:
            out.need("arrays")
            write_operand(out, of, 0)
        out.text.put(")")
        return 0


class Escaped(Form):
    """Text with a backslash before each character that LIKE treats specially."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the calls of REPLACE, the one for the backslash innermost."""
        out.text.put("REPLACE(REPLACE(REPLACE(")
        write_operand(out, items[0], 0)
        for special in ("\\", "%", "_"):
            out.text.put(",")
            out.constant(special)
            out.text.put(",")
            out.constant("\\" + special)
            out.text.put(")")
        return 0


class Cast(Form):
    """``CAST(value AS type)``; the detail is the type, see ``check_type``."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the cast with the dialect's name of the type."""
        out.text.put("CAST(")
        write_operand(out, items[0], 0)
        out.text.put(" AS ")
        out.text.put(type_text(out, str(detail)))
        out.text.put(")")
        return 0

    def nulls(self, items: "tuple[object, ...]") -> int:
        """Return the NULL bits of the value."""
        return nulls_of(items[0])


class Template(Form):
    """An expression that a dialect's ``templates`` writes, or lacks; `key` is its name there.

    A template that starts with an operand is an operator, any other is a call.
    """

    __slots__ = ("key",)

    key: str

    def __init__(
        self, name: str, key: str, prec: int = ATOM, kind: int = VALUE, family: int = 0
    ) -> None:
        Form.__init__(self, name, prec, kind, family)
        self.key = key

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the template of `key`, or of `detail` if that is given, around the operands."""
        template = template_of(out, self.key if detail is None else str(detail))
        least = UNARY if template.startswith("{}") else 0
        pieces = template.split("{}")
        out.text.put(out.written(pieces[0]))
        for index in range(len(items)):
            write_operand(out, items[index], least)
            out.text.put(out.written(pieces[index + 1]))
        return 0

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        if not self.key or not template_of(out, self.key).startswith("{}"):
            return ATOM
        levels: dict[str, int] = out.dialect.levels
        return levels.get(self.key, self.prec)


NEGATIVE: "Final" = Prefix("NEGATIVE", UNARY)
BIT_NOT: "Final" = Prefix("BIT_NOT", COMPARE)
CONCAT: "Final" = Concat("CONCAT", BITS, VALUE, TEXT)
COLLATE: "Final" = Collate("COLLATE", UNARY, VALUE, TEXT)
TRUTH: "Final" = Truth("TRUTH", COMPARE, PREDICATE)
DISTINCT: "Final" = Distinct("DISTINCT", NOT, PREDICATE)
ILIKE: "Final" = Ilike("ILIKE", COMPARE, PREDICATE)
QUANTIFIED: "Final" = Quantified("QUANTIFIED", COMPARE, PREDICATE)
ESCAPED: "Final" = Escaped("ESCAPED", ATOM, VALUE, TEXT)
CAST: "Final" = Cast("CAST", ATOM)
EXTRACT: "Final" = Template("EXTRACT", "")


def form_named(name: str) -> Form:
    """Return the form of a name, for pickles."""
    return _FORMS[name]


def template_of(out: Renderer, key: str) -> str:
    """Return the dialect's template, or raise ``UnsupportedFeature``."""
    template: str | None = out.dialect.templates.get(key)
    if template is None:
        raise unsupported(out.dialect, key)
    return template


def type_text(out: Renderer, kind: str) -> str:
    """Return the dialect's name for a type of CAST, or raise ``UnsupportedFeature``."""
    if kind in _PORTABLE:
        name: str | None = out.dialect.types.get(kind)
    else:
        words = out.dialect.cast_words
        known = words is None or kind.upper().replace("(", " ").split(" ", 1)[0] in words
        name = kind if known else None
    if name is None:
        raise unsupported(out.dialect, f"CAST to {kind}")
    return name


def _matches(pattern: str, text: str) -> bool:
    import re  # slow to import, so only here

    return re.fullmatch(pattern, text) is not None


def check_type(kind: object) -> str:
    """Return `kind` if it is the name of a type, or raise an error that says how one looks."""
    if not isinstance(kind, str):
        raise TypeError(f"kind must be a str, got {shown(kind)} ({type(kind).__name__})")
    kind = str.__str__(kind)  # a subclass may override __str__
    if len(kind) > 100 or not _matches(_TYPE, kind):
        raise ValueError(
            f"kind must be one of {', '.join(sorted(_PORTABLE))}, or a type of the server such as "
            f"DECIMAL(10,2), VARCHAR(20) or TIMESTAMP WITH TIME ZONE, got {shown(kind)}"
        )
    return kind


def check_collation(name: object) -> str:
    """Return `name` if it is the name of a collation, or raise."""
    if not isinstance(name, str):
        raise TypeError(f"collation must be a str, got {shown(name)} ({type(name).__name__})")
    name = str.__str__(name)  # a subclass may override __str__
    if not _matches(_COLLATION, name):
        raise ValueError(
            "collation must be at most 63 ASCII letters, digits and '_.@-', not starting with a "
            f"digit, got {shown(name)}"
        )
    return name


def negated(value: object) -> "tuple[object, ...]":
    """Return the operand of a unary minus, or raise."""
    if nulls_of(operand(value)) == NULL:
        raise always_null("-")
    return (value,)


def bit_inverted(value: object) -> "tuple[object, ...]":
    """Return the operand of a bitwise NOT, or raise."""
    if nulls_of(operand(value)) == NULL:
        raise always_null("~")
    if family_of(value):
        raise TypeError(f"the operand of ~ must be an integer or a condition, got {shown(value)}")
    return (value,)


def concatenated(items: "tuple[object, ...]") -> "tuple[object, ...]":
    """Return the operands of a concatenation, those of inner ones included, or raise."""
    flat: list[object] = []
    for item in items:
        if nulls_of(operand(item)) == NULL:
            raise always_null("||")
        parts = None
        if isinstance(item, Node):
            node = item
            parts = node._parts()
        if parts is not None and parts[0] is CONCAT:
            flat.extend(parts[1])
        else:
            flat.append(item)
    if len(flat) < 2:
        raise ValueError(f"concat() needs at least two operands, got {len(flat)}")
    return tuple(flat)


def refuse_text(left: Node, right: object) -> int:
    """Raise for a sum of texts, which is no text in SQL."""
    if isinstance(right, str) or (left._family() == TEXT and family_of(right) == TEXT):
        raise TypeError(
            f"+ adds numbers in SQL, got {shown(right)}: write a.concat(b) for text, which is "
            'a || b or CONCAT(a,b), or a.op("+")(b) if you mean +'
        )
    return 0


def pattern(text: object) -> "str | None":
    """Return the text in which no character is a wildcard, or None for an expression's."""
    if isinstance(text, str):
        return escaped(text)
    if not isinstance(text, Node):
        raise TypeError(
            f"text must be a str or an expression, got {shown(text)} ({type(text).__name__})"
        )
    node = text
    if node._nulls():
        raise never_true("LIKE with", node._nulls())
    return None


def escaped(text: str) -> str:
    r"""Return `text` with a backslash before each ``\``, ``%`` and ``_``."""
    text = str.__str__(text)  # a subclass may override __str__
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def truth_words(value: object, words: str) -> str:
    """Return ``IS TRUE`` or its like, or raise for a value that is not a bool."""
    if value is not True and value is not False:
        raise TypeError(
            f"value must be None, True or False, got {shown(value)}: compare with == or with "
            "is_not_distinct_from()"
        )
    return words + ("TRUE" if value else "FALSE")


def words_for_extract(field: object) -> str:
    """Return the name of the dialects' template for a field of a time."""
    if not isinstance(field, str) or field.lower() not in _FIELDS:
        raise ValueError(f"field must be one of {', '.join(_FIELDS)}, got {shown(field)}")
    return f"EXTRACT {field.lower()}"
