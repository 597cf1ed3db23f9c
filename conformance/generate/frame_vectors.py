"""Vectors of version 2 frames: which are accepted, which are refused, and with which error."""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

import wire
from values import (
    U32_EDGES,
    U64_EDGES,
    derived_u32,
    derived_u64,
    one_bit_flipped,
    other_lengths,
)
from wire import NONCE_TERMINAL, Beat, Refused

GOLDEN_OK = Beat("ok", 2, 0, 1, 0)
GOLDEN_LAST = Beat("critical", 2, 999, NONCE_TERMINAL, 0)

# One way to cause each error, in the order in which a decoder checks them. A wrong
# checksum is not a field of the head.
FAULTS: dict[str, dict[str, object]] = {
    "BadMagic": {"magic": b"AV"},
    "BadVersion": {"version": 3},
    "BadCrc": {},
    "BadStatus": {"status": 4},
    "StallOnWire": {"status": 3},
    "BadPid": {"pid": 1},
    "BadTimestamp": {"timestamp": 2**64 - 1},
    "BadNonce": {"nonce": NONCE_TERMINAL},
}


def frame_vectors() -> list[dict]:
    return [
        _roundtrip("frame-golden-ok", "the first golden frame", GOLDEN_OK),
        _roundtrip("frame-golden-last-words", "the second golden frame", GOLDEN_LAST),
        *(
            _roundtrip(f"frame-{name}", description, beat)
            for name, description, beat in edge_beats(U32_EDGES, derived_u32)
        ),
        *_bits(),
        *_order(),
        *_refused(),
        *_lengths(),
    ]


def edge_beats(
    payloads: list[int], derived_payload: Callable[[str], int]
) -> Iterator[tuple[str, str, Beat]]:
    """Beats that any decoder must accept, each with a name and a description."""
    plain = Beat("ok", 4321, 1_000_000, 7, 42)
    for status in ("ok", "degraded", "critical"):
        yield f"status-{status}", f"status {status}", replace(plain, status=status)
        for nonce in (0, 1, NONCE_TERMINAL - 2, NONCE_TERMINAL - 1):
            beat = replace(plain, status=status, nonce=nonce)
            yield f"{status}-nonce-{nonce}", f"{status} with nonce {nonce}", beat
    last = replace(plain, status="critical", nonce=NONCE_TERMINAL)
    yield "last-words", "critical with the terminal nonce", last
    for pid in U32_EDGES[2:]:
        yield f"pid-{pid}", f"pid {pid}", replace(plain, pid=pid)
    for timestamp in U64_EDGES[:-1]:
        beat = replace(plain, timestamp=timestamp)
        yield f"timestamp-{timestamp}", f"timestamp {timestamp}", beat
    for nonce in U64_EDGES[:-1]:
        yield f"nonce-{nonce}", f"nonce {nonce}", replace(plain, nonce=nonce)
    for payload in payloads:
        yield f"payload-{payload}", f"payload {payload}", replace(plain, payload=payload)
    largest = Beat("critical", 2**32 - 1, 2**64 - 2, NONCE_TERMINAL, payloads[-1])
    yield "largest", "every number at its maximum", largest
    for turn in range(16):
        beat = Beat(
            ("ok", "degraded", "critical")[turn % 3],
            derived_u32(f"pid/{turn}"),
            derived_u64(f"timestamp/{turn}"),
            derived_u64(f"nonce/{turn}"),
            derived_payload(f"payload/{turn}"),
        )
        yield f"mixed-{turn}", "numbers without a pattern", beat


def fault_sets(errors: list[str]) -> Iterator[list[str]]:
    """Every set of faults that one frame can have at once, in decoding order."""
    for size in range(1, len(errors) + 1):
        for chosen in itertools.combinations(errors, size):
            # A status byte has only one fault.
            if not {"BadStatus", "StallOnWire"} <= set(chosen):
                yield list(chosen)


def head_with(faults: list[str], version: int) -> bytes:
    fields: dict[str, object] = {
        "magic": wire.MAGIC,
        "version": version,
        "status": 0,
        "pid": 4321,
        "timestamp": 1_000_000,
        "nonce": 7,
    }
    for fault in faults:
        fields |= FAULTS[fault]
    return wire.HEAD.pack(*fields.values())


def _bits() -> Iterator[dict]:
    for bit, flipped in one_bit_flipped(wire.encode(GOLDEN_OK)):
        error = "BadMagic" if bit < 16 else "BadVersion" if bit < 24 else "BadCrc"
        description = f"bit {bit % 8} of byte {bit // 8} flipped"
        yield _decode_error(f"decode-bit-{bit}", description, flipped, error)


def _order() -> Iterator[dict]:
    for faults in fault_sets(list(FAULTS)):
        frame = wire.with_crc(head_with(faults, wire.VERSION) + struct.pack("<I", 42))
        if "BadCrc" in faults:
            frame = frame[:-1] + bytes([frame[-1] ^ 0xFF])
        description = "faults: " + ", ".join(faults)
        yield _decode_error("decode-order-" + "-".join(faults), description, frame, faults[0])


def _refused() -> Iterator[dict]:
    golden = wire.encode(GOLDEN_OK)
    body = golden[:28]
    yield _decode_error("decode-zeros", "32 bytes of 00", bytes(32), "BadMagic")
    yield _decode_error("decode-ones", "32 bytes of ff", b"\xff" * 32, "BadMagic")
    yield _decode_error(
        "decode-version-1",
        "a version 1 frame, which a decoder accepts only if asked to",
        wire.encode_v1(GOLDEN_OK),
        "BadVersion",
    )
    for version in (0, 1, 3, 255):
        frame = wire.with_crc(body[:2] + bytes([version]) + body[3:])
        description = f"version byte {version} with a correct checksum"
        yield _decode_error(f"decode-version-byte-{version}", description, frame, "BadVersion")
    checksums = {
        "big-endian": golden[:27:-1],
        "inverted": bytes(byte ^ 0xFF for byte in golden[28:]),
        "zero": bytes(4),
        "crc32": struct.pack("<I", zlib.crc32(body)),
    }
    for name, checksum in checksums.items():
        description = f"a wrong checksum: {name}"
        yield _decode_error(f"decode-crc-{name}", description, body + checksum, "BadCrc")
    for byte in (4, 5, 127, 128, 254, 255):
        frame = wire.with_crc(body[:3] + bytes([byte]) + body[4:])
        yield _decode_error(f"decode-status-{byte}", f"status byte {byte}", frame, "BadStatus")
    for status in ("ok", "degraded"):
        frame = wire.encode(replace(GOLDEN_LAST, status=status))
        description = f"the terminal nonce with status {status}"
        yield _decode_error(f"decode-last-words-{status}", description, frame, "BadNonce")
    for status in ("ok", "degraded", "critical"):
        for pid in (0, 1):
            frame = wire.encode(replace(GOLDEN_OK, status=status, pid=pid))
            description = f"{status} from pid {pid}"
            yield _decode_error(f"decode-pid-{pid}-{status}", description, frame, "BadPid")
        frame = wire.encode(replace(GOLDEN_OK, status=status, timestamp=2**64 - 1))
        description = f"{status} with a timestamp of all ones"
        yield _decode_error(f"decode-timestamp-{status}", description, frame, "BadTimestamp")
    frame = wire.encode(replace(GOLDEN_LAST, status="stall"))
    description = "the terminal nonce with status stall"
    yield _decode_error("decode-last-words-stall", description, frame, "StallOnWire")


def _lengths() -> Iterator[dict]:
    for length, data in other_lengths(wire.encode(GOLDEN_OK)):
        yield {
            "id": f"frame-length-{length}",
            "description": f"{length} bytes that begin like a frame",
            "kind": "frame_length",
            "wire_hex": data.hex(),
        }


def _roundtrip(id: str, description: str, beat: Beat) -> dict:
    frame = wire.encode(beat)
    if wire.decode(frame) != beat:
        raise ValueError(f"{id} does not decode to what was encoded")
    return {
        "id": id,
        "description": description,
        "kind": "encode_decode_roundtrip",
        "expected_decode_error": None,
        "inputs": asdict(beat),
        "expected_wire_hex": frame.hex(),
    }


def _decode_error(id: str, description: str, frame: bytes, error: str) -> dict:
    try:
        found = str(wire.decode(frame))
    except Refused as refused:
        found = str(refused)
    if found != error:
        raise ValueError(f"{id} should be {error}, but is {found}")
    return {
        "id": id,
        "description": description,
        "kind": "decode_error",
        "expected_decode_error": error,
        "wire_hex": frame.hex(),
    }
