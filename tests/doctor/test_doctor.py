"""The doctor on real servers: well, stopped, absent, full, without tokens, behind a proxy."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.memcached import PASSWORD, USER, Server, _free_port, running
from support.real_proxies import nutcracker, nutcracker_program

import godropbox
from godropbox.doctor import Facts, Finding, Level, Settings, examine, findings_of, rules
from godropbox.doctor.__main__ import main
from godropbox.memcache import Client, Credentials
from godropbox.memcache.errors import InvalidArgumentError, InvalidTypeError

PATIENT = Settings(timeout=10.0, pings=5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running("tcp", tmp_path_factory.mktemp("server"), extra=()) as found:
        yield found


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no slow server."""
    monkeypatch.setattr(rules, "SLOW", 10.0)


def found_of(facts: Facts) -> dict[str, Finding]:
    """Return the findings of one server by their codes."""
    return {each.code: each for each in findings_of([facts])}


def only(facts: Facts) -> Finding:
    """Return the one finding of a server."""
    [finding] = findings_of([facts])
    return finding


def test_a_server_that_is_well_has_notes_alone(server: Server) -> None:
    [facts] = examine([server.address], PATIENT)
    found = found_of(facts)
    assert {each.level for each in found.values()} == {Level.NOTE}
    assert set(found) == {"dialect", "item size", "memory", "latency", "uptime"}
    assert facts.stats["version"] in found["dialect"].text
    assert "1,048,576 bytes (-I)" in found["item size"].text
    assert len(facts.pings) == 5
    assert abs(facts.skew or 0) <= facts.skew_error + 1
    assert [each.error for each in facts.reached] == [None]


def test_nothing_is_stored(server: Server) -> None:
    with Client([server.address], timeout=10.0) as client:
        before = client.stats()[0]["total_items"]
        examine([server.address], PATIENT)
        assert client.stats()[0]["total_items"] == before


def test_a_port_where_nothing_listens() -> None:
    address = f"127.0.0.1:{_free_port()}"
    [facts] = examine([address], PATIENT)
    finding = only(facts)
    assert (finding.level, finding.code) == (Level.ERROR, "refused")
    assert "nothing listens there" in finding.text


def test_a_unix_socket(tmp_path: Path) -> None:
    with running("unix", tmp_path, extra=()) as server:
        [facts] = examine([server.address], PATIENT)
    assert facts.reached == ()
    assert found_of(facts)["dialect"].level is Level.NOTE
    [gone] = examine([f"unix:{tmp_path}/none"], PATIENT)
    assert only(gone).code == "no socket"
    assert "with -s and this path" in only(gone).advice


def test_a_name_that_is_none() -> None:
    [facts] = examine(["name.invalid:11211"], PATIENT)
    assert only(facts).code == "lookup"


def test_a_stopped_process_accepts_and_does_not_answer(tmp_path: Path, server: Server) -> None:
    with running("tcp", tmp_path, extra=()) as stopped:
        stopped.process.send_signal(signal.SIGSTOP)
        try:
            short = Settings(timeout=0.3, pings=2)
            [silent] = examine([stopped.address], short)
        finally:
            stopped.process.send_signal(signal.SIGCONT)
        finding = only(silent)
        assert (finding.level, finding.code) == (Level.ERROR, "silent")
        assert "does not answer within 0.3 s" in finding.text
        # It is well again, and so is its neighbour, in the order in which they were given.
        both = examine([stopped.address, server.address], PATIENT)
        assert [each.error for each in both] == [None, None]
        assert [each.address for each in both] == [stopped.address, server.address]


def test_no_tokens(tmp_path: Path) -> None:
    with running("tcp", tmp_path, extra=["-C"]) as bare:
        [facts] = examine([bare.address], PATIENT)
    finding = found_of(facts)["tokens"]
    assert finding.level is Level.WARNING
    assert "start it without -C" in finding.advice


def test_the_limit_of_connections(tmp_path: Path) -> None:
    with running("tcp", tmp_path, extra=["-c", "32"]) as small:
        host, port = small.address.split(":")
        held: list[socket.socket] = []
        try:
            # Those that are refused are told so; then the last but three are given back.
            while True:
                each = socket.create_connection((host, int(port)), 10)
                held.append(each)
                each.settimeout(10)
                each.sendall(b"version\r\n")
                if b"Too many" in each.recv(100):
                    break
            [full] = examine([small.address], PATIENT)
            assert only(full).code == "connections"
            assert "all of its connections are taken" in only(full).text
            for each in held[-4:]:
                each.close()
            del held[-4:]
            near = answering(small.address)
        finally:
            for each in held:
                each.close()
    finding = found_of(near)["connections"]
    assert finding.level is Level.WARNING
    assert "(-c 32) are in use, and it has refused" in finding.text


def answering(address: str) -> Facts:
    """Examine a server until it has noticed that connections were closed."""
    until = time.monotonic() + 20
    while True:
        [facts] = examine([address], PATIENT)
        if facts.error is None or time.monotonic() > until:
            return facts


def test_a_proxy_tells_no_statistics(tmp_path: Path, server: Server) -> None:
    program = nutcracker_program()
    if not program:
        pytest.skip("nutcracker is not installed")
    with nutcracker(tmp_path, [server.address], program) as proxy:
        [facts] = examine([proxy.address], PATIENT)
    found = found_of(facts)
    assert "ascii" in found["dialect"].text
    assert "as proxies do" in found["proxy"].text
    assert found["leases"].level is Level.WARNING


def test_evictions_and_items_that_were_refused(tmp_path: Path) -> None:
    with running("tcp", tmp_path, extra=["-m", "8"]) as small:
        with Client([small.address], timeout=10.0) as client:
            for number in range(40):
                client.set_many({f"{number}:{at}": b"x" * 50_000 for at in range(20)})
            assert client.set_many({"large": b"x" * 2_000_000}) == ["large"]
        [facts] = examine([small.address], PATIENT)
    found = found_of(facts)
    assert found["evictions"].level is Level.WARNING
    assert "never read" in found["evictions"].text
    assert found["item size"].level is Level.WARNING
    assert "it has refused 1 larger" in found["item size"].text


def test_tls_and_what_is_said_without_it(tmp_path: Path) -> None:
    with running("tls", tmp_path, extra=()) as secure:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        [facts] = examine([secure.address], Settings(timeout=10.0, pings=2, tls=context))
        [plain] = examine([secure.address], Settings(timeout=1.0, pings=2))
        distrusting = Settings(timeout=10.0, pings=2, tls=ssl.create_default_context())
        [foreign] = examine([secure.address], distrusting)
    found = found_of(facts)
    assert "TLSv1" in found["tls"].text
    assert found["certificate"].level is Level.WARNING  # it is made for two days
    assert "--tls" in only(plain).advice
    assert only(foreign).code == "tls"
    assert "--cafile" in only(foreign).advice


def test_tls_where_the_server_speaks_none(server: Server) -> None:
    wanted = Settings(timeout=2.0, pings=2, tls=ssl.create_default_context())
    [facts] = examine([server.address], wanted)
    assert only(facts).level is Level.ERROR


@pytest.mark.parametrize(("kind", "mechanism"), [("ascii-auth", "ascii"), ("sasl", "sasl")])
def test_a_login(tmp_path: Path, kind: str, mechanism: str) -> None:
    with running(kind, tmp_path, extra=()) as guarded:
        asked = {"timeout": 10.0, "pings": 2}
        right, wrong = (Credentials(USER, each, mechanism) for each in (PASSWORD, "no"))
        [inside] = examine([guarded.address], Settings(auth=right, **asked))  # type: ignore[arg-type]
        [outside] = examine([guarded.address], Settings(auth=wrong, **asked))  # type: ignore[arg-type]
    assert found_of(inside)["dialect"].level is Level.NOTE
    assert "(-I)" in found_of(inside)["item size"].text
    assert only(outside).code == "login"


def test_the_clock(server: Server) -> None:
    ahead = Settings(timeout=10.0, pings=1, wall_clock=lambda: time.time() + 60)
    [facts] = examine([server.address], ahead)
    finding = found_of(facts)["clock"]
    assert "behind this machine's" in finding.text
    assert "too late" in finding.advice
    assert facts.skew == pytest.approx(-60, abs=facts.skew_error + 1)


def test_a_name_of_which_one_address_refuses(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.address.split(":")[1])
    each = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host in ("127.0.0.2", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: each)
    [facts] = examine([f"cache.internal:{port}"], PATIENT)
    found = found_of(facts)
    assert found["some addresses"].level is Level.WARNING
    assert f"127.0.0.2:{port}" in found["some addresses"].text
    assert f"address that works: 127.0.0.1:{port}" in found["some addresses"].advice
    assert "dialect" in found


def test_round_trips_that_are_slow() -> None:
    far = Facts(address="far", pings=(11.0, 12.0, 13.0), limit=100.0)
    assert "another data centre" in found_of(far)["latency"].advice
    stalling = Facts(address="stalls", pings=(0.001, 0.001, 0.9), limit=1.0)
    assert "with a timeout of 1 s would fail" in found_of(stalling)["latency"].advice


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Settings(timeout=0), "timeout must be in (0, 1000) seconds, got 0"),
        (lambda: Settings(timeout=True), "timeout must be a number of seconds, got True"),
        (lambda: Settings(pings=0), "pings must be in [1, 100000], got 0"),
        (lambda: Settings(pings=1.5), "pings must be an int, got 1.5"),  # type: ignore[arg-type]
        (lambda: examine([]), "servers must name at least one server, got none"),
        (lambda: examine(["a", "A:11211"]), "servers must name each server once"),
    ],
)
def test_bad_arguments(make: Callable[[], Any], error: str) -> None:
    with pytest.raises((InvalidArgumentError, InvalidTypeError)) as caught:
        make()
    assert error in str(caught.value)


def run_main(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(list(arguments))
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_command_and_its_statuses(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--timeout", "10", "--pings", "3", server.address]
    status, out, _ = run_main(asked, capsys)
    assert status == 0
    assert out.splitlines()[0] == "this installation"
    assert out.splitlines()[-1] == "nothing to do"
    status, out, _ = run_main([f"127.0.0.1:{_free_port()}"], capsys)
    assert status == 2
    assert "1 error, 0 warnings" in out
    status, _, err = run_main(["--pings", "0", server.address], capsys)
    assert (status, "pings must be in [1, 100000], got 0" in err) == (2, True)
    status, _, err = run_main(["bad address:x"], capsys)
    assert (status, "servers must hold addresses" in err) == (2, True)


def test_warnings_give_status_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running("tcp", tmp_path, extra=["-C"]) as bare:
        status, out, _ = run_main(["--timeout", "10", "--pings", "1", bare.address], capsys)
    assert status == 1
    assert "WARNING it has no CAS tokens" in out


def test_json_has_the_same(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--json", "--timeout", "10", "--pings", "3", server.address]
    status, out, _ = run_main(asked, capsys)
    report = json.loads(out)
    assert report["status"] == status == 0
    assert report["about"]["implementation"] == godropbox.IMPLEMENTATION
    [one] = report["servers"]
    assert one["address"] == server.address
    assert one["protocol"] == "meta"
    assert one["latency"]["worst"] >= one["latency"]["median"] > 0
    assert [each["code"] for each in report["findings"]][:2] == ["platform", "implementation"]
    assert report["about"]["simd"] in report["findings"][0]["text"]


@pytest.mark.skipif(sys.platform == "win32", reason="servers are started as on Unix")
def test_it_is_run_as_a_command_of_the_package(server: Server) -> None:
    where = os.path.dirname(os.path.dirname(godropbox.__file__))
    command = [sys.executable, "-m", "godropbox", "doctor", "--timeout", "10", server.address]
    settings = os.environ | {"PYTHONPATH": where}
    done = subprocess.run(command, capture_output=True, text=True, env=settings, check=False)
    assert (done.returncode in (0, 1), done.stderr) == (True, "")
    assert server.address in done.stdout.splitlines()
