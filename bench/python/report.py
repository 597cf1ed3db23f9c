"""What a run has found: tables for people, JSON for programs, as bench/src/report.rs."""

from __future__ import annotations

import os
import platform
import sys
from typing import NamedTuple, Optional

from measure import Group


class Target(NamedTuple):
    """What is to be reached: so many times as long as another of the group."""

    group: str
    of: str
    to: str
    at_most: float


class Figure(NamedTuple):
    """A number that is not a time beside another's."""

    name: str
    value: float
    unit: str
    at_most: Optional[float] = None


class Outcome(NamedTuple):
    name: str
    value: float
    unit: str
    to: Optional[float]
    ratio: Optional[float]
    at_most: float

    @property
    def met(self) -> bool:
        return (self.value if self.ratio is None else self.ratio) <= self.at_most


class Report(NamedTuple):
    places: str
    targets: list[Target]
    groups: list[Group]
    figures: list[Figure]

    def outcomes(self) -> list[Outcome]:
        found = []
        groups = {group.name: group for group in self.groups}
        for target in self.targets:
            group = groups.get(target.group)
            if group is not None:
                value, to = (group.row(name).at(0.5) for name in (target.of, target.to))
                ratio = group.ratio(target.of, target.to)[0]
                name = f"{target.group}: {target.of} to {target.to}"
                found.append(Outcome(name, value, "ns", to, ratio, target.at_most))
        for figure in self.figures:
            if figure.at_most is not None:
                found.append(Outcome(*figure[:3], None, None, figure.at_most))
        return found

    def to_json(self) -> dict[str, object]:
        return {
            "machine": machine() | {"places": self.places},
            "targets": [
                outcome._asdict() | {"met": outcome.met} for outcome in self.outcomes()
            ],
            "times": [time_json(group, row) for group in self.groups for row in group.rows],
            "figures": [
                {"name": figure.name, "value": figure.value, "unit": figure.unit}
                for figure in self.figures
            ],
        }

    def to_text(self) -> str:
        about = machine()
        lines = [
            f"{about['cpu']}, {about['cpus']} CPUs, {about['architecture']}, "
            f"kernel {about['kernel']}",
            f"{about['python']}; {self.places}",
            "",
        ]
        if self.groups:
            lines += table(TIMES, [time_line(g, row) for g in self.groups for row in g.rows])
        if self.figures:
            lines += table(
                ["measured", ">", ""], [[f.name, number(f.value), f.unit] for f in self.figures]
            )
        outcomes = self.outcomes()
        missed = sum(not outcome.met for outcome in outcomes)
        if outcomes:
            lines += table(TARGETS, [line(outcome) for outcome in outcomes])
            lines.append(
                f"{missed} of {len(outcomes)} targets NOT MET"
                if missed
                else f"all {len(outcomes)} targets met"
            )
        return "\n".join(lines)


TIMES = [
    "measured side by side", "", "> median ns", "> p99 ns", "> to first",
    "half of the rounds", "> samples", "> missed",
]  # fmt: skip
TARGETS = ["target", ">", "", "> to", "> ratio", "> at most", ""]


def machine() -> dict[str, object]:
    with open("/proc/cpuinfo") as text:
        info = text.read().splitlines()
    names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return {
        "cpu": names[0] if names else "unknown",
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": f"Python {platform.python_version()} ({sys.implementation.name})",
    }


def time_json(group: Group, row) -> dict[str, object]:
    first = group.rows[0]
    ratio = None if row is first else group.ratio(row.name, first.name)
    return {
        "group": group.name,
        "name": row.name,
        "median_ns": row.at(0.5),
        "p99_ns": row.at(0.99),
        "samples": len(row.samples),
        "missed": row.missed,
        "ratio_to_first": ratio and ratio[0],
        "ratio_quartiles": ratio and list(ratio[1:]),
    }


def time_line(group: Group, row) -> list[str]:
    told = time_json(group, row)
    ratio, quartiles = told["ratio_to_first"], told["ratio_quartiles"]
    return [
        group.name,
        row.name,
        f"{told['median_ns']:.1f}",
        f"{told['p99_ns']:.1f}",
        f"{ratio:.3f}" if ratio else "",
        f"{quartiles[0]:.3f} to {quartiles[1]:.3f}" if quartiles else "",
        str(told["samples"]),
        str(told["missed"]),
    ]


def line(outcome: Outcome) -> list[str]:
    return [
        outcome.name,
        number(outcome.value),
        outcome.unit,
        "" if outcome.to is None else number(outcome.to),
        "" if outcome.ratio is None else f"{outcome.ratio:.3f}",
        number(outcome.at_most) if outcome.ratio is None else f"{outcome.at_most:.2f}",
        "met" if outcome.met else "NOT MET",
    ]


def number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def table(headings: list[str], lines: list[list[str]]) -> list[str]:
    """A Markdown table whose columns line up; a heading with `>` puts its column to the right."""
    right = [heading.startswith(">") for heading in headings]
    names = [heading.lstrip("> ") for heading in headings]
    widths = [max(map(len, column)) for column in zip(names, *lines)]
    rule = ["-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right)]

    def row(cells: list[str]) -> str:
        shown = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right))
        return "| " + " | ".join(shown) + " |"

    return [row(names), row(rule), *map(row, lines), ""]
