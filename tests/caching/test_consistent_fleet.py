"""``FleetServers``: the consistent cache over the servers that a ``ShardManager`` keeps."""

from collections.abc import Iterator

import pytest
from caching.consist_support import Table, options
from support.memcached import Server, running

from godropbox.caching import ConsistentCacheOnStorage, FleetServers, WriteRefused
from godropbox.memcache import (
    BaseShardManager,
    RawMetaClient,
    ShardState,
    ShardStatus,
)

NOBODY = "127.0.0.1:1"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("memcached")) as server:
        yield server


@pytest.fixture
def manager(server: Server, other: Server, raw: RawMetaClient) -> Iterator[BaseShardManager]:
    with BaseShardManager(lambda key, shards: len(str(key)) % shards) as m:
        m.update_shard_states([ShardStatus(server.address), ShardStatus(other.address)])
        yield m


def over(manager: BaseShardManager, table: Table) -> ConsistentCacheOnStorage[str, bytes]:
    return ConsistentCacheOnStorage(FleetServers(manager), table, options())


def test_keys_live_on_their_shards(manager: BaseShardManager, raw: RawMetaClient) -> None:
    table = Table(ab=b"1", abc=b"2")
    cache = over(manager, table)
    for _ in range(2):
        assert cache.get_multi(["ab", "abc"]) == {"ab": b"1", "abc": b"2"}
    assert table.reads == 1
    assert (raw.get("ab").value, raw.get("abc").found) == (b"1", False)
    cache.set_multi({"ab": b"3", "abc": b"4"})
    assert cache.get_multi(["ab", "abc"]) == {"ab": b"3", "abc": b"4"}
    assert table.reads == 1
    cache.delete("abc")
    assert cache.get("abc") is None
    assert cache.statistics().sentinels_lost == 0


@pytest.mark.parametrize(
    ("state", "is_written"),
    [
        (ShardState.ACTIVE, False),
        (ShardState.WRITE_ONLY, False),
        (ShardState.WARM_UP, True),
        (ShardState.DOWN, True),
    ],
)
def test_what_a_dead_server_prevents(
    manager: BaseShardManager, state: ShardState, is_written: bool
) -> None:
    manager.update_shard_states([ShardStatus(NOBODY, state)])
    table = Table(a=b"1")
    cache = over(manager, table)
    assert cache.get("a") == b"1"
    if is_written:
        cache.set("a", b"2")
    else:
        with pytest.raises(WriteRefused):
            cache.set("a", b"2")
    assert table.data["a"] == (b"2" if is_written else b"1")


def test_a_server_that_comes_into_use_during_a_write(
    manager: BaseShardManager, server: Server, raw: RawMetaClient
) -> None:
    table = Table(a=b"old")
    reader, writer = over(manager, table), over(manager, table)
    manager.update_shard_states([ShardStatus(server.address, ShardState.DOWN)])

    def use() -> None:
        manager.update_shard_states([ShardStatus(server.address)])
        assert reader.get("a") == b"old"
        assert raw.get("a").value == b"old"

    table.before_writing = use
    writer.set("a", b"new")
    assert writer.statistics().sentinels_lost == 1
    assert reader.get("a") == b"new"


def test_a_fleet_that_loses_a_server_during_a_write(
    manager: BaseShardManager, server: Server, other: Server
) -> None:
    """The key moves; what its old server has is nobody's affair, and its new one is told."""
    table = Table(abc=b"old")
    cache = over(manager, table)
    table.before_writing = lambda: manager.update_shard_states([ShardStatus(server.address)])
    cache.set("abc", b"new")
    assert cache.get("abc") == b"new"
    assert cache.statistics().acknowledged == 1


def test_a_fleet_of_no_servers(manager: BaseShardManager) -> None:
    manager.update_shard_states([])
    table = Table(a=b"1")
    cache = over(manager, table)
    assert cache.get("a") == b"1"
    cache.set("a", b"2")
    assert cache.get("a") == b"2"
    cache.flush()


def test_flush(manager: BaseShardManager, server: Server) -> None:
    cache = over(manager, Table(a=b"1"))
    assert cache.get("a") == b"1"
    cache.flush()
    assert cache.get("a") is None
    manager.update_shard_states([ShardStatus(server.address), ShardStatus(NOBODY)])
    assert not FleetServers(manager).flush()
