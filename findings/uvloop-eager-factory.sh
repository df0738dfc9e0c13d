#!/usr/bin/env bash
# uvloop 0.23.0 on CPython 3.14 and 3.15: a loop whose task factory is asyncio.eager_task_factory makes tasks
# that are not eager, and says nothing; on 3.12 it does, and asyncio's own loop does everywhere.
#
# An eager task runs at once, up to its first wait: a coroutine that finds its value in a cache is done when
# create_task returns, without a turn of the loop. From 3.14 on create_task may be told eager_start=True or
# False, and hands that on to the factory. uvloop declares the argument with the default None, and hands the
# None on, too; to asyncio's factory an argument that is there overrides its own True. get_task_factory still
# shows the eager one, all results are right, and only the order of events and the speed are those of a loop
# without it. Pass eager_start=True to create_task, or set a factory that puts it in place of None.
#
# Seen with: uvloop 0.23.0, CPython 3.14.10. By hand: 3.15.2 the same; 3.12.1 is eager; 3.13.0 raises TypeError.
# Needs: Linux, a Python 3.14 or newer with venv and pip (PYTHON=... names it; Debian sid has python3.14
# and python3.14-venv); downloads packages into a temporary folder.
set -euo pipefail

python=${PYTHON:-python3.14}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

"$python" -m venv venv
venv/bin/pip install -q --disable-pip-version-check uvloop==0.23.0

timeout 60 venv/bin/python - <<'PYTHON'
import asyncio
import sys
from collections.abc import Callable

import uvloop


async def cached() -> int:
    return 1


def corrected(loop: asyncio.AbstractEventLoop, coroutine: object, **options: object) -> object:
    if options.get("eager_start") is None:
        options["eager_start"] = True
    return asyncio.Task(coroutine, loop=loop, **options)


async def eager() -> tuple[bool, bool, bool]:
    """Say whether tasks are done when they are made: by create_task, told to be eager, of a group."""
    plain = asyncio.create_task(cached())
    told = asyncio.create_task(cached(), eager_start=True)
    async with asyncio.TaskGroup() as group:
        member = group.create_task(cached())
        done = plain.done(), told.done(), member.done()
    assert await plain + await told + await member == 3
    return done


print(f"uvloop {uvloop.__version__}, CPython {sys.version.split()[0]}")
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
FACTORIES: dict[str, Callable[..., object] | None] = {
    "no factory": None,
    "eager_task_factory": asyncio.eager_task_factory,
    "create_eager_task_factory": asyncio.create_eager_task_factory(asyncio.Task),
    "a factory of our own": corrected,
}
ALL, TOLD = (True, True, True), (False, True, False)
for loop, factory, expected in [
    ("asyncio", "no factory", TOLD),
    ("asyncio", "eager_task_factory", ALL),
    ("asyncio", "create_eager_task_factory", ALL),
    ("uvloop", "no factory", TOLD),
    ("uvloop", "eager_task_factory", TOLD),
    ("uvloop", "create_eager_task_factory", TOLD),
    ("uvloop", "a factory of our own", ALL),
]:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.get_loop().set_task_factory(FACTORIES[factory])
        assert runner.get_loop().get_task_factory() is FACTORIES[factory]
        got = runner.run(eager())
    plain, told, member = (("not eager", "eager")[done] for done in got)
    print(f"{loop}, {factory}: create_task {plain}, with eager_start=True {told}, TaskGroup {member}")
    if got != expected:
        raise SystemExit(f"this has changed, expected {expected}")
PYTHON
echo "as it was: with uvloop the eager task factory makes ordinary tasks"
