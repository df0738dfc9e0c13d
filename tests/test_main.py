"""``python -m godropbox`` tells what is running, and times every hot path."""

import json
import os
import subprocess
import sys

import pytest

import godropbox
from godropbox import __main__, _kernels


def _run(*arguments: str) -> str:
    command = [sys.executable, "-m", "godropbox", *arguments]
    where = os.path.dirname(os.path.dirname(godropbox.__file__))
    settings = os.environ | {"PYTHONPATH": where}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=settings).stdout


def test_the_head_tells_version_implementation_and_reason() -> None:
    lines = _run("--no-check").splitlines()
    implementation = godropbox.IMPLEMENTATION
    assert lines[0] == f"godropbox {godropbox.__version__}: {implementation} ({_kernels.REASON})"
    assert lines[1].split() == ["simd", _kernels.hash2.SIMD]
    assert [line.split()[0] for line in lines[2:]] == ["python", "platform"]


def test_json_has_the_same_facts() -> None:
    report = json.loads(_run("--no-check", "--json"))
    assert report == __main__.about() | {"check": []}


def test_the_check_times_every_case_on_every_implementation() -> None:
    rows = list(__main__.check(seconds=0.05))
    assert [row.name for row in rows] == [case.name for case in __main__.CASES]
    for row in rows:
        assert row.pure_ns > 0
        assert (row.native_ns is None) == (row.ratio is None)
        assert (row.native_ns is None) == (godropbox.IMPLEMENTATION == "pure")


def test_every_kernel_has_a_case() -> None:
    needs_a_server = {"batch", "pipeline", "transport"}
    once = {"lasting"}  # called when modules are imported
    assert {case.stem for case in __main__.CASES} == set(_kernels.KERNELS) - needs_a_server - once


def test_the_table_is_aligned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [__main__.Row("hash2: one key, 10 shards", None, 12_345.0)]
    rows.append(__main__.Row("murmur3: 16 bytes", 50.0, 1_000.0))
    monkeypatch.setattr(__main__, "check", lambda: iter(rows))
    assert __main__.main([]) == 0
    table = capsys.readouterr().out.splitlines()[-3:]
    assert len({len(line) for line in table}) == 1
    assert table[1].split()[-4:] == ["-", "12.3", "us", "-"]
    assert table[2].split()[-5:] == ["50.0", "ns", "1,000.0", "ns", "20.0x"]


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main(["--fast"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("frobnicate", "the command must be demo, doctor or fleet, got 'frobnicate'\n"),
        ("binlog", "got 'binlog'; 'python -m godropbox.binlog' is one\n"),
    ],
)
def test_an_unknown_command_is_named(
    name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        __main__.main([name, "/var/lib/mysql"])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
