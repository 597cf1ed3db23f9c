"""The runner of vectors and stories fails for every wrong one and skips none silently."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
VECTORS = HERE.parent.parent / "conformance" / "vectors" / "vlp.json"
DOCUMENT = json.loads(VECTORS.read_bytes())
ARRAYS = ("crc32c_vectors", "frame_vectors", "secure_frame_vectors")
# No language exports this derivation; the Rust runner alone checks it.
RESERVED = "kdf_epoch_key"


def run(folder: Path, document: object, *flags: str) -> tuple[int, str, str]:
    file = folder / "vectors.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    ran = subprocess.run(
        [sys.executable, HERE / "conformance", *flags, file], capture_output=True, text=True
    )
    return ran.returncode, ran.stdout, ran.stderr


def with_only(array: str, *vectors: object) -> dict:
    return {**DOCUMENT, **dict.fromkeys(ARRAYS, []), array: list(vectors)}


def samples() -> list:
    """The first vector of each kind that this runner knows."""
    first = {}
    for array in ARRAYS:
        for vector in DOCUMENT[array]:
            first.setdefault(vector.get("kind", "crc32c"), (array, vector))
    del first[RESERVED]
    return [pytest.param(*found, id=kind) for kind, found in first.items()]


def test_all_vectors_pass(folder: Path) -> None:
    count = sum(len(DOCUMENT[array]) for array in ARRAYS)
    reserved = sum(vector["kind"] == RESERVED for vector in DOCUMENT[ARRAYS[2]])
    skip = f'SKIP {reserved} of the unknown kind "{RESERVED}"\n'
    sums = f"{count - reserved} passed, 0 failed, {reserved} skipped\n"
    assert run(folder, DOCUMENT) == (0, skip + sums, "")


@pytest.mark.parametrize(("array", "vector"), samples())
def test_a_wrong_vector_of_each_kind_fails(folder: Path, array: str, vector: dict) -> None:
    # A different expectation must fail, and so must a vector that cannot be read.
    wrong = copy.deepcopy(vector)
    if vector.get("kind") == "frame_length":
        wrong["wire_hex"] = "00" * 32
    else:
        (name,) = [n for n in vector if n.startswith("expected_") and vector[n]][:1]
        expected = wrong[name]
        if isinstance(expected, dict):
            expected["pid"] += 1
        elif name.endswith("_hex"):
            wrong[name] = expected[:-1] + ("0" if expected[-1] != "0" else "1")
        else:
            wrong[name] = "NoSuchError"
    for broken in (wrong, {k: v for k, v in vector.items() if not k.endswith("_hex")}):
        code, output, _ = run(folder, with_only(array, vector, broken))
        assert code == 1 and output.startswith(f"FAIL {vector['id']}: "), output
        assert output.endswith("1 passed, 1 failed\n")


def test_unknown_kinds_are_counted_as_skipped(folder: Path) -> None:
    document = with_only("frame_vectors", {"id": "new", "kind": "sing"}, 7)
    document["other_vectors"] = [{"id": "newer", "kind": "dance"}]
    code, output, _ = run(folder, document, "--json")
    *lines, last = output.splitlines()
    assert code == 1 and lines[0].startswith("FAIL frame_vectors[1]: vector")
    assert lines[1:] == ['SKIP 1 of the unknown kind "dance"', 'SKIP 1 of the unknown kind "sing"']
    assert json.loads(last)["sing"] == {"passed": 0, "failed": 0, "skipped": 1}


STORIES = json.loads((VECTORS.parent / "stories.json").read_bytes())
LANE = json.loads((VECTORS.parent / "lane-stories.json").read_bytes())


def test_all_stories_pass(folder: Path) -> None:
    count = len(STORIES["stories"])
    assert run(folder, STORIES) == (0, f"{count} passed, 0 failed\n", "")
    lane = len(LANE["lane_stories"])
    assert run(folder, LANE) == (0, f"{lane} passed, 0 failed\n", "")


def change_event(story: dict) -> None:
    story["events"][0]["observer_ns"] += 1


def change_counter(story: dict) -> None:
    story["counters"]["received"] += 1


def leave_out_an_event(story: dict) -> None:
    story["events"].pop()


def add_an_event(story: dict) -> None:
    story["events"].append(story["events"][-1])


def add_a_setting(story: dict) -> None:
    story["config"]["color"] = "red"


def change_a_step(story: dict) -> None:
    story["steps"][0]["op"] = "sing"


def add_to_a_step(story: dict) -> None:
    story["steps"][0]["color"] = "red"


@pytest.mark.parametrize(
    "change",
    [
        change_event, change_counter, leave_out_an_event, add_an_event, add_a_setting,
        change_a_step, add_to_a_step,
    ],
)  # fmt: skip
def test_a_wrong_story_fails(folder: Path, change) -> None:
    right = next(story for story in STORIES["stories"] if story["events"])
    wrong = copy.deepcopy(right)
    change(wrong)
    code, output, _ = run(folder, {**STORIES, "stories": [right, wrong]})
    assert code == 1 and output.startswith(f"FAIL {right['id']}: "), output
    assert output.endswith("1 passed, 1 failed\n")


def change_the_lines(story: dict) -> None:
    for step in story["steps"]:
        if step["op"] == "call":
            step["hot"]["payload"] += 1


def change_a_violation(story: dict) -> None:
    last = next(step for step in story["steps"] if step.get("cold", {}).get("last_violation"))
    last["cold"]["last_violation"]["to"] += 1


def change_an_answer(story: dict) -> None:
    next(step for step in story["steps"] if "page" in step)["page"]["tasks"] = False


def change_a_verb(story: dict) -> None:
    call(story)["verb"] = "sing"


def add_to_a_call(story: dict) -> None:
    call(story)["color"] = "red"


def call(story: dict) -> dict:
    return next(step for step in story["steps"] if step.get("verb") == "reach")


@pytest.mark.parametrize(
    "change",
    [change_the_lines, change_a_violation, change_an_answer, change_a_verb, add_to_a_call],
)
def test_a_wrong_story_of_the_lane_fails(folder: Path, change) -> None:
    def fits(story: dict) -> bool:
        text = json.dumps(story)
        return '"reach"' in text and '"violation"' in text and '"wrong-order"' in text

    right = next(story for story in LANE["lane_stories"] if fits(story))
    wrong = copy.deepcopy(right)
    change(wrong)
    code, output, _ = run(folder, {**LANE, "lane_stories": [right, wrong]})
    assert code == 1 and output.startswith(f"FAIL {right['id']}: "), output
    assert output.endswith("1 passed, 1 failed\n")


@pytest.mark.parametrize(
    "document", ["", "[]", {}, {**DOCUMENT, "version_byte": 3}, with_only("other_vectors")]
)
def test_an_unusable_file_is_refused(folder: Path, document: object) -> None:
    code, output, errors = run(folder, document)
    assert (code, output) == (2, "") and "cannot use" in errors


def test_numbers_are_not_rounded(folder: Path) -> None:
    vector = next(v for v in DOCUMENT["frame_vectors"] if v["kind"] == "encode_decode_roundtrip")
    wide = copy.deepcopy(vector)
    wide["inputs"]["timestamp"] = 2**64
    code, output, _ = run(folder, with_only("frame_vectors", wide))
    assert code == 1 and "unsigned number of 64 bits" in output
