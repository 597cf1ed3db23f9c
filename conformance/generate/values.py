"""The inputs: chosen edge cases, and bytes that only look random."""

import hashlib
from collections.abc import Iterator

U32_EDGES = [0, 1, 2, 42, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 0x01020304, 2**32 - 1]

# A double can represent every integer up to 2^53, but not 2^53 + 1.
U64_EDGES = [
    *U32_EDGES,
    2**32,
    2**53 - 1,
    2**53,
    2**53 + 1,
    2**53 + 3,
    2**63 - 1,
    2**63,
    0x0102030405060708,
    2**64 - 2,
    2**64 - 1,
]


def derived(name: str, length: int) -> bytes:
    """Bytes that depend only on the name."""
    blocks = (
        hashlib.sha256(f"{name}/{block}".encode()).digest() for block in range(length // 32 + 1)
    )
    return b"".join(blocks)[:length]


def derived_u32(name: str) -> int:
    return int.from_bytes(derived(name, 4), "little")


def derived_u64(name: str) -> int:
    return int.from_bytes(derived(name, 8), "little")


def one_bit_flipped(wire: bytes) -> Iterator[tuple[int, bytes]]:
    """For each bit, counted from the lowest of byte 0: its number, and the flipped bytes."""
    for bit in range(8 * len(wire)):
        flipped = bytearray(wire)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(flipped)


def other_lengths(wire: bytes) -> Iterator[tuple[int, bytes]]:
    """The bytes truncated, or padded with zeros, to every other length from 0 to 100."""
    for length in range(101):
        if length != len(wire):
            yield length, (wire + bytes(100))[:length]
