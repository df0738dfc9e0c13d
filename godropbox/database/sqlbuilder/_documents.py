"""Forms of JSON documents: ``doc["a"][0]``, its text, and what a document contains."""

from . import _grammar
from ._base import Node, write_operand
from ._forms import Form, Template, template_of
from ._names import shown
from ._render import Renderer
from .dialects import unsupported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = [
    "JSON_CONTAINS",
    "JSON_DOCUMENT",
    "JSON_EQUAL",
    "JSON_GET",
    "JSON_PLAIN",
    "JSON_TEXT",
    "document",
    "step",
    "text_of",
]

# Compiled, these are C variables.
NOT = _grammar.NOT
COMPARE = _grammar.COMPARE
ODD_VALUE = _grammar.ODD_VALUE
BITS = _grammar.BITS
UNARY = _grammar.UNARY
ATOM = _grammar.ATOM
VALUE = _grammar.VALUE
PREDICATE = _grammar.PREDICATE
TEXT = _grammar.TEXT
JSON = _grammar.JSON


class Path(Form):
    """What a document has under some keys; the detail is the keys, text and positions from 0.

    `key` is the name in ``Dialect.templates`` of the last step. A template with a path has the
    document and the path in turn, once or more.
    """

    __slots__ = ("key",)

    key: str

    def __init__(self, name: str, key: str, family: int) -> None:
        # A part of a document is compared with documents, so it is no plain value.
        Form.__init__(self, name, BITS, ODD_VALUE if family == JSON else VALUE, family)
        self.key = key

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write one step with a path, or a step for each key in a dialect without paths."""
        keys: tuple[str | int, ...] = detail  # type: ignore[assignment]  # see check_key
        path = out.dialect.json_path(keys)
        template = self._template(out)
        if path is None:
            write_operand(out, items[0], UNARY)
            last = len(keys) - 1
            for index in range(len(keys)):
                step = template if index == last else template_of(out, "JSON ->")
                out.text.put(step.split("{}")[1])
                key = keys[index]
                if isinstance(key, int):
                    out.text.put(str(key))  # a parameter would be taken for text
                else:
                    out.literal(key)
            return 0
        pieces = template.split("{}")
        out.text.put(pieces[0])
        for index in range(1, len(pieces)):
            if index % 2:
                # Before a comma or a parenthesis, a document needs no parentheses.
                write_operand(out, items[0], 0 if pieces[index][0] in ",)" else UNARY)
            else:
                out.literal(path)
            out.text.put(pieces[index])
        return 0

    def _template(self, out: Renderer) -> str:
        """Return the dialect's template, that of ``->>`` if the text has none of its own."""
        template: str | None = out.dialect.templates.get(self.key)
        if template is None and self.key == "JSON text":
            return template_of(out, "JSON ->>")
        return template_of(out, self.key) if template is None else template

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        if not self._template(out).startswith("{}"):
            return ATOM
        levels: dict[str, int] = out.dialect.levels
        return levels.get("JSON ->", BITS)


class Document(Form):
    """A document to compare with: the text of JSON, as the database's own JSON."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the cast, or raise where documents are text."""
        return _write_document(out, items[0])


class Equality(Form):
    """``a = b`` of documents, or the dialect's template for it; the detail is ``=`` or ``!=``."""

    __slots__ = ()

    def write(self, out: Renderer, items: "tuple[object, ...]", detail: object) -> int:
        """Write the operator between documents, or the template and its opposite."""
        template: str | None = out.dialect.templates.get("JSON =")
        if template is None:
            write_operand(out, items[0], COMPARE + 1)
            out.text.put(out.operator(str(detail)))
            return _write_document(out, items[1])
        before, between, after = template.split("{}")
        if detail == "!=":
            out.text.put("NOT (")
        out.text.put(before)
        write_operand(out, items[0], 0)
        out.text.put(between)
        write_operand(out, items[1], 0)
        out.text.put(after)
        if detail == "!=":
            out.text.put(")")
        return 0

    def level(self, out: Renderer) -> int:
        """Return the precedence in the dialect."""
        return NOT if "JSON =" in out.dialect.templates else COMPARE


JSON_GET: "Final" = Path("JSON_GET", "JSON ->", JSON)
JSON_TEXT: "Final" = Path("JSON_TEXT", "JSON text", TEXT)
JSON_PLAIN: "Final" = Path("JSON_PLAIN", "JSON ->>", 0)  # for a cast
JSON_DOCUMENT: "Final" = Document("JSON_DOCUMENT", ATOM, VALUE, JSON)
JSON_EQUAL: "Final" = Equality("JSON_EQUAL", NOT, PREDICATE)
JSON_CONTAINS: "Final" = Template("JSON_CONTAINS", "JSON @>", BITS, PREDICATE)


def _write_document(out: Renderer, text: object) -> int:
    kind: str | None = out.dialect.types.get("json")
    if kind is None:
        raise unsupported(
            out.dialect,
            "comparison of JSON",
            f"{out.dialect.title} has no comparison of JSON: compare what as_text(), as_integer() "
            "or as_float() of a part returns",
        )
    out.text.put("CAST(")
    write_operand(out, text, 0)
    out.text.put(f" AS {kind})")
    return 0


def step(base: Node, key: object) -> "tuple[tuple[object, ...], tuple[object, ...]]":
    """Return the operands and the keys of ``base[key]``."""
    taken = _checked_key(key)
    parts = base._parts()
    if parts is not None and parts[0] is JSON_GET:
        known: tuple[object, ...] = parts[2]  # type: ignore[assignment]  # its keys
        return parts[1], (*known, taken)
    return (base,), (taken,)


def text_of(part: Node) -> "tuple[tuple[object, ...], object]":
    """Return the operands and the keys of a part of a document, whose text is wanted."""
    parts = part._parts()
    if parts is None or parts[0] is not JSON_GET:
        raise TypeError(f'only a part of JSON has a text: doc["key"].as_text(), got {shown(part)}')
    return parts[1], parts[2]


def _checked_key(key: object) -> "str | int":
    """Return `key` if it can be a step into a document: text, or a position from 0."""
    if isinstance(key, bool) or not isinstance(key, (str, int)):
        raise TypeError(
            f"a key of JSON must be a str or an int, got {shown(key)} ({type(key).__name__}); "
            "only an array takes slices and expressions"
        )
    if isinstance(key, str):
        return str.__str__(key)  # a subclass may override __str__
    key = int.__add__(key, 0)
    if not 0 <= key < 1 << 31:
        raise ValueError(f"a position in JSON must be in [0, 2**31), got {key}")
    return key


def document(value: object) -> object:
    """Return an expression unchanged and any other value as the text of its JSON."""
    if isinstance(value, Node):
        return value
    from json import dumps  # slow to import, so only here

    try:
        return dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"value must have a JSON form, got {shown(value)}: {error}") from None
