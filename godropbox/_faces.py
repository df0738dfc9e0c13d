"""What the back ends of frameworks share: options by their names, and keys of any text. No I/O."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from ._kernels._args import shown
from .memcache.address import Credentials
from .memcache.errors import InvalidArgumentError, InvalidTypeError
from .memcache.hints import meant
from .memcache.options import ClientOptions

__all__ = ["chosen", "key_namer", "mistaken", "server_list"]

_Options = TypeVar("_Options", bound=ClientOptions)

_MAX_KEY: Final = 250
_HASHED_SIZE: Final = 71  # "sha256:" and 64 hexadecimal digits
_SERVERS: Final = ("127.0.0.1:11211",)


def mistaken(name: str, known: Collection[str], where: str) -> str | None:
    """Return what to say of a name that is none of the `known`, None if it is like none of them.

    `where` says whose options these are.
    """
    hint = meant(name, known)
    return f"{where} has no option {name!r}: {hint}" if hint else None


def chosen(
    base: _Options, named: Mapping[str, Any], where: str, others: Collection[str] = ()
) -> _Options:
    """Return the options `base` with those that are `named`.

    `username` and `password` mean SASL over the binary protocol, as pylibmc and bmemcached mean
    them; with ``protocol="meta"`` or ``"ascii"`` they are those of memcached's ``--auth-file``.
    `where` says in errors whose options these are, and `others` are further names that it takes.
    An unknown name raises ``InvalidArgumentError``, with the name it is most like.
    """
    known = {field.name for field in fields(base)}
    given = dict(named)
    user, password = given.pop("username", None), given.pop("password", None)
    for name in given:
        if name not in known:
            text = mistaken(name, {*known, *others, "username", "password"}, where)
            raise InvalidArgumentError(text or f"{where} has no option {name!r}")
    if user is not None or password is not None:
        for name, value in (("username", user), ("password", password)):
            if not isinstance(value, str):
                raise InvalidTypeError(f"{name} must be a str, got {shown(value)}")
        protocol = given.setdefault("protocol", "binary")
        mechanism = "sasl" if protocol == "binary" else "ascii"
        given["auth"] = Credentials(str(user), str(password), mechanism)
    return replace(base, **given)


def server_list(servers: Any) -> list[str]:
    """Return addresses that are given as one, as many, or not at all, as a list."""
    if isinstance(servers, str):
        return [servers]
    return list(servers or _SERVERS)


def key_namer(options: ClientOptions) -> Callable[[str], str]:
    """Return a function that makes a key for memcached of any text.

    A text that is one already stays as it is, so that other libraries find its entry. Another, and
    one that begins with ``sha256:``, becomes ``sha256:`` and the hexadecimal SHA-256 of its UTF-8,
    as with ``long_keys="hash"``. A prefix that leaves no room for that raises
    ``InvalidArgumentError``.
    """
    room = _MAX_KEY - options.prefix_size
    if room < _HASHED_SIZE:
        raise InvalidArgumentError(
            f"prefix must be at most {_MAX_KEY - _HASHED_SIZE} bytes, got {options.prefix_size}"
        )
    is_plain = re.compile(rf"(?!sha256:)[!-~]{{1,{room}}}").fullmatch
    is_sendable = re.compile(r"(?!sha256:)[^\x00-\x20\x7f]+").fullmatch

    def named(key: str) -> str:
        try:
            if is_plain(key):
                return key
        except TypeError:  # the client says what is wrong
            return key
        raw = key.encode("utf-8", "surrogatepass")
        if len(raw) <= room and is_sendable(key) and raw.decode("utf-8", "ignore") == key:
            return key
        from hashlib import sha256  # it loads OpenSSL

        return f"sha256:{sha256(raw).hexdigest()}"

    return named
