"""The messages with which a page is handed over, written only from the specification."""

import struct
from dataclasses import dataclass, fields

MAGIC = b"VRTL"
VERSION = 1
BYTES = 128
BELL_BYTES = 16
NAME_BYTES = 64
REASON_BYTES = 112
TASKS_WANTED = 1


class Refused(Exception):
    """Bytes are not a message; the text is the name of the error."""


@dataclass(frozen=True)
class Hello:
    pid: int
    flags: int
    monotonic_ns: int
    nonce: int
    name: bytes

    kind = 1
    layout = struct.Struct(f"<IIQQ{NAME_BYTES}s")
    length = BYTES


@dataclass(frozen=True)
class PageOffer:
    offset: int
    pairs: int
    threshold_ns: int
    clock_offset: int
    flags: int

    kind = 2
    layout = struct.Struct("<IIQqI")
    length = BYTES


@dataclass(frozen=True)
class Refusal:
    errno: int
    reason: bytes

    kind = 3
    layout = struct.Struct(f"<I4x{REASON_BYTES}s")
    length = BYTES


@dataclass(frozen=True)
class Mapped:
    kind = 4
    layout = struct.Struct("<")
    length = BYTES


@dataclass(frozen=True)
class Bell:
    pair: int

    kind = 5
    layout = struct.Struct("<I")
    length = BELL_BYTES


Message = Hello | PageOffer | Refusal | Mapped | Bell
KINDS = (Hello, PageOffer, Refusal, Mapped, Bell)
HEAD = struct.Struct("<4sHH")


def encode(message: Message) -> bytes:
    values = (getattr(message, field.name) for field in fields(message))
    body = message.layout.pack(*values)
    return (HEAD.pack(MAGIC, VERSION, message.kind) + body).ljust(message.length, b"\0")


def decode(wire: bytes) -> Message:
    if len(wire) not in (BYTES, BELL_BYTES) or wire[:4] != MAGIC:
        raise Refused("Malformed")
    _, version, number = HEAD.unpack_from(wire)
    if version != VERSION:
        raise Refused("Version")
    for kind in KINDS:
        if (kind.kind, kind.length) == (number, len(wire)):
            values = kind.layout.unpack_from(wire, HEAD.size)
            message = kind(*(value for value in values))
            # Bytes that belong to no field are zero, so that they can become one.
            if encode(message) == wire:
                return message
    raise Refused("Malformed")
