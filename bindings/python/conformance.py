#!/usr/bin/env python3
"""Runs the conformance vectors through the public API of the Python package.

    conformance.py [--json] FILE

See conformance/README.md, which says what a runner prints and how it ends.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import varta
from varta import DecodeError, Frame, secure, v1

Vector = dict[str, Any]


class Failure(Exception):
    """A vector has failed: what was looked at, what was expected, what came."""

    def __init__(self, what: str, expected: object, came: object) -> None:
        super().__init__(f"{what}: expected {expected}, came {came}")


class Unusable(Exception):
    """The file is of no use, and why."""


def same(what: str, expected: object, came: object) -> None:
    if expected != came:
        raise Failure(what, expected, came)


def field(vector: Vector, name: str, kind: type) -> Any:
    value = vector.get(name)
    # In JSON a number is no truth value, and null is only what it is asked to be.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Failure(name, f"a field of type {kind.__name__}", repr(value))
    return value


def raw(vector: Vector, name: str, size: int | None = None) -> bytes:
    text = field(vector, name, str)
    if not re.fullmatch("(?:[0-9a-f]{2})*", text):
        raise Failure(name, "lower-case hex", repr(text))
    data = bytes.fromhex(text)
    if size is not None and len(data) != size:
        raise Failure(name, f"{size} bytes in lower-case hex", f"{len(data)} bytes")
    return data


def number(vector: Vector, name: str, bits: int) -> int:
    value: int = field(vector, name, int)
    if not 0 <= value < 2**bits:
        raise Failure(name, f"an unsigned number of {bits} bits", value)
    return value


def said(call: Callable[[], object]) -> str:
    """What a call answers, as a vector spells it."""
    try:
        answer = call()
    except DecodeError as error:
        return error.kind
    except secure.AuthError:
        return "AuthError"
    return answer.hex() if isinstance(answer, bytes) else repr(answer)


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
    same("decoding", repr(frame), said(lambda: Frame.decode(wire)))


def decode_error(vector: Vector) -> None:
    wire = raw(vector, "wire_hex", 32)
    same(
        "decoding",
        field(vector, "expected_decode_error", str),
        said(lambda: Frame.decode(wire)),
    )


def frame_length(vector: Vector) -> None:
    wire = raw(vector, "wire_hex")
    for version in (Frame, v1.Frame):
        try:
            came: object = version.decode(wire)
        except ValueError:
            continue
        except DecodeError as error:
            came = error
        raise Failure("decoding", "no frame at all", came)


def v1_decode(vector: Vector) -> None:
    wire = raw(vector, "wire_hex", 32)
    decoded = said(lambda: v1.Frame.decode(wire))
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


def kdf_epoch_key(vector: Vector) -> None:
    agent, epoch = raw(vector, "agent_key_hex", 32), number(vector, "epoch", 64)
    expected = raw(vector, "expected_okm_hex", 32)
    same("derivation", expected.hex(), secure.derive_epoch_key(agent, epoch).hex())


def iv(vector: Vector) -> tuple[bytes, int]:
    return raw(vector, "iv_random_hex", 8), number(vector, "iv_counter", 32)


def shared_key_seal(vector: Vector) -> None:
    cipher = secure.Cipher(raw(vector, "key_hex", 32))
    plain, wire = raw(vector, "plaintext_hex", 32), raw(vector, "expected_wire_hex", 60)
    same("sealing", wire.hex(), cipher.seal(*iv(vector), plain).hex())
    same("opening", plain.hex(), said(lambda: cipher.open(wire)))


def master_key_seal(vector: Vector) -> None:
    pid = number(vector, "agent_pid", 32)
    key = raw(vector, "derived_agent_key_hex", 32)
    derived = secure.derive_agent_key(raw(vector, "master_key_hex", 32), pid)
    same("derivation", key.hex(), derived.hex())
    cipher = secure.Cipher(key)
    plain, wire = raw(vector, "plaintext_hex", 32), raw(vector, "expected_wire_hex", 64)
    same("sealing", wire.hex(), cipher.seal_as(pid, *iv(vector), plain).hex())
    # A vector about sealing may hold any 32 bytes; only a frame of that pid opens again.
    names_pid = int.from_bytes(plain[4:8], "little") == pid
    opened = said(lambda: cipher.open_from(wire))
    same("opening", plain.hex() if names_pid else "AuthError", opened)


def open_error(vector: Vector) -> None:
    wire = raw(vector, "wire_hex")
    if "master_key_hex" in vector:
        opened = open_master(raw(vector, "master_key_hex", 32), wire)
    else:
        opened = open_shared(raw(vector, "key_hex", 32), wire)
    same("opening", field(vector, "expected_open_error", str), opened)


def open_shared(key: bytes, wire: bytes) -> str:
    return said(lambda: secure.Cipher(key).open(wire)) if len(wire) == 60 else "AuthError"


def open_master(master: bytes, wire: bytes) -> str:
    """As an observer does it: the first four bytes choose the key."""
    if len(wire) != 64:
        return "AuthError"
    key = secure.derive_agent_key(master, int.from_bytes(wire[:4], "little"))
    return said(lambda: secure.Cipher(key).open_from(wire))


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
        kdf_epoch_key,
        shared_key_seal,
        master_key_seal,
        open_error,
    )
}

HEADER = {
    "magic_hex": "5641",
    "version_byte": 2,
    "nonce_terminal_hex": f"{varta.NONCE_TERMINAL:016x}",
}
ARRAYS = ("crc32c_vectors", "frame_vectors", "secure_frame_vectors")


def load(path: Path) -> list[tuple[str, int, Any]]:
    """Each vector, with the array it is in and its place there."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Unusable(str(error)) from None
    if not isinstance(document, dict):
        raise Unusable("it is not a JSON object")
    for name, ours in HEADER.items():
        if document.get(name) != ours:
            raise Unusable(f"its {name} is {document.get(name)!r}, and here it is {ours!r}")
    for name in ARRAYS:
        if not isinstance(document.get(name), list):
            raise Unusable(f"it has no array {name}")
    # Arrays that nobody here knows are read too: their vectors count as skipped.
    vectors = [
        (name, place, vector)
        for name, array in document.items()
        if name.endswith("_vectors") and isinstance(array, list)
        for place, vector in enumerate(array)
    ]
    if not vectors:
        raise Unusable("it has no vectors")
    return vectors


def run(array: str, vector: Any) -> tuple[str, str]:
    """The vector's kind, and what became of it: passed, skipped, or why it failed."""
    if not isinstance(vector, dict):
        return "unnamed", str(Failure("vector", "a JSON object", repr(vector)))
    # The array of checksums is of one kind, and its vectors need not name it.
    kind = vector.get("kind", "crc32c" if array == "crc32c_vectors" else None)
    if not isinstance(kind, str):
        return "unnamed", str(Failure("kind", "a string", repr(kind)))
    if kind not in CHECKS:
        return kind, "skipped"
    try:
        CHECKS[kind](vector)
    except (Failure, ValueError, OverflowError) as failure:
        return kind, str(failure)
    return kind, "passed"


def main(arguments: list[str]) -> int:
    as_json = arguments[:1] == ["--json"]
    files = arguments[as_json:]
    if len(files) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        vectors = load(Path(files[0]))
    except Unusable as error:
        print(f"conformance.py: cannot use {files[0]}: {error}", file=sys.stderr)
        return 2
    counts: dict[str, Counter[str]] = {}
    for array, place, vector in vectors:
        kind, outcome = run(array, vector)
        counted = outcome if outcome in ("passed", "skipped") else "failed"
        counts.setdefault(kind, Counter(passed=0, failed=0, skipped=0))[counted] += 1
        if counted == "failed":
            name = vector.get("id") if isinstance(vector, dict) else None
            print(f"FAIL {name or f'{array}[{place}]'}: {outcome}")
    for kind, count in sorted(counts.items()):
        if count["skipped"]:
            print(f'SKIP {count["skipped"]} of the unknown kind "{kind}"')
    total: Counter[str] = Counter()
    for count in counts.values():
        total.update(count)
    if as_json:
        print(json.dumps(counts))
    else:
        skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
        print(f"{total['passed']} passed, {total['failed']} failed{skipped}")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
