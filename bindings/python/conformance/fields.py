"""Reads and checks the fields of a vector or a story."""

from __future__ import annotations

import re
from typing import Any

Vector = dict[str, Any]


class Failure(Exception):
    """A vector failed: what was checked, what was expected, what was found."""

    def __init__(self, what: str, expected: object, actual: object) -> None:
        super().__init__(f"{what}: expected {expected}, got {actual}")


def same(what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise Failure(what, expected, actual)


def field(vector: Vector, name: str, kind: type) -> Any:
    value = vector.get(name)
    # A JSON boolean is not a number, although a Python bool is an int.
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


def boolean(fields: Vector, name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise Failure(name, "true or false", repr(value))
    return value


def only(fields: Vector, *names: str) -> None:
    """Fails for any other field, which would be an expectation that nothing checks."""
    for name in fields:
        if name not in names:
            raise Failure(name, f"one of {', '.join(names)}", repr(fields[name]))
