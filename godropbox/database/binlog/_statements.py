"""What a statement of a binary log changes: tables by name where that is sure, else everything.

There is no SQL parser here. A statement is cut into tokens by the rules of quotes and comments, and
its first words tell what it is. What is not surely understood counts as changing everything, so
that nothing that changed goes untold. No I/O.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

__all__ = ["EVERYTHING", "NOTHING", "Effect", "Quoting", "effect_of"]

Name = tuple["str | None", "str | None"]
"""A database and a table; None stands for any."""


class Effect(NamedTuple):
    """What a statement changes, and whether it may change the columns of these tables."""

    tables: tuple[Name, ...]
    alters: bool = False


class Quoting(NamedTuple):
    """What decides where a quoted text ends: parts of the sql_mode, and the character set."""

    has_ansi_quotes: bool = False
    has_backslashes: bool = True
    is_known: bool = True  # False for a character set in which a byte of a character may be a quote


NOTHING: Final = Effect(())
EVERYTHING: Final = Effect(((None, None),), alters=True)
_USUAL: Final = Quoting()
_ANY_ROWS: Final = Effect(((None, None),))


class _Unsure(Exception):  # noqa: N818  # it says what is so
    """What a statement does cannot be told."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A word in upper case or a mark; `name` is what it is as an identifier."""

    text: str
    name: str | None = None  # None for what is no identifier


_WORD: Final = re.compile(r"[0-9A-Za-z_$\u0080-\U0010ffff]+")
_VERSION: Final = re.compile(r"M?!(\d{5,6})?")
_SPACES: Final = frozenset(" \t\r\n\v\f")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _tokens(text: str, quoting: Quoting, with_versions: bool) -> Iterator[_Token]:
    """Yield the tokens of a statement; `with_versions` those in comments for servers, too."""
    at = 0
    in_version = False
    while at < len(text):
        first = text[at]
        if first in _SPACES:
            at += 1
        elif first == "#" or (text.startswith("--", at) and text[at + 2 : at + 3] <= " "):
            at = _found(text, "\n", at, len(text))
        elif text.startswith("/*", at):
            version = _VERSION.match(text, at + 2)
            if version and with_versions:
                if in_version:
                    raise _Unsure
                in_version, at = True, version.end()
            else:
                at = _found(text, "*/", at + 2)
        elif in_version and text.startswith("*/", at):
            in_version, at = False, at + 2
        elif first == "`" or (first == '"' and quoting.has_ansi_quotes):
            name, at = _identifier(text, at)
            yield _Token("`", name)
        elif first in "'\"":
            at = _text_end(text, at, quoting.has_backslashes)
            yield _Token("'")
        elif word := _WORD.match(text, at):
            at = word.end()
            yield _Token(word[0].upper(), word[0])
        else:
            at += 1
            yield _Token(first)
    if in_version:
        raise _Unsure


def _found(text: str, what: str, at: int, default: int | None = None) -> int:
    """Return the place behind `what`, which has to come."""
    end = text.find(what, at)
    if end >= 0:
        return end + len(what)
    if default is None:
        raise _Unsure
    return default


def _identifier(text: str, at: int) -> tuple[str, int]:
    quote = text[at]
    start = at + 1
    parts = []
    while True:
        end = text.find(quote, start)
        if end < 0:
            raise _Unsure
        parts.append(text[start:end])
        if text[end + 1 : end + 2] != quote:
            return quote.join(parts), end + 1
        start = end + 2


def _text_end(text: str, at: int, has_backslashes: bool) -> int:
    quote = text[at]
    at += 1
    while at < len(text):
        if text[at] == "\\" and has_backslashes:
            at += 2
        elif text[at] != quote:
            at += 1
        elif text[at + 1 : at + 2] == quote:
            at += 2
        else:
            return at + 1
    raise _Unsure


# Statements by their first word: those that change no rows and no columns of a table.
_HARMLESS: Final = _words(
    "ANALYZE BEGIN BINLOG CHANGE CHECK CHECKSUM COMMIT DEALLOCATE FLUSH GRANT INSTALL KILL LOCK "
    "OPTIMIZE PURGE RELEASE RESET REVOKE ROLLBACK SAVEPOINT SHOW START STOP UNINSTALL UNLOCK USE "
    "XA"
)
# What CREATE, ALTER and DROP may be of that has no rows of its own.
_ROWLESS: Final = _words(
    "AGGREGATE EVENT FUNCTION INDEX INSTANCE LIBRARY LOGFILE PACKAGE PROCEDURE RESOURCE ROLE "
    "SEQUENCE SERVER SPATIAL TRIGGER UNDO USER VIEW"
)
_BEFORE_KIND: Final = _words(
    "OR REPLACE UNIQUE FULLTEXT SPATIAL ONLINE OFFLINE IGNORE ALGORITHM = UNDEFINED MERGE "
    "TEMPTABLE COPY INPLACE INSTANT NOCOPY SQL SECURITY INVOKER"
)
_ROWS: Final = _words(
    "CALL DELETE DO EXECUTE HANDLER IMPORT INSERT LOAD REPLACE SELECT SET UPDATE VALUES WITH"
)
_MODIFIERS: Final = _words("LOW_PRIORITY DELAYED HIGH_PRIORITY QUICK IGNORE")

# What may stand before a parenthesis and reads no more than it is given.
_PLAIN_CALLS: Final = _words(
    "ABS ADDDATE ADDTIME AND AS AVG BETWEEN BINARY BY CASE CAST CEIL CEILING CHAR CHAR_LENGTH "
    "COALESCE CONCAT CONCAT_WS CONVERT COUNT CRC32 CURDATE CURRENT_DATE CURRENT_TIME "
    "CURRENT_TIMESTAMP CURTIME DATE DATE_ADD DATE_FORMAT DATE_SUB DATEDIFF DAY DECIMAL DEFAULT "
    "DIV ELSE FIELD FLOOR FORMAT FROM_DAYS FROM_UNIXTIME GREATEST HEX HOUR IF IFNULL IN "
    "INET6_ATON INET_ATON INSERT INTERVAL JSON_ARRAY JSON_EXTRACT JSON_INSERT JSON_MERGE "
    "JSON_MERGE_PATCH JSON_OBJECT JSON_REMOVE JSON_REPLACE JSON_SET JSON_VALUE KEY LAST_INSERT_ID "
    "LCASE LEAST LEFT LENGTH LIMIT LOCALTIME LOCALTIMESTAMP LOWER LPAD LTRIM MAX MD5 MICROSECOND "
    "MIN MINUTE MOD MONTH NOT NOW NULLIF ON OR PARTITION POW POWER REPEAT REPLACE REVERSE RIGHT "
    "ROUND RPAD RTRIM SECOND SET SHA1 SHA2 SIGNED STR_TO_DATE SUBDATE SUBSTR SUBSTRING "
    "SUBSTRING_INDEX SUM THEN TIME TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF TO_DAYS TRIM TRUNCATE "
    "UCASE UNHEX UNIX_TIMESTAMP UNSIGNED UPDATE UPPER USING UTC_DATE UTC_TIME UTC_TIMESTAMP UUID "
    "VALUE VALUES VARCHAR WEEK WHEN WHERE XOR YEAR"
)


class _Reader:
    """Goes over the tokens of a statement from the left."""

    def __init__(self, tokens: list[_Token], database: str) -> None:
        self._tokens = [*tokens, _Token("")]
        self._database = database
        self.at = 0

    @property
    def here(self) -> str:
        """The token that is next, "" at the end."""
        return self._tokens[self.at].text

    def later(self) -> list[str]:
        """Return the texts of the tokens from here on."""
        return [token.text for token in self._tokens[self.at : -1]]

    def next(self) -> str:
        """Take a token."""
        text = self.here
        self.at = min(self.at + 1, len(self._tokens) - 1)
        return text

    def skip(self, *words: str) -> bool:
        """Take these tokens if they come; return whether they did."""
        texts = [token.text for token in self._tokens[self.at : self.at + len(words)]]
        if texts != list(words):
            return False
        self.at += len(words)
        return True

    def skip_any(self, words: frozenset[str]) -> None:
        """Take the tokens that are one of these words."""
        while self.here in words:
            self.next()

    def identifier(self) -> str:
        """Take an identifier."""
        name = self._tokens[self.at].name
        if name is None:
            raise _Unsure
        self.next()
        return name

    def table(self) -> Name:
        """Take the name of a table, with its database or in the statement's own."""
        if self.skip("."):  # as in ODBC's ``.table``
            raise _Unsure
        name = self.identifier()
        if self.skip("."):
            return name, self.identifier()
        if not self._database:
            raise _Unsure
        return self._database, name

    def tables(self) -> tuple[Name, ...]:
        """Take names with commas between."""
        found = [self.table()]
        while self.skip(","):
            found.append(self.table())
        return tuple(found)


def effect_of(
    statement: str, database: str, quoting: Quoting = _USUAL, *, names_all: bool = False
) -> Effect:
    """Return what a statement changes that was run in `database`.

    A statement that changes rows may fire triggers, call functions and cascade along foreign keys,
    of which it says nothing, so that it may change everything. With `names_all` it is taken to
    change only the table that it names; where that is not sure it is everything still.
    """
    if not quoting.is_known:
        return EVERYTHING
    try:
        tokens = list(_tokens(statement, quoting, True))
        effect = _effect(_Reader(tokens, database), names_all)
        plain = list(_tokens(statement, quoting, False))
        if plain != tokens and _effect(_Reader(plain, database), names_all) != effect:
            # Some servers run what is in comments for their versions, and others do not.
            return EVERYTHING if plain else effect
    except _Unsure:
        return EVERYTHING
    return effect


def _effect(reader: _Reader, names_all: bool) -> Effect:
    while reader.skip("("):
        pass
    first = reader.next()
    if first == "SET" and reader.here == "STATEMENT":
        raise _Unsure
    if first == "BEGIN" and reader.here == "NOT":  # NOT ATOMIC: any statements follow
        return EVERYTHING
    if first in ("", "SET") or first in _HARMLESS:
        return NOTHING
    if first in ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "REPAIR"):
        return _definition(first, reader)
    if first in _ROWS:
        return _rows(first, reader) if names_all else _ANY_ROWS
    raise _Unsure


def _definition(first: str, reader: _Reader) -> Effect:
    if first == "TRUNCATE":
        reader.skip("TABLE")
        return Effect((reader.table(),))
    if first == "REPAIR":
        reader.skip_any(frozenset(("NO_WRITE_TO_BINLOG", "LOCAL")))
        if reader.next() not in ("TABLE", "TABLES"):
            return NOTHING  # a view
        return Effect(reader.tables())
    if first == "RENAME":
        if reader.skip("USER"):
            return NOTHING
        return _rename(reader)
    replaces = "REPLACE" in reader.later()[:2]
    reader.skip_any(_BEFORE_KIND)
    if reader.here == "DEFINER":  # only what has no rows has one
        return NOTHING
    kind = reader.next()
    if kind in _ROWLESS:
        return NOTHING
    if kind == "TEMPORARY":
        return NOTHING if reader.here in ("TABLE", "TABLES", "SEQUENCE") else EVERYTHING
    if kind in ("DATABASE", "SCHEMA"):
        return _database(first, replaces, reader)
    if kind not in ("TABLE", "TABLES"):
        return NOTHING if kind == "TABLESPACE" else EVERYTHING
    return {"CREATE": _create, "ALTER": _alter, "DROP": _drop}[first](reader)


def _database(first: str, replaces: bool, reader: _Reader) -> Effect:
    if first == "ALTER" or (first == "CREATE" and not replaces):
        return NOTHING
    reader.skip("IF", "EXISTS")
    reader.skip("IF", "NOT", "EXISTS")
    return Effect(((reader.identifier(), None),), alters=True)


def _rename(reader: _Reader) -> Effect:
    if reader.next() not in ("TABLE", "TABLES"):
        raise _Unsure
    reader.skip("IF", "EXISTS")
    found = []
    while True:
        found.append(reader.table())
        if reader.skip("WAIT"):
            reader.next()
        reader.skip("NOWAIT")
        if not reader.skip("TO"):
            raise _Unsure
        found.append(reader.table())
        if not reader.skip(","):
            return Effect(tuple(found), alters=True)


def _create(reader: _Reader) -> Effect:
    is_kept = reader.skip("IF", "NOT", "EXISTS")
    name = reader.table()
    later = reader.later()
    if is_kept and not {"SELECT", "TABLE", "VALUES", "WITH"}.intersection(later):
        return NOTHING  # a table that was there stays as it is
    return Effect((name,), alters=not is_kept)


def _drop(reader: _Reader) -> Effect:
    reader.skip("IF", "EXISTS")
    return Effect(reader.tables(), alters=True)


def _alter(reader: _Reader) -> Effect:
    reader.skip("IF", "EXISTS")
    found = [reader.table()]
    while reader.here:
        word = reader.next()
        if word == "RENAME" and reader.here not in ("COLUMN", "INDEX", "KEY"):
            reader.skip_any(frozenset(("TO", "AS", "=")))
            found.append(reader.table())
        elif word == "EXCHANGE":
            while reader.here and not reader.skip("WITH", "TABLE"):
                reader.next()
            found.append(reader.table())
        elif word == "CONVERT" and reader.here in ("TABLE", "PARTITION"):
            raise _Unsure  # a table becomes a partition, or a partition a table
        elif word == "UNION":
            raise _Unsure  # a table of the MERGE engine gets others
    return Effect(tuple(found), alters=True)


def _rows(first: str, reader: _Reader) -> Effect:
    """Return what a statement with rows changes if it does nothing but what it says."""
    if first == "LOAD":
        while reader.here and not reader.skip("INTO", "TABLE"):
            reader.next()
        name = reader.table()
    elif first in ("INSERT", "REPLACE"):
        reader.skip_any(_MODIFIERS)
        reader.skip("INTO")
        name = reader.table()
        reader.skip("(")  # which follows the name of no function
    elif first == "UPDATE":
        reader.skip_any(_MODIFIERS)
        name = reader.table()
        reader.skip("AS")
        if reader.here != "SET":
            reader.identifier()  # an alias
        if not reader.skip("SET"):
            raise _Unsure
    elif first == "DELETE":
        reader.skip_any(_MODIFIERS)
        if not reader.skip("FROM"):
            raise _Unsure
        name = reader.table()
        if reader.here not in ("", "WHERE", "ORDER", "LIMIT", "RETURNING"):
            raise _Unsure
    else:
        raise _Unsure
    later = reader.later()
    for word, after in pairwise(later):
        if after == "(" and (word == "`" or (_WORD.fullmatch(word) and word not in _PLAIN_CALLS)):
            raise _Unsure  # a function, which may do anything
    return Effect((name,))
