"""What every memcached client of ours does, the mock included: one suite of conformance.

Each check takes a client of an empty server. Where the protocols answer the same thing with
different statuses, the check says which.
"""

from collections.abc import Callable
from typing import Any

import pytest

from godropbox import memcache
from godropbox.memcache import Item, ResponseStatus
from support.memcached import HAS_TOKENS, need_tokens

OK = ResponseStatus.OK
MISS = ResponseStatus.KEY_NOT_FOUND
EXISTS = ResponseStatus.KEY_EXISTS
NOT_STORED = ResponseStatus.ITEM_NOT_STORED

CHECKS: list[Callable[[Any], None]] = []


def check(function: Callable[[Any], None]) -> Callable[[Any], None]:
    CHECKS.append(function)
    return function


@check
def get_of_a_missing_key_is_a_miss(client: Any) -> None:
    response = client.get("absent")
    assert (response.key, response.status, response.value) == ("absent", MISS, None)
    assert (response.found, response.ok, response.error) == (False, False, None)


@check
def set_then_get(client: Any) -> None:
    stored = client.set(Item("a", b"one\r\nEND\r\n", flags=7))
    assert (stored.key, stored.ok, stored.error) == ("a", True, None)
    response = client.get("a")
    assert (response.value, response.flags, response.ok) == (b"one\r\nEND\r\n", 7, True)
    assert response.cas > 0 or not HAS_TOKENS
    if client.capabilities.store_returns_cas:
        assert stored.cas == response.cas


@check
def keys_come_back_as_given(client: Any) -> None:
    text, raw = "žluť/é", "žluť/é".encode()
    assert client.set(Item(text, b"v")).key == text
    assert client.get(raw).key == raw
    assert client.get(raw).value == b"v"
    found = client.get_multi([text, raw, "absent"])
    assert [found[key].value for key in (text, raw, "absent")] == [b"v", b"v", None]
    assert [response.key for response in found.values()] == [text, raw, "absent"]


@check
def values_of_any_bytes_and_sizes(client: Any) -> None:
    for size in (0, 1, 100, 16383, 16384, 65536, 1_000_000):
        value = bytes(range(256)) * (size // 256) + bytes(size % 256)
        assert client.set(Item("v", value)).ok
        assert client.get("v").value == value
        assert client.get_multi(["v", "absent"])["v"].value == value


@check
def values_are_anything_bytes_like(client: Any) -> None:
    for value in (bytearray(b"abc"), memoryview(b"xabcx")[1:4], bytearray(b"abc" * 9999)):
        assert client.set(Item("v", value)).ok
        assert client.get("v").value == bytes(value)


@check
def flags_and_expiries_at_their_limits(client: Any) -> None:
    for flags in (0, 1, 2**32 - 1):
        assert client.set(Item("f", b"", flags=flags)).ok
        assert client.get("f").flags == flags
    assert client.set(Item("f", b"", expire=2**31 - 1)).ok
    assert client.get("f").found
    for expire in (-1, -(2**31)):
        assert client.set(Item("f", b"", expire=expire)).ok
        assert not client.get("f").found
    for item in (
        Item("f", b"", flags=2**32),
        Item("f", b"", flags=-1),
        Item("f", b"", expire=2**31),
        Item("f", b"", expire=-(2**31) - 1),
        Item("f", b"", cas=2**64),
    ):
        with pytest.raises(memcache.InvalidArgumentError, match=r"must be an int in \["):
            client.set(item)
    assert client.get("f").status is MISS


@check
def get_multi_answers_every_key_once(client: Any) -> None:
    keys = [f"k{i}" for i in range(300)]
    assert all(r.ok for r in client.set_multi([Item(k, k.encode() * 9) for k in keys[::2]]))
    found = client.get_multi(keys + keys[:50])
    assert list(found) == keys
    for i, key in enumerate(keys):
        assert found[key].value == (None if i % 2 else key.encode() * 9)
    assert client.get_multi([]) == {}
    assert dict(client.get_multi(iter(["k0"])))["k0"].found


@check
def a_bad_key_in_a_batch_gets_an_answer_of_its_own(client: Any) -> None:
    bad = ["", "a b", "x" * 251, "nul\0", "cr\r\n", "\x7f", 5, None, "\udc80"]
    assert client.set(Item("good", b"1")).ok
    found = client.get_multi(["good", *bad, "absent"])
    assert found["good"].value == b"1"
    assert found["absent"].status is MISS
    for key in bad:
        assert found[key].key is key
        assert isinstance(
            found[key].error, (memcache.InvalidArgumentError, memcache.InvalidTypeError)
        )
    stores = client.set_multi([Item("g1", b"1"), Item("a b", b"2"), Item("g2", b"3")])
    assert [r.key for r in stores] == ["g1", "a b", "g2"]
    assert [r.ok for r in stores] == [True, False, True]
    assert isinstance(stores[1].error, memcache.InvalidArgumentError)
    deletes = client.delete_multi(["g1", b"\x7f", "g2", "good", "absent"])
    assert [r.status for r in deletes] == [OK, ResponseStatus.INVALID_ARGUMENTS, OK, OK, MISS]


@check
def a_bad_key_alone_raises(client: Any) -> None:
    for key in ("", "a b", "x" * 251, b"y" * 251, "nul\0", "cr\r\n", "\x7f", b" "):
        for call, given in (
            (client.get, (key,)),
            (client.gat, (key, 1)),
            (client.set, (Item(key, b""),)),
            (client.append, (key, b"")),
            (client.delete, (key,)),
            (client.touch, (key, 1)),
            (client.increment, (key,)),
        ):
            with pytest.raises(ValueError, match="key must"):
                call(*given)
    with pytest.raises(TypeError, match="key must be str or bytes, got 5"):
        client.get(5)
    with pytest.raises(TypeError, match="value must be bytes-like, got 'text'"):
        client.set(Item("k", "text"))  # type: ignore[arg-type]
    assert client.is_valid
    for key in ("x" * 250, b"y" * 250, "é" * 125, "!~"):
        assert client.set(Item(key, b"v")).ok
        assert client.get(key).value == b"v"


@check
def add_and_replace(client: Any) -> None:
    assert client.replace(Item("a", b"1")).status in (NOT_STORED, MISS)
    assert client.add(Item("a", b"1")).ok
    assert client.add(Item("a", b"2")).status in (NOT_STORED, EXISTS)
    assert client.replace(Item("a", b"3")).ok
    assert client.get("a").value == b"3"
    answers = client.add_multi([Item("a", b"4"), Item("b", b"5")])
    assert [r.ok for r in answers] == [False, True]


@check
def append_and_prepend(client: Any) -> None:
    assert client.append("a", b"x").status in (NOT_STORED, MISS)
    assert client.set(Item("a", b"b", flags=3)).ok
    assert client.append("a", b"c").ok
    assert client.prepend("a", b"a").ok
    response = client.get("a")
    assert (response.value, response.flags) == (b"abc", 3)


@check
def cas_stores_only_over_what_was_read(client: Any) -> None:
    need_tokens()
    assert client.cas(Item("a", b"1", cas=5)).status is MISS
    client.set(Item("a", b"1"))
    token = client.get("a").cas
    assert client.cas(Item("a", b"2", cas=token)).ok
    assert client.cas(Item("a", b"3", cas=token)).status is EXISTS
    assert client.set(Item("a", b"3", cas=token)).status is EXISTS
    assert client.get("a").value == b"2"
    token = client.get("a").cas
    answers = client.cas_multi([Item("a", b"4", cas=token), Item("b", b"5"), Item("a", b"6")])
    assert [r.ok for r in answers] == [True, True, False]
    with pytest.raises(memcache.InvalidArgumentError, match=r"cas must be in \[1, 2\*\*64\)"):
        client.cas(Item("a", b"1"))


@check
def delete(client: Any) -> None:
    client.set(Item("a", b"1"))
    assert client.delete("a").ok
    response = client.delete("a")
    assert (response.status, response.found, response.error) == (MISS, False, None)


@check
def touch_and_gat(client: Any) -> None:
    assert client.touch("a", 100).status is MISS
    assert client.gat("a", 100).status is MISS
    client.set(Item("a", b"1", flags=9))
    assert client.touch("a", 100).ok
    response = client.gat("a", 0)
    assert (response.value, response.flags) == (b"1", 9)
    assert response.cas > 0 or not HAS_TOKENS
    assert client.gat("a", -1).found
    assert not client.get("a").found
    client.set(Item("a", b"1"))
    assert client.touch("a", -1).ok
    assert not client.get("a").found


@check
def counters_wrap_and_stop_at_zero(client: Any) -> None:
    assert client.increment("n").status is MISS
    assert client.decrement("n").status is MISS
    client.set(Item("n", b"10"))
    assert client.increment("n").count == 11
    assert client.increment("n", 2**64 - 1).count == 10
    assert client.decrement("n", 3).count == 7
    assert client.decrement("n", 100).count == 0
    client.set(Item("n", b"18446744073709551615"))
    assert client.increment("n", 2).count == 1
    client.set(Item("n", b"x"))
    response = client.increment("n")
    assert response.status is ResponseStatus.NON_NUMERIC_VALUE
    assert isinstance(response.error, memcache.ServerError)
    for delta in (-1, 2**64):
        with pytest.raises(
            memcache.InvalidArgumentError, match=r"delta must be an int in \[0, 2\*\*64"
        ):
            client.increment("n", delta)
    assert client.is_valid


@check
def counters_are_made_where_the_protocol_can(client: Any) -> None:
    if not client.capabilities.increment_creates:
        with pytest.raises(memcache.NotSupportedError):
            client.increment("m", 1, 5, expire=0)
        return
    assert client.increment("m", 1, 5, expire=0).count == 5
    assert client.increment("m", 1, 5, expire=0).count == 6
    assert client.decrement("q", 1, 2**64 - 1, expire=100).count == 2**64 - 1
    assert client.get("m").value == b"6"


@check
def flush_forgets_everything(client: Any) -> None:
    client.set(Item("a", b"1"))
    assert client.flush().ok
    assert not client.get("a").found


@check
def version_and_stats(client: Any) -> None:
    version = client.version()
    assert version.ok
    assert version.versions[0][0].isdigit()
    stats = client.stats()
    assert stats.ok
    assert stats.entries[0]["curr_items"].isdigit()
    assert client.stats("settings").entries[0]["maxbytes"].isdigit()
    with pytest.raises(memcache.InvalidArgumentError, match="name must be"):
        client.stats("a\r\nflush_all")


@check
def verbosity_where_the_protocol_has_it(client: Any) -> None:
    if client.capabilities.verbosity:
        assert client.verbosity(0).ok
    else:
        with pytest.raises(memcache.NotSupportedError, match="binary protocol has no verbosity"):
            client.verbosity(0)


@check
def a_value_over_the_limit_is_refused_and_nothing_is_lost(client: Any) -> None:
    response = client.set(Item("big", bytes(3_000_000)))
    assert response.status is ResponseStatus.VALUE_TOO_LARGE
    assert isinstance(response.error, memcache.ServerError)
    assert client.is_valid
    answers = client.set_multi([Item("a", b"1"), Item("big", bytes(2_000_000)), Item("b", b"2")])
    assert [r.ok for r in answers] == [True, False, True]
    assert client.get("b").value == b"2"


@check
def large_batches_do_not_deadlock(client: Any) -> None:
    items = [Item(f"k{i:05d}" * 10, bytes([i % 256]) * 4000) for i in range(5000)]
    assert all(r.ok for r in client.set_multi(items))
    found = client.get_multi([item.key for item in items])
    assert all(found[item.key].value == item.value for item in items)
    assert all(r.ok for r in client.delete_multi([item.key for item in items]))


@check
def quit_ends_it(client: Any) -> None:
    assert client.quit().ok
    assert not client.is_valid
    with pytest.raises(memcache.ConnectionUnusableError):
        client.get("a")
