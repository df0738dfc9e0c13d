"""What is kept in git of the last full runs: ``bench/results.json``, one line a case.

``bench/run --readme`` puts the groups that it raced in there; groups that it did not race keep what
they had, with the date, machine and versions of their own run. README, the documentation and its
charts are made from this file and nothing else.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["SUMMARY", "Summary"]

SUMMARY: Final = Path(__file__).resolve().parent / "results.json"
_DIGITS: Final = 4
_NUMBERS: Final = ("time", "low", "high", "to_floor", "to_ours")


def _rounded(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a case without what a run alone needs."""
    kept = {key: value for key, value in record.items() if key not in ("lines", "about")}
    lines = []
    for line in record["lines"]:
        rest = {key: line[key] for key in ("label", "kind", "other", "status", "rounds")}
        lines.append(rest | {key: _rounded(line[key]) for key in _NUMBERS})
    return kept | {"lines": lines}


@dataclass(frozen=True, slots=True)
class Summary:
    """The environments of runs by their date, and the cases with the date of their run."""

    runs: dict[str, dict[str, Any]]
    cases: list[dict[str, Any]]

    @classmethod
    def read(cls) -> "Summary":
        """Return what the file holds."""
        found = json.loads(SUMMARY.read_text(encoding="utf-8"))
        return cls(found["runs"], found["cases"])

    def merged(self, results: dict[str, Any]) -> "Summary":
        """Return the summary with the groups of a run in the place of what it had of them."""
        environment = results["environment"]
        date: str = environment["date"]
        raced = {record["group"] for record in results["races"]}
        kept = [case for case in self.cases if case["group"] not in raced]
        new = [_short(record) | {"run": date} for record in results["races"]]
        commit = (results.get("commit_info") or {}).get("id") or "unknown"
        runs = self.runs | {date: environment | {"commit": commit[:12]}}
        used = {case["run"] for case in [*kept, *new]}
        return Summary({run: runs[run] for run in sorted(used)}, [*kept, *new])

    def write(self) -> None:
        """Write the file."""
        runs = ",\n".join(f" {json.dumps(run)}: {json.dumps(self.runs[run])}" for run in self.runs)
        cases = ",\n".join(" " + json.dumps(case, ensure_ascii=False) for case in self.cases)
        text = f'{{"runs": {{\n{runs}\n}},\n"cases": [\n{cases}\n]}}\n'
        SUMMARY.write_text(text, encoding="utf-8")

    def case(self, group: str, name: str) -> dict[str, Any]:
        """Return a case; ``KeyError`` if it was not raced."""
        for case in self.cases:
            if (case["group"], case["case"]) == (group, name):
                return case
        raise KeyError(f"no case {name!r} of the group {group!r} was raced")

    def line(self, group: str, name: str, label: str) -> dict[str, Any]:
        """Return a row of a case; ``KeyError`` if it was not timed."""
        for line in self.case(group, name)["lines"]:
            if line["label"] == label and line["time"]:
                found: dict[str, Any] = line
                return found
        raise KeyError(f"the row {label!r} of {group}, {name} was not timed")

    def ratio(self, group: str, name: str, label: str, other: str) -> float:
        """Return a row's time in times of another's: of the medians of ratios where there are."""
        one, two = (self.line(group, name, each) for each in (label, other))
        if one["to_ours"] and two["to_ours"]:
            return float(one["to_ours"] / two["to_ours"])
        return float(one["time"] / two["time"])

    def environment(self, group: str) -> dict[str, Any]:
        """Return the machine and the versions of the group's run."""
        run = next(case["run"] for case in self.cases if case["group"] == group)
        return self.runs[run]
