"""Converts the results of a benchmark to JSON, in the format of bench/src/report.rs."""

from __future__ import annotations

import os
import platform
import sys
from typing import NamedTuple, Optional

from measure import Group, Row


class Target(NamedTuple):
    """A limit on the median of one contender, as a ratio to another of the group."""

    group: str
    of: str
    to: str
    at_most: float


class Figure(NamedTuple):
    """A number that was not measured in a side-by-side comparison."""

    name: str
    value: float
    unit: str
    at_most: Optional[float] = None


def to_json(places: str, targets: list[Target], groups: list[Group], figures: list[Figure]) -> dict[str, object]:
    return {
        "machine": machine() | {"places": places},
        "targets": [target_json(target, groups) for target in targets]
        + [
            {"name": figure.name, "value": figure.value, "unit": figure.unit, "to": None}
            | {"ratio": None, "at_most": figure.at_most, "measured": True}
            for figure in figures
            if figure.at_most is not None
        ],
        "times": [time_json(group, row) for group in groups for row in group.rows],
        "figures": [
            {"name": figure.name, "value": figure.value, "unit": figure.unit}
            for figure in figures
        ],
    }


def target_json(target: Target, groups: list[Group]) -> dict[str, object]:
    """A target without samples is reported as not measured."""
    group = next((group for group in groups if group.name == target.group), None)
    names = [row.name for row in group.rows if row.rounds] if group else []
    found: dict[str, object] = {
        "name": f"{target.group}: {target.of} to {target.to}",
        "value": None,
        "unit": "ns",
        "to": None,
        "ratio": None,
        "at_most": target.at_most,
        "measured": target.of in names and target.to in names,
    }
    if group and found["measured"]:
        found["value"], found["to"] = (group.row(name).at(0.5) for name in (target.of, target.to))
        found["ratio"] = group.ratio(target.of, target.to)[0]
    return found


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


def time_json(group: Group, row: Row) -> dict[str, object]:
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
