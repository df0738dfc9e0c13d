"""Random transactions while a server and its reader are killed, by ``support.log_chaos``.

For a moment, or for as many seconds as ``GODROPBOX_BINLOG_CHAOS`` says.
"""

import os
import subprocess
import sys

import pytest

SECONDS = os.environ.get("GODROPBOX_BINLOG_CHAOS", "0.5")
SERVERS = ["mariadb"]
if os.environ.get("GODROPBOX_MYSQL"):
    SERVERS += ["mysql", "mysql-files"]


@pytest.mark.parametrize("server", SERVERS)
def test_no_row_is_lost_and_none_comes_twice(server: str) -> None:
    done = subprocess.run(  # its own process, as PyMySQL leaves sockets to a server that is killed
        [sys.executable, "-m", "support.log_chaos", server, SECONDS, "1"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split(None, 1) for line in done.stdout.splitlines()[1:]]
    counts = {label: int(count.replace(",", "")) for count, label in lines}
    assert counts["lost or twice"] == 0
    assert counts["transactions read"] > 10
    for label in ("servers killed", "readers killed"):
        assert counts[label] >= 1
