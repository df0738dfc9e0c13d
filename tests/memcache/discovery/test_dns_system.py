"""``DNSSource`` by the system's own resolver, which a namespace points at a real dnsmasq."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support.dnsmasq  # noqa: F401  # which the program needs

ROOT = Path(__file__).parent.parent.parent
UNSHARE = ["unshare", "--net", "--mount"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what the program found in namespaces of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("this system has no unshare")
    mounting = [*UNSHARE, "mount", "--bind", "/dev/null", "/etc/resolv.conf"]
    tried = subprocess.run(mounting, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no namespaces are permitted here: {tried.stderr.strip()}")
    program = ROOT / "support" / "own_resolver.py"
    paths = [str(ROOT), *[each for each in sys.path if each]]
    done = subprocess.run(
        [*UNSHARE, sys.executable, str(program), str(tmp_path_factory.mktemp("resolver"))],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_answers_are_the_same_in_whatever_order_they_come(found: Any) -> None:
    assert found["orders"] > 1
    first, second = found["many"]
    assert first == second
    assert len(first) == 100
    assert "10.1.0.77:11211 10.1.0.77:11211 ACTIVE" in first


def test_ipv6_and_names(found: Any) -> None:
    assert found["six"] == ["[fd00::2]:11211 [fd00::2]:11211 ACTIVE"]
    assert found["names"] == [
        "cache-0.test 10.0.0.1:11211 ACTIVE",
        "cache-1.test cache-1.test:11211 DOWN",
    ]


def test_no_such_name_and_no_resolver_are_errors(found: Any) -> None:
    assert found["none"].startswith("dns://nobody.test:11211: the resolver knows no address: ")
    assert found["stopped"].startswith("dns://many.test:11211: the resolver failed: ")
