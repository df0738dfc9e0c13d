"""Statuses of real servers: alive, dead, stopped, restarted; and what tables say of them."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.memcached import _free_port, running
from support.real_proxies import nutcracker, nutcracker_program

from godropbox.fleet.reports import status_as_json, status_as_tables
from godropbox.fleet.tables import Table
from godropbox.fleet.watching import Status, Watcher
from godropbox.memcache import Client, ShardOptions, ShardState
from godropbox.memcache.discovery.types import Server
from godropbox.memcache.errors import InvalidArgumentError, InvalidTypeError

PATIENT = ShardOptions(timeout=20.0, connect_timeout=10.0)


def servers_of(addresses: list[str]) -> list[Server]:
    return [Server(each, each) for each in addresses]


def text_of(statuses: list[Status]) -> str:
    return "\n".join(
        line
        for part in status_as_tables(statuses)
        for line in (part.lines() if isinstance(part, Table) else [part])
    )


def test_what_a_server_says(addresses: list[str]) -> None:
    with Client(addresses[:1], timeout=10.0) as client:
        client.set("a", b"x")
        before = client.stats()[0]
    with Watcher(servers_of(addresses[:1]), PATIENT, pings=3) as watcher:
        [first] = watcher.look()
        assert first.error is None
        assert first.version == before["version"]
        assert first.dialect is not None
        assert first.dialect.protocol == "meta"
        assert first.number("curr_items") == 1
        assert len(first.pings) == 3
        assert first.latency is not None
        assert first.worst is not None
        assert 0 < first.latency <= first.worst
        assert first.rates is None
        with Client(addresses[:1], timeout=10.0) as client:
            for _ in range(3):
                client.get("a")
            client.get("none")
        [second] = watcher.look()
    assert second.rates is not None
    assert second.rates.hit_rate == 0.75
    assert second.rates.gets * second.rates.seconds == pytest.approx(4)
    assert "gets/s" in text_of([second])
    assert "75.0%" in text_of([second])
    row = status_as_json([second], 5.0)["servers"][0]
    assert (row["name"], row["protocol"], row["items"]) == (addresses[0], "meta", 1)
    assert row["rates"]["hit_rate"] == 0.75


def test_dead_and_stopped_servers_delay_nobody(addresses: list[str], tmp_path: Path) -> None:
    dead = f"127.0.0.1:{_free_port()}"
    with running("tcp", tmp_path, extra=()) as stopped:
        stopped.process.send_signal(signal.SIGSTOP)
        try:
            servers = servers_of([stopped.address, dead, *addresses])
            with Watcher(servers, ShardOptions(timeout=3.0, connect_timeout=3.0)) as watcher:
                began = time.monotonic()
                statuses = watcher.look()
                took = time.monotonic() - began
        finally:
            stopped.process.send_signal(signal.SIGCONT)
    assert took < 10
    assert [each.error is None for each in statuses] == [False, False, *[True] * 4]
    assert statuses[1].error == "Connection refused"
    assert "deadline" in str(statuses[0].error) or "no answer within 3 s" in str(statuses[0].error)
    text = text_of(statuses)
    assert text.count(" down") == 2
    assert f"{dead}: Connection refused" in text


def test_a_server_that_comes_back_is_seen_and_has_no_rates(tmp_path: Path) -> None:
    port = _free_port()
    address = f"127.0.0.1:{port}"
    with Watcher(servers_of([address]), PATIENT, pings=0) as watcher:
        with running("tcp", tmp_path, port, extra=()):
            with Client([address], timeout=10.0) as client:
                client.get("a")
            watcher.look()
        [gone] = watcher.look()
        assert gone.error is not None
        with running("tcp", tmp_path, port, extra=()):
            [back] = watcher.look()
    assert back.error is None
    assert back.rates is None
    assert back.pings == ()


def test_fifty_servers(addresses: list[str], tmp_path: Path) -> None:
    """Fifty names, over four processes: each has its own connection and row."""
    servers = [Server(f"cache-{n}", addresses[n % 4]) for n in range(50)]
    with Watcher(servers, PATIENT, pings=2) as watcher:
        statuses = watcher.look()
        assert [each.server.name for each in statuses] == [each.name for each in servers]
        assert [each.error for each in statuses] == [None] * 50
        assert len(text_of(statuses).splitlines()) == 51
        watcher.replace(servers[:2])
        assert len(watcher.look()) == 2
        assert watcher.servers == tuple(servers[:2])


def test_states_are_shown_where_not_all_are_active(addresses: list[str]) -> None:
    servers = [Server("a", addresses[0]), Server("b", addresses[1], ShardState.WARM_UP)]
    with Watcher(servers, PATIENT, pings=0) as watcher:
        statuses = watcher.look()
    text = text_of(statuses)
    assert "WARM_UP" in text
    assert f"a ({addresses[0]})" in text
    assert status_as_json(statuses, 0.0)["servers"][1]["state"] == "WARM_UP"


def test_a_proxy_has_a_version_and_no_statistics(addresses: list[str], tmp_path: Path) -> None:
    program = nutcracker_program()
    if not program:
        pytest.skip("nutcracker is not installed")
    with ExitStack() as stack:
        proxy = stack.enter_context(nutcracker(tmp_path, addresses[:2], program))
        with Watcher(servers_of([proxy.address]), PATIENT, pings=1) as watcher:
            [status] = watcher.look()
    assert status.error is None
    assert status.stats == {}
    assert "ascii, a proxy" in text_of([status])


def test_bad_arguments() -> None:
    wrong: Any = 1.5
    with pytest.raises(InvalidTypeError, match="pings must be an int"):
        Watcher([], PATIENT, pings=wrong)
    with pytest.raises(InvalidArgumentError, match=r"pings must be in \[0, 1000\], got -1"):
        Watcher([], PATIENT, pings=-1)
    with pytest.raises(InvalidArgumentError, match="must have a timeout, got None"):
        Watcher([], ShardOptions(timeout=None))
