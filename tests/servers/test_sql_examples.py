"""The SQL examples run, as a newcomer runs them."""

import os
import subprocess
import sys
from pathlib import Path

from support import sqlservers

import godropbox

ROOT = Path(__file__).parent.parent.parent


def run(name: str, *arguments: str) -> list[str]:
    here = Path(godropbox.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(here)}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / name), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_sqlite() -> None:
    lines = run("sql_sqlite.py")
    hostile = "x'); DROP TABLE files; --"
    assert str([("notes.txt", 120), (hostile, 3)]) in lines
    assert str([(7, 123), (8, 4000)]) in lines
    assert lines[-1] == "refused: DELETE without WHERE: call where() or all_rows()"


def test_sharded_sqlite() -> None:
    lines = run("sharded_fleet_sqlite.py")
    assert "of owners 1, 5 and 7: [(1, 1), (1, 2), (5, 1), (5, 2), (7, 1), (7, 2)]" in lines
    assert "the last three: [(9, 2), (9, 1), (8, 2)]" in lines
    assert "rows in all: 20" in lines
    assert "after the move owner 7 is at db3 with 39 rows" in lines
    assert sum(line.startswith("refused: INSERT on shard") for line in lines) == 1


def test_sharded_mariadb() -> None:
    server = sqlservers.mariadb()
    lines = run("sql_sharded_mariadb.py", "--port", str(server.port), "--user", "root")
    assert lines[0].startswith("rows per shard: {0: ")
    reads = [line for line in lines if line.startswith("owner ")]
    assert len(reads) == 3
    assert all("[(1, \"file '1'\"), (2, \"file '2'\")]" in line for line in reads)
    assert "the largest: [(10, 7, 1), (9, 0, 1), (9, 0, 2)]" in lines
    assert "rows in all: 79" in lines
    assert lines[-1].endswith("[(1, \"file '1'\")]")
