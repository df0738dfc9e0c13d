"""Counts the instructions of a statement's way from Python calls to SQL text, with valgrind.

Run as ``python -P bench/instructions.py [FOLDER...]``. A folder holds a package that is built in
place, or another revision's, such as ``build/against/*/site`` of ``bench/run --against``; without
one, the package of this tree counts. Times vary by a few per cent from process to process, counts
hardly at all: they show what a change costs a statement that has no use for it. A count is the
difference of two runs, so that it holds neither the interpreter's start nor the import.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

DECLARED = """
import sys
sys.path.insert(0, sys.argv[1])
import godropbox.database.sqlbuilder as sb

sfj = sb.Table("sfj", sb.IntColumn("ns_id"), sb.IntColumn("sjid"), sb.StrColumn("filename"))
prefix = sb.Table("parent_prefix", sb.IntColumn("ns_id"), sb.StrColumn("prefix"))
ids, many = [1, 2, 3], list(range(1, 1001))
rows = [(number, f"it's file {number}", number * 7) for number in range(100)]

def query(ids):
    return (
        sfj.left_join(prefix, prefix.c.ns_id == sfj.c.ns_id)
        .select(sfj.c.ns_id, sfj.c.sjid, prefix.c.prefix, sfj.c.filename)
        .where((sfj.c.ns_id == 456) & sfj.c.sjid.in_(ids))
    )

def by_key(key):
    return sfj.select(sfj.c.ns_id, sfj.c.sjid, sfj.c.filename).where(sfj.c.sjid == key)

def by_hand():
    return (
        "SELECT `sfj`.`ns_id`,`sfj`.`sjid`,`parent_prefix`.`prefix`,`sfj`.`filename` "
        "FROM `%s`.`sfj` LEFT JOIN `%s`.`parent_prefix` ON `parent_prefix`.`ns_id`=`sfj`.`ns_id` "
        "WHERE (`sfj`.`ns_id`=%d AND `sfj`.`sjid` IN (%s))"
    ) % ("shard1", "shard1", 456, ",".join(["%d" % one for one in ids]))

into = sfj.insert(sfj.c.ns_id, sfj.c.filename, sfj.c.sjid)
fill = query(sb.slot("ids", int, many=True)).prepare("shard1").sql
fill_one = by_key(sb.slot("key", int)).prepare("shard1").sql
bind_one = by_key(sb.slot("key", int)).prepare("shard1", paramstyle="format").bind

def run(times):
    for _ in range(times):
        STATEMENT

run(int(sys.argv[2]))
"""

# What is counted: its name, the statement, and how often it is run for a count.
STATEMENTS = (
    ("the query, by hand", "by_hand()", 1000),
    ("the query", "query(ids).sql('shard1')", 1000),
    ("the query, bind", "query(ids).bind('shard1')", 1000),
    ("IN (1,000)", "query(many).sql('shard1')", 20),
    ("INSERT 100x3", "into.rows(rows).sql('shard1')", 20),
    ("INSERT 100x3, bind", "into.rows(rows).bind('shard1')", 20),
    ("UPDATE", "sfj.update().set(sfj.c.filename, 'x').where(sfj.c.sjid == 5).sql('shard1')", 1000),
    ("DELETE", "sfj.delete().where(sfj.c.sjid == 5).sql('shard1')", 1000),
    ("by primary key, bind", "by_key(123456).bind('shard1')", 1000),
    ("prepared, a list", "fill(ids=ids)", 1000),
    ("prepared, one slot", "fill_one(key=123456)", 1000),
    ("prepared, one slot, bind", "bind_one(key=123456)", 1000),
)


def counted(folder: Path, statement: str, times: int) -> int:
    """Return the instructions of a process that runs `statement` so often."""
    code = DECLARED.replace("STATEMENT", statement)
    tool = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run(
        [*tool, sys.executable, "-s", "-P", "-c", code, str(folder), str(times)],
        env=os.environ | {"PYTHONHASHSEED": "0", "GODROPBOX_IMPL": "native"},
        capture_output=True,
        text=True,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise SystemExit(f"{folder}: {done.stderr}")
    return int(found[1])


def instructions(folder: Path, statement: str, times: int) -> float:
    """Return the instructions of one run of `statement`, the loop around it included."""
    once, thrice = (counted(folder, statement, times * count) for count in (1, 3))
    return (thrice - once) / (2 * times)


def main() -> None:
    """Print a Markdown table: a row for each statement, a column for each folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[ROOT], metavar="FOLDER")
    folders = [folder.resolve() for folder in parser.parse_args().folders]
    counted(folders[0], "pass", 1)  # writes bytecode
    print("| statement |" + "".join(f" {folder.name} |" for folder in folders))
    print("| --- |" + " ---: |" * len(folders))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [
            [pool.submit(instructions, folder, statement, times) for folder in folders]
            for _, statement, times in STATEMENTS
        ]
        for (name, _, _), row in zip(STATEMENTS, rows, strict=True):
            print(f"| {name} |" + "".join(f" {each.result():,.0f} |" for each in row), flush=True)


if __name__ == "__main__":
    main()
