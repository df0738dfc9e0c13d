"""A client that keeps values in a dict, for the tests of programs."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ..client._arguments import Key, check_key_helper
from ..exceptions import MemcacheClientError, MemcacheIllegalInputError
from ..serde import Deserializer, LegacyWrappingSerde, Serde, Serializer

__all__ = ["MockMemcacheClient"]


class MockMemcacheClient:
    """A client without a server, of the calls that need none. The arguments are ``Client``'s.

    Values go through the serde as they would on their way to a server. There are no tokens.
    """

    def __init__(
        self,
        server: Any = None,
        serde: Serde | None = None,
        serializer: Serializer | None = None,
        deserializer: Deserializer | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
        no_delay: bool = False,
        ignore_exc: bool = False,
        socket_module: Any = None,
        default_noreply: bool = True,
        allow_unicode_keys: bool = False,
        encoding: str = "ascii",
        tls_context: Any = None,
    ) -> None:
        self._contents: dict[bytes, tuple[float, Any, int]] = {}
        self.server = server
        self.serde: Any = serde or LegacyWrappingSerde(serializer, deserializer)
        self.connect_timeout = connect_timeout
        self.timeout = timeout
        self.no_delay = no_delay
        self.ignore_exc = ignore_exc
        self.socket_module = socket_module
        self.default_noreply = default_noreply
        self.allow_unicode_keys = allow_unicode_keys
        self.encoding = encoding
        self.tls_context = tls_context
        self.sock: Any = None

    def check_key(self, key: Key) -> bytes:
        """Return a key as it would go over the wire."""
        return check_key_helper(key, self.allow_unicode_keys)

    def clear(self) -> None:
        """Forget everything."""
        self._contents.clear()

    def _encoded(self, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return value.encode(self.encoding)
            except UnicodeEncodeError as error:
                raise MemcacheIllegalInputError(
                    f"Data values must be binary-safe: {error}"
                ) from None
        return value

    # Reading

    def get(self, key: Key, default: Any = None) -> Any:
        """Return the value of a key, `default` if it has none."""
        name = self.check_key(key)
        held = self._contents.get(name)
        if held is None:
            return default
        until, data, flags = held
        if until and until < time.time():
            del self._contents[name]
            return default
        return self.serde.deserialize(name, data, flags)

    def get_many(self, keys: Iterable[Key]) -> dict[Any, Any]:
        """Return the values of the keys that have one, by key."""
        values = {key: self.get(key) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    get_multi = get_many

    # Writing

    def set(
        self,
        key: Key,
        value: Any,
        expire: float = 0,
        noreply: bool = True,
        flags: int | None = None,
    ) -> bool:
        """Store a value; return True."""
        name = self.check_key(key)
        data, marks = self.serde.serialize(name, self._encoded(value))
        until = time.time() + expire if expire else 0
        self._contents[name] = until, data, marks if flags is None else flags
        return True

    def set_many(
        self,
        values: Mapping[Any, Any],
        expire: float = 0,
        noreply: bool = True,
        flags: int | None = None,
    ) -> list[Any]:
        """Store many values; return an empty list, as all are stored."""
        for key, value in values.items():
            self.set(key, value, expire, noreply, flags)
        return []

    set_multi = set_many

    def add(
        self,
        key: Key,
        value: Any,
        expire: float = 0,
        noreply: bool = True,
        flags: int | None = None,
    ) -> bool:
        """Store a value where there is none; return whether it was, True with `noreply`."""
        present = self.get(key) is not None
        if not present:
            self.set(key, value, expire, noreply, flags)
        return noreply or not present

    def replace(
        self,
        key: Key,
        value: Any,
        expire: float = 0,
        noreply: bool = True,
        flags: int | None = None,
    ) -> bool:
        """Store a value where there is one; return whether it was, True with `noreply`."""
        present = self.get(key) is not None
        if present:
            self.set(key, value, expire, noreply, flags)
        return noreply or present

    def append(
        self,
        key: Key,
        value: Any,
        expire: float = 0,
        noreply: bool = True,
        flags: int | None = None,
    ) -> bool:
        """Put data after a value, if there is one; return True."""
        current = self.get(key)
        if current is not None:
            self.set(key, current + self._encoded(value), expire, noreply, flags)
        return True

    def prepend(
        self,
        key: Key,
        value: Any,
        expire: float = 0,
        noreply: bool = True,
        flags: int | None = None,
    ) -> bool:
        """Put data before a value, if there is one; return True."""
        current = self.get(key)
        if current is not None:
            self.set(key, self._encoded(value) + current, expire, noreply, flags)
        return True

    def cas(
        self,
        key: Key,
        value: Any,
        cas: Any,
        expire: float = 0,
        noreply: bool = False,
        flags: int | None = None,
    ) -> bool:
        """Raise, as there are no tokens."""
        raise MemcacheClientError("CAS is not enabled for this instance")

    def delete(self, key: Key, noreply: bool = True) -> bool:
        """Delete a value; return whether there was one, True with `noreply`."""
        present = self._contents.pop(self.check_key(key), None) is not None
        return noreply or present

    def delete_many(self, keys: Iterable[Key], noreply: bool = True) -> bool:
        """Delete many values; return True."""
        for key in keys:
            self.delete(key, noreply)
        return True

    delete_multi = delete_many

    def incr(self, key: Key, value: int, noreply: bool | None = False) -> int | None:
        """Add to a number; return it, or None if there is none, or with `noreply`."""
        current = self.get(key)
        if current is None:
            return None
        self.set(key, current + value)
        return None if noreply else current + value

    def decr(self, key: Key, value: int, noreply: bool | None = False) -> int | None:
        """Take from a number; return what ``incr`` would."""
        return self.incr(key, -value, noreply)

    def touch(self, key: Key, expire: float = 0, noreply: bool = True) -> bool:
        """Give a value a new expiry; return whether there is one, True with `noreply`."""
        name = self.check_key(key)
        present = self.get(key) is not None
        if present:
            _, data, flags = self._contents[name]
            self._contents[name] = time.time() + expire if expire else 0, data, flags
        return noreply or present

    # The server as a whole

    def stats(self, *_args: Any) -> dict[str, Any]:
        """Return statistics, none of which mean anything."""
        return {
            "version": "MockMemcacheClient",
            "rusage_user": 1.0,
            "rusage_system": 1.0,
            "hash_is_expanding": False,
            "slab_reassign_running": False,
            "inter": "in-memory",
            "evictions": False,
            "growth_factor": 1.0,
            "stat_key_prefix": "",
            "umask": 0o644,
            "detail_enabled": False,
            "cas_enabled": False,
            "auth_enabled_sasl": False,
            "maxconns_fast": False,
            "slab_reassign": False,
            "slab_automove": False,
        }

    def cache_memlimit(self, memlimit: int) -> bool:
        """Do nothing; return True."""
        return True

    def version(self) -> str:
        """Return the name of this class, in place of a version."""
        return "MockMemcacheClient"

    def flush_all(self, delay: int = 0, noreply: bool = True) -> bool:
        """Forget everything; return True."""
        self.clear()
        return True

    def quit(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
