"""One check for each kind of vector."""

from __future__ import annotations

from typing import Any, Callable

import varta
from fields import Failure, Vector, field, number, raw, same
from varta import DecodeError, Frame, secure, v1


def result_of(call: Callable[[], object]) -> str:
    """The result of a call in the form that vectors use."""
    try:
        value = call()
    except DecodeError as error:
        return error.kind
    except secure.AuthError:
        return "AuthError"
    return value.hex() if isinstance(value, bytes) else repr(value)


def frame_of(version: Any, fields: Vector, payload_bits: int) -> Any:
    return version(
        field(fields, "status", str),
        number(fields, "pid", 32),
        number(fields, "timestamp", 64),
        number(fields, "nonce", 64),
        number(fields, "payload", payload_bits),
    )


def crc32c(vector: Vector) -> None:
    crc = varta.crc32c(raw(vector, "input_hex"))
    same("checksum", field(vector, "expected_crc_hex", str), f"{crc:08x}")


def encode_decode_roundtrip(vector: Vector) -> None:
    wire = raw(vector, "expected_wire_hex", 32)
    frame = frame_of(Frame, field(vector, "inputs", dict), 32)
    same("expected_decode_error", None, vector.get("expected_decode_error"))
    same("encoding", wire.hex(), frame.encode().hex())
    same("decoding", repr(frame), result_of(lambda: Frame.decode(wire)))


def decode_error(vector: Vector) -> None:
    wire = raw(vector, "wire_hex", 32)
    same(
        "decoding",
        field(vector, "expected_decode_error", str),
        result_of(lambda: Frame.decode(wire)),
    )


def frame_length(vector: Vector) -> None:
    wire = raw(vector, "wire_hex")
    for version in (Frame, v1.Frame):
        try:
            actual: object = version.decode(wire)
        except ValueError:
            continue
        except DecodeError as error:
            actual = error
        raise Failure("decoding", "no frame", actual)


def v1_decode(vector: Vector) -> None:
    wire = raw(vector, "wire_hex", 32)
    decoded = result_of(lambda: v1.Frame.decode(wire))
    if vector.get("expected_decode_error") is not None:
        same("expected_fields", None, vector.get("expected_fields"))
        same("decoding", field(vector, "expected_decode_error", str), decoded)
        return
    frame = frame_of(v1.Frame, field(vector, "expected_fields", dict), 64)
    same("encoding", wire.hex(), frame.encode().hex())
    same("decoding", repr(frame), decoded)


def kdf_agent_key(vector: Vector) -> None:
    master, agent = raw(vector, "master_key_hex", 32), number(vector, "agent_id", 32)
    expected = raw(vector, "expected_okm_hex", 32)
    same("derivation", expected.hex(), secure.derive_agent_key(master, agent).hex())


def kdf_iv_prefix(vector: Vector) -> None:
    salt, index = raw(vector, "session_salt_hex", 16), number(vector, "prefix_index", 32)
    expected = raw(vector, "expected_iv_prefix_hex", 8)
    same("derivation", expected.hex(), secure.derive_iv_prefix(salt, index).hex())


def iv(vector: Vector) -> tuple[bytes, int]:
    return raw(vector, "iv_random_hex", 8), number(vector, "iv_counter", 32)


def shared_key_seal(vector: Vector) -> None:
    cipher = secure.Cipher(raw(vector, "key_hex", 32))
    plain, wire = raw(vector, "plaintext_hex", 32), raw(vector, "expected_wire_hex", 60)
    same("sealing", wire.hex(), cipher.seal(*iv(vector), plain).hex())
    same("opening", plain.hex(), result_of(lambda: cipher.open(wire)))


def master_key_seal(vector: Vector) -> None:
    pid = number(vector, "agent_pid", 32)
    key = raw(vector, "derived_agent_key_hex", 32)
    derived = secure.derive_agent_key(raw(vector, "master_key_hex", 32), pid)
    same("derivation", key.hex(), derived.hex())
    cipher = secure.Cipher(key)
    plain, wire = raw(vector, "plaintext_hex", 32), raw(vector, "expected_wire_hex", 64)
    same("sealing", wire.hex(), cipher.seal_as(pid, *iv(vector), plain).hex())
    # A sealing vector may contain any 32 bytes. Only a frame with that pid can be opened.
    names_pid = int.from_bytes(plain[4:8], "little") == pid
    opened = result_of(lambda: cipher.open_from(wire))
    same("opening", plain.hex() if names_pid else "AuthError", opened)


def open_error(vector: Vector) -> None:
    wire = raw(vector, "wire_hex")
    if "master_key_hex" in vector:
        opened = open_master(raw(vector, "master_key_hex", 32), wire)
    else:
        opened = open_shared(raw(vector, "key_hex", 32), wire)
    same("opening", field(vector, "expected_open_error", str), opened)


def open_shared(key: bytes, wire: bytes) -> str:
    return result_of(lambda: secure.Cipher(key).open(wire)) if len(wire) == 60 else "AuthError"


def open_master(master: bytes, wire: bytes) -> str:
    """Opens it as an observer does: the key depends on the pid in the first four bytes."""
    if len(wire) != 64:
        return "AuthError"
    key = secure.derive_agent_key(master, int.from_bytes(wire[:4], "little"))
    return result_of(lambda: secure.Cipher(key).open_from(wire))


CHECKS: dict[str, Callable[[Vector], None]] = {
    check.__name__: check
    for check in (
        crc32c,
        encode_decode_roundtrip,
        decode_error,
        frame_length,
        v1_decode,
        kdf_agent_key,
        kdf_iv_prefix,
        shared_key_seal,
        master_key_seal,
        open_error,
    )
}
