"""Figures in README and the documentation are those of ``bench/results.json``.

``python -P bench/figures.py`` prints them; ``bench/run --readme`` writes that file and the figures.
"""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
MARKED = re.compile(r"<!--=([a-z0-9-]+)-->.*?<!--/-->", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
# What a measurement looks like: a time under a millisecond, or how many times as long or as fast.
MEASURED = re.compile(
    r"\d (?:µs|us|ns)\b|[\d.]+ times (?:as|the time|faster|slower)"
    r"|\d\N{MULTIPLICATION SIGN}|orders of magnitude"
)
SITE = "https://godropbox.github.io/godropbox-python/"
FILES = "https://github.com/godropbox/godropbox-python/blob/main/"


def figures(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", str(ROOT / "bench" / "figures.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_documents_say_what_was_measured() -> None:
    done = figures("--check")
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_every_figure_is_printed_and_in_a_document() -> None:
    printed = set(re.findall(r"^([a-z0-9-]+): ", figures().stdout, re.MULTILINE))
    used = {name for path in DOCUMENTS for name in MARKED.findall(path.read_text(encoding="utf-8"))}
    assert used <= printed
    assert printed - used <= {"get-1-limit", "set-100-libmc", "set-100-pymemcache", "tasks-redis"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_figure_is_written_by_hand(path: Path) -> None:
    text = CODE.sub("", MARKED.sub("", path.read_text(encoding="utf-8")))
    assert MEASURED.findall(text) == []


def anchors(path: Path) -> set[str]:
    """Return the names of a document's parts, as GitHub and the site make them."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", head.replace("`", "")).strip().lower() for head in heads)
    return {re.sub(r"\s", "-", word) for word in words}


def test_the_long_description_has_no_dead_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("GODROPBOX_BUILD", "pure")
    said: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **options: said.update(options))
    runpy.run_path("setup.py")
    text: str = said["long_description"]
    assert "<!--" not in text
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    assert len(links) > 30
    for link in links:
        address, _, part = link.partition("#")
        if address.startswith(SITE):
            page = ROOT / "docs" / address.removeprefix(SITE)
            page = page.with_suffix(".md") if address.endswith("/") else page
            assert page.is_file(), link
            assert not part or part in anchors(page), link
        elif address.startswith(FILES):
            assert (ROOT / address.removeprefix(FILES)).exists(), link
        else:
            assert address.startswith("https://"), link
