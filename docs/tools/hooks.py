"""Hooks of MkDocs: what pages link to outside of docs/ becomes a page of the site.

A link to ``../examples/fastapi_app.py`` goes to a page that shows the file, one to a folder to a
page with all its files, and one to another Markdown file to that file as a page.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^()\s#]+)(#[^()\s]*)?(?=\))")
LANGUAGES = {".py": "python", ".sh": "bash", ".toml": "toml", ".html": "html", ".c": "c"}
NAMED = re.compile(r"\[([a-z0-9-]+\.md)\]\(([a-z0-9-/.]+\.md)")
# Pages of the navigation that live outside of docs/.
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md")


# Where pages go that the navigation in mkdocs.yml does not name, by how their names begin.
PLACES = {"demo": "Start here", "doctor": "Start here", "papers": "Concepts", "releases": "Project"}
ELSEWHERE = "Guides"


def _named(nav: Any) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    inner = nav.values() if isinstance(nav, dict) else nav
    return set().union(*map(_named, inner))


def on_config(config: Any) -> Any:
    """Add each page that the navigation does not name to the end of a section."""
    sections = {name: inner for entry in config.nav for name, inner in entry.items()}
    for path in sorted((ROOT / "docs").glob("*.md")):
        if path.name not in _named(config.nav):
            place = next((PLACES[stem] for stem in PLACES if path.stem.startswith(stem)), ELSEWHERE)
            sections[place].append(path.name)
    return config


def page_of(path: str) -> str:
    """Return the page, a path in docs/, that shows a path of the repository."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    name = path.removesuffix(".md").lower() if path.endswith(".md") else path
    return f"files/{name}.md"


def mended(text: str, source: str, page: str) -> str:
    """Return a Markdown text of the repository's file `source` with its links as from `page`."""

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        inside = path.startswith("docs/") or not (ROOT / path).exists()
        if inside and source.startswith("docs/"):
            return match[0]
        return posixpath.relpath(page_of(path), posixpath.dirname(page) or ".") + (match[2] or "")

    return LINK.sub(link, text)


def linked(text: str, source: str) -> set[str]:
    """Return the paths of the repository, outside of docs/, that a text links to."""
    paths = (
        posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        for match in LINK.finditer(text)
    )
    return {
        path for path in paths if not path.startswith(("docs/", "..")) and (ROOT / path).exists()
    }


def shown(path: str) -> str:
    """Return the page's Markdown."""
    found = ROOT / path
    if found.is_dir():
        inside = sorted(each for each in found.rglob("*.*") if "__pycache__" not in each.parts)
        parts = [f"## {each.relative_to(found)}\n\n{_code(each)}" for each in inside]
        return f"# {path}\n\n" + "\n\n".join(parts)
    if path.endswith(".md"):
        return mended(found.read_text(encoding="utf-8"), path, page_of(path))
    return f"# {path}\n\n{_code(found)}"


def _code(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return f"``````{LANGUAGES.get(path.suffix, 'text')}\n{text}``````\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of what is linked to, and of what those link to."""
    todo = set(ALWAYS)
    for file in files.documentation_pages():
        todo |= linked(file.content_string, f"docs/{file.src_uri}")
    done: set[str] = set()
    while todo - done:
        path = sorted(todo - done)[0]
        done.add(path)
        text = shown(path)
        if path.endswith(".md"):
            todo |= linked((ROOT / path).read_text(encoding="utf-8"), path)
        files.append(File.generated(config, page_of(path), content=text))
    return files


def titled(text: str, folder: Path) -> str:
    """Return a Markdown text in which links that are worded as a file's name have its title."""

    def words(match: re.Match[str]) -> str:
        target = folder / match[2]
        if not target.is_file():
            return match[0]
        first = next(x for x in target.read_text(encoding="utf-8").splitlines() if x[:2] == "# ")
        return f"[{first[2:].split(':')[0]}]({match[2]}"

    return NAMED.sub(words, text)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point a page's links out of docs/ to the pages of what they show; word links as titles."""
    if page.file.generated_by:
        return markdown
    text = titled(markdown, ROOT / "docs" / Path(page.file.src_uri).parent)
    return mended(text, f"docs/{page.file.src_uri}", page.file.src_uri)
