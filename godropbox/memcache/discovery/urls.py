"""Sources by URL: ``source("dns://cache.prod.svc:11211")``."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote

from ..._kernels._args import shown
from ..address import DEFAULT_PORT
from ..errors import InvalidArgumentError, InvalidTypeError
from ..hints import closest
from .types import Source

if TYPE_CHECKING:
    import ssl  # loaded by those who make a context

__all__ = ["SCHEMES", "source"]

_Parts = tuple[str, str, dict[str, Any]]


def source(
    url: str,
    *,
    user: str | None = None,
    password: str | None = None,
    token: str | None = None,
    tls: "ssl.SSLContext | None" = None,
    timeout: float | None = None,
) -> Source:
    """Return the source that a URL names; nothing is asked yet.

    - ``file:/etc/pools.json?pool=A``
    - ``dns://cache.prod.svc:11211``: the addresses of a name;
      ``dns://:11211?names=cache-0.cache,cache-1.cache``: one server a name
    - ``srv://_memcached._tcp.example.org``
    - ``elasticache://cluster.cfg.use1.cache.amazonaws.com:11211``
    - ``zookeeper://zk1:2181,zk2:2181/memcache/main``
    - ``etcd://etcd1:2379,etcd2:2379/memcache/main/``
    - ``consul://localhost:8500/memcached?tag=main``

    After ``?`` are the keyword arguments of the source's class. Secrets are not part of a URL,
    which ends up in logs: `user`, `password` and `token` are for those sources that log in, `tls`
    is an ``ssl.SSLContext``, `timeout` is how long a question may take, in seconds. One that the
    source does not take raises ``InvalidArgumentError``, as a bad URL does.
    """
    if not isinstance(url, str):
        raise InvalidTypeError(
            f"url must be a str, such as 'file:/etc/pools.json', got {shown(url)}"
        )
    scheme, colon, rest = url.partition(":")
    if not colon or scheme not in SCHEMES:
        near = closest(scheme, SCHEMES) if colon else None
        hint = f": did you mean {near!r}?" if near else ""
        raise InvalidArgumentError(
            f"url must begin with one of {', '.join(f'{each}:' for each in SCHEMES)}"
            f" got {shown(_without_secrets(url))}{hint}"
        )
    module, name, kinds, take = SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    if "@" in rest.removeprefix("//").partition("/")[0]:
        raise InvalidArgumentError(
            "url must have no user and no password, which are arguments of their own,"
            f" got {shown(_without_secrets(url))}"
        )
    named = _of_query(url, query, kinds)
    secrets = {"user": user, "password": password, "token": token, "tls": tls, "timeout": timeout}
    named |= _of_arguments(scheme, secrets, kinds)
    positional = take(url, rest)
    cls = getattr(import_module(f".{module}", __package__), name)
    found: Source = cls(*positional, **named)
    return found


def _of_arguments(scheme: str, given: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments that are not part of a URL."""
    named = {word: value for word, value in given.items() if value is not None}
    for word in named:
        if word not in kinds:
            raise InvalidArgumentError(f"{word} must be None for {scheme}:, which takes none")
    if "auth" in kinds and named.keys() & {"user", "password"}:
        if not named.keys() >= {"user", "password"}:
            raise InvalidArgumentError("user and password must be given together, got one of them")
        named["auth"] = "digest", f"{named.pop('user')}:{named.pop('password')}"
    return named


def _without_secrets(url: str) -> str:
    url, question, _ = url.partition("?")
    head, slashes, rest = url.partition("//")
    place, slash, path = rest.partition("/")
    hidden = "...@" if "@" in place else ""
    more = "?..." if question else ""
    return f"{head}{slashes}{hidden}{place.rpartition('@')[2]}{slash}{path}{more}"


def _of_query(url: str, query: str, kinds: dict[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments after ``?``."""
    named: dict[str, Any] = {}
    for word, text in parse_qsl(query, keep_blank_values=True):
        kind = kinds.get(word)
        if kind is None:
            known = ", ".join(each for each in kinds if kinds[each] is not None) or "nothing"
            hint = ": a secret is an argument, not part of a URL" if word in kinds else ""
            raise InvalidArgumentError(
                f"url must have nothing but {known} after '?', got {word!r}{hint}"
            )
        try:
            named[word] = kind(text)
        except ValueError:
            raise InvalidArgumentError(
                f"{word} in the url must be {_KINDS[kind]}, got {shown(text)}"
            ) from None
    return named


def _bool(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def _list(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


_KINDS: Final = {float: "a number", _bool: "true or false", _list: "a list"}


def _path(url: str, rest: str) -> tuple[str]:
    path = unquote(rest.removeprefix("//") if rest.startswith("///") else rest)
    if not path or path.startswith("//"):
        raise InvalidArgumentError(f"url must be file:/path, got {shown(url)}")
    return (path,)


def _place(url: str, rest: str) -> tuple[str]:
    place = rest.removeprefix("//").removesuffix("/")
    if not rest.startswith("//") or not place or "/" in place:
        raise InvalidArgumentError(
            f"url must be {url.partition(':')[0]}://host:port, got {shown(_without_secrets(url))}"
        )
    return (place,)


def _host(url: str, rest: str) -> tuple[str, int]:
    (place,) = _place(url, rest)
    host, colon, port = place.rpartition(":")
    if not colon:
        return place, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InvalidArgumentError(f"url must have a port in [1, 65535], got {shown(url)}")
    return host, int(port)


def _places_and_path(url: str, rest: str) -> tuple[str, str]:
    places, _, path = rest.removeprefix("//").partition("/")
    if not rest.startswith("//") or not places or not path:
        raise InvalidArgumentError(
            f"url must be {url.partition(':')[0]}://host:port/path, got"
            f" {shown(_without_secrets(url))}"
        )
    return places, unquote(path)


def _zookeeper(url: str, rest: str) -> tuple[str, str]:
    places, path = _places_and_path(url, rest)
    return places, f"/{path}"


def _etcd(url: str, rest: str) -> tuple[list[str], str]:
    places, path = _places_and_path(url, rest)
    return places.split(","), path


# By scheme: the module, the class, what it takes by name (None for what a URL may not have), and
# what takes the positional arguments out of the URL.
SCHEMES: Final[
    dict[str, tuple[str, str, dict[str, Any], Callable[[str, str], tuple[Any, ...]]]]
] = {
    "file": ("file", "FileSource", {"pool": str, "interval": float}, _path),
    "dns": (
        "dns",
        "DNSSource",
        {"names": _list, "interval": float, "family": str, "timeout": float},
        _host,
    ),
    "srv": ("dns", "SRVSource", {"timeout": float}, _place),
    "elasticache": (
        "elasticache",
        "ElastiCacheSource",
        {"interval": float, "timeout": float, "dial": str, "tls": None},
        _place,
    ),
    "zookeeper": (
        "zookeeper",
        "ZooKeeperSource",
        {
            "layout": str,
            "timeout": float,
            "session": float,
            "refresh": float,
            "auth": None,
            "user": None,
            "password": None,
        },
        _zookeeper,
    ),
    "etcd": (
        "etcd",
        "EtcdSource",
        {
            "timeout": float,
            "refresh": float,
            "user": None,
            "password": None,
            "token": None,
            "tls": None,
        },
        _etcd,
    ),
    "consul": (
        "consul",
        "ConsulSource",
        {
            "tag": str,
            "datacenter": str,
            "only_passing": _bool,
            "identity": str,
            "wait": float,
            "timeout": float,
            "token": None,
            "tls": None,
        },
        _places_and_path,
    ),
}
"""The schemes of URLs."""
