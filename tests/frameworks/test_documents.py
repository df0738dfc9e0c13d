"""The programs in docs/frameworks.md print what is said, over a real memcached."""

import os
import re
import subprocess
import sys

import pytest
from frameworks.conftest import ROOT, Witness
from support.memcached import Server

TEXT = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```\n```text\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def test_every_program_says_what_it_prints() -> None:
    assert len(PROGRAMS) == TEXT.count("```python") == 5


@pytest.mark.parametrize(("program", "printed"), PROGRAMS)
def test_a_program(server: Server, witness: Witness, program: str, printed: str) -> None:
    program = program.replace("127.0.0.1:11211", server.address)
    # A back end that is late is a miss, and a busy machine is no failure.
    program = program.replace('"timeout": 0.5', '"timeout": 10.0')
    command = [sys.executable, "-c", program]
    # What is imported here is imported there, the declared entry points among it.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
