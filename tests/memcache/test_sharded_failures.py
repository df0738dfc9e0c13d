"""What goes wrong with a server of a fleet: its own keys have errors, and the others their answers.

With ``GODROPBOX_STRICT=1`` an operation must end 20 ms after its deadline at the latest; otherwise
so that a hang is told from a busy machine.
"""

import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.faultproxy import Fault, FaultProxy
from support.pools import fork, until
from support.server_fleets import PROTOCOLS, ServerFleet, loans, owner, sharded

from godropbox import memcache
from godropbox.memcache import (
    AsciiProtocol,
    BaseShardManager,
    Connection,
    Item,
    ShardedClient,
    ShardOptions,
    StaticShardManager,
)
from godropbox.resource_pool import LameDuckError, OpenError, PoolExhaustedError, PoolTimeoutError

GRACE = 0.02 if "GODROPBOX_STRICT" in os.environ else 10.0
TIMEOUT = 1.0  # in which the other servers answer, however busy the machine is
KEYS = [f"key:{i}" for i in range(400)]
ITEMS = [Item(key, key.encode() * 10) for key in KEYS]


class Interrupted(BaseException):
    """What a signal's handler raises: no subclass of Exception, as KeyboardInterrupt is none."""


@pytest.fixture
def fleet(tmp_path: Any) -> Iterator[ServerFleet]:
    fleet = ServerFleet("tcp", 8, tmp_path)
    yield fleet
    fleet.close()


def split(client: ShardedClient, bad: int) -> tuple[list[str], list[str]]:
    """Return the keys of the other shards, and those of shard `bad`."""
    return (
        [key for key in KEYS if owner(client, key) != bad],
        [key for key in KEYS if owner(client, key) == bad],
    )


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_stopped_server_costs_its_own_keys_alone(fleet: ServerFleet, protocol: str) -> None:
    with sharded(fleet, protocol) as patient:
        assert all(r.ok for r in patient.set_multi(ITEMS))
    with sharded(fleet, protocol, timeout=TIMEOUT) as client:
        others, its = split(client, 3)
        calls: list[Callable[[], Any]] = [
            lambda: client.get_multi(KEYS),
            lambda: {r.key: r for r in client.set_multi(ITEMS)},
            lambda: {r.key: r for r in client.delete_multi(KEYS)},
        ]
        fleet.stop(3)
        for call in calls:
            started = time.monotonic()
            found = call()
            assert time.monotonic() - started < TIMEOUT + GRACE
            assert list(found) == KEYS
            assert all(found[key].ok for key in others)
            for key in its:
                error = found[key].error
                assert isinstance(error, memcache.DeadlineExceededError)
                assert (error.fields["shard"], error.fields["address"]) == (3, fleet.addresses[3])
                assert found[key].status is memcache.ResponseStatus.TEMPORARY_FAILURE
            assert client.set_multi([item for item in ITEMS if item.key in others])[0].ok
        with pytest.raises(memcache.DeadlineExceededError, match="shard 3 at") as caught:
            client.get(its[0])
        assert caught.value.fields["shard"] == 3
        version = client.version()
        assert sorted(version.versions) == [0, 1, 2, 4, 5, 6, 7]
        assert isinstance(version.error, memcache.DeadlineExceededError)
        fleet.resume(3)
        assert all(r.ok for r in client.set_multi(ITEMS))
        # Not that they are found: only now does the server get to what it was sent before.
        assert all(r.error is None for r in client.get_multi(KEYS).values())
        assert client.version().ok


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_server_that_comes_back_fails_no_call(fleet: ServerFleet, protocol: str) -> None:
    with sharded(fleet, protocol) as client:
        assert all(r.ok for r in client.set_multi(ITEMS))
        others, its = split(client, 5)
        fleet.kill(5)
        for _ in range(2):
            found = client.get_multi(KEYS)
            assert all(found[key].value == key.encode() * 10 for key in others)
            assert {type(found[key].error) for key in its} == {memcache.ConnectionLostError}
            with pytest.raises(memcache.ConnectionLostError, match="shard 5 at"):
                client.set(Item(its[0], b""))
        fleet.restart(5)
        found = client.get_multi(KEYS)
        assert all(found[key].error is None for key in KEYS)
        assert [found[key].value for key in its] == [None] * len(its)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_the_first_call_after_a_restart_does_not_fail(fleet: ServerFleet, protocol: str) -> None:
    with sharded(fleet, protocol) as client:
        many = [client.manager.fleet().shards[2].pool.get() for _ in range(5)]
        for handle in many:
            handle.release()
        _, its = split(client, 2)
        calls: list[Callable[[], Any]] = [
            lambda: client.get(its[0]),
            lambda: client.set(Item(its[0], b"1")),
            lambda: client.get_multi(KEYS)[its[0]],
            lambda: client.set_multi(ITEMS)[KEYS.index(its[0])],
            client.version,
        ]
        for call in calls:
            client.get_multi(KEYS)
            fleet.kill(2)
            fleet.restart(2)
            assert call().error is None
        assert client.manager.fleet().shards[2].pool.num_idle == 1


def test_bytes_that_nobody_asked_for_cost_a_connection_and_no_key(fleet: ServerFleet) -> None:
    ours, theirs, another = [], [], threading.Event()

    def open_pair(address: str) -> Connection:
        near, far = socket.socketpair()
        ours.append(near)
        theirs.append(far)
        if len(theirs) == 2:
            another.set()
        return Connection(near, 5.0)

    options = ShardOptions(open=open_pair)
    with StaticShardManager(["127.0.0.1:1"], options=options) as manager:
        client = ShardedClient(manager, AsciiProtocol())
        manager.fleet().shards[0].pool.get().release()
        theirs[0].sendall(b"VALUE a 0 1 1\r\nx\r\nEND\r\n")

        def answer() -> None:
            assert another.wait(10.0)
            theirs[1].recv(100)
            theirs[1].sendall(b"END\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert client.get_multi(["a"])["a"].value is None
        thread.join()
        assert [each.fileno() < 0 for each in ours] == [True, False]
    for each in theirs:
        each.close()


@pytest.mark.parametrize("kind", ["truncate", "reset", "garble", "duplicate", "hang"])
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_broken_reply_costs_a_connection_and_its_own_keys(
    fleet: ServerFleet, protocol: str, kind: Any
) -> None:
    host, port = fleet.addresses[0].split(":")
    with FaultProxy((host, int(port))) as proxy:
        addresses = [proxy.address, *fleet.addresses[1:]]
        options = ShardOptions(timeout=TIMEOUT)
        with StaticShardManager(addresses, options=options) as manager:
            client = ShardedClient(manager, PROTOCOLS[protocol]())
            proxy.fault = Fault()
            assert all(r.ok for r in client.set_multi(ITEMS))
            others, its = split(client, 0)
            manager.fleet().shards[0].pool.get().discard()
            # What is garbled inside a value is a value; the head of the reply has to be right.
            proxy.fault = Fault(kind, 0 if kind == "garble" else 300)
            found = client.get_multi(KEYS)
            assert all(found[key].value == key.encode() * 10 for key in others)
            for key in its:
                assert found[key].value is None
                assert found[key].error.fields["shard"] == 0  # type: ignore[union-attr]
            proxy.fault = Fault()
            assert loans(manager) == 0
            assert all(found.found for found in client.get_multi(KEYS).values())


def unanswering() -> tuple[list[socket.socket], str]:
    """Return sockets, and an address where nobody takes or refuses a connection."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    sockets = [listener]
    for _ in range(4):  # so many that the system has no room for more, and drops them
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(listener.getsockname())
        sockets.append(waiting)
    host, port = listener.getsockname()
    return sockets, f"{host}:{port}"


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_hosts_that_do_not_answer_cost_their_own_keys_alone(
    fleet: ServerFleet, protocol: str
) -> None:
    dead = [unanswering() for _ in range(3)]
    addresses = [address for _, address in dead] + fleet.addresses[3:]
    try:
        options = ShardOptions(timeout=TIMEOUT, connect_timeout=30.0)
        with StaticShardManager(addresses, options=options) as manager:
            client = ShardedClient(manager, PROTOCOLS[protocol]())
            started = time.monotonic()
            answers = client.set_multi(ITEMS)
            assert time.monotonic() - started < TIMEOUT + GRACE
            for key, response in zip(KEYS, answers, strict=True):
                if owner(client, key) < 3:
                    assert isinstance(response.error, memcache.DeadlineExceededError)
                else:
                    assert response.ok
            with pytest.raises(memcache.DeadlineExceededError):
                client.get(next(key for key in KEYS if owner(client, key) == 0))
            assert loans(manager) == 0
    finally:
        for sockets, _ in dead:
            for each in sockets:
                each.close()


def test_what_opening_says_is_the_answer_of_its_keys(fleet: ServerFleet) -> None:
    def refuse(address: str) -> Connection:
        if address == fleet.addresses[1]:
            raise RuntimeError("no")
        if address == fleet.addresses[2]:
            raise memcache.ServerError("the login was refused")
        return Connection(memcache.connect(address))

    with StaticShardManager(fleet.addresses, options=ShardOptions(open=refuse)) as manager:
        client = ShardedClient(manager, AsciiProtocol())
        found = client.get_multi(KEYS)
        kinds = {owner(client, key): type(found[key].error) for key in KEYS}
        assert kinds == dict.fromkeys(range(8), type(None)) | {
            1: OpenError,
            2: memcache.ServerError,
        }
        with pytest.raises(OpenError):
            client.get(next(key for key in KEYS if owner(client, key) == 1))
        assert loans(manager) == 0


def test_an_exhausted_pool_costs_its_own_keys_alone(fleet: ServerFleet) -> None:
    with sharded(fleet, max_active=1) as client:
        held = client.manager.fleet().shards[4].pool.get()
        found = client.get_multi(KEYS)
        others, its = split(client, 4)
        assert all(found[key].error is None for key in others)
        for key in its:
            assert isinstance(found[key].error, PoolExhaustedError)
            assert found[key].status is memcache.ResponseStatus.BUSY
        with pytest.raises(PoolExhaustedError):
            client.get(its[0])
        held.release()
    with sharded(fleet, timeout=TIMEOUT, max_active=1, pool_timeout=0.05) as client:
        held = client.manager.fleet().shards[4].pool.get()
        found = client.get_multi(KEYS)
        assert {type(found[key].error) for key in its} == {PoolTimeoutError}
        timer = threading.Timer(0.01, held.release)
        timer.start()
        client.manager.fleet().shards[4].pool.get(5.0).release()
        timer.join()
        assert all(r.error is None for r in client.get_multi(KEYS).values())


def test_an_interrupt_leaves_nothing_on_loan_and_nothing_out_of_step(fleet: ServerFleet) -> None:
    def ring(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, ring)
    try:
        with sharded(fleet) as client:
            assert all(r.ok for r in client.set_multi(ITEMS))
            fleet.stop(6)
            _, its = split(client, 6)
            calls: list[Callable[[], object]] = [
                lambda: client.get_multi(KEYS),
                lambda: client.get(its[0]),
            ]
            for call in calls:
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                with pytest.raises(Interrupted):
                    call()
                assert loans(client.manager) == 0
            fleet.resume(6)
            found = client.get_multi(KEYS)
            assert [found[key].value for key in KEYS] == [item.value for item in ITEMS]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ejection(fleet: ServerFleet) -> None:
    now = [100.0]
    more: dict[str, Any] = {"clock": lambda: now[0], "retry_jitter": 0.0, "retry_after": 5.0}
    with sharded(fleet, eject_after=2, **more) as client:
        _, its = split(client, 7)
        shard = client.manager.fleet().shards[7]
        fleet.kill(7)
        assert client.get_multi(KEYS)[its[0]].error is not None
        with pytest.raises(memcache.ConnectionLostError):
            client.get(its[0])
        assert shard.is_ejected
        assert client.get_multi(KEYS)[its[0]].skipped
        assert client.get(its[0]).skipped
        fleet.restart(7)
        now[0] += 6.0
        assert client.get_multi(KEYS)[its[0]].error is None
        assert not shard.is_ejected
        assert shard.failures == 0
    with sharded(fleet, eject_after=1, ejected="next", **more) as client:
        fleet.kill(7)
        assert client.set_multi(ITEMS)[KEYS.index(its[0])].error is not None
        assert all(r.ok for r in client.set_multi(ITEMS))
        assert client.get(its[0]).value == its[0].encode() * 10


def test_a_fork_has_connections_of_its_own(fleet: ServerFleet) -> None:
    with sharded(fleet) as client:
        assert all(r.ok for r in client.set_multi(ITEMS))
        child = fork()
        if child == 0:
            status = 1
            try:
                found = client.get_multi(KEYS)
                right = all(found[item.key].value == item.value for item in ITEMS)
                status = 0 if right and client.get(KEYS[0]).found else 2
            finally:
                os._exit(status)
        for _ in range(20):
            found = client.get_multi(KEYS)
            assert [found[key].value for key in KEYS] == [item.value for item in ITEMS]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_share_a_client(fleet: ServerFleet) -> None:
    errors: list[BaseException] = []

    def work(name: int) -> None:
        try:
            keys = [f"{name}:{i}" for i in range(50)]
            for turn in range(30):
                assert all(r.ok for r in client.set_multi([Item(k, b"%d" % turn) for k in keys]))
                found = client.get_multi(keys)
                assert {found[key].value for key in keys} == {b"%d" % turn}
                assert client.get(keys[turn]).value == b"%d" % turn
        except BaseException as error:
            errors.append(error)

    with sharded(fleet) as client:
        threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_closed_client_says_so(fleet: ServerFleet, protocol: str) -> None:
    with sharded(fleet, protocol) as client:
        client.get_multi(KEYS)
        manager = client.manager
        assert isinstance(manager, BaseShardManager)
        states = [(each, 2 if i == 7 else 0) for i, each in enumerate(fleet.addresses)]
        manager.update_shard_states(states)
    gc.collect()
    calls: list[Callable[[], object]] = [
        *(lambda key=key: client.get(key) for key in KEYS[:20]),
        lambda: client.set(ITEMS[0]),
        lambda: client.delete("a"),
        lambda: client.increment("a"),
        lambda: client.get_multi(KEYS),
        lambda: client.get_multi([]),
        lambda: client.get_values(KEYS),
        lambda: client.get_sentinels(KEYS),
        lambda: client.set_multi(ITEMS),
        lambda: client.set_values(KEYS, [b"1"] * len(KEYS)),
        lambda: client.set_sentinels(ITEMS),
        lambda: client.add_multi(ITEMS),
        lambda: client.cas_multi(ITEMS),
        lambda: client.delete_multi(KEYS),
        lambda: client.flush(),
        lambda: client.stats(),
        lambda: client.version(),
    ]
    for call in calls:
        with pytest.raises(memcache.ClientClosedError, match="the client was closed"):
            call()
    client.close()


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_batch_that_is_under_way_when_it_is_closed_keeps_what_was_done(
    fleet: ServerFleet, protocol: str
) -> None:
    with sharded(fleet, protocol, max_active=1, pool_timeout=10.0) as client:
        assert all(r.ok for r in client.set_multi(ITEMS))
        others, its = split(client, 3)
        shard = client.manager.fleet().shards[3]
        lent = shard.pool.get()  # so that the batch waits for this shard, the last of all
        found: dict[Any, Any] = {}
        thread = threading.Thread(target=lambda: found.update(client.get_multi(KEYS)))
        thread.start()
        until(lambda: shard.pool.stats().waiting == 1)
        client.close()
        thread.join(10)
        lent.release()
    assert list(found) == KEYS
    assert all(found[key].value == key.encode() * 10 for key in others)
    assert {type(found[key].error) for key in its} == {memcache.ClientClosedError}
    assert {found[key].status for key in its} == {memcache.ResponseStatus.INVALID_ARGUMENTS}


def test_a_manager_that_does_not_say_whether_it_was_closed_has_retired_pools(
    fleet: ServerFleet,
) -> None:
    class Silent:
        """A keeper as the protocol has it, without ``is_closed``."""

        def __init__(self, manager: BaseShardManager) -> None:
            self.fleet = manager.fleet
            self.failed = manager.failed
            self.succeeded = manager.succeeded
            self.disconnect_all = manager.disconnect_all
            self.close = manager.close

    client = ShardedClient(Silent(StaticShardManager(fleet.addresses)), AsciiProtocol())
    client.close()
    with pytest.raises(LameDuckError):
        client.get("a")
    assert {type(r.error) for r in client.get_multi(KEYS).values()} == {LameDuckError}


def test_a_server_that_leaves_the_fleet_is_not_asked(fleet: ServerFleet) -> None:
    with BaseShardManager() as manager:
        client = ShardedClient(manager, AsciiProtocol())
        manager.update_shard_states([(each, 0) for each in fleet.addresses])
        assert all(r.ok for r in client.set_multi(ITEMS))
        manager.update_shard_states([(each, 0) for each in fleet.addresses[:1]])
        fleet.kill(7)
        assert all(r.error is None for r in client.get_multi(KEYS).values())
        assert loans(manager) == 0


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_a_batch_that_fails_while_it_borrows_lends_nothing_for_good(
    fleet: ServerFleet, protocol: str
) -> None:
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks -= 1
        if looks == 0:
            raise ZeroDivisionError("no time")
        return time.monotonic()

    with sharded(fleet, protocol, max_idle_time=60.0, clock=clock) as client:
        assert client.set_values(KEYS, [b"1"] * len(KEYS)) == []
        for looks in (1, 4, 8):
            with pytest.raises(ZeroDivisionError):
                client.get_values(KEYS)
            looks = 0
            assert isinstance(client.manager, BaseShardManager)
            assert loans(client.manager) == 0
            assert len(client.get_values(KEYS)[0]) == len(KEYS)
