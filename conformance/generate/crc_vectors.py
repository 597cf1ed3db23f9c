"""Vectors of the checksum alone."""

from values import derived
from wire import crc32c


def crc_vectors() -> list[dict]:
    known = [
        _vector("crc32c-check", "the nine digits of the usual check value", b"123456789"),
        _vector("crc32c-a", "one letter", b"a"),
        _vector("crc32c-zeros", "32 bytes of 00, as in RFC 3720", bytes(32)),
        _vector("crc32c-ones", "32 bytes of ff, as in RFC 3720", b"\xff" * 32),
        _vector("crc32c-rising", "00 to 1f, as in RFC 3720", bytes(range(32))),
        _vector("crc32c-falling", "1f to 00, as in RFC 3720", bytes(reversed(range(32)))),
        _vector("crc32c-every-byte", "00 to ff", bytes(range(256))),
    ]
    lengths = [
        _vector(f"crc32c-length-{length}", f"{length} bytes", derived(f"crc32c/{length}", length))
        for length in range(101)
    ]
    return known + lengths


def _vector(id: str, description: str, data: bytes) -> dict:
    return {
        "id": id,
        "description": description,
        "input_hex": data.hex(),
        "expected_crc_hex": f"{crc32c(data):08x}",
    }
