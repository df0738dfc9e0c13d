"""Prints what the doctor found: for people, a line a finding and what to do below; or JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from .facts import Facts, Finding, Level
from .fleets import Comparison

__all__ = ["as_json", "as_text", "findings_of_comparison"]

_WIDTH = 100


def findings_of_comparison(found: Comparison) -> Iterator[Finding]:
    """Say whether two fleets place keys alike, why not, and what to do."""
    subject = f"{found.first} and {found.second}"
    if not found.elsewhere and not found.reasons:
        text = f"they place all of {found.keys:,} keys alike"
        yield Finding(Level.NOTE, "fleets", subject, text)
        return
    why = "; ".join(f"{each.text} (alone it moves {each.moved:,})" for each in found.reasons)
    text = f"{found.elsewhere:,} of {found.keys:,} keys are on other servers: {why}"
    is_prefix = any("prefix" in each.text for each in found.reasons)
    if not found.elsewhere and not is_prefix:
        yield Finding(Level.NOTE, "fleets", subject, text)
        return
    advice = (
        "A process with one file does not see what one with the other stores or deletes. Give all "
        "processes the same servers, in the same order and spelling, and the same shard function "
        "and prefix; change them everywhere at once, or step by step by the shards' states."
    )
    yield Finding(Level.ERROR, "fleets", subject, text, advice)


def as_text(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines of a report, by subject in their order; what to do is indented."""
    subject = ""
    for each in findings:
        if each.subject != subject:
            if subject:
                yield ""
            subject = each.subject
            yield subject
        mark = {Level.ERROR: "ERROR", Level.WARNING: "WARNING", Level.NOTE: "ok"}[each.level]
        yield from _wrapped(f"  {mark:<8}", each.text)
        if each.advice:
            yield from _wrapped("          -> ", each.advice)
    yield ""
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    if counts[Level.ERROR] or counts[Level.WARNING]:
        yield f"{_count(counts[Level.ERROR], 'error')}, {_count(counts[Level.WARNING], 'warning')}"
    else:
        yield "nothing to do"


def _wrapped(begin: str, text: str) -> Iterator[str]:
    import textwrap

    yield from textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def as_json(
    about: Mapping[str, str],
    servers: Sequence[Facts],
    comparison: Comparison | None,
    findings: Sequence[Finding],
    status: int,
) -> str:
    """Return the report as a JSON object; times are seconds."""
    fleets = None
    if comparison is not None:
        fleets = {
            "first": comparison.first,
            "second": comparison.second,
            "keys": comparison.keys,
            "elsewhere": comparison.elsewhere,
            "reasons": [{"text": r.text, "moved": r.moved} for r in comparison.reasons],
        }
    return json.dumps(
        {
            "about": dict(about),
            "servers": [_server(each) for each in servers],
            "fleets": fleets,
            "findings": [
                {
                    "level": each.level.value,
                    "code": each.code,
                    "subject": each.subject,
                    "text": each.text,
                    "advice": each.advice,
                }
                for each in findings
            ],
            "status": status,
        },
        indent=2,
    )


def _server(facts: Facts) -> dict[str, Any]:
    dialect = facts.dialect
    return {
        "address": facts.address,
        "reached": [
            {"address": each.address, "seconds": each.seconds, "error": _text(each.error)}
            for each in facts.reached
        ],
        "error": _text(facts.error or facts.lookup_error),
        "tls": facts.tls or None,
        "certificate_days": facts.certificate_days,
        "version": dialect.version if dialect else None,
        "protocol": dialect.protocol if dialect else None,
        "lacks": list(dialect.lacks) if dialect else [],
        "skew": facts.skew,
        "latency": {"median": median(facts.pings), "worst": max(facts.pings)}
        if facts.pings
        else None,
        "stats": dict(facts.stats),
        "settings": dict(facts.settings),
    }


def _text(error: Exception | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"
