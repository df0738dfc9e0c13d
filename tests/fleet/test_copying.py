"""Copies between real servers: what is copied, with what, and what is left where it is."""

import base64
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.memcached import _free_port, running

from godropbox.caching import ConsistentCacheOnStorage, DictStorage, FleetServers
from godropbox.errors import NetworkError
from godropbox.fleet import Layout, ends
from godropbox.fleet.copying import Copier
from godropbox.fleet.ends import listed_keys
from godropbox.fleet.task import Counts, Settings
from godropbox.memcache import (
    AsciiProtocol,
    AutoProtocol,
    Client,
    Credentials,
    Hash2,
    Item,
    Ketama,
    RawMetaClient,
    ResponseStatus,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
    connect,
)
from godropbox.memcache.errors import (
    InvalidArgumentError,
    InvalidTypeError,
    NotSupportedError,
    ServerError,
)

PATIENT = ShardOptions(timeout=10.0, connect_timeout=10.0)
KEYS = [f"user:{number}" for number in range(600)]


def sharded(addresses: list[str]) -> ShardedClient:
    return ShardedClient(StaticShardManager(addresses, options=PATIENT), AutoProtocol(), 10.0)


def warmed(addresses: list[str], settings: Settings | None = None) -> Counts:
    """Warm the last server with what it will have of the others'."""
    before, after = Layout.of(addresses[:-1]), Layout.of(addresses)
    with Copier(before, after, before.names, addresses[-1:], PATIENT, settings) as copier:
        steps = list(copier.run())
        assert all(0 <= step.done <= step.total for step in steps)
        return copier.counts


def mine(addresses: list[str], keys: list[str]) -> list[str]:
    """Return the keys that are the last server's."""
    shards = Hash2().bind(addresses).of_many(keys)
    return [key for key, shard in zip(keys, shards, strict=True) if shard == len(addresses) - 1]


def held(address: str, keys: list[Any]) -> Mapping[Any, Any]:
    """Return the items that a server has, by key, with what is known of them."""
    found = {}
    with RawMetaClient(connect(address, timeout=10.0)) as raw:
        for key in keys:
            answer = raw.meta_get(key, details=True)
            if answer.found:
                found[key] = answer
    return found


def following(addresses: list[str], passes: list[Callable[[], object]], **settings: Any) -> Counts:
    """Follow the last server's keys; after each pass something is done, and then it ends."""

    def sleep(_: float) -> None:
        if passes:
            passes.pop(0)()
        else:
            copier.stop()

    before, after = Layout.of(addresses[:-1]), Layout.of(addresses)
    follow = Settings(follow=True, sleep=sleep, **settings)
    with Copier(before, after, addresses[:-1], addresses[-1:], PATIENT, follow) as copier:
        list(copier.run())
        return copier.counts


def test_a_server_gets_the_keys_that_it_will_have_as_they_are(addresses: list[str]) -> None:
    values = {key: bytes([number % 256]) * (number % 50) for number, key in enumerate(KEYS)}
    with sharded(addresses[:3]) as client:
        for number, key in enumerate(KEYS):
            item = Item(key, values[key], number, 0, (0, 100, 3_000_000)[number % 3])
            if item.expire == 3_000_000:  # more than 30 days is a moment
                item = item._replace(expire=int(time.time()) + 3_000_000)
            assert client.set(item).ok
    counts = warmed(addresses[:4])
    wanted = mine(addresses, KEYS)
    assert (counts.listed, counts.copied, counts.strays) == (600, len(wanted), 0)
    assert counts.size == sum(len(values[key]) for key in wanted)
    found = held(addresses[3], KEYS)
    assert found.keys() == set(wanted)
    for key, answer in found.items():
        number = KEYS.index(key)
        assert (answer.value, answer.flags) == (values[key], number)
        left = (-1, 100, 3_000_000)[number % 3]
        assert left - 60 <= answer.ttl <= left + 5  # its clock is some seconds off
    # The originals were not read, as their server sees it.
    for address in addresses[:3]:
        assert not any(each.hit_before for each in held(address, wanted).values())
    # Once more: it has them.
    again = warmed(addresses[:4])
    assert (again.copied, again.present) == (0, len(wanted))
    assert again.errors == {}


def test_what_is_there_is_newer_and_stays(addresses: list[str]) -> None:
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"old"))
    wanted = mine(addresses, KEYS)
    with Client(addresses[3:], timeout=10.0) as client:
        client.set(wanted[0], b"new")
    counts = warmed(addresses)
    assert (counts.copied, counts.present) == (len(wanted) - 1, 1)
    assert held(addresses[3], wanted[:1])[wanted[0]].value == b"new"


def test_what_an_earlier_fleet_left_is_not_copied(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    old = Hash2().bind(addresses[:3]).of_many(wanted)
    with Client([addresses[(old[0] + 1) % 3]], timeout=10.0) as client:
        client.set(wanted[0], b"years old")
    counts = warmed(addresses)
    assert (counts.listed, counts.strays, counts.copied) == (1, 1, 0)
    assert held(addresses[3], wanted) == {}


def test_most_keys_in_the_wrong_places_stop_it_unless_allowed(addresses: list[str]) -> None:
    with Client(addresses[:3], shard_func=Ketama(), timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
    with pytest.raises(InvalidArgumentError, match=r"keys are not where the fleet looks for them"):
        warmed(addresses)
    assert held(addresses[3], KEYS) == {}
    assert warmed(addresses, Settings(allow_strays=True)).copied > 0


def test_stale_items_leases_and_guarded_entries_stay(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    shards = Hash2().bind(addresses[:3]).of_many(wanted)
    [stale, leased, guarded, empty] = [
        [key for key, shard in zip(wanted, shards, strict=True) if shard == 0][at]
        for at in range(4)
    ]
    manager = StaticShardManager(addresses[:3], options=PATIENT)
    cache = ConsistentCacheOnStorage(FleetServers(manager), DictStorage({guarded: b"v"}))
    assert cache.get(guarded) == b"v"
    with RawMetaClient(connect(addresses[0], timeout=10.0)) as raw:
        raw.set(Item(stale, b"v"))
        assert raw.meta_delete(stale, stale=True).ok
        assert raw.meta_get(leased, lease=60).won
        raw.set(Item(empty, b""))
        counts = warmed(addresses)
        assert (counts.stale, counts.leased, counts.guarded) == (1, 1, 1)
        assert counts.copied == 1
        assert held(addresses[3], wanted).keys() == {empty}
        # The right to load the stale item is still there for the first who reads it.
        assert raw.meta_get(stale, recache=30).won
    manager.close()


def test_a_key_that_changes_while_it_is_copied_is_taken_back(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"old"))
        plain = ends.End.tokens

        def tokens(self: Any, keys: list[bytes]) -> Any:
            if wanted[0].encode() in keys:
                client.delete(wanted[0])
            if wanted[1].encode() in keys:
                client.set(wanted[1], b"new")
            return plain(self, keys)

        monkeypatch.setattr(ends.End, "tokens", tokens)
        counts = warmed(addresses)
    assert (counts.undone, counts.copied) == (2, len(wanted) - 2)
    assert held(addresses[3], wanted).keys() == set(wanted[2:])


def test_hottest_first_and_no_more_than_asked(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
        client.get_many(wanted[5:15])
    counts = warmed(addresses, Settings(hottest=True, most=10, batch=3))
    assert counts.copied == 10
    assert held(addresses[3], KEYS).keys() == set(wanted[5:15])
    with Client(addresses[3:], timeout=10.0) as client:
        client.flush_all()
    assert warmed(addresses, Settings(most=7, batch=3)).copied == 7


def test_copies_live_no_longer_than_asked(addresses: list[str]) -> None:
    with sharded(addresses[:3]) as client:
        client.set_multi([Item(key, b"x", 0, 0, (0, 20, 900)[i % 3]) for i, key in enumerate(KEYS)])
    warmed(addresses, Settings(max_ttl=60))
    left = {each.ttl for each in held(addresses[3], KEYS).values()}
    assert max(left) <= 60
    assert min(left) <= 20


def test_a_prefix_is_not_placed_and_others_keys_stay(addresses: list[str]) -> None:
    with Client(addresses[:3], prefix="site:", timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"y"))
    counts = warmed(addresses, Settings(prefix=b"site:"))
    assert (counts.listed, counts.strays) == (600, 0)
    with Client(addresses, prefix="site:", timeout=10.0) as client:
        assert len(client.get_many(KEYS)) == 600


def test_draining_sends_each_key_where_it_will_be(addresses: list[str]) -> None:
    with Client(addresses, timeout=10.0) as client:
        client.set_many({key: key for key in KEYS})
    before, after = Layout.of(addresses), Layout.of(addresses[:3])
    with Copier(before, after, addresses[3:], addresses[:3], PATIENT) as copier:
        list(copier.run())
    assert copier.counts.copied == len(mine(addresses, KEYS))
    with Client(addresses[:3], timeout=10.0) as client:
        assert client.get_many(KEYS) == {key: key for key in KEYS}


def test_rates_are_held(addresses: list[str]) -> None:
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x" * 1000))
    slept: list[float] = []
    pace: Any
    for pace, most in ({"rate": 50.0}, 50.0), ({"byte_rate": 20_000.0}, 20.0):
        with Client(addresses[3:], timeout=10.0) as client:
            client.flush_all()
        slept.clear()
        settings = Settings(**pace, clock=lambda: sum(slept), sleep=slept.append)
        counts = warmed(addresses, settings)
        assert counts.copied / sum(slept) == pytest.approx(most, rel=0.2)


def test_following_copies_what_is_written_and_deletes_what_is_deleted(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"old"))
        counts = following(
            addresses,
            [
                lambda: client.set(wanted[0], b"new"),
                lambda: client.delete(wanted[1]),
                lambda: client.set(wanted[1], b"back"),
            ],
        )
    assert (counts.renewed, counts.deleted, counts.passes) == (1, 1, 4)
    assert (counts.copied, counts.errors) == (len(wanted) + 1, {})
    values = {key: each.value for key, each in held(addresses[3], wanted).items()}
    assert values == {**dict.fromkeys(wanted, b"old"), wanted[0]: b"new", wanted[1]: b"back"}


def test_following_takes_over_what_is_there_and_tells_what_differs(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as old, Client(addresses[3:], timeout=10.0) as new:
        old.set_many(dict.fromkeys(KEYS, b"v1"))
        warmed(addresses)
        old.set(wanted[0], b"v2")
        changes: list[Callable[[], object]] = [
            lambda: old.set(wanted[1], b"v2"),
            lambda: old.delete(wanted[2]),
        ]
        counts = following(addresses, list(changes))
        assert (counts.present, counts.differing) == (len(wanted) - 1, 1)
        assert (counts.listed, counts.passes) == (len(KEYS) - 1, 3)  # those of one pass
        assert (counts.renewed, counts.deleted) == (1, 1)
        found = new.get_many(wanted)
        assert (found[wanted[0]], found[wanted[1]], found.get(wanted[2])) == (b"v1", b"v2", None)
        counts = following(addresses, [lambda: old.set(wanted[0], b"v3")], refresh=True)
        assert (counts.differing, counts.renewed, counts.errors) == (0, 2, {})
        assert new.get_many(wanted) == old.get_many(wanted)
        assert new.get(wanted[0]) == b"v3"


def failing_once(monkeypatch: pytest.MonkeyPatch, name: str) -> Callable[[], object]:
    """Return what has a method of an end fail the next time."""
    is_due = False
    method = getattr(ends.End, name)

    def fail() -> None:
        nonlocal is_due
        is_due = True

    def instead(self: Any, *given: Any) -> Any:
        nonlocal is_due
        fails, is_due = is_due, False
        if fails:
            raise ConnectionResetError("once")
        return method(self, *given)

    monkeypatch.setattr(ends.End, name, instead)
    return fail


def test_following_goes_on_to_delete_after_a_failure(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = mine(addresses, KEYS)
    fail = failing_once(monkeypatch, "peek")
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
        changes: list[Callable[[], object]] = [
            lambda: (fail(), client.set(wanted[0], b"y")),
            lambda: client.delete(wanted[1]),
        ]
        counts = following(addresses, changes)
    assert (counts.failed, counts.deleted, counts.passes) == (1, 1, 3)
    assert held(addresses[3], wanted).keys() == set(wanted) - {wanted[1]}


def test_a_copy_that_could_not_be_deleted_is_deleted_later(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = mine(addresses, KEYS)
    fail = failing_once(monkeypatch, "delete")
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
        counts = following(addresses, [lambda: (fail(), client.delete(wanted[1]))])
    assert (counts.deleted, list(counts.errors.values())) == (0, ["once"])
    assert held(addresses[3], wanted).keys() == set(wanted) - {wanted[1]}


@pytest.mark.parametrize("follow", [False, True])
def test_a_copy_that_was_stored_without_an_answer_is_taken_back(
    addresses: list[str], follow: bool
) -> None:
    wanted = mine(addresses, KEYS)

    class Deaf:
        """A client that does not hear the first answer to its copies."""

        def __init__(self, client: ShardedClient) -> None:
            self._client = client
            self._is_deaf = True

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def add_multi(self, items: list[Item]) -> Any:
            answers: Any = self._client.add_multi(items)
            if self._is_deaf:
                self._is_deaf = False
                client.delete(wanted[0])
                error = NetworkError("the connection was lost")
                answers = [SimpleNamespace(ok=False, error=error) for _ in answers]
            return answers

    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
        before, after = Layout.of(addresses[:3]), Layout.of(addresses)
        settings = Settings(follow=follow, sleep=lambda _: copier.stop())
        with Copier(before, after, before.names, addresses[3:], PATIENT, settings) as copier:
            end: Any = copier._task.end(after.servers[3])
            end.client = Deaf(end.client)
            list(copier.run())
    assert copier.counts.failed > 0
    found = held(addresses[3], wanted)
    assert wanted[0] not in found
    assert len(found) == copier.counts.copied


@pytest.mark.parametrize("number", [0, 1], ids=["source", "target"])
def test_following_a_server_that_is_restarted(tmp_path: Path, number: int) -> None:
    ports = [_free_port(), _free_port()]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    keys = KEYS[:50]
    with ExitStack() as stack:
        both = [ExitStack(), ExitStack()]
        for each, port in zip(both, ports, strict=True):
            stack.enter_context(each)
            each.enter_context(running("tcp", tmp_path, port, extra=()))
        client = stack.enter_context(Client(addresses[:1], timeout=10.0))

        def fill(value: bytes) -> None:
            for key in keys:  # in one order, so that each has the token that it had
                client.set(key, value)

        def restart() -> None:
            both[number].close()
            both[number].enter_context(running("tcp", tmp_path, ports[number], extra=()))
            if number == 0:
                client.disconnect_all()
                fill(b"new")

        fill(b"old")
        following(addresses, [restart, lambda: None])
        found = held(addresses[1], mine(addresses, keys))
        value = b"new" if number == 0 else b"old"
        assert [each.value for each in found.values()] == [value] * len(mine(addresses, keys))


@pytest.mark.parametrize("has_meta", [True, False])
def test_refreshing_replaces_what_differs(
    addresses: list[str], has_meta: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends.End, "has_meta", property(lambda self: has_meta))
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as old, Client(addresses[3:], timeout=10.0) as new:
        old.set_many(dict.fromkeys(KEYS, b"new"))
        new.set_many(dict.fromkeys(wanted[:3], b"old"))
        new.set(wanted[3], b"new")
        counts = warmed(addresses, Settings(refresh=True))
        assert (counts.renewed, counts.present, counts.copied) == (3, 1, len(wanted) - 4)
        assert counts.errors == {}
        assert new.get_many(wanted) == dict.fromkeys(wanted, b"new")
        new.set_many(dict.fromkeys(wanted, b"old"))
        assert warmed(addresses, Settings(refresh=True, most=7, batch=3)).renewed == 7


def test_a_pass_that_is_stopped_is_none(addresses: list[str]) -> None:
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
    before, after = Layout.of(addresses[:3]), Layout.of(addresses)
    settings = Settings(batch=5, follow=True, pause=0.0)
    for last, passes, listed in (("copy", 0, range(1, 601)), ("follow", 1, (600,))):
        with Copier(before, after, addresses[:3], addresses[3:], PATIENT, settings) as copier:
            for step in copier.run():
                if step.phase == last:
                    copier.stop()
            assert copier.counts.passes == passes
            assert copier.is_whole == (passes > 0)
            assert copier.counts.listed in listed


def test_a_source_that_goes_before_its_second_look_is_a_failure(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))

    def tokens(self: Any, keys: list[bytes]) -> Any:
        raise ConnectionResetError("it is gone")

    monkeypatch.setattr(ends.End, "tokens", tokens)
    counts = warmed(addresses)
    assert (counts.failed, counts.undone, counts.copied) == (len(wanted), 0, 0)
    assert held(addresses[3], wanted) == {}


def test_a_server_that_lists_its_keys_to_another_is_asked_again() -> None:
    busy = ServerError("BUSY currently processing crawler request", status=ResponseStatus.BUSY)
    answers: list[Any] = []
    slept: list[float] = []

    class Busy:
        def iter_keys(self) -> Any:
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            yield from found

    client: Any = Busy()
    answers += [busy, busy, ["a", "b"]]
    assert list(listed_keys(client, slept.append)) == ["a", "b"]  # type: ignore[comparison-overlap]
    assert len(slept) == 2
    answers += [busy] * 5
    with pytest.raises(ServerError, match="BUSY"):
        list(listed_keys(client, slept.append))
    assert answers == []


def test_following_large_values_stale_ones_and_no_more_than_asked(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    large = b"x" * 100_000  # stored in words that tell no token
    old = Hash2().bind(addresses[:3]).of(wanted[1])
    with (
        Client(addresses[:3], timeout=10.0) as client,
        RawMetaClient(connect(addresses[old], timeout=10.0)) as raw,
    ):
        client.set_many({wanted[0]: large, wanted[1]: b"v", wanted[2]: b"v"})
        counts = following(
            addresses,
            [
                lambda: client.set(wanted[0], large + b"y"),
                lambda: raw.meta_delete(wanted[1], stale=True),
            ],
        )
        assert (counts.copied, counts.renewed, counts.deleted) == (3, 1, 1)
        found = held(addresses[3], wanted)
        assert found.keys() == {wanted[0], wanted[2]}
        assert found[wanted[0]].value == large + b"y"
        client.set_many(dict.fromkeys(wanted, b"v"))
        with Client(addresses[3:], timeout=10.0) as new:
            new.flush_all()
        counts = following(addresses, [lambda: client.set(wanted[0], b"w")], most=5, hottest=True)
        assert counts.copied == 5
        assert len(held(addresses[3], wanted)) == 5


def test_a_copy_that_somebody_replaced_is_left_alone_while_following(addresses: list[str]) -> None:
    wanted = mine(addresses, KEYS)
    with Client(addresses[:3], timeout=10.0) as old, Client(addresses[3:], timeout=10.0) as new:
        old.set_many(dict.fromkeys(KEYS, b"old"))
        following(
            addresses,
            [
                lambda: (new.set(wanted[0], b"theirs"), old.set(wanted[0], b"late")),
                lambda: (new.set(wanted[1], b"theirs"), old.delete(wanted[1])),
            ],
        )
        assert new.get_many(wanted[:2]) == dict.fromkeys(wanted[:2], b"theirs")


def test_a_source_and_a_target_that_are_away(addresses: list[str]) -> None:
    gone = f"127.0.0.1:{_free_port()}"
    short = ShardOptions(timeout=2.0)
    with Client(addresses[:1], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
    before, after = Layout.of([addresses[0], gone]), Layout.of([addresses[0], gone, addresses[3]])
    with Copier(before, after, before.names, addresses[3:], short) as copier:
        list(copier.run())
    assert copier.counts.errors == {gone: "Connection refused"}
    assert copier.counts.copied > 50
    before, after = Layout.of(addresses[:1]), Layout.of([addresses[0], gone])
    with Copier(before, after, before.names, [gone], short, Settings(batch=20)) as copier:
        list(copier.run())
    assert (copier.counts.copied, copier.counts.failed) == (0, 60)  # after three batches it stops
    assert copier.counts.errors == {gone: "Connection refused"}


def test_stopping_ends_after_a_batch_and_loses_nothing(addresses: list[str]) -> None:
    with Client(addresses[:3], timeout=10.0) as client:
        client.set_many(dict.fromkeys(KEYS, b"x"))
    before, after = Layout.of(addresses[:3]), Layout.of(addresses)
    settings = Settings(batch=5)
    with Copier(before, after, addresses[:3], addresses[3:], PATIENT, settings) as copier:
        for step in copier.run():
            if step.phase == "copy":
                copier.stop()
    assert copier.is_stopped
    assert copier.counts.copied == 5
    assert warmed(addresses).present == 5


def test_listing_does_not_wait_for_who_takes_the_steps(addresses: list[str]) -> None:
    """A list that is not read holds up the server; here it is read though nobody goes on."""
    with Client(addresses[:1], timeout=10.0) as client:
        for begin in range(0, 20_000, 1000):
            client.set_many({f"{'k' * 60}:{begin + at}": b"x" for at in range(1000)})
        before, after = Layout.of(addresses[:1]), Layout.of([addresses[0], addresses[3]])
        with Copier(before, after, addresses[:1], addresses[3:], PATIENT) as copier:
            steps: Any = copier.run()
            next(steps)
            threads = [each for each in threading.enumerate() if each.name.startswith("keys of")]
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive()
            steps.close()
        assert len(client.get_many([f"{'k' * 60}:{at}" for at in range(20_000)])) == 20_000


def test_keys_with_any_bytes_are_counted_and_stay(addresses: list[str]) -> None:
    host, port = addresses[0].split(":")
    with socket.create_connection((host, int(port)), 10) as raw:
        for number in range(20):  # the bytes themselves are the key, with a space in it
            key = base64.b64encode(b"a b%d" % number)
            raw.sendall(b"ms %b 1 b\r\nx\r\n" % key)
            assert raw.recv(100).startswith(b"HD")
    counts = warmed([addresses[0], addresses[3]])
    assert counts.unsendable > 0
    assert counts.copied == 0


def test_without_meta_commands_an_expiry_is_that_of_the_list(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends.End, "has_meta", property(lambda self: False))
    with sharded(addresses[:3]) as client:
        client.set_multi([Item(key, b"x", 7, 0, (0, 500)[i % 2]) for i, key in enumerate(KEYS)])
    counts = warmed(addresses)
    wanted = mine(addresses, KEYS)
    assert (counts.copied, counts.errors) == (len(wanted), {})
    found = held(addresses[3], wanted)
    assert {each.flags for each in found.values()} == {7}
    for key, each in found.items():
        assert each.ttl == -1 if KEYS.index(key) % 2 == 0 else 440 <= each.ttl <= 501


def test_large_values_and_tokens_they_lack(addresses: list[str]) -> None:
    keys = mine(addresses, KEYS)[:4]
    with Client(addresses[:3], timeout=10.0) as client:
        assert client.set_many(dict.fromkeys(keys, b"x" * 900_000)) == []
    counts = warmed(addresses)
    assert (counts.copied, counts.size) == (4, 3_600_000)


def test_bad_arguments(addresses: list[str]) -> None:
    wrong: Any
    for wrong, words in (
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"batch": 200_000}, r"batch must be in \[1, 100000\], got 200000"),
        ({"most": 0}, "most must be at least 1"),
        ({"max_ttl": -5}, "max_ttl must be at least 1, got -5"),
        ({"rate": 0}, "rate must be above 0 a second and finite, got 0"),
        ({"byte_rate": float("inf")}, "byte_rate must be above 0 a second and finite, got inf"),
        ({"pause": -1.0}, "pause must be at least 0 seconds"),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            Settings(**wrong)
    wrong = {"batch": 1.5}
    with pytest.raises(InvalidTypeError, match="batch must be an int"):
        Settings(**wrong)
    layout = Layout.of(addresses)
    with pytest.raises(InvalidArgumentError, match="targets must name at least one server"):
        Copier(layout, layout, addresses, ["x"], PATIENT)
    with pytest.raises(InvalidArgumentError, match="sources must name"):
        Copier(layout, layout, [], addresses, PATIENT)
    sasl = ShardOptions(auth=Credentials("ann", "secret", "sasl"))
    with pytest.raises(NotSupportedError, match="with SASL lists no keys"):
        Copier(layout, layout, addresses, addresses, sasl)


def test_a_server_without_tokens(
    tmp_path: Path, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running("tcp", tmp_path, extra=["-C"]) as bare:
        servers = [bare.address, addresses[3]]
        manager = StaticShardManager(servers[:1], options=PATIENT)
        with ShardedClient(manager, AsciiProtocol(), 10.0) as client:
            assert client.set_values(KEYS, [b"x"] * len(KEYS)) == []
        counts = warmed(servers)
        assert counts.copied == len(mine(servers, KEYS))
        assert counts.errors == {}
        # What changes while it is copied is told by its value.
        wanted = mine(servers, KEYS)
        look = ends.End.held

        def changed(self: Any, keys: list[bytes]) -> Any:
            with Client(servers[:1], timeout=10.0) as client:
                client.set(wanted[0], b"y")
            return look(self, keys)

        with Client(servers[1:], timeout=10.0) as new:
            new.flush_all()
        monkeypatch.setattr(ends.End, "held", changed)
        assert warmed(servers).undone == 1
        assert held(servers[1], wanted).keys() == set(wanted) - {wanted[0]}
        words = f"{bare.address} gives its items no tokens .memcached -C."
        with pytest.raises(NotSupportedError, match=words):
            following(servers, [])
        # A target, to which a key is copied, and one that has it.
        with Client(servers[:1], timeout=10.0) as old, Client(servers[1:], timeout=10.0) as new:
            old.delete_many(KEYS)  # what is stored within the second of a flush is gone
            new.set_many(dict.fromkeys(KEYS, b"x"))
            for _ in range(2):
                with pytest.raises(NotSupportedError, match=words):
                    following(servers[::-1], [])
