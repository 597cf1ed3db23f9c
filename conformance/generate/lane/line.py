"""The lines of a page, written only from the specification."""

import struct
import unicodedata
from dataclasses import dataclass

PAGE_BYTES = 4096
PAIRS = 32
PAIR_BYTES = 128
LINE_BYTES = 64
LAYOUT_VERSION = 1
NEVER = 2**64 - 1
FARTHEST = 30 * 24 * 3600 * 10**9

STATUSES = ("ok", "degraded", "critical")
PROMISES = (None, "beat", "span", "checkpoint", "progress")
RULES = (None, "too-early", "too-late", "wrong-order", "too-few", "too-many")
STATES = ("free", "live", "closed", "failed")
VITAL, ROAMS = 1, 2

# The significant bits of an amount in a violation.
MANTISSA = 18

_HEAD = struct.Struct("<IBxHIIQI36x")
_COLD = struct.Struct("<IBBBxQQIIQ24s")
_WORDS = struct.Struct("<8Q")


class Invalid(Exception):
    """Words that an agent of this version does not write."""


def offset_of(index: int) -> int:
    """Where pair 0 begins in the page with this index."""
    return PAIR_BYTES * (index % PAIRS)


def place_of(offset: int, pair: int) -> tuple[int, int]:
    """Where the cold and the hot line of a pair begin."""
    cold = (offset + PAIR_BYTES * pair) % PAGE_BYTES
    return cold, cold + LINE_BYTES


@dataclass(frozen=True)
class Violation:
    rule: str
    from_: int = 0
    to: int = 0
    by: int = 0

    def word(self) -> int:
        exponent = max(0, self.by.bit_length() - MANTISSA)
        amount = exponent << MANTISSA | self.by >> exponent
        return RULES.index(self.rule) | self.from_ << 8 | self.to << 24 | amount << 40

    @staticmethod
    def of_word(word: int) -> "Violation":
        rule, amount = word & 0xFF, word >> 40
        exponent, mantissa = amount >> MANTISSA, amount & (1 << MANTISSA) - 1
        by = mantissa << exponent
        if not 1 <= rule < len(RULES) or exponent + mantissa.bit_length() > 64:
            raise Invalid("violation")
        return Violation(RULES[rule], word >> 8 & 0xFFFF, word >> 24 & 0xFFFF, by)


@dataclass(frozen=True)
class Info:
    status: str = "ok"
    which: str | None = None
    idle: bool = False
    broken: frozenset[str] = frozenset()
    checkpoint: int = 0
    payload: int = 0

    def word(self) -> int:
        bits = sum(1 << PROMISES.index(promise) - 1 for promise in self.broken)
        return (
            STATUSES.index(self.status)
            | PROMISES.index(self.which) << 8
            | int(self.idle) << 11
            | bits << 12
            | self.checkpoint << 16
            | self.payload << 32
        )

    @staticmethod
    def of_word(word: int) -> "Info":
        status, which, bits = word & 0xFF, word >> 8 & 7, word >> 12 & 15
        if status >= len(STATUSES) or which >= len(PROMISES):
            raise Invalid("info")
        broken = frozenset(p for n, p in enumerate(PROMISES[1:]) if bits >> n & 1)
        idle = bool(word >> 11 & 1)
        return Info(STATUSES[status], PROMISES[which], idle, broken, word >> 16 & 0xFFFF, word >> 32)


@dataclass(frozen=True)
class Head:
    """The cold line of the process's own pair."""

    live: int
    thread: int
    layout: int = LAYOUT_VERSION

    def wire(self) -> bytes:
        return _HEAD.pack(0, STATES.index("live"), self.layout, self.live, 0, 0, self.thread)

    @staticmethod
    def of_wire(wire: bytes) -> "Head":
        number, state, layout, live, _, _, thread = _HEAD.unpack(wire)
        if number != 0 or state != STATES.index("live"):
            raise Invalid("head")
        return Head(live, thread, layout)


@dataclass(frozen=True)
class Cold:
    """The cold line of a task."""

    number: int
    state: str
    name: str
    threshold_ns: int
    finest_ns: int
    vital: bool = False
    roams: bool = False
    ended: str = "free"
    thread: int = 0
    violations: int = 0
    last_violation: Violation | None = None

    def wire(self) -> bytes:
        return _COLD.pack(
            self.number,
            STATES.index(self.state),
            VITAL * self.vital | ROAMS * self.roams,
            STATES.index(self.ended),
            self.threshold_ns,
            self.finest_ns,
            self.thread,
            self.violations,
            self.last_violation.word() if self.last_violation else 0,
            self.name.encode(),
        )

    @staticmethod
    def of_wire(wire: bytes) -> "Cold":
        number, state, flags, ended, threshold, finest, thread, count, last, name = _COLD.unpack(wire)
        if state >= len(STATES) or ended >= len(STATES):
            raise Invalid("state")
        return Cold(
            number,
            STATES[state],
            name_of(name),
            threshold,
            finest,
            bool(flags & VITAL),
            bool(flags & ROAMS),
            STATES[ended],
            thread,
            count,
            Violation.of_word(last) if last else None,
        )


def name_of(padded: bytes) -> str:
    """The name in these bytes: 1 to 23 bytes of UTF-8 without control characters."""
    text, end, padding = padded.partition(b"\0")
    if not text or not end or padding.strip(b"\0"):
        raise Invalid("name")
    try:
        name = text.decode()
    except UnicodeDecodeError:
        raise Invalid("name") from None
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise Invalid("name")
    return name


@dataclass(frozen=True)
class Hot:
    """What a call writes."""

    at: int
    until: int
    info: int
    last: int


def write(words: tuple[int, ...], hot: Hot) -> tuple[int, ...]:
    """The words of a hot line after a write; before it they were these."""
    sequence = words[0] + 1
    after = [sequence, *words[1:7], hot.last]
    copy = 1 + 3 * (sequence % 2)
    after[copy : copy + 3] = hot.at, hot.until, hot.info
    return tuple(after)


def read(words: tuple[int, ...]) -> tuple[int, Hot] | None:
    """The sequence, and the complete copy; None if it was never written."""
    if words[0] == 0:
        return None
    copy = 1 + 3 * (words[0] % 2)
    return words[0], Hot(*words[copy : copy + 3], words[7])


def wire_of(words: tuple[int, ...]) -> bytes:
    return _WORDS.pack(*words)


def words_of(wire: bytes) -> tuple[int, ...]:
    return _WORDS.unpack(wire)
