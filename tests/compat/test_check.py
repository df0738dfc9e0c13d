"""``python -m godropbox.compat.check``: which files it reads, what it says, how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.checking import Tree, uses

from godropbox.compat.check import check
from godropbox.compat.check.__main__ import main


def test_a_line_says_where_what_and_what_it_becomes(
    tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(
        tree(
            """\
            from pymemcache.client.hash import HashClient as H
            import pylibmc
            mc = H([("a", 1)], ignore_exc=True, timeout=1)
            x = "é"; mc.set_many({"a": 1}, 60)
            try:
                mc.cas("a", 2, b"1")
            except pylibmc.Error:
                mc.cache_memlimit(64)
            """
        )
    )
    assert main(["code.py"]) == 1
    out = capsys.readouterr().out
    first, *lines = out.splitlines()
    becomes = "from godropbox.compat.pymemcache.client.hash import HashClient as H"
    assert first == (
        f"code.py:1:36: {becomes.replace('godropbox.compat.', '')} -> {becomes}; "
        "our Client: memcache.Client"
    )
    assert lines == [
        "code.py:2:8: import pylibmc -> from godropbox.compat import pylibmc",
        "code.py:3:6: H(..., ignore_exc=, timeout=) -> the same; our Client: "
        'memcache.Client(servers, failures="miss", timeout=, shard_func=Rendezvous())',
        "code.py:4:10: mc.set_many(...) -> the same; our Client: set_many(values, expire)",
        "code.py:6:5: mc.cas(...) -> the same; our Client: cas(key, value, token, expire)",
        "code.py:7:8: pylibmc.Error -> the same; "
        "our Client: memcache.ServerError, memcache.NetworkError",
        "code.py:8:5: mc.cache_memlimit(...) -> "
        "NOTHING: pymemcache 4.0.0 has no HashClient.cache_memlimit",
        "",
        "pylibmc: 2 uses in 1 file: 2 the same, 0 with a difference, 0 without a counterpart",
        "  exception 1, import 1",
        "pymemcache: 5 uses in 1 file: 4 the same, 0 with a difference, 1 without a counterpart",
        "  call 3, construction 1, import 1",
        "1 file looked at",
    ]


def test_a_folder_that_cannot_be_read_is_named(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree(good="import pylibmc", inner_in_code="import pylibmc")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "inner":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert main([str(folder)]) == 2
    assert f"{folder / 'inner'}: not read: " in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error(tree: Tree) -> None:
    folder = tree("import pylibmc\n" + "pylibmc.Error\n" * 5000)
    command = [sys.executable, "-m", "godropbox.compat.check", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_two_libraries_under_one_name_are_both_told(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree(
        """\
        try:
            import pylibmc as memcache
        except ImportError:
            import memcache
        memcache.Client(["a"]).get("k")
        """
    )
    found = {(use.library, use.kind) for use in uses(folder)}
    assert {("pylibmc", "call"), ("python-memcached", "call")} <= found
    main([str(folder)])
    out = capsys.readouterr().out
    assert "get(...) (pylibmc) -> the same; our Client: get(key, default)" in out
    assert "get(...) (python-memcached) -> the same; our Client: get(key, default)" in out


def test_a_file_that_does_not_parse_is_named_and_the_others_are_read(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tree(
        bad="import pylibmc\nprint 1\n",
        good="import pylibmc",
        unrelated="print 1\n",  # mentions none of the libraries
    )
    (folder / "zero.py").write_bytes(b"import pylibmc\0")
    (folder / "latin.py").write_bytes(b"import pylibmc; x = '\xe9'\n")
    assert main([str(folder)]) == 2
    out = capsys.readouterr().out
    assert "bad.py: not read: line 2: Missing parentheses" in out
    assert "zero.py: not read: " in out
    assert "latin.py: not read: " in out
    assert "good.py:1:8: import pylibmc" in out
    assert "5 files looked at, 3 of which could not be read" in out


def test_what_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such/path"]) == 2
    assert "no file or folder '/no/such/path'" in capsys.readouterr().err
    assert main(["no_such_module"]) == 2
    assert "no file, folder or module 'no_such_module'" in capsys.readouterr().err
    assert main(["sys"]) == 2
    assert "module 'sys' has no Python file" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main([])


def test_a_module_is_found_by_name_and_not_imported(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tree(
        pack_in___init__="raise SystemExit('imported')",
        pack_in_inner="import pylibmc",
        single="import pymemcache; raise SystemExit('imported')",
    )
    monkeypatch.syspath_prepend(str(folder))
    assert [use.library for use in check(["pack"]).uses] == ["pylibmc"]
    assert [use.library for use in check(["pack.inner"]).uses] == ["pylibmc"]
    assert [use.library for use in check(["single", "pack", "pack.inner"]).uses] == [
        "pylibmc",
        "pymemcache",
    ]


def test_environments_and_hidden_folders_are_left_out(tree: Tree) -> None:
    folder = tree(code="import pylibmc")
    for name in (".git", "venv", "node_modules", "__pycache__"):
        (folder / name).mkdir()
        (folder / name / "inside.py").write_text("import pylibmc")
    (folder / "venv" / "pyvenv.cfg").touch()
    (folder / "loop").symlink_to(folder)
    (folder / "notes.txt").write_text("import pylibmc")
    report = check([str(folder)])
    assert [Path(use.path).name for use in report.uses] == ["code.py"]
    assert report.files == 1
    # What is asked for by name is read.
    assert len(check([str(folder / "venv" / "inside.py")]).uses) == 1


def test_a_file_under_several_names_is_read_by_the_first(tmp_path: Path) -> None:
    for at in range(9, 0, -1):
        (tmp_path / f"link{at}.py").symlink_to("code.py")
    (tmp_path / "code.py").write_text("import pymemcache\n")
    assert [use.path for use in uses(tmp_path)] == [str(tmp_path / "code.py")]


def test_json_has_the_same_uses(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tree("import pylibmc\npylibmc.Client(['a']).fetch()")
    assert main(["--json", str(folder)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [use["kind"] for use in report["uses"]] == ["import", "call", "construction"]
    assert report["uses"][1] == {
        "path": str(folder / "code.py"),
        "line": 2,
        "column": 1,
        "library": "pylibmc",
        "kind": "call",
        "used": "pylibmc.Client(['a']).fetch()",
        "face": "",
        "client": "",
        "fate": "none",
        "why": "pylibmc 1.6.3 has no Client.fetch",
    }
    assert report["summary"] == {
        "files": 1,
        "fates": {"same": 2, "differs": 0, "none": 1},
        "kinds": {"call": 1, "construction": 1, "import": 1},
    }
