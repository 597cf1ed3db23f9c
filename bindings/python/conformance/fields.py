"""The fields of a vector or a story, each read as what it must be."""

from __future__ import annotations

import re
from typing import Any

Vector = dict[str, Any]


class Failure(Exception):
    """A vector has failed: what was looked at, what was expected, what came."""

    def __init__(self, what: str, expected: object, came: object) -> None:
        super().__init__(f"{what}: expected {expected}, came {came}")


def same(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise Failure(what, expected, came)


def field(vector: Vector, name: str, kind: type) -> Any:
    value = vector.get(name)
    # In JSON a number is no truth value, and null is only what it is asked to be.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Failure(name, f"a field of type {kind.__name__}", repr(value))
    return value


def raw(vector: Vector, name: str, size: int | None = None) -> bytes:
    text = field(vector, name, str)
    if not re.fullmatch("(?:[0-9a-f]{2})*", text):
        raise Failure(name, "lower-case hex", repr(text))
    data = bytes.fromhex(text)
    if size is not None and len(data) != size:
        raise Failure(name, f"{size} bytes in lower-case hex", f"{len(data)} bytes")
    return data


def number(vector: Vector, name: str, bits: int) -> int:
    value: int = field(vector, name, int)
    if not 0 <= value < 2**bits:
        raise Failure(name, f"an unsigned number of {bits} bits", value)
    return value


def only(fields: Vector, *names: str) -> None:
    """A field that nobody reads would be an expectation that nobody checks."""
    for name in fields:
        if name not in names:
            raise Failure(name, f"none but {', '.join(names)}", repr(fields[name]))
