"""Vectors of the messages and lines of the lane."""

from collections.abc import Iterator
from dataclasses import asdict

from lane import line, message
from lane.line import NEVER, Cold, Head, Hot, Info, Violation
from lane.message import Bell, Hello, Mapped, PageOffer, Refusal
from values import derived, derived_u32, derived_u64

NAME = b"store".ljust(message.NAME_BYTES, b"\0")
REASON = b"there is no room".ljust(message.REASON_BYTES, b"\0")

MESSAGES: dict[str, message.Message] = {
    "hello": Hello(4321, 0, 123_456_789, 41, NAME),
    "hello-zeros": Hello(0, 0, 0, 0, bytes(64)),
    "hello-largest": Hello(2**32 - 1, 2**32 - 1, 2**64 - 1, 2**64 - 1, b"\xff" * 64),
    "page": PageOffer(128, 32, 2 * 10**9, 0, message.TASKS_WANTED),
    "page-without-tasks": PageOffer(3968, 32, 2**53 + 1, -(2**63), 0),
    "page-of-another-clock": PageOffer(0, 32, 5, 100_000 * 10**9, 1),
    "refused": Refusal(12, REASON),
    "refused-longest": Refusal(2**32 - 1, b"x" * message.REASON_BYTES),
    "mapped": Mapped(),
    "bell": Bell(31),
    "bell-0": Bell(0),
    "bell-largest": Bell(2**32 - 1),
}


def lane_message_vectors() -> list[dict]:
    return [*_messages(), *_no_messages()]


def _messages() -> Iterator[dict]:
    for name, sent in MESSAGES.items():
        wire = message.encode(sent)
        if message.decode(wire) != sent:
            raise ValueError(f"{name} is not read as it was written")
        values = asdict(sent).items()
        fields = {
            f"{field}_hex" if isinstance(value, bytes) else field: hexed(value)
            for field, value in values
        }
        yield {
            "id": f"message-{name}",
            "description": f"kind {sent.kind}, {len(wire)} bytes",
            "kind": "lane_message",
            "inputs": {"message": NAMES[type(sent)], **fields},
            "expected_wire_hex": wire.hex(),
        }


NAMES = {
    Hello: "hello",
    PageOffer: "page",
    Refusal: "refused",
    Mapped: "mapped",
    Bell: "bell",
}


def hexed(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value


def _no_messages() -> Iterator[dict]:
    hello, bell = message.encode(MESSAGES["hello"]), message.encode(MESSAGES["bell"])
    for length in (0, 3, 8, 15, 17, 32, 60, 127, 129, 256):
        wire = hello.ljust(length, b"\0")[:length]
        yield _no_message(f"length-{length}", f"{length} bytes", wire, "Malformed")
    yield _no_message("long-bell", "a bell of 128 bytes", bell.ljust(128, b"\0"), "Malformed")
    yield _no_message("short-mapped", "MAPPED in 16 bytes", patched(bell, 6, 4), "Malformed")
    for name in ("hello", "page", "refused", "mapped", "bell"):
        wire = message.encode(MESSAGES[name])
        for version in (0, 2, 255):
            described = f"{name} of version {version}"
            yield _no_message(
                f"{name}-version-{version}", described, patched(wire, 4, version), "Version"
            )
        yield _no_message(f"{name}-magic", "another magic number", patched(wire, 3, 0), "Malformed")
    for kind in (0, 5, 6, 255):
        yield _no_message(f"kind-{kind}", f"kind {kind}", patched(hello, 6, kind), "Malformed")
    # Whatever is not a field must be zero.
    for name, places in {
        "hello": (96, 127),
        "page": (36, 127),
        "refused": (12, 15),
        "mapped": (8, 127),
        "bell": (12, 15),
    }.items():
        for place in places:
            wire = patched(message.encode(MESSAGES[name]), place, 1)
            described = f"byte {place} of {name} is not zero"
            yield _no_message(f"{name}-byte-{place}", described, wire, "Malformed")


def patched(wire: bytes, place: int, value: int) -> bytes:
    return wire[:place] + bytes([value]) + wire[place + 1 :]


def _no_message(id: str, description: str, wire: bytes, error: str) -> dict:
    try:
        raise ValueError(f"{id} should be {error}, but is {message.decode(wire)}")
    except message.Refused as refused:
        if str(refused) != error:
            raise ValueError(f"{id} should be {error}, but is {refused}") from None
    return {
        "id": f"no-message-{id}",
        "description": description,
        "kind": "lane_message_error",
        "wire_hex": wire.hex(),
        "expected_error": error,
    }


def lane_line_vectors() -> list[dict]:
    return [*_places(), *_heads(), *_colds(), *_hots(), *_infos(), *_violations()]


def _places() -> Iterator[dict]:
    for index, pair in ((0, 0), (0, 1), (0, 31), (1, 0), (1, 31), (31, 0), (31, 1), (32, 5), (65_499, 17)):
        cold, hot = line.place_of(line.offset_of(index), pair)
        yield {
            "id": f"place-{index}-{pair}",
            "description": f"pair {pair} of the page with index {index}",
            "kind": "lane_place",
            "index": index,
            "pair": pair,
            "expected_offset": line.offset_of(index),
            "expected_cold": cold,
            "expected_hot": hot,
        }


def _heads() -> Iterator[dict]:
    for live, thread, layout in ((0, 0, 1), (0b110, 4321, 1), (2**32 - 1, 2**32 - 1, 2**16 - 1)):
        wire = Head(live, thread, layout).wire()
        if Head.of_wire(wire) != Head(live, thread, layout):
            raise ValueError("a head is not read as it was written")
        yield {
            "id": f"head-{live}",
            "description": "the cold line of the process",
            "kind": "lane_head",
            "inputs": {"layout": layout, "live": live, "thread": thread},
            "expected_wire_hex": wire.hex(),
        }
    good = Head(1, 1).wire()
    for name, wire in (
        ("zeros", bytes(64)),
        ("number", patched(good, 0, 1)),
        ("free", patched(good, 4, 0)),
        ("state", patched(good, 4, 4)),
    ):
        yield _invalid("head", name, wire, Head.of_wire)


def _colds() -> Iterator[dict]:
    plain = Cold(1, "live", "ingest", 2 * 10**9, 10**9)
    late = Violation("too-late", 3, 0x102, 5_000)
    for name, cold in {
        "plain": plain,
        "all": Cold(7, "live", "batch", 2**53 + 1, 1, True, True, "failed", 17, 34, late),
        "vital": Cold(2, "live", "a", NEVER, NEVER, vital=True),
        "roams": Cold(2**32 - 1, "live", "two words", 1, 1, roams=True, thread=2**32 - 1),
        "closed": Cold(3, "closed", "größe", 10**6, 10**6, ended="closed"),
        "failed": Cold(4, "failed", "x" * 23, 10**6, 10**6, violations=2**32 - 1),
        "freed": Cold(5, "free", "次の仕事", 10**6, 10**6, ended="failed"),
    }.items():
        wire = cold.wire()
        if Cold.of_wire(wire) != cold:
            raise ValueError(f"cold line {name} is not read as it was written")
        values = asdict(cold)
        values["last_violation"] = violation_fields(cold.last_violation)
        yield {
            "id": f"cold-{name}",
            "description": "the cold line of a task",
            "kind": "lane_cold",
            "inputs": values,
            "expected_wire_hex": wire.hex(),
        }
    good = plain.wire()
    named = good[:40]
    for name, wire in {
        "state": patched(good, 4, 4),
        "ended": patched(good, 6, 4),
        "rule": patched(good, 32, 6),
        "rule-0": patched(good, 33, 1),
        "no-name": named + bytes(24),
        "endless-name": named + b"x" * 24,
        "padding": named + b"a\0b".ljust(24, b"\0"),
        "utf-8": named + b"\xff".ljust(24, b"\0"),
        "newline": named + b"a\n".ljust(24, b"\0"),
        "delete": named + b"\x7f".ljust(24, b"\0"),
        "next-line": named + "\u0085".encode().ljust(24, b"\0"),
        "cut": named + "xxxxxxxxxxxxxxxxxxxxxxü".encode()[:23].ljust(24, b"\0"),
    }.items():
        yield _invalid("cold", name, wire, Cold.of_wire)


def _hots() -> Iterator[dict]:
    words = (0,) * 8
    for number in range(1, 5):
        hot = Hot(*(derived_u64(f"lane/hot/{number}/{field}") for field in ("at", "until", "info", "last")))
        yield _hot(f"hot-{number}", f"write {number} of a line", words, hot)
        words = line.write(words, hot)
    rubbish = (2**53 + 2, *line.words_of(derived("lane/rubbish", 64))[1:])
    yield _hot("hot-far", "a line that was written many times", rubbish, Hot(1, 2, 3, 4))


def _hot(id: str, description: str, before: tuple[int, ...], hot: Hot) -> dict:
    after = line.write(before, hot)
    if line.read(after) != (before[0] + 1, hot):
        raise ValueError(f"{id} is not read as it was written")
    return {
        "id": id,
        "description": description,
        "kind": "lane_hot",
        "before_hex": line.wire_of(before).hex(),
        "inputs": asdict(hot),
        "expected_wire_hex": line.wire_of(after).hex(),
    }


def _infos() -> Iterator[dict]:
    every = frozenset(line.PROMISES[1:])
    for name, info in {
        "nothing-due": Info(),
        "payload": Info("ok", "beat", payload=2**32 - 1),
        "degraded": Info("degraded", "beat", payload=7),
        "critical": Info("critical", "span", True, frozenset({"span", "progress"}), 0x1234, 0x8765_4321),
        "idle": Info("ok", None, True),
        "idle-until": Info("ok", "beat", True),
        "checkpoint": Info("ok", "checkpoint", checkpoint=2**16 - 1),
        "progress": Info("ok", "progress", broken=frozenset({"checkpoint"})),
        "all-broken": Info("ok", None, False, every, 1, derived_u32("lane/info")),
        **{f"broken-{one}": Info("ok", "beat", broken=frozenset({one})) for one in line.PROMISES[1:]},
    }.items():
        if Info.of_word(info.word()) != info:
            raise ValueError(f"info {name} is not read as it was written")
        values = asdict(info)
        values["broken"] = [one for one in line.PROMISES[1:] if one in info.broken]
        yield {
            "id": f"info-{name}",
            "description": "the word that says what a call said",
            "kind": "lane_info",
            "inputs": values,
            "expected_word": info.word(),
        }
    for name, word in (
        ("stall", 3),
        ("status", 0xFF),
        ("promise-5", 5 << 8),
        ("promise-7", 7 << 8 | 1 << 63),
    ):
        yield _invalid("info", name, word, Info.of_word)


def _violations() -> Iterator[dict]:
    for rule in line.RULES[1:]:
        yield _violation(f"violation-{rule}", Violation(rule, 1, 2**16 - 1, 3))
    for by in (0, 1, 2**18 - 1, 2**18, 2**18 + 1, 123_456_789, 2**53 + 1, 2**63, 2**64 - 1):
        yield _violation(f"violation-by-{by}", Violation("too-late", 2**16 - 1, 0, by))
    for name, word in (
        ("rule-0", 1 << 8),
        ("rule-6", 6),
        ("amount", 1 | (47 << 18 | 2**18 - 1) << 40),
        ("exponent", 1 | (63 << 18 | 2) << 40),
        ("ones", 2**64 - 1),
    ):
        yield _invalid("violation", name, word, Violation.of_word)


def _violation(id: str, violation: Violation) -> dict:
    word = violation.word()
    return {
        "id": id,
        "description": "the word of the last violation; the amount keeps 18 bits",
        "kind": "lane_violation",
        "inputs": violation_fields(violation),
        "expected_word": word,
        "expected_by": Violation.of_word(word).by,
    }


def violation_fields(violation: Violation | None) -> dict | None:
    if violation is None:
        return None
    return {"rule": violation.rule, "from": violation.from_, "to": violation.to, "by": violation.by}


def _invalid(what: str, name: str, value: bytes | int, reader: object) -> dict:
    try:
        raise ValueError(f"{what} {name} is read as {reader(value)}")
    except line.Invalid:
        pass
    return {
        "id": f"invalid-{what}-{name}",
        "description": f"not a valid {what}",
        "kind": "lane_invalid",
        "what": what,
        **({"word": value} if isinstance(value, int) else {"wire_hex": value.hex()}),
    }
