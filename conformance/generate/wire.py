"""The frame in both versions, and its checksum, written only from the specification."""

import struct
from dataclasses import dataclass

MAGIC = b"VA"
VERSION = 2
FRAME_BYTES = 32
NONCE_TERMINAL = 2**64 - 1
STATUSES = {"ok": 0, "degraded": 1, "critical": 2, "stall": 3}

# magic, version, status, pid, timestamp, nonce
HEAD = struct.Struct("<2sBBIQQ")


@dataclass(frozen=True)
class Beat:
    status: str
    pid: int
    timestamp: int
    nonce: int
    payload: int


class Refused(Exception):
    """A frame was refused; the message is the name of the error."""


def crc32c(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            # 0x1EDC6F41 with its bits in reverse.
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def with_crc(body: bytes) -> bytes:
    return body + struct.pack("<I", crc32c(body))


def encode(beat: Beat) -> bytes:
    return with_crc(_head(VERSION, beat) + struct.pack("<I", beat.payload))


def encode_v1(beat: Beat) -> bytes:
    return _head(1, beat) + struct.pack("<Q", beat.payload)


def decode(wire: bytes) -> Beat:
    _check_version(wire, VERSION)
    payload, stored = struct.unpack_from("<II", wire, HEAD.size)
    if crc32c(wire[:28]) != stored:
        raise Refused("BadCrc")
    return _beat(wire, payload)


def decode_v1(wire: bytes) -> Beat:
    _check_version(wire, 1)
    (payload,) = struct.unpack_from("<Q", wire, HEAD.size)
    return _beat(wire, payload)


def _head(version: int, beat: Beat) -> bytes:
    return HEAD.pack(MAGIC, version, STATUSES[beat.status], beat.pid, beat.timestamp, beat.nonce)


def _check_version(wire: bytes, version: int) -> None:
    if wire[:2] != MAGIC:
        raise Refused("BadMagic")
    if wire[2] != version:
        raise Refused("BadVersion")


def _beat(wire: bytes, payload: int) -> Beat:
    _, _, status, pid, timestamp, nonce = HEAD.unpack_from(wire)
    if status > STATUSES["stall"]:
        raise Refused("BadStatus")
    if status == STATUSES["stall"]:
        raise Refused("StallOnWire")
    if pid < 2:
        raise Refused("BadPid")
    if timestamp == 2**64 - 1:
        raise Refused("BadTimestamp")
    if nonce == NONCE_TERMINAL and status != STATUSES["critical"]:
        raise Refused("BadNonce")
    names = {number: name for name, number in STATUSES.items()}
    return Beat(names[status], pid, timestamp, nonce, payload)
