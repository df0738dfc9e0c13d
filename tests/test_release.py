"""What a release says of itself agrees with itself, and its workflows run what they name.

``tests/wheels`` builds and checks the files; that takes too long for every run.
"""

import re
import tomllib
from pathlib import Path

import pytest

import godropbox

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_version_is_one() -> None:
    assert PROJECT["project"]["version"] == godropbox.__version__
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == godropbox.__version__  # type: ignore[index]
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"\n## {godropbox.__version__}\n" in changes


def test_wheels_are_built_for_the_pythons_that_are_named() -> None:
    built = set(PROJECT["tool"]["cibuildwheel"]["build"].split())
    named = {
        "cp" + found[1].replace(".", "") + "-*"
        for each in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
    }
    assert built == named | {"cp314t-*", "cp315t-*"}
    document = (ROOT / "docs" / "releases.md").read_text("utf-8")
    assert "CPython 3.11\nto 3.15 and the free-threaded 3.14t and 3.15t" in document


@pytest.mark.skipif(not WORKFLOWS, reason="an sdist has no workflows")
def test_actions_are_pinned_by_commit() -> None:
    used = [
        line.strip()
        for path in WORKFLOWS
        for line in path.read_text("utf-8").splitlines()
        if "uses:" in line
    ]
    assert len(used) > 10
    pinned = r"- uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert [line for line in used if not re.fullmatch(pinned, line)] == []
    # One version of each.
    assert len(set(used)) == len({line.partition("@")[0] for line in used})


@pytest.mark.skipif(not WORKFLOWS, reason="an sdist has no workflows")
def test_only_a_tag_is_published_and_without_a_token() -> None:
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8")
    jobs = dict(re.findall(r"^  (\w+):\n((?:    .*\n)+)", text.partition("\njobs:\n")[2], re.M))
    assert list(jobs) == ["native", "pure", "check", "attest", "publish"]
    for name, job in jobs.items():
        writes = set(re.findall(r"^      ([\w-]+): write$", job, re.MULTILINE))
        wanted = {"attest": {"attestations", "id-token"}, "publish": {"id-token"}}
        assert writes == wanted.get(name, set())
        if writes:
            assert "    if: startsWith(github.ref, 'refs/tags/v')\n" in job
    assert "needs: [check, attest]" in jobs["publish"]
    assert "secrets." not in text
    assert "password:" not in text
