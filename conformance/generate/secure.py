"""The secure wrapping and its key derivations, written only from the specification."""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SHARED_BYTES = 60
MASTER_BYTES = 64


class AuthError(Exception):
    """A sealed frame did not open."""


def pid_bytes(pid: int) -> bytes:
    return struct.pack("<I", pid)


def agent_info(pid: int) -> bytes:
    return b"varta-agent-v1\0" + struct.pack("<I", pid)


def iv_prefix_info(index: int) -> bytes:
    return b"varta-iv-prefix-v1\0" + struct.pack("<I", index)


def epoch_info(epoch: int) -> bytes:
    return b"varta-epoch-v1\0" + struct.pack("<Q", epoch)


def derive(key: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=b"", info=info).derive(key)


def agent_key(master: bytes, pid: int) -> bytes:
    return derive(master, agent_info(pid), 32)


def seal(key: bytes, iv: bytes, frame: bytes, associated: bytes = b"") -> bytes:
    return iv + ChaCha20Poly1305(key).encrypt(iv, frame, associated)


def seal_master(master: bytes, pid: int, iv: bytes, frame: bytes) -> bytes:
    outer = pid_bytes(pid)
    return outer + seal(agent_key(master, pid), iv, frame, outer)


def open_shared(key: bytes, wire: bytes) -> bytes:
    if len(wire) != SHARED_BYTES:
        raise AuthError
    return _open(key, wire, b"")


def open_master(master: bytes, wire: bytes) -> bytes:
    if len(wire) != MASTER_BYTES:
        raise AuthError
    outer, sealed = wire[:4], wire[4:]
    (pid,) = struct.unpack("<I", outer)
    frame = _open(agent_key(master, pid), sealed, outer)
    if frame[4:8] != outer:
        raise AuthError
    return frame


def _open(key: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return ChaCha20Poly1305(key).decrypt(sealed[:12], sealed[12:], associated)
    except InvalidTag:
        raise AuthError from None
