"""Frames of version 2, as docs/wire.md describes them."""

import struct

OK, CRITICAL = 0, 2


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def frame(pid: int, nonce: int, status: int = OK, payload: int = 0) -> bytes:
    head = struct.pack("<2sBBIQQI", b"VA", 2, status, pid, 1, nonce, payload)
    return head + struct.pack("<I", crc32c(head))
