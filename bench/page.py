"""The summary page: one HTML file with everything in it, that opens from disk."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .results import about
from .tables import peers, table, title

__all__ = ["page"]

STYLE = """
:root{color-scheme:light dark;--paper:#f6f8fa;--card:#fff;--edge:#d8dee4;--ink:#1f2328;
--dim:#59636e;--link:#0061fe;--good:#1a7f37;--bad:#b3400a;--ours:#eaf2ff}
@media(prefers-color-scheme:dark){:root{--paper:#0b0e13;--card:#12161c;--edge:#2d343d;--ink:#e8ebef;
--dim:#98a1ac;--link:#6ea8ff;--good:#57c46e;--bad:#ff9a4d;--ours:#15233a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 -apple-system,
BlinkMacSystemFont,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:892px;margin:0 auto;padding:32px 16px 64px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px}h2{font-size:21px;margin:48px 0 4px}
h3{font-size:15px;margin:20px 0 6px}p{margin:6px 0 14px;color:var(--dim)}a{color:var(--link)}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:1px;margin:20px 0;
background:var(--edge);border:1px solid var(--edge);border-radius:10px;overflow:hidden}
dl .row{grid-column:1/-1}dl div{background:var(--card);padding:10px 14px}
dt{font-size:12px;color:var(--dim)}dd{margin:0;
font-size:14px}
nav{display:flex;flex-wrap:wrap;gap:6px 18px;margin:12px 0}
svg.gb{display:block;width:100%;height:auto;max-width:860px}.narrow{display:none}
@media(max-width:640px){.wide{display:none}.narrow{display:block}.narrow svg.gb{max-width:440px;
margin:0 auto}h1{font-size:24px}}
.scroll{overflow-x:auto;border:1px solid var(--edge);border-radius:10px;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px;text-align:right;white-space:nowrap;border-top:1px solid var(--edge)}
tr:first-child th{border-top:0;font-weight:500;color:var(--dim);font-size:12px}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
tr.native td{background:var(--ours);font-weight:600}
details{margin:14px 0}summary{cursor:pointer;color:var(--link);padding:4px 0}
.first{margin:16px 0}
td.target{min-width:190px;text-align:left;white-space:normal;font-weight:400!important}
.met{color:var(--good)}.missed{color:var(--bad)}
"""


def _code(text: str) -> str:
    """Return the text with what stands between back ticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if at % 2 else p for at, p in enumerate(parts))


def _facts(results: dict[str, Any]) -> str:
    env = results["environment"]
    commit = results.get("commit_info") or {}
    facts = {
        "Machine": about(results)[0],
        "Python": about(results)[1],
        "godropbox": about(results)[2],
        'A call of len(b"")': about(results)[3].rpartition("takes ")[2],
        "When": env["date"],
        "How": "a quick run" if env["quick"] else "a full run",
        "Two processes at once": f"{env['two']:.2f} times the work of one",
        "Commit": f"{(commit.get('id') or 'unknown')[:12]}{' + edits' * bool(commit.get('dirty'))}",
    }
    cells = [f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items()]
    links = ", ".join(
        f'<a href="{escape(home)}">{escape(name)}</a>'
        for home, name in zip(env["homes"].values(), peers(results), strict=True)
    )
    cells.append(f'<div class="row"><dt>Peers</dt><dd>{links}</dd></div>')
    return f"<dl>{''.join(cells)}</dl>"


def _table(record: dict[str, Any]) -> str:
    head, *rows = table(record)
    out = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
    for row, line in zip(rows, record["lines"], strict=True):
        cells = [f"<td>{escape(cell)}</td>" for cell in row]
        if line["target"]:
            css = "met" if line["met"] else "missed"
            cells[-1] = f'<td class="target {css}">{escape(row[-1])}</td>'
        out.append(f'<tr class="{line["kind"]}">{"".join(cells)}</tr>')
    statements = "".join(
        f"<tr><td>{escape(line['label'])}</td><td><code>{escape(line['statement'])}</code></td></tr>"
        for line in record["lines"]
    )
    return (
        f'<h3>{escape(title(record))}</h3><div class="scroll"><table>{"".join(out)}</table></div>'
        "<details><summary>What is timed</summary>"
        f'<div class="scroll"><table>{statements}</table></div></details>'
    )


def _section(records: Sequence[dict[str, Any]], charts: tuple[str, str]) -> str:
    first = records[0]
    return (
        f'<section id="{escape(first["group"])}"><h2>{escape(first["title"])}</h2>'
        f'<p>{_code(first["about"])}</p><div class="wide">{charts[0]}</div>'
        f'<div class="narrow">{charts[1]}</div>{"".join(map(_table, records))}</section>'
    )


HOW = (
    "Every row is checked for the right result before it is timed. The rows of a case take turns "
    "within each round, so that a machine that slows down slows them alike; times are medians of "
    "the rounds, and a ratio is the median of the rounds' ratios. Times differ between machines: "
    "compare the ratios. A row marked † computes another function, so that only its cost compares."
)


def page(
    results: dict[str, Any],
    groups: Sequence[Sequence[dict[str, Any]]],
    charts: Mapping[str, tuple[str, str]],
    first: Mapping[str, tuple[str, str]],
) -> str:
    """Return the page: `first` what opens it, `charts` of each group, each wide and narrow."""
    links = "".join(
        f'<a href="#{escape(records[0]["group"])}">{escape(records[0]["title"])}</a>'
        for records in groups
    )
    sections = "\n".join(_section(records, charts[records[0]["group"]]) for records in groups)
    opening = "".join(
        f'<div class="first"><div class="wide">{wide}</div><div class="narrow">{narrow}</div></div>'
        for wide, narrow in first.values()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>godropbox benchmarks</title><style>{STYLE}</style></head><body><main>"
        f"<h1>godropbox benchmarks</h1>{opening}{_facts(results)}<p>{escape(HOW)}</p>"
        f"<nav>{links}</nav>\n{sections}</main></body></html>\n"
    )
