"""Vectors of version 1 frames, for a decoder that accepts them."""

import struct
from collections.abc import Iterator
from dataclasses import asdict

import wire
from frame_vectors import FAULTS, GOLDEN_LAST, GOLDEN_OK, edge_beats, fault_sets, head_with
from values import U64_EDGES, derived_u64
from wire import Beat, Refused


def version1_vectors() -> list[dict]:
    relabelled = wire.encode(GOLDEN_OK)
    relabelled = relabelled[:2] + b"\x01" + relabelled[3:]
    return [
        *(
            _decode(f"v1-{name}", description, wire.encode_v1(beat), beat, None)
            for name, description, beat in edge_beats(U64_EDGES, derived_u64)
        ),
        _decode(
            "v1-no-checksum",
            "a version 2 frame with version byte 1: its checksum becomes part of the payload",
            relabelled,
            Beat("ok", 2, 0, 1, struct.unpack("<Q", relabelled[24:])[0]),
            None,
        ),
        *_order(),
        *_refused(),
    ]


def _order() -> Iterator[dict]:
    for faults in fault_sets([fault for fault in FAULTS if fault != "BadCrc"]):
        frame = head_with(faults, 1) + struct.pack("<Q", 2**64 - 1)
        description = "faults: " + ", ".join(faults)
        yield _decode("v1-order-" + "-".join(faults), description, frame, None, faults[0])


def _refused() -> Iterator[dict]:
    golden = wire.encode_v1(GOLDEN_OK)
    last = wire.encode_v1(GOLDEN_LAST)
    yield _decode("v1-zeros", "32 bytes of 00", bytes(32), None, "BadMagic")
    yield _decode("v1-version-2", "a version 2 frame", wire.encode(GOLDEN_OK), None, "BadVersion")
    for version in (0, 3, 255):
        frame = golden[:2] + bytes([version]) + golden[3:]
        description = f"version byte {version}"
        yield _decode(f"v1-version-byte-{version}", description, frame, None, "BadVersion")
    for status in (4, 127, 128, 255):
        frame = golden[:3] + bytes([status]) + golden[4:]
        description = f"status byte {status}"
        yield _decode(f"v1-status-{status}", description, frame, None, "BadStatus")
    for name, status, error in (
        ("ok", 0, "BadNonce"),
        ("degraded", 1, "BadNonce"),
        ("stall", 3, "StallOnWire"),
    ):
        frame = last[:3] + bytes([status]) + last[4:]
        description = f"the terminal nonce with status {name}"
        yield _decode(f"v1-last-words-{name}", description, frame, None, error)
    frame = golden[:4] + bytes(4) + golden[8:]
    yield _decode("v1-pid-0", "pid 0", frame, None, "BadPid")


def _decode(
    id: str, description: str, frame: bytes, fields: Beat | None, error: str | None
) -> dict:
    found: tuple[Beat | None, str | None]
    try:
        found = (wire.decode_v1(frame), None)
    except Refused as refused:
        found = (None, str(refused))
    if found != (fields, error):
        raise ValueError(f"{id} should be {fields or error}, but is {found}")
    return {
        "id": id,
        "description": description,
        "kind": "v1_decode",
        "wire_hex": frame.hex(),
        "expected_fields": asdict(fields) if fields else None,
        "expected_decode_error": error,
    }
