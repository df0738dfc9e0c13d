"""Memory stays flat while a log of many gigabytes is read.

It runs only with ``GODROPBOX_BINLOG_GIGABYTES``, of transactions with a hundred rows each.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.binlogs import FOLDER

GIGABYTES = float(os.environ.get("GODROPBOX_BINLOG_GIGABYTES", "0"))

READ = """
import sys, zlib
from godropbox.database import binlog

def peak():  # in KiB; that of resource.getrusage may be the parent's
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM"))

path, gigabytes = sys.argv[1], float(sys.argv[2])
with open(path, "rb") as file:
    data = file.read()
first = 4 + int.from_bytes(data[13:17], "little")  # behind the FORMAT_DESCRIPTION

def event(code, body):
    size = (len(body) + 23).to_bytes(4, "little")
    whole = bytes(4) + bytes([code]) + bytes(4) + size + bytes(6) + body
    return whole + zlib.crc32(whole).to_bytes(4, "little")

def row(number):  # id INT, name VARCHAR(800), counted BIGINT
    return b"\\0" + number.to_bytes(4, "little") + b"\\xc8\\0" + b"n" * 200 + bytes(8)

told = bytes(8) + b"\\4shop\\0\\6orders\\0\\3\\3\\x0f\\x08\\2\\x20\\3\\7"
rows = bytes(6) + b"\\1\\0" + b"\\3\\7" + b"".join(map(row, range(100)))
body = (event(19, told) + event(23, rows) + event(16, bytes(8))) * 10
parser = binlog.BinlogParser("binlog.1", lenient=True)
parser.feed(data[:first])
turns = 1 + int(gigabytes * (1 << 30) / len(body))
count = 0
for turn in range(turns):
    for found in parser.feed(body):
        if isinstance(found, binlog.Rows):
            count += len(found.rows)
    if turn == turns // 10:
        early = peak()
print(count, 1000 * turns, early, peak())
"""


@pytest.mark.skipif(not GIGABYTES, reason="GODROPBOX_BINLOG_GIGABYTES is not set")
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_is_flat(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(FOLDER / "m10-comp.binlog"), str(GIGABYTES)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows, written, early, last = map(int, done.stdout.split())
    print(f"{rows} rows, {early} KiB after a tenth, {last} KiB at most")
    assert rows == written
    assert last - early < 4096
