"""Checks the public API of the Python package against the conformance vectors and stories.

    python conformance [--json] FILE

conformance/README.md defines the output and the exit code of a runner.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import varta
from fields import Failure
from lane_stories import lane_story
from stories import story
from vectors import CHECKS

CHECKS |= {"story": story, "lane_story": lane_story}


class Unusable(Exception):
    """The file cannot be used."""


HEADER = {
    "magic_hex": "5641",
    "version_byte": 2,
    "nonce_terminal_hex": f"{varta.NONCE_TERMINAL:016x}",
}
ARRAYS = ("crc32c_vectors", "frame_vectors", "secure_frame_vectors")
# In these arrays all are of one kind and need not name it.
KINDS = {"crc32c_vectors": "crc32c", "stories": "story", "lane_stories": "lane_story"}
STORIES = ("stories", "lane_stories")


def load(path: Path) -> list[tuple[str, int, Any]]:
    """Returns each vector or story with the name of its array and its index there."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(str(error)) from None
    if not isinstance(document, dict):
        raise Unusable("it is not a JSON object")
    for name, ours in HEADER.items():
        if document.get(name) != ours:
            raise Unusable(f"its {name} is {document.get(name)!r}, but {ours!r} is supported")
    for name in [name for name in STORIES if name in document] or ARRAYS:
        if not isinstance(document.get(name), list):
            raise Unusable(f"it has no array {name}")
    # Unknown arrays are read too: their vectors count as skipped.
    vectors = [
        (name, index, vector)
        for name, array in document.items()
        if (name.endswith("_vectors") or name in STORIES) and isinstance(array, list)
        for index, vector in enumerate(array)
    ]
    if not vectors:
        raise Unusable("it has neither vectors nor stories")
    return vectors


def run(array: str, vector: Any) -> tuple[str, str]:
    """Returns the vector's kind and its result: "passed", "skipped", or why it failed."""
    if not isinstance(vector, dict):
        return "unnamed", str(Failure("vector", "a JSON object", repr(vector)))
    kind = vector.get("kind", KINDS.get(array))
    if not isinstance(kind, str):
        return "unnamed", str(Failure("kind", "a string", repr(kind)))
    if kind not in CHECKS:
        return kind, "skipped"
    try:
        CHECKS[kind](vector)
    except (Failure, ValueError, OverflowError) as failure:
        return kind, str(failure)
    return kind, "passed"


def main(arguments: list[str]) -> int:
    as_json = arguments[:1] == ["--json"]
    files = arguments[as_json:]
    if len(files) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        vectors = load(Path(files[0]))
    except Unusable as error:
        print(f"conformance: cannot use {files[0]}: {error}", file=sys.stderr)
        return 2
    counts: dict[str, Counter[str]] = {}
    for array, index, vector in vectors:
        kind, outcome = run(array, vector)
        counted = outcome if outcome in ("passed", "skipped") else "failed"
        counts.setdefault(kind, Counter(passed=0, failed=0, skipped=0))[counted] += 1
        if counted == "failed":
            name = vector.get("id") if isinstance(vector, dict) else None
            print(f"FAIL {name or f'{array}[{index}]'}: {outcome}")
    for kind, count in sorted(counts.items()):
        if count["skipped"]:
            print(f'SKIP {count["skipped"]} of the unknown kind "{kind}"')
    total: Counter[str] = Counter()
    for count in counts.values():
        total.update(count)
    if as_json:
        print(json.dumps(counts))
    else:
        skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
        print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
