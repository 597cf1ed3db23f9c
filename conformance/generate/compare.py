"""Describes how a file differs from what is generated."""

import itertools
import json
from pathlib import Path


def difference(there: object, here: object, place: str = "") -> str:
    """Describes the first difference: the value in the file and the generated one."""
    if isinstance(there, dict) and isinstance(here, dict) and has_lists(here):
        for name in [*here, *(name for name in there if name not in here)]:
            if there.get(name) != here.get(name):
                return difference(there.get(name), here.get(name), f"{place}{name}: ")
    if isinstance(there, list) and isinstance(here, list):
        for at, (theirs, ours) in enumerate(itertools.zip_longest(there, here)):
            if theirs != ours:
                named = ours.get("id", at) if isinstance(ours, dict) else at
                return difference(theirs, ours, f"{place}{named}: ")
    if there == here:
        return "the entries are the same, but the formatting differs"
    return (
        f"{place}differs\n"
        f"  in the file: {json.dumps(there)}\n"
        f"  regenerated: {json.dumps(here)}"
    )


def has_lists(value: dict) -> bool:
    return any(isinstance(part, list) for part in value.values())


def check(path: Path, text: str) -> str | None:
    """Describes how the file differs; None if it does not."""
    found = path.read_bytes()
    if found == text.encode():
        return None
    try:
        return difference(json.loads(found), json.loads(text))
    except ValueError as error:
        return f"not valid JSON: {error}"
