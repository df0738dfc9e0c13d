"""A reader of SQL literals, written from the servers' manuals and from nothing of ours.

``read_literal`` takes a text that must be exactly one literal and returns what the server would
hold for it. It knows the lexical rules of MySQL 8.0 (Reference Manual, 9.1.1 to 9.1.7), of
PostgreSQL 15 (Documentation, 4.1.2) and of SQLite ("SQL Language Expressions", 3).
"""

import re
from decimal import Decimal

from godropbox.database.sqltypes import SqlMode

__all__ = ["NotOneLiteralError", "read_literal"]


class NotOneLiteralError(Exception):
    """The text is not one literal of the dialect: it ends early, goes on, or is none."""


# MySQL: "a ' inside a string quoted with ' may be written as ''"; each of the sequences of the
# table of escapes "begins with a backslash", and "for all other escape sequences, backslash is
# ignored". A quote that is not followed by another one ends the string.
_MYSQL = re.compile(r"'((?:[^'\\]|''|\\.)*)'(?!')", re.DOTALL)
_MYSQL_UNIT = re.compile(r"''|\\(.)", re.DOTALL)
_MYSQL_ESCAPES = {
    "0": "\0",
    "b": "\b",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "Z": "\x1a",
    # "they evaluate to the strings \% and \_" outside of patterns, and inside they are escapes
    # of LIKE itself, which the same two characters make.
    "%": "\\%",
    "_": "\\_",
}

# With NO_BACKSLASH_ESCAPES a backslash is "an ordinary character like any other"; SQLite and
# PostgreSQL with standard_conforming_strings have no other rule.
_PLAIN = re.compile(r"'((?:[^']|'')*)'(?!')")

# PostgreSQL's E'...': a backslash begins an escape, here all those of the documentation's table.
_ESCAPE_STRING = re.compile(r"[eE]'((?:[^'\\]|''|\\.)*)'(?!')", re.DOTALL)
_ESCAPE_UNIT = re.compile(
    r"''|\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL
)
_ESCAPE_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_HEXADECIMAL = re.compile(r"[xX]'((?:[0-9A-Fa-f]{2})*)'(?!')")
# Without a sign: in all three dialects the minus is an operator, one token of its own.
_NUMBER = re.compile(r"-?((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)")
_BYTEA = "::bytea"
# PostgreSQL's 'string'::type, of the types whose values the lexer leaves as their text.
_CAST = re.compile(r"('[^']*')::(?:date|interval|time|timestamp)")


def _mysql_unit(found: "re.Match[str]") -> str:
    char = found[1]
    return "'" if char is None else _MYSQL_ESCAPES.get(char, char)


def _escape_unit(found: "re.Match[str]") -> str:
    octal, byte, short, long, char = found.groups()
    if octal is not None:
        return chr(int(octal, 8))
    code = byte or short or long
    if code is not None:
        return chr(int(code, 16))
    return "'" if char is None else _ESCAPE_LETTERS.get(char, char)


def _whole(pattern: "re.Pattern[str]", text: str) -> "re.Match[str]":
    found = pattern.match(text)
    if found is None or found.end() != len(text):
        raise NotOneLiteralError(text)
    return found


def _bytea(text: str) -> bytes:
    if re.fullmatch(r"\\x(?:[0-9A-Fa-f]{2})*", text) is None:
        raise NotOneLiteralError(text)
    return bytes.fromhex(text[2:])


def _string(text: str, mode: SqlMode) -> str:
    if mode.dialect != "mysql" and "\0" in text:
        raise NotOneLiteralError(text)  # SQLite ends the statement there, PostgreSQL refuses it
    if mode.dialect == "postgresql" and text[:1] in ("e", "E"):
        return _ESCAPE_UNIT.sub(_escape_unit, _whole(_ESCAPE_STRING, text)[1])
    if mode.backslash_escapes:
        return _MYSQL_UNIT.sub(_mysql_unit, _whole(_MYSQL, text)[1])
    return _whole(_PLAIN, text)[1].replace("''", "'")


def read_literal(text: str, mode: SqlMode) -> str | bytes | Decimal | bool | None:
    """Return what a server in `mode` makes of `text`; numbers come back as Decimals.

    Raises ``NotOneLiteralError`` unless the text is one literal from its first character to its
    last.
    """
    word = text.upper()
    if word == "NULL":
        return None
    if mode.dialect == "postgresql":
        if word in ("TRUE", "FALSE"):
            return word == "TRUE"
        if text.endswith(_BYTEA):
            return _bytea(_string(text.removesuffix(_BYTEA), mode))
        typed = _CAST.fullmatch(text)
        if typed is not None:
            return _string(typed[1], mode)
    elif text[:1] in ("x", "X"):
        return bytes.fromhex(_whole(_HEXADECIMAL, text)[1])
    if text[:1] in ("'", "e", "E"):
        return _string(text, mode)
    return Decimal(_whole(_NUMBER, text)[0])
