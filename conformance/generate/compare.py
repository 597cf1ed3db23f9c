"""What is wrong with a file, in words."""

import itertools
import json
from pathlib import Path


def difference(there: object, here: object, place: str = "") -> str:
    """The first thing that differs, in words: in the file, and as it should be."""
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
        return "the entries are the same, but not the bytes around them"
    return (
        f"{place}this differs\n"
        f"  in the file: {json.dumps(there)}\n"
        f"  regenerated: {json.dumps(here)}"
    )


def has_lists(value: dict) -> bool:
    return any(isinstance(part, list) for part in value.values())


def check(path: Path, text: str) -> str | None:
    """What is wrong with the file, if anything is."""
    found = path.read_bytes()
    if found == text.encode():
        return None
    try:
        return difference(json.loads(found), json.loads(text))
    except ValueError as error:
        return f"it is not JSON: {error}"
