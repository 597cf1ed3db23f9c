"""The runners in C and C++ report each wrong vector or story by its id."""

import copy
import json
import subprocess
import unittest
from pathlib import Path

from support import ROOT, folder

RUNNER = ROOT / "conformance/c/run"
VECTORS = ROOT / "conformance/vectors"
# No language exports this derivation; the Rust runner alone checks it.
RESERVED = "kdf_epoch_key"


def committed(name: str) -> dict:
    return json.loads((VECTORS / name).read_bytes())


def one_of_each(document: dict) -> list[tuple[str, dict]]:
    """A vector of each kind that C has a function for, with the name of its array."""
    found = {}
    for array in ("crc32c_vectors", "frame_vectors", "secure_frame_vectors"):
        for vector in document[array]:
            if vector.get("kind") == RESERVED:
                continue
            found.setdefault((vector.get("kind", array), vector.get("expected_decode_error") is None), (array, vector))
    return list(found.values())


def spoiled(vector: dict) -> dict:
    """The same vector with a wrong expectation."""
    for name, what in vector.items():
        if name.startswith("expected_") and isinstance(what, str):
            changed = "BadMagic" if what == "AuthError" or what.startswith("Bad") and what != "BadMagic" else None
            return {**vector, name: changed or ("Other" if not set(what) <= set("0123456789abcdef") else flipped(what))}
        if name == "expected_fields" and what:
            return {**vector, name: {**what, "nonce": (what["nonce"] + 1) % 2**64}}
    return {**vector, "wire_hex": "00" * 32}


def flipped(hex_digits: str) -> str:
    return ("1" if hex_digits[0] != "1" else "2") + hex_digits[1:]


class Runners(unittest.TestCase):
    def run_file(self, document: object, *flags: str) -> subprocess.CompletedProcess:
        with folder() as place:
            path = Path(place) / "file.json"
            path.write_text(document if isinstance(document, str) else json.dumps(document))
            return subprocess.run([RUNNER, *flags, path], capture_output=True, text=True, timeout=240)

    def assert_fails(self, document: dict, names: list[str], *flags: str) -> None:
        ended = self.run_file(document, *flags)
        failures = [line.split()[1].rstrip(":") for line in ended.stdout.splitlines() if line.startswith("FAIL")]
        self.assertEqual((ended.returncode, failures), (1, names), ended.stdout + ended.stderr)

    def test_vectors(self) -> None:
        document = committed("vlp.json")
        wrong = {**document, "crc32c_vectors": [], "frame_vectors": [], "secure_frame_vectors": []}
        names = []
        for array, vector in one_of_each(document):
            wrong[array] = [*wrong[array], spoiled(vector)]
        for array in ("crc32c_vectors", "frame_vectors", "secure_frame_vectors"):
            names += [vector["id"] for vector in wrong[array]]
        self.assertGreaterEqual(len(names), 11)
        for flags in ([], ["--cpp"]):
            self.assert_fails(wrong, names, *flags)

    def test_numbers_are_exact(self) -> None:
        document = committed("vlp.json")
        vector = copy.deepcopy(next(
            v for v in document["frame_vectors"]
            if v["kind"] == "encode_decode_roundtrip" and v["inputs"]["nonce"] > 2**60
        ))
        # A double cannot represent the difference.
        vector["inputs"]["nonce"] -= 1
        alone = {**document, "crc32c_vectors": [], "frame_vectors": [vector], "secure_frame_vectors": []}
        self.assert_fails(alone, [vector["id"]])

    def test_an_unreadable_vector_fails(self) -> None:
        document = committed("vlp.json")
        good = next(v for v in document["frame_vectors"] if v["kind"] == "encode_decode_roundtrip")
        without = {name: what for name, what in good.items() if name != "expected_wire_hex"}
        wrong = [
            {**without, "id": "missing"},
            {**good, "id": "upper", "expected_wire_hex": good["expected_wire_hex"].upper()},
            {**good, "id": "too-large", "inputs": {**good["inputs"], "payload": 2**32}},
            {**good, "id": "text", "inputs": {**good["inputs"], "payload": "7"}},
            {**good, "id": "negative", "inputs": {**good["inputs"], "nonce": -1}},
        ]
        alone = {**document, "crc32c_vectors": [], "frame_vectors": wrong, "secure_frame_vectors": []}
        self.assert_fails(alone, [vector["id"] for vector in wrong])

    def test_an_unknown_kind_is_skipped_and_reported(self) -> None:
        document = committed("vlp.json")
        document["frame_vectors"].append({"id": "new", "kind": "unheard-of"})
        ended = self.run_file(document)
        self.assertEqual(ended.returncode, 0, ended.stdout)
        self.assertIn("SKIP 1 of the unknown kind \"unheard-of\"", ended.stdout)
        reserved = sum(vector["kind"] == RESERVED for vector in document["secure_frame_vectors"])
        self.assertTrue(ended.stdout.strip().endswith(f", 0 failed, {1 + reserved} skipped"))

    def test_stories(self) -> None:
        document = committed("stories.json")
        story = document["stories"][0]

        def but(name: str, **changes: object) -> dict:
            return {**story, "id": name, **changes}

        events, steps = story["events"], story["steps"]
        wrong = [
            but("an-event-more", events=[*events, events[-1]]),
            but("an-event-fewer", events=events[:-1]),
            but("no-events", events=[]),
            but("another-field", events=[{**events[0], "news": 1}, *events[1:]]),
            but("a-setting", config={**story["config"], "news": 1}),
            but("an-op", steps=[*steps, {"at_ns": 10**18, "op": "sing"}]),
            but("a-counter", counters={**story["counters"], "probes": 1}),
            but("no-counters", counters={}),
            but("unknown-counter", counters={**story["counters"], "news": 0}),
            but("part", news={}),
        ]
        for field in events[0]:
            if field != "step":
                what = events[0][field]
                changed = what + 1 if isinstance(what, int) else "other"
                wrong.append(but(f"event-{field}", events=[{**events[0], field: changed}, *events[1:]]))
        for flags in ([], ["--cpp"]):
            self.assert_fails({**document, "stories": wrong}, [one["id"] for one in wrong], *flags)

    def test_stories_of_the_lane(self) -> None:
        document = committed("lane-stories.json")
        [story] = [story for story in document["lane_stories"] if story["id"] == "a-task-that-falls-silent"]

        def but(name: str, **changes: object) -> dict:
            return {**story, "id": name, **changes}

        events, steps = story["events"], story["steps"]
        [attach] = [step for step in steps if step["op"] == "attach"]
        call = next(step for step in steps if step["op"] == "call")
        wrong = [
            but("an-event-fewer", events=events[:-1]),
            but("an-op", steps=[*steps, {"at_ns": 10**18, "op": "sing", "pid": attach["pid"]}]),
            but("a-refusal", steps=[{**attach, "uid": 7}, *steps[1:]]),
            but("another-page", steps=[{**attach, "page": {**attach["page"], "tasks": False}}, *steps[1:]]),
            but("a-field", steps=[{**step, "news": 1} if step is call else step for step in steps]),
        ]
        for place, event in enumerate(events):
            for field in sorted(set(event) - {"step"}):
                changed = event[field] + 1 if isinstance(event[field], int) else "other"
                others = [*events[:place], {**event, field: changed}, *events[place + 1:]]
                wrong.append(but(f"event-{place}-{field}", events=others))
        for part, other in (("until", 5), ("status", "critical"), ("payload", 999), ("broken", ["span"])):
            lines = [{**step, "hot": {**step["hot"], part: other}} if "hot" in step else step for step in steps]
            wrong.append(but(f"line-{part}", steps=lines))
        for flags in ([], ["--cpp"]):
            self.assert_fails({**document, "lane_stories": wrong}, [one["id"] for one in wrong], *flags)

    def test_an_unusable_file_is_refused(self) -> None:
        for text in ("", "[]", "{}", json.dumps({**committed("stories.json"), "version_byte": 3})):
            self.assertEqual(self.run_file(text).returncode, 2, text[:40])


if __name__ == "__main__":
    unittest.main()
