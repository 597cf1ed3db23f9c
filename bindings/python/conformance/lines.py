"""What the lines of a page hold, as eight words each."""

from __future__ import annotations

from fields import Failure, Vector, boolean, field, number, only

Words = list[int]

STATES = ("free", "live", "closed", "failed")
STATUSES = ("ok", "degraded", "critical")
PROMISES = ("beat", "span", "checkpoint", "progress")
RULES = ("too-early", "too-late", "wrong-order", "too-few", "too-many")

LAYOUT = 1
LIVE = STATES.index("live")


def head(layout: int, live: int, thread: int) -> Words:
    """The cold line of a process."""
    return [layout << 48 | LIVE << 32, live, 0, thread, 0, 0, 0, 0]


def cold(fields: Vector) -> Words:
    """The cold line of a task."""
    only(
        fields, "number", "state", "name", "threshold_ns", "finest_ns", "vital", "roams", "ended",
        "thread", "violations", "last_violation",
    )  # fmt: skip
    flags = boolean(fields, "vital") | boolean(fields, "roams") << 1
    name = field(fields, "name", str).encode()
    if not 0 < len(name) < 24:
        raise Failure("name", "1 to 23 bytes", len(name))
    last = fields.get("last_violation")
    return [
        number(fields, "number", 32)
        | one_of(fields, "state", STATES) << 32
        | flags << 40
        | one_of(fields, "ended", STATES) << 48,
        number(fields, "threshold_ns", 64),
        number(fields, "finest_ns", 64),
        number(fields, "violations", 32) << 32 | number(fields, "thread", 32),
        0 if last is None else violation(field(fields, "last_violation", dict)),
        *(int.from_bytes(name.ljust(24, b"\0")[at : at + 8], "little") for at in (0, 8, 16)),
    ]


def violation(fields: Vector) -> int:
    only(fields, "rule", "from", "to", "by")
    by = number(fields, "by", 64)
    # 18 bits, and how far they are shifted.
    shift = max(by.bit_length() - 18, 0)
    return (
        1 + one_of(fields, "rule", RULES)
        | number(fields, "from", 16) << 8
        | number(fields, "to", 16) << 24
        | (shift << 18 | by >> shift) << 40
    )


def next_hot(before: Words, fields: Vector, at_ns: int) -> Words:
    """A hot line after one more write: a sequence, two copies in turn, and a last word."""
    values = [
        number(fields, "at", 64) if "at" in fields else at_ns,
        number(fields, "until", 64),
        info(fields),
    ]
    sequence, *copies, _ = before
    sequence = (sequence + 1) % 2**64 or 1
    first = 3 * (sequence % 2)
    copies[first : first + 3] = values
    return [sequence, *copies, number(fields, "last", 64)]


def info(fields: Vector) -> int:
    """The word that a story gives, or that of its parts."""
    if "info" in fields:
        only(fields, "at", "until", "info", "last")
        return number(fields, "info", 64)
    only(
        fields, "at", "until", "status", "which", "idle", "broken", "checkpoint", "payload", "last",
    )  # fmt: skip
    which = 0 if fields.get("which", "") is None else 1 + one_of(fields, "which", PROMISES)
    broken = 0
    for promise in field(fields, "broken", list):
        broken |= 1 << one_of({"broken": promise}, "broken", PROMISES)
    return (
        one_of(fields, "status", STATUSES)
        | which << 8
        | boolean(fields, "idle") << 11
        | broken << 12
        | number(fields, "checkpoint", 16) << 16
        | number(fields, "payload", 32) << 32
    )


def one_of(fields: Vector, name: str, names: tuple[str, ...]) -> int:
    value = field(fields, name, str)
    if value not in names:
        raise Failure(name, " or ".join(names), value)
    return names.index(value)
