"""godropbox.balancing: which host a request goes to, and what is marked down."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from godropbox.balancing import (
    Balancer,
    ConsistentHashing,
    NoHostError,
    Order,
    Pick,
    RoundRobin,
    ShuffledFixed,
    SortedFixed,
)
from godropbox.errors import NetworkError
from godropbox.murmur3 import hash32

HOSTS = {f"10.0.0.{i}:80": i for i in range(1, 10)}
STRATEGIES = [RoundRobin(seed=1), SortedFixed(), ShuffledFixed(seed=1), ConsistentHashing()]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def picked(balancer: Balancer, count: int, key: bytes | None = None) -> list[str]:
    return [balancer.pick(key).address for _ in range(count)]


def test_round_robin_takes_the_active_ones_in_turn() -> None:
    balancer = Balancer(HOSTS, RoundRobin(active=3, seed=5))
    assert picked(balancer, 7) == [balancer.hosts[i % 3] for i in range(7)]
    assert set(Counter(picked(Balancer(HOSTS, RoundRobin()), 600)).values()) == {100}


def test_processes_spread_over_a_larger_fleet() -> None:
    firsts = {Balancer(HOSTS, ShuffledFixed()).pick().address for _ in range(200)}
    assert firsts == set(HOSTS)


def test_shuffling_is_that_of_the_go_library() -> None:
    def place(host: str) -> int:
        data = (77).to_bytes(8, "little") + HOSTS[host].to_bytes(8, "little")
        return int.from_bytes(hashlib.md5(data).digest()[:8], "little")

    expected = tuple(sorted(HOSTS, key=place))
    assert Balancer(HOSTS, ShuffledFixed(77)).hosts == expected
    assert Balancer(HOSTS, RoundRobin(seed=77)).hosts == expected
    assert set(picked(Balancer(HOSTS, ShuffledFixed(77)), 10)) == {expected[0]}


def test_sorted_fixed_takes_the_highest_id() -> None:
    balancer = Balancer(HOSTS, SortedFixed())
    assert balancer.hosts == tuple(sorted(HOSTS, key=HOSTS.__getitem__, reverse=True))
    assert set(picked(balancer, 5)) == {"10.0.0.9:80"}
    balancer.mark_down("10.0.0.9:80")
    assert set(picked(balancer, 5)) == {"10.0.0.8:80"}


def ring_from(key: bytes) -> list[str]:
    """Return the hosts as they come on the ring behind a key, as Go's pool finds them."""
    ring = sorted(HOSTS, key=lambda host: hash32(host.encode()))
    behind = [host for host in ring if hash32(host.encode()) >= hash32(key)]
    return behind + [host for host in ring if host not in behind]


def test_consistent_hashing_takes_the_host_behind_the_key() -> None:
    balancer = Balancer(HOSTS, ConsistentHashing())
    owners = set()
    for i in range(300):
        key = b"key %d" % i
        ring = ring_from(key)
        assert balancer.pick(key) == Pick(ring[0], False)
        owners.add(ring[0])
    assert len(owners) > 5


def test_consistent_hashing_spreads_a_hot_key_over_the_nearest() -> None:
    balancer = Balancer(HOSTS, ConsistentHashing(nearest=3))
    ring = ring_from(b"hot")
    assert set(picked(balancer, 200, b"hot")) == set(ring[:3])
    balancer.mark_down(ring[1])
    assert set(picked(balancer, 200, b"hot")) == {ring[0], ring[2], ring[3]}


def test_keys_of_other_hosts_stay_when_one_comes_or_goes() -> None:
    balancer = Balancer(HOSTS, ConsistentHashing())
    keys = [b"key %d" % i for i in range(300)]
    before = [balancer.pick(key).address for key in keys]
    gone = "10.0.0.4:80"
    balancer.update(host for host in HOSTS if host != gone)
    after = [balancer.pick(key).address for key in keys]
    assert gone in before
    assert all(old == new for old, new in zip(before, after, strict=True) if old != gone)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_down_for_a_while(strategy: Any) -> None:
    clock = Clock()
    balancer = Balancer(HOSTS, strategy, mark_down=10, clock=clock)
    first = balancer.pick(b"key").address
    balancer.mark_down(first)
    assert balancer.down == (first,)
    assert first not in picked(balancer, 50, b"key")
    clock.now += 10
    assert not balancer.down
    assert first in picked(balancer, 50, b"key")
    balancer.mark_down(first, seconds=1000)
    balancer.mark_up(first)
    assert first in picked(balancer, 50, b"key")
    balancer.mark_down("unknown:1")
    assert not balancer.down


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_all_are_down_one_is_picked_all_the_same(strategy: Any) -> None:
    balancer = Balancer(HOSTS, strategy)
    for host in HOSTS:
        balancer.mark_down(host)
    assert balancer.pick(b"key").is_down
    assert balancer.run(lambda host: host, b"key") in HOSTS
    assert len(balancer.down) == len(HOSTS) - 1  # who answers is up again


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_hosts(strategy: Any) -> None:
    balancer = Balancer((), strategy)
    for call in (balancer.pick, lambda key: balancer.run(str, key)):
        with pytest.raises(NoHostError, match="the balancer has no hosts") as caught:
            call(b"key")
        assert isinstance(caught.value, NetworkError)


def test_an_update_keeps_what_is_down() -> None:
    clock = Clock()
    balancer = Balancer(HOSTS, SortedFixed(), clock=clock)
    balancer.mark_down("10.0.0.9:80")
    balancer.mark_down("10.0.0.8:80")
    balancer.update({"10.0.0.9:80": 9, "10.0.0.7:80": 7})
    assert balancer.down == ("10.0.0.9:80",)
    balancer.update(HOSTS)
    assert balancer.down == ("10.0.0.9:80",)


def failing(broken: Iterable[str], asked: list[str]) -> Any:
    def ask(host: str) -> str:
        asked.append(host)
        if host in broken:
            raise ConnectionRefusedError(host)
        return host

    return ask


def test_run_tries_others_and_marks_down_what_failed() -> None:
    asked: list[str] = []
    balancer = Balancer(HOSTS, SortedFixed())
    broken = {"10.0.0.9:80", "10.0.0.8:80"}
    assert balancer.run(failing(broken, asked)) == "10.0.0.7:80"
    assert asked == ["10.0.0.9:80", "10.0.0.8:80", "10.0.0.7:80"]
    assert set(balancer.down) == broken
    assert balancer.run(failing(broken, asked)) == "10.0.0.7:80"
    assert len(asked) == 4


def test_run_ends_after_its_attempts_with_the_last_error() -> None:
    asked: list[str] = []
    balancer = Balancer(HOSTS, SortedFixed())
    with pytest.raises(ConnectionRefusedError, match=r"10\.0\.0\.8"):
        balancer.run(failing(HOSTS, asked), attempts=2)
    assert asked == ["10.0.0.9:80", "10.0.0.8:80"]


def test_run_does_not_try_what_is_known_to_be_down() -> None:
    asked: list[str] = []
    balancer = Balancer(["a", "b"], SortedFixed())
    balancer.mark_down("a")
    balancer.mark_down("b")
    with pytest.raises(ConnectionRefusedError):
        balancer.run(failing("ab", asked))
    assert len(asked) == 1


def test_run_leaves_other_errors_alone() -> None:
    balancer = Balancer(HOSTS, SortedFixed())
    with pytest.raises(ValueError, match="invalid literal"):
        balancer.run(int)
    assert not balancer.down
    with pytest.raises(ValueError, match="invalid literal"):
        balancer.run(int, failures=(ValueError,), attempts=1)
    assert balancer.down == ("10.0.0.9:80",)


def test_run_where_the_hosts_go_meanwhile() -> None:
    balancer = Balancer(HOSTS)

    def ask(host: str) -> None:
        balancer.update([])
        raise ConnectionResetError(host)

    with pytest.raises(ConnectionResetError):
        balancer.run(ask)
    assert not balancer.hosts


def test_a_strategy_of_ones_own() -> None:
    class Last:
        def order(self, hosts: Any) -> Order:
            return Order(tuple(hosts), lambda turn, key: [len(hosts) - 1])

    assert Balancer(["a", "b"], Last()).pick() == Pick("b", False)


ANY: Any = Balancer, RoundRobin, ShuffledFixed, ConsistentHashing


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ANY[1](0), ValueError, "active must be at least 1, got 0"),
        (lambda: ANY[1](1.5), TypeError, "active must be an int, got 1.5"),
        (lambda: ANY[1](seed=-1), ValueError, r"seed must be in \[0, \d+\), got -1"),
        (lambda: ANY[2]("1"), TypeError, "seed must be an int, got '1'"),
        (lambda: ANY[3](0), ValueError, "nearest must be at least 1, got 0"),
        (lambda: ANY[3](seed=1 << 32), ValueError, "seed must be in"),
        (lambda: ANY[0]("host:80"), TypeError, "hosts must be an iterable of addresses"),
        (lambda: ANY[0]([80]), TypeError, "hosts must have addresses that are str, got 80"),
        (lambda: ANY[0]({"a": "1"}), TypeError, r"hosts\['a'\] must be an int, its id, got '1'"),
        (lambda: ANY[0]({"a": 1 << 63}), ValueError, r"hosts\['a'\] must be in"),
        (lambda: ANY[0](["a"], RoundRobin), TypeError, "strategy must be one, such as Round"),
        (lambda: ANY[0](["a"], "fixed"), TypeError, "strategy must be one, .* got 'fixed'"),
        (lambda: ANY[0](mark_down=-1), ValueError, "mark_down must be at least 0 s, got -1"),
        (lambda: ANY[0](mark_down="1"), TypeError, "mark_down must be a number of seconds"),
        (lambda: ANY[0](["a"]).pick("key"), TypeError, "key must be bytes, got 'key'"),
        (lambda: ANY[0](["a"], ConsistentHashing()).pick(), TypeError, "key must be given"),
        (lambda: ANY[0](["a"]).run(str, attempts=0), ValueError, "attempts must be at least 1"),
        (lambda: ANY[0](["a"]).mark_down("a", -1), ValueError, "seconds must be at least 0 s"),
    ],
)
def test_bad_arguments(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()
