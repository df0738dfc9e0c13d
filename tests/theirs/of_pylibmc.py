"""pylibmc's own tests, and the examples in its documents, over ``godropbox.compat.pylibmc``."""

import os
import sys
import tempfile
from pathlib import Path

from support.memcached import running
from theirs.sources import asked_for_requirements, run_pytest, source

VERSION = "pylibmc==1.6.3"
REQUIREMENTS = ["pytest>=8", "setuptools>=77"]

# In their process ``import pylibmc`` is ours, and so is what ``import _pylibmc`` finds. Their
# ``pylibmc.test``, which makes clients for tests, is their own. The port is the server's.
ALIAS = """
import importlib.util
import os
import sys
from types import ModuleType

import godropbox.compat.pylibmc as ours
from godropbox.compat.pylibmc import _client

below = ModuleType("_pylibmc")
below.__dict__.update({name: getattr(ours, name) for name in ours.__all__})
below.client = _client.client
sys.modules["_pylibmc"] = below
sys.modules["pylibmc"] = ours
for name in ("autoconf", "client", "consts", "pools"):
    sys.modules["pylibmc." + name] = getattr(ours, name)
spec = importlib.util.spec_from_file_location("pylibmc.test", "src/pylibmc/test.py")
ours.test = sys.modules["pylibmc.test"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ours.test)

import tests

port = os.environ["MEMCACHED_PORT"]
tests.PylibmcTestCase.memcached_port = port
there = "127.0.0.1:" + port
ours.autoconf.elasticache.__defaults__ = (there, b"cluster", "AmazonElastiCache:cluster")


def pytest_collection_modifyitems(items):
    left_out = os.environ["LEFT_OUT"].split()
    items[:] = [item for item in items if item.nodeid not in left_out]
"""

# What is left out, and why.
_KEYS = "the binary protocol here takes no key with a blank or a control character"
_SHARED = "counts references to False, 1 or b'', which all of the interpreter shares"
LEFT_OUT = {
    "tests.test_client.ClientTests::test_utf8_encoding": _KEYS,
    "tests.test_client.ClientTests::test_zerokey": _KEYS,
    "tests.test_refcounts.RefcountTests::test_get_multi": _SHARED,
    "tests.test_refcounts.RefcountTests::test_get_singleton": _SHARED,
    "tests.test_refcounts.RefcountTests::test_set_and_delete_multi": _SHARED,
    "tests.test_serialization.SerializationTests::test_refcounts": _SHARED,
}
# The frames of Python code, which tracebacks keep, hold the key. Compiled code has none.
LEFT_OUT_PURE = {
    "tests.test_serialization.SerializationTests::test_override_deserialize": "keeps tracebacks",
}
EXPECTED = 46

# The examples in their modules, as tests.
EXAMPLES = '''
"""The examples in the docstrings of pylibmc's modules, over ours of the same names."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

FOUND = []
for name in ("__init__", "client", "pools", "test"):
    tree = ast.parse(Path("src/pylibmc", name + ".py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                FOUND.append((name, getattr(node, "name", "module"), text))


@pytest.mark.parametrize(("name", "where", "text"), FOUND, ids=[f"{n}-{w}" for n, w, _ in FOUND])
def test_example(name, where, text):
    module = importlib.import_module("pylibmc" + ("" if name == "__init__" else "." + name))
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(text, dict(vars(module)), where, name, 0))
    assert runner.summarize(verbose=False).failed == 0
'''


def main() -> int:
    """Run their tests against a server of one's own; return the code to exit with."""
    if asked_for_requirements(REQUIREMENTS):
        return 0
    left_out = dict(LEFT_OUT)
    if os.environ.get("GODROPBOX_IMPL") == "pure":
        left_out |= LEFT_OUT_PURE
    with (
        source(VERSION) as folder,
        tempfile.TemporaryDirectory() as place,
        running("tcp", Path(place)) as server,
    ):
        (folder / "conftest.py").write_text(ALIAS)
        (folder / "tests/test_examples.py").write_text(EXAMPLES)
        environment = {**os.environ, "MEMCACHED_PORT": server.address.rpartition(":")[2]}
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), *sys.path])
        environment["LEFT_OUT"] = " ".join(_node(name) for name in left_out)
        outcome = run_pytest(folder, ["tests"], environment)
    print(f"{len(outcome.passed)} passed, {len(left_out)} left out:")
    for name, why in left_out.items():
        print(f"  {name}: {why}")
    if outcome.failed or outcome.skipped or len(outcome.passed) + len(left_out) != EXPECTED:
        print(f"expected {EXPECTED - len(left_out)}, failed: {outcome.failed}")
        return 1
    return 0


def _node(name: str) -> str:
    """Return a test's name as pytest takes it."""
    where, _, test = name.partition("::")
    module, _, kind = where.rpartition(".")
    return f"{module.replace('.', '/')}.py::{kind}::{test}"


if __name__ == "__main__":
    sys.exit(main())
