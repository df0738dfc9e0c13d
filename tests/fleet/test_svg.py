"""The picture of a plan: well-formed, to scale, with every server in it, whatever it is called."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from godropbox.fleet import plan
from godropbox.fleet.__main__ import main
from godropbox.fleet.svg import drawn
from godropbox.memcache import ShardState
from godropbox.memcache.discovery.types import Server

KEYS = [f"user:{number}" for number in range(3000)]
SVG = "{http://www.w3.org/2000/svg}"


def bars(text: str) -> dict[str, list[float]]:
    """Return the heights of the servers' bars, by their colours."""
    found: dict[str, list[float]] = {}
    for each in ElementTree.fromstring(text).iter(f"{SVG}rect"):
        if each.get("width") == "12":
            found.setdefault(each.get("class", ""), []).append(float(each.get("height", 0)))
    return found


def test_bars_are_to_scale_and_bands_say_what_they_are() -> None:
    old = ["a:1", "b:1", "c:1"]
    found = plan(old, [*old, "d:1"], KEYS)
    text = drawn(found)
    heights = bars(text)
    assert (len(heights["server"]), len(heights["new"])) == (6, 1)
    loads = {each.server: each for each in found.loads}
    ratio = heights["new"][0] / heights["server"][0]
    assert ratio == pytest.approx((loads["d:1"].after or 0) / (loads["a:1"].before or 1), rel=0.02)
    titles = [each.text for each in ElementTree.fromstring(text).iter(f"{SVG}title")]
    for move in found.moves:
        assert f"{move.source} to {move.target}: {move.keys:,} keys" in titles
    assert f"{found.share:.1%} of the keys move" in text
    assert "prefers-color-scheme:dark" in text
    assert text.count('class="chosen"') == 1


def test_a_server_that_goes_and_one_that_is_down() -> None:
    servers = [Server(f"cache-{n}", f"10.0.0.{n}") for n in range(4)]
    down = [*servers[:2], servers[2]._replace(state=ShardState.DOWN)]
    text = drawn(plan(servers, down, KEYS))
    assert "no server" in text
    assert 'class="lost"' in text
    assert len(bars(text)["gone"]) == 2


def test_names_are_escaped_and_long_ones_shortened() -> None:
    odd = ['<&"', "x" * 60]
    text = drawn(plan(odd, [*odd, "z"], KEYS), title="a < b", note="c & d")
    ElementTree.fromstring(text)
    assert "&lt;&amp;" in text
    assert f"{'x' * 12}…{'x' * 12}" in text
    assert f"{'x' * 60}: " in text  # in full where the mouse is
    assert "a &lt; b" in text


@pytest.mark.parametrize("servers", [1, 2, 60])
def test_nothing_is_drawn_outside(servers: int) -> None:
    old = [f"cache-{number}:11211" for number in range(servers)]
    text = drawn(plan(old, old[1:] or ["other:1"], KEYS))
    root = ElementTree.fromstring(text)
    height = float(root.get("height", 0))
    for each in root.iter(f"{SVG}text"):
        assert 0 <= float(each.get("y", 0)) <= height
    for numbers in re.findall(r'd="M([^"]+)Z"', text):
        values = [float(n) for n in re.findall(r"-?\d+\.?\d*", numbers)]
        assert min(values) >= 0
        assert max(values) <= max(860.0, height)


def test_no_keys() -> None:
    text = drawn(plan(["a"], ["b"], []))
    ElementTree.fromstring(text)
    assert "0.0% of the keys move" in text


def test_the_picture_in_the_documents_is_what_its_command_draws(tmp_path: Path) -> None:
    file = tmp_path / "plan.svg"
    servers = "cache-1,cache-2,cache-3,cache-4"
    assert main(["plan", servers, "--add", "cache-5", "--sample", "10000", "--svg", str(file)]) == 0
    document = Path(__file__).parents[2] / "docs" / "img" / "fleet-plan.svg"
    assert file.read_text("utf-8") == document.read_text("utf-8")


def test_the_plan_in_the_document_is_what_its_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text("utf-8")
    [(typed, shown)] = re.findall(r"\$ python -m godropbox\.fleet (plan .*)\n([^`]*)```", text)
    assert main(typed.split()) == 0
    assert capsys.readouterr().out == shown
