"""Checks the built site: links, other hosts, the reference, the charts, the search in a browser.

``docs/run --check`` runs it. With ``--shots FOLDER`` it keeps pictures of ten pages instead:
desktop, phone and dark. The browser is the system's Chromium, driven by Playwright, and reaches
this process alone.
"""

import argparse
import functools
import http.server
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urljoin, urlsplit

import griffe
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
IMAGES = ROOT / "docs" / "img"
HOST = "http://127.0.0.1"
# What is typed into the search, and a page that has to be among the first of the results.
SEARCHES = {
    "get_or_set": "client/",
    "deadline": "when/deadline-passes/",
    "pymemcache": "from-pymemcache/",
}
SHOWN = (
    "",
    "start/",
    "start/asyncio/",
    "client/",
    "from-pymemcache/",
    "when/write-races-read/",
    "consistency/",
    "reference/memcache/",
    "benchmarks/",
    "servers/",
)
PHONE = {"width": 380, "height": 800}
DESKTOP = {"width": 1360, "height": 900}
# Texts of an SVG that leave it or cover each other, where `font` is what they are drawn in.
FIT = """font => {
  const svg = document.querySelector('svg');
  if (font) svg.querySelectorAll('text, tspan').forEach(t => t.style.fontFamily = font);
  const whole = svg.getBoundingClientRect(), found = [];
  const box = t => [t.textContent, t.getBoundingClientRect()];
  const texts = [...svg.querySelectorAll('text')].map(box);
  texts.forEach(([words, box], at) => {
    if (box.left < whole.left + 3 || box.right > whole.right - 3 || box.bottom > whole.bottom - 3)
      found.push(`"${words}" leaves the chart`);
    for (const [other, that] of texts.slice(at + 1))
      if (box.left < that.right - 1 && that.left < box.right - 1 &&
          box.top < that.bottom - 4 && that.top < box.bottom - 4)
        found.push(`"${words}" and "${other}" cover each other`);
  });
  return found;
}"""


class _Found(HTMLParser):
    """The ids, the links and what is loaded of a page."""

    LOADS: ClassVar = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids.update(filter(None, (named.get("id"), named.get("name"))))
        if tag == "a" and named.get("href"):
            self.links.append(named["href"] or "")
        for name, value in attrs:
            if (tag, name) in self.LOADS and value and named.get("rel") != "canonical":
                self.loads.append(value)


def pages() -> dict[str, _Found]:
    """Return what each page of the site has, by its address in it."""
    found = {}
    for path in sorted(SITE.rglob("*.html")):
        name = path.relative_to(SITE).as_posix().removesuffix("index.html")
        found[name] = _Found(path.read_text(encoding="utf-8"))
    return found


def broken_links(found: dict[str, _Found]) -> Iterator[str]:
    """Yield each link to a page, a file or a part of a page that is not there."""
    for name, page in found.items():
        if name == "404.html":  # its links are absolute
            continue
        for link in (*page.links, *page.loads):
            parts = urlsplit(urljoin(f"{HOST}/{name}", link))
            if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != HOST:
                continue
            path = unquote(parts.path).removeprefix("/")
            if path in found:
                if parts.fragment and unquote(parts.fragment) not in found[path].ids:
                    yield f"{name}: {link} names no part of {path or 'the first page'}"
            elif not (SITE / path).is_file():
                yield f"{name}: {link} leads nowhere"


def other_hosts(found: dict[str, _Found]) -> Iterator[str]:
    """Yield what pages and style sheets load from another host."""
    for name, page in found.items():
        for load in page.loads:
            if urlsplit(load).netloc:
                yield f"{name} loads {load}"
    for path in SITE.rglob("*.css"):
        for load in re.findall(
            r"url\(\s*[\"']?(https?:[^)\"']+)", path.read_text(encoding="utf-8")
        ):
            yield f"{path.relative_to(SITE)} loads {load}"


def missing_names(found: dict[str, _Found]) -> Iterator[str]:
    """Yield the exported names that the reference does not show."""
    ids = set().union(*(page.ids for name, page in found.items() if name.startswith("reference/")))
    package = griffe.load("godropbox", search_paths=[str(ROOT)], allow_inspection=False)
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^::: godropbox\.?([\w.]*)\n( +options:)?", text, re.MULTILINE):
            module = package[match[1]] if match[1] else package
            for name in () if match[2] else module.exports or ():
                if f"{module.path}.{name}" not in ids and f"`{name}`" not in text:
                    yield f"the reference does not show {module.path}.{name}"


@contextmanager
def served() -> Iterator[str]:
    """Serve the site on a free port; give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@contextmanager
def browser() -> Iterator[Browser]:
    """Run the system's Chromium."""
    program = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        found.close()


def of_search(page: Page, address: str) -> Iterator[str]:
    """Yield each search that does not find its page."""
    for words, wanted in SEARCHES.items():
        page.goto(address)
        page.locator(".md-search__input").fill(words)
        try:
            page.wait_for_selector(".md-search-result__link", timeout=60_000)
            links = page.locator(".md-search-result__link").evaluate_all(
                "all => all.map(a => a.href)"
            )
        except Exception as error:
            yield f"the search for {words} finds nothing: {error}"
            continue
        found = [urlsplit(link).path.removeprefix("/") for link in links]
        if wanted not in found:
            yield f"the search for {words} does not find {wanted}: {found[:8]}"
        else:
            print(f"search: {words} finds {len(set(found))} pages, {wanted} among them")


def of_charts(page: Page) -> Iterator[str]:
    """Yield each text of a chart or a drawing that leaves it or covers another."""
    for path in sorted(IMAGES.glob("*.svg")):
        for font in ("DejaVu Sans", ""):
            page.set_content(f"<body>{path.read_text(encoding='utf-8')}</body>")
            for words in page.evaluate(FIT, font):
                yield f"{path.name} in {font or 'the browser' + chr(39) + 's font'}: {words}"


def of_widths(page: Page, address: str) -> Iterator[str]:
    """Yield each page that a phone has to scroll sideways."""
    for name in SHOWN:
        page.goto(address + name)
        over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if over > 1:
            yield f"{name or 'the first page'} is {over} pixels wider than a phone"


def in_browser() -> Iterator[str]:
    """Yield what is wrong in a browser that reaches this process alone."""
    asked: list[str] = []
    with served() as address, browser() as chromium:
        page = chromium.new_page(viewport={"width": DESKTOP["width"], "height": DESKTOP["height"]})

        def only_here(route: Any) -> None:
            if route.request.url.startswith((address, "data:", "blob:", "about:")):
                route.continue_()
            else:
                asked.append(route.request.url)
                route.abort()

        page.route("**/*", only_here)
        yield from of_search(page, address)
        phone = chromium.new_page(viewport={"width": PHONE["width"], "height": PHONE["height"]})
        phone.route("**/*", only_here)
        yield from of_widths(phone, address)
        yield from of_charts(chromium.new_page(viewport={"width": 900, "height": 900}))
    for url in asked:
        yield f"a page asks {url}"


def shots(folder: Path) -> None:
    """Keep pictures of the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    with served() as address, browser() as chromium:
        kinds = (
            ("desktop", DESKTOP, "light"),
            ("phone", PHONE, "light"),
            ("dark", DESKTOP, "dark"),
        )
        for kind, size, scheme in kinds:
            context = chromium.new_context(
                viewport={"width": size["width"], "height": size["height"]},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            page = context.new_page()
            for name in SHOWN:
                page.goto(address + name)
                page.screenshot(
                    path=folder / f"{name.strip('/').replace('/', '-') or 'home'}-{kind}.png"
                )


def main() -> int:
    """Check the site, or keep pictures of it."""
    parser = argparse.ArgumentParser(description="Check the site in build/site.")
    parser.add_argument("--shots", type=Path, metavar="FOLDER", help="keep pictures of ten pages")
    arguments = parser.parse_args()
    if arguments.shots:
        shots(arguments.shots)
        return 0
    found = pages()
    wrong = [*broken_links(found), *other_hosts(found), *missing_names(found), *in_browser()]
    print(*wrong, f"{len(found)} pages: {len(wrong) or 'nothing'} wrong", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
