"""Frames and sealing as Python objects. The shared vectors test the bytes."""

from __future__ import annotations

import pickle

import pytest

from varta import NONCE_TERMINAL, DecodeError, Frame, Status, crc32c, v1
from varta.secure import AuthError, Cipher, derive_agent_key, derive_iv_prefix

KEY = bytes(range(32))


@pytest.mark.parametrize("version", [Frame, v1.Frame])
def test_frames_are_values(version: type[Frame]) -> None:
    frame = version(status="degraded", pid=2, timestamp=3, nonce=4, payload=5)
    assert frame == version.decode(frame.encode()) == version(1, 2, 3, 4, 5)
    assert len({frame, version(1, 2, 3, 4, 5), version(1, 2, 3, 4, 6)}) == 2
    assert frame.status is Status.DEGRADED
    assert (frame.pid, frame.timestamp, frame.nonce, frame.payload) == (2, 3, 4, 5)
    assert repr(frame) == (
        "Frame(status=<Status.DEGRADED: 1>, pid=2, timestamp=3, nonce=4, payload=5)"
    )
    assert version.__match_args__ == ("status", "pid", "timestamp", "nonce", "payload")
    with pytest.raises(AttributeError):
        frame.pid = 3


def test_the_largest_numbers_survive_a_round_trip() -> None:
    frame = Frame(2, 2**32 - 1, 2**64 - 2, NONCE_TERMINAL, 2**32 - 1)
    assert Frame.decode(frame.encode()) == frame
    old = v1.Frame(2, 2**32 - 1, 2**64 - 2, NONCE_TERMINAL, 2**64 - 1)
    assert v1.Frame.decode(bytearray(old.encode())) == old


def test_a_decode_error_has_a_kind_and_can_be_pickled() -> None:
    wire = bytearray(Frame(0, 2, 0, 1, 0).encode())
    wire[24] ^= 1
    with pytest.raises(DecodeError) as raised:
        Frame.decode(wire)
    assert raised.value.kind == "BadCrc"
    assert str(raised.value).startswith("BadCrc: computed ")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.kind, str(again)) == (raised.value.kind, str(raised.value))
    assert str(DecodeError("BadMagic")) == "BadMagic"


def test_the_checksum_is_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283 == crc32c(bytearray(b"123456789"))


def test_a_sealed_frame_opens_only_with_its_key_and_pid() -> None:
    frame = Frame("ok", 77, 0, 1, 0).encode()
    cipher = Cipher(KEY)
    prefix = derive_iv_prefix(bytes(16), 0)
    wire = cipher.seal(prefix, 1, frame)
    assert (len(wire), cipher.open(wire)) == (60, frame)
    with pytest.raises(AuthError, match="not sealed with this key"):
        Cipher(bytes(32)).open(wire)
    own = Cipher(derive_agent_key(KEY, 77))
    wire = own.seal_as(77, prefix, 1, frame)
    assert (len(wire), own.open_from(wire)) == (64, frame)
    with pytest.raises(AuthError):
        own.open_from(own.seal_as(78, prefix, 1, frame))
    assert "00" not in repr(cipher) and repr(cipher) == "Cipher(...)"
