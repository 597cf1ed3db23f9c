"""Vectors of key derivation, of sealing, and of frames that must not open."""

import struct
from collections.abc import Callable, Iterator

import secure
import wire
from frame_vectors import GOLDEN_LAST, GOLDEN_OK
from values import U32_EDGES, U64_EDGES, derived, one_bit_flipped, other_lengths
from wire import Beat

RISING_KEY = bytes(range(32))
RISING_SALT = bytes(range(1, 17))
COUNTERS = [0, 1, 255, 256, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]

# What the open_error vectors modify. Each is also a seal vector.
PID = 0x01020304
KEY = derived("open/key", 32)
MASTER = derived("open/master", 32)
PREFIX = derived("open/prefix", 8)
IV = PREFIX + struct.pack("<I", 1)
FRAME = wire.encode(Beat("ok", PID, 1_000_000, 7, 42))


def secure_vectors() -> list[dict]:
    return [*_kdf(), *_shared_seals(), *_master_seals(), *_shared_errors(), *_master_errors()]


def _kdf() -> Iterator[dict]:
    for pid in U32_EDGES:
        yield _agent_key(f"kdf-agent-rising-{pid}", RISING_KEY, pid)
        id = f"kdf-agent-{pid}"
        yield _agent_key(id, derived(id, 32), pid)
    for index in [*U32_EDGES, 7]:
        yield _iv_prefix(f"kdf-iv-prefix-rising-{index}", RISING_SALT, index)
        id = f"kdf-iv-prefix-{index}"
        yield _iv_prefix(id, derived(id, 16), index)
    for epoch in U64_EDGES:
        id = f"kdf-epoch-{epoch}"
        yield _epoch_key(id, derived(id, 32), epoch)


def _shared_seals() -> Iterator[dict]:
    yield _shared_seal("seal-shared-whole", "for the open_error vectors", KEY, PREFIX, 1, FRAME)
    for name, frame in _plaintexts():
        id = f"seal-shared-{name}"
        yield _shared_seal(id, name, derived(id, 32), derived(f"{id}/iv", 8), 1, frame)
    for counter in COUNTERS:
        id = f"seal-shared-counter-{counter}"
        description = f"counter {counter}"
        yield _shared_seal(id, description, RISING_KEY, derived(id, 8), counter, FRAME)
    for name, byte in (("zeros", b"\0"), ("ones", b"\xff")):
        id = f"seal-shared-all-{name}"
        counter = struct.unpack("<I", byte * 4)[0]
        yield _shared_seal(id, f"all {name}", byte * 32, byte * 8, counter, byte * 32)


def _master_seals() -> Iterator[dict]:
    yield _master_seal("seal-master-whole", "for the open_error vectors", MASTER, PID, PREFIX, 1)
    for pid in U32_EDGES[2:]:
        id = f"seal-master-pid-{pid}"
        yield _master_seal(id, f"pid {pid}", derived(id, 32), pid, derived(f"{id}/iv", 8), 1)
    for counter in COUNTERS:
        id = f"seal-master-counter-{counter}"
        yield _master_seal(id, f"counter {counter}", RISING_KEY, 42, derived(id, 8), counter)


def _plaintexts() -> Iterator[tuple[str, bytes]]:
    """The plaintext need not be a frame: it is decoded after opening."""
    yield "golden-ok", wire.encode(GOLDEN_OK)
    yield "golden-last-words", wire.encode(GOLDEN_LAST)
    yield "zeros", bytes(32)
    yield "no-frame", derived("no-frame", 32)


def _shared_errors() -> Iterator[dict]:
    whole = secure.seal(KEY, IV, FRAME)
    parts = {"iv": 8, "counter": 12, "ciphertext": 44, "tag": 60}
    for bit, flipped in one_bit_flipped(whole):
        description = _bit_description(bit, parts)
        yield _shared_error(f"open-shared-bit-{bit}", description, KEY, flipped)
    for length, data in other_lengths(whole):
        yield _shared_error(f"open-shared-length-{length}", f"{length} bytes", KEY, data)
    for name, key in _wrong_keys(KEY):
        yield _shared_error(f"open-shared-key-{name}", f"the key is {name}", key, whole)
    bound = secure.seal(KEY, IV, FRAME, secure.pid_bytes(PID))
    yield _shared_error("open-shared-associated", "unexpected associated data", KEY, bound)
    master = secure.seal_master(KEY, PID, IV, FRAME)
    yield _shared_error("open-shared-master", "the master form less its pid", KEY, master[4:])


def _master_errors() -> Iterator[dict]:
    outer = secure.pid_bytes(PID)
    key = secure.agent_key(MASTER, PID)
    whole = secure.seal_master(MASTER, PID, IV, FRAME)
    parts = {"agent_pid": 4, "iv": 12, "counter": 16, "ciphertext": 48, "tag": 64}
    for bit, flipped in one_bit_flipped(whole):
        description = _bit_description(bit, parts)
        yield _master_error(f"open-master-bit-{bit}", description, MASTER, flipped)
    for length, data in other_lengths(whole):
        yield _master_error(f"open-master-length-{length}", f"{length} bytes", MASTER, data)
    for name, master in _wrong_keys(MASTER):
        yield _master_error(f"open-master-key-{name}", f"the key is {name}", master, whole)
    for inner in (PID + 1, PID ^ 1 << 31, 0x04030201, 0, 42):
        frame = wire.encode(Beat("ok", inner, 1_000_000, 7, 42))
        yield _master_error(
            f"open-master-inner-pid-{inner}",
            f"correctly sealed for pid {PID}, but the frame has pid {inner}",
            MASTER,
            secure.seal_master(MASTER, PID, IV, frame),
        )
    wrong = {
        "underived": ("sealed with the master key itself", MASTER, outer),
        "other-agent": ("sealed with another agent's key", secure.agent_key(MASTER, 42), outer),
        "unbound": ("no associated data", key, b""),
        "bound-backwards": ("the associated pid is big-endian", key, outer[::-1]),
        "bound-elsewhere": ("another pid as associated data", key, secure.pid_bytes(42)),
    }
    for name, (description, used, associated) in wrong.items():
        data = outer + secure.seal(used, IV, FRAME, associated)
        yield _master_error(f"open-master-{name}", description, MASTER, data)


def _wrong_keys(key: bytes) -> Iterator[tuple[str, bytes]]:
    yield "zero", bytes(32)
    yield "backwards", key[::-1]
    yield "off-by-its-first-bit", bytes([key[0] ^ 1]) + key[1:]
    yield "off-by-its-last-bit", key[:-1] + bytes([key[-1] ^ 0x80])


def _bit_description(bit: int, ends: dict[str, int]) -> str:
    part = next(part for part, end in ends.items() if bit // 8 < end)
    return f"bit {bit % 8} of byte {bit // 8} flipped, in the {part}"


def _agent_key(id: str, master: bytes, pid: int) -> dict:
    return {
        "id": id,
        "description": f"the key of agent {pid}",
        "kind": "kdf_agent_key",
        "master_key_hex": master.hex(),
        "agent_id": pid,
        "info_hex": secure.agent_info(pid).hex(),
        "expected_okm_hex": secure.agent_key(master, pid).hex(),
    }


def _iv_prefix(id: str, salt: bytes, index: int) -> dict:
    info = secure.iv_prefix_info(index)
    return {
        "id": id,
        "description": f"IV prefix {index}",
        "kind": "kdf_iv_prefix",
        "session_salt_hex": salt.hex(),
        "prefix_index": index,
        "info_hex": info.hex(),
        "expected_iv_prefix_hex": secure.derive(salt, info, 8).hex(),
    }


def _epoch_key(id: str, agent_key: bytes, epoch: int) -> dict:
    info = secure.epoch_info(epoch)
    return {
        "id": id,
        "description": f"the key of epoch {epoch}",
        "kind": "kdf_epoch_key",
        "agent_key_hex": agent_key.hex(),
        "epoch": epoch,
        "info_hex": info.hex(),
        "expected_okm_hex": secure.derive(agent_key, info, 32).hex(),
    }


def _shared_seal(
    id: str, description: str, key: bytes, prefix: bytes, counter: int, frame: bytes
) -> dict:
    sealed = secure.seal(key, prefix + struct.pack("<I", counter), frame)
    if secure.open_shared(key, sealed) != frame:
        raise ValueError(f"{id} does not open to what was sealed")
    return {
        "id": id,
        "description": description,
        "kind": "shared_key_seal",
        "key_hex": key.hex(),
        "iv_random_hex": prefix.hex(),
        "iv_counter": counter,
        "plaintext_hex": frame.hex(),
        "expected_wire_hex": sealed.hex(),
    }


def _master_seal(
    id: str, description: str, master: bytes, pid: int, prefix: bytes, counter: int
) -> dict:
    frame = wire.encode(Beat("ok", pid, 1_000_000, 7, 42))
    sealed = secure.seal_master(master, pid, prefix + struct.pack("<I", counter), frame)
    if secure.open_master(master, sealed) != frame:
        raise ValueError(f"{id} does not open to what was sealed")
    return {
        "id": id,
        "description": description,
        "kind": "master_key_seal",
        "master_key_hex": master.hex(),
        "agent_pid": pid,
        "derived_agent_key_hex": secure.agent_key(master, pid).hex(),
        "iv_random_hex": prefix.hex(),
        "iv_counter": counter,
        "plaintext_hex": frame.hex(),
        "expected_wire_hex": sealed.hex(),
    }


def _shared_error(id: str, description: str, key: bytes, data: bytes) -> dict:
    return _open_error(id, description, "key_hex", key, data, secure.open_shared)


def _master_error(id: str, description: str, master: bytes, data: bytes) -> dict:
    return _open_error(id, description, "master_key_hex", master, data, secure.open_master)


def _open_error(
    id: str,
    description: str,
    form: str,
    key: bytes,
    data: bytes,
    opener: Callable[[bytes, bytes], bytes],
) -> dict:
    try:
        opener(key, data)
    except secure.AuthError:
        pass
    else:
        raise ValueError(f"{id} opens")
    return {
        "id": id,
        "description": description,
        "kind": "open_error",
        form: key.hex(),
        "wire_hex": data.hex(),
        "expected_open_error": "AuthError",
    }
