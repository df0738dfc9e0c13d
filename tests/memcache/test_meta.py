"""What only the meta protocol can do, against the real memcached."""

from collections.abc import Callable, Iterator

import pytest
from support.memcached import Server, need_tokens

from godropbox import memcache
from godropbox.memcache import Item, RawMetaClient, ResponseStatus


@pytest.fixture(params=["tcp", "unix"])
def client(
    request: pytest.FixtureRequest, servers: Callable[[str], Server]
) -> Iterator[RawMetaClient]:
    with RawMetaClient(memcache.connect(servers(request.param).address)) as client:
        assert client.flush().ok
        yield client


def test_a_lease_is_won_by_one(client: RawMetaClient) -> None:
    need_tokens()
    first = client.meta_get("a", lease=30)
    assert (first.found, first.value, first.won, first.taken) == (True, b"", True, False)
    second = client.meta_get("a", lease=30)
    assert (second.won, second.taken) == (False, True)
    assert client.cas(Item("a", b"made", cas=first.cas)).ok
    third = client.meta_get("a", lease=30)
    assert (third.value, third.won, third.taken) == (b"made", False, False)


def test_stale_while_revalidate(client: RawMetaClient) -> None:
    client.set(Item("a", b"old"))
    assert client.meta_delete("a", stale=True, expire=30).ok
    first, second = client.meta_get("a"), client.meta_get("a")
    assert (first.value, first.stale, first.won) == (b"old", True, True)
    assert (second.value, second.stale, second.won, second.taken) == (b"old", True, False, True)
    assert client.set(Item("a", b"new")).ok
    assert not client.meta_get("a").stale


def test_early_recache(client: RawMetaClient) -> None:
    client.set(Item("a", b"1", expire=10))
    assert not client.meta_get("a", recache=5).won
    assert client.meta_get("a", recache=100).won
    assert client.meta_get("a", recache=100).taken


def test_details(client: RawMetaClient) -> None:
    client.set(Item("a", b"123", expire=100, flags=4))
    first = client.meta_get("a", value=False, details=True)
    assert (first.value, first.found, first.flags, first.size) == (None, True, 4, 3)
    assert first.ttl is not None
    assert 98 <= first.ttl <= 100
    assert (first.hit_before, first.last_access) == (False, 0)
    assert client.meta_get("a", details=True).hit_before
    assert client.meta_get("a").ttl is None
    assert "ttl=" in repr(first)
    assert client.meta_get("a", expire=-1).found
    missing = client.meta_get("a")
    assert (missing.status, missing.won) == (ResponseStatus.KEY_NOT_FOUND, False)


def test_delete_with_a_token(client: RawMetaClient) -> None:
    token = client.set(Item("a", b"1")).cas
    assert client.meta_delete("a", cas=token + 1).status is ResponseStatus.KEY_EXISTS
    assert client.meta_delete("a", cas=token).ok
    with pytest.raises(memcache.InvalidArgumentError, match="expire needs stale"):
        client.meta_delete("a", expire=5)


def test_an_older_item_is_stored_as_stale(client: RawMetaClient) -> None:
    need_tokens()
    token = client.set(Item("a", b"1")).cas
    client.set(Item("a", b"2"))
    assert client.meta_set(Item("a", b"3", cas=token), invalidate=True).ok
    response = client.meta_get("a")
    assert (response.value, response.stale, response.won) == (b"3", True, True)


def test_a_token_of_ones_own_needs_a_newer_server(client: RawMetaClient) -> None:
    need_tokens()
    version = tuple(int(part) for part in client.version().versions[0].split("."))
    if version >= (1, 6, 27):
        assert client.meta_set(Item("a", b"1"), new_cas=77).ok
        assert client.get("a").cas == 77
        return
    with pytest.raises(memcache.NotSupportedError, match=r"the flag E .*invalid flag"):
        client.meta_set(Item("a", b"1"), new_cas=77)
    assert client.is_valid
    assert client.set(Item("a", b"2")).ok


def test_binary_keys(servers: Callable[[str], Server]) -> None:
    channel = memcache.connect(servers("tcp").address)
    with RawMetaClient(channel, prefix=b"\0", binary_keys=True) as client:
        keys: list[str | bytes] = [b" ", b"\r\n", b"\xff" * 185, "text", b"text2"]
        items = [Item(key, b"<%d>" % len(key)) for key in keys]
        assert all(r.ok for r in client.set_multi(items))
        found = client.get_multi([*keys, b"absent"])
        assert [found[key].found for key in [*keys, b"absent"]] == [True] * 5 + [False]
        assert client.get(b"\r\n").key == b"\r\n"
        assert client.get(b"\r\n").found
        assert client.meta_get(b"\r\n", details=True).size == 3
        assert client.increment(b" ").status is ResponseStatus.NON_NUMERIC_VALUE
        assert client.touch(b" ", 0).ok
        assert client.gat(b" ", 0).found
        with pytest.raises(memcache.InvalidArgumentError, match="1 to 186"):
            client.get(b"x" * 186)
        assert [r.ok for r in client.delete_multi([b" ", b"x" * 186, b"\r\n"])] == [
            True,
            False,
            True,
        ]


@pytest.mark.parametrize("key", [b"plain", b"a b\r\nEND\r\n t5 \xff", b"\r\n", b" "])
def test_an_item_that_lost_its_mark_is_found_all_the_same(
    servers: Callable[[str], Server], key: bytes
) -> None:
    """A reply names the key as the item has it: raw after append, a longer count, or a lease."""
    channel = memcache.connect(servers("tcp").address)
    with RawMetaClient(channel, binary_keys=True) as client:
        assert client.flush().ok

        def check(value: bytes) -> None:
            assert client.get(key).value == value
            found = client.get_multi([b"none\r\n", key, b"none "])
            assert [each.value for each in found.values()] == [None, value, None]
            assert client.gat(key, 60).value == value
            assert client.meta_get(key, details=True).ttl in (59, 60)
            assert client.is_valid

        for make in (client.append, client.prepend):
            assert client.set(Item(key, b"a")).ok
            assert make(key, b"a").ok
            check(b"aa")
        assert client.set(Item(key, b"9")).ok
        assert client.increment(key).count == 10
        check(b"10")
        assert client.delete(key).ok
        assert client.increment(key, initial=5, expire=60).count == 5
        check(b"5")
        assert client.delete(key).ok
        lease = client.meta_get(key, lease=60)
        assert lease.won
        assert client.meta_get(key, lease=60).taken
        check(b"")
        if key == b"plain":
            with memcache.RawAsciiClient(memcache.connect(servers("tcp").address)) as other:
                assert other.set(Item(key, b"other")).ok
            check(b"other")
