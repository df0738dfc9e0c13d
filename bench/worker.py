"""The process that holds one row with an environment of its own; the runner starts it.

It reads lines of JSON and answers each with one: first the row's group, case, label and
resource, answered with how many operations a turn is; then ``"check"``, or a number of turns,
answered with the seconds they took. A failure is answered as {"status": ..., "why": ...}.
"""

import gc
import json
import os
import sys
import time
from pathlib import Path

# Last, so that the installed package comes before the one in the tree.
sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.groups import group_named
from bench.runner import Local, failure

# Processor seconds that PyPy's compiler gets before anything is measured.
WARM = 5.0


def warm(lane: Local) -> None:
    """Run the row until it is compiled, where that is done while it runs."""
    if sys.implementation.name != "pypy":
        return
    until = time.process_time() + WARM
    loops = 1
    while time.process_time() < until:
        lane.sample(loops)
        loops = min(2 * loops, 1000)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    group, case, label, resource = json.loads(sys.stdin.readline())
    lane = None
    question: object = "open"
    while True:
        try:
            answer: object = 0
            if lane is None:
                known = group_named(group)
                lane = Local(known, known.case(case).row(label), resource)
                gc.collect()
                gc.disable()
                warm(lane)
                answer = lane.operations
            elif isinstance(question, int):
                answer = lane.sample(question)
            else:
                lane.check()
        except Exception as error:
            status, why = failure(error)
            answer = {"status": status, "why": why}
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line or lane is None:
            break
        question = json.loads(line)
    if lane is not None:
        lane.close()


if __name__ == "__main__":
    main()
