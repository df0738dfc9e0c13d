"""The demo in a real browser: a person kills a server, starts it, and sees what each cache shows.

``GODROPBOX_BROWSER=1`` runs it, with Chromium (``apt-get install chromium``), or names another
program; ``GODROPBOX_PICTURES=FOLDER`` keeps pictures of the page. What it shows is tested over HTTP
in every run (``test_demo_web.py``).
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import Page, browser_program, opened

from godropbox.demo import Engine, Load, ServerFleet
from godropbox.demo.processes import Processes, program
from godropbox.demo.story import Story
from godropbox.demo.web import Web

pytestmark = pytest.mark.skipif(
    not os.environ.get("GODROPBOX_BROWSER"), reason="GODROPBOX_BROWSER=1 runs it"
)

STALE = "Number(document.getElementById('%s-stale').textContent)"
CELLS = "[...document.querySelectorAll('#%s .grid i')].filter(e => e.matches('%s')).length"


@pytest.fixture
def url() -> Iterator[str]:
    path = program()
    assert path, "memcached is missing: apt-get install memcached"
    engine = Engine(ServerFleet(Processes(path), 3), Load())
    web = Web(engine, Story(engine, time.monotonic), period=0.2)
    engine.start()
    web.start()
    yield web.url
    web.close()
    engine.close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    found = browser_program()
    assert found, "no browser: apt-get install chromium, or GODROPBOX_BROWSER=/path/to/one"
    with opened(found, tmp_path) as page:
        yield page


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("GODROPBOX_PICTURES"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.picture(Path(folder, f"{name}.png"))


def test_a_person_kills_a_server_and_starts_it(page: Page, url: str) -> None:
    page.resize(1280, 1000)
    page.open(url)
    page.until("document.querySelectorAll('#ours .grid i').length === 64")
    page.until(CELLS % ("ours", ".value") + " > 55")
    picture(page, "desktop")
    mine = page.value(CELLS % ("ours", ".h1"))
    assert mine > 5

    page.click("#server-1 .kill")
    page.until("document.querySelector('#server-1 .state').textContent === 'killed'")
    for side in ("plain", "ours"):
        page.until(CELLS % (side, ".down.h1") + f" === {mine}")
        assert page.value(CELLS % (side, ".down:not(.h1)")) == 0
    assert page.value("document.querySelector('#server-1 .kill').disabled")
    picture(page, "killed")

    page.click("#server-1 .start")
    page.until("document.querySelector('#server-1 .state').textContent === 'up'")
    page.until(CELLS % ("ours", ".value.h1") + f" > {mine} * 0.7")
    assert page.value(CELLS % ("ours", ".down")) == 0

    page.until(STALE % "plain" + " > 0")
    assert page.value(STALE % "ours") == 0
    assert page.value("document.querySelector('#plain .verdict').classList.contains('bad')")

    page.click("#stampede")
    page.until("document.getElementById('ours-crowd').textContent === '1'")
    assert int(page.value("document.getElementById('plain-crowd').textContent")) > 1
    page.click("#add")
    page.until(CELLS % ("ours", ".h3") + " > 0")
    assert page.value(STALE % "ours") == 0
    picture(page, "added")
    assert page.errors == []


@pytest.mark.parametrize(("width", "name"), [(390, "phone"), (820, "tablet"), (1440, "wide")])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_window(
    page: Page, url: str, width: int, name: str, dark: bool
) -> None:
    page.resize(width, 900, dark)
    page.open(url)
    page.until("document.querySelectorAll('#ours .grid i').length === 64")
    page.until(CELLS % ("ours", ".value") + " > 40")
    assert page.value("document.documentElement.scrollWidth") <= width
    # Nor is any text cut off, nor does a part reach out of its card.
    cut = page.value(
        "[...document.querySelectorAll('main *')].filter(e => e.scrollWidth > e.clientWidth + 1 &&"
        " e.clientWidth > 0 && getComputedStyle(e).display !== 'inline'"
        " && !e.closest('svg, .grid'))"
        ".map(e => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 40))"
    )
    assert cut == []
    picture(page, f"{name}-{'dark' if dark else 'light'}")
    assert page.errors == []
