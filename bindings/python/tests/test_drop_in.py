"""Code that was written for the package varta 0.2.0 runs unchanged."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys

import pytest
from conftest import expect, needed

import varta
from varta import Beat, Observer, Status


def test_a_service_beats_with_the_default_payload(observer: Observer, path: str, capsys) -> None:
    from varta import Status, Varta

    with Varta.connect(path) as agent:
        for _ in range(3):
            outcome = agent.beat(Status.OK)
            if outcome.is_dropped:
                raise AssertionError(outcome.reason)
            elif outcome.is_failed:
                print(f"failed: {outcome}", file=sys.stderr)
    assert [expect(observer, Beat).nonce for _ in range(3)] == [1, 2, 3]


def test_a_payload_may_contain_two_numbers(observer: Observer, path: str) -> None:
    from varta import Status, Varta

    depth, code = 300, 7
    with Varta.connect(path) as agent:
        agent.beat(Status.DEGRADED if code else Status.OK, ((depth & 0xFFFF) << 16) | code)
    beat = expect(observer, Beat)
    assert (beat.payload >> 16, beat.payload & 0xFFFF) == (depth, code)
    assert beat.status is Status.DEGRADED


def test_a_bool_counts_as_the_number_that_it_equals(observer: Observer, path: str) -> None:
    """As in varta 0.2: a payload may be a flag, and a status may be the result of a comparison."""
    with varta.Varta.connect(path) as agent:
        assert agent.beat(len(path) == 0, len(path) > 0).is_sent
        assert agent.beat(True, False).is_sent
    first, second = expect(observer, Beat), expect(observer, Beat)
    assert (first.status, first.payload) == (Status.OK, 1)
    assert (second.status, second.payload) == (Status.DEGRADED, 0)


def test_a_key_may_be_read_from_a_file(folder) -> None:
    from varta import Varta

    key = os.urandom(32)
    (folder / "key").write_text(key.hex() + "\n")
    with open(folder / "key") as file:
        read = bytes.fromhex(file.read().strip())
    with Observer.bind(secure_udp=("127.0.0.1", 0), shared_keys=[key]) as observer:
        with Varta.connect_secure_udp(observer.udp_addresses()[0], read) as agent:
            agent.beat(Status.OK)
        assert expect(observer, Beat).origin is varta.Origin.SECURE_NETWORK


def test_outcomes_can_be_constructed() -> None:
    from varta import BeatError, BeatOutcome, DropReason, classify_send_error

    dropped = BeatOutcome.dropped(DropReason.NO_OBSERVER)
    assert dropped.is_dropped and dropped.reason == DropReason.NO_OBSERVER == "no observer"
    assert dropped == BeatOutcome("dropped", DropReason.NO_OBSERVER)
    error = BeatError.from_oserror(OSError(1, "no"))
    assert BeatOutcome.failed(error).error is error and error.kind == "EPERM"
    assert isinstance(error.to_oserror(), PermissionError)
    assert classify_send_error(BlockingIOError(11, "full")).reason is DropReason.KERNEL_QUEUE_FULL


DESCRIBE = """
import inspect, json, varta, varta.panic
description = {"names": varta.__all__, "methods": {}, "hooks": {}}
for name in varta.__all__:
    value = getattr(varta, name)
    if inspect.isclass(value):
        description["methods"][name] = sorted(m for m in dir(value) if not m.startswith("_"))
for name, value in vars(varta.panic).items():
    if name.startswith("install_"):
        description["hooks"][name] = list(inspect.signature(value).parameters)
description["enums"] = {e: {m.name: m.value for m in getattr(varta, e)} for e in ("Status", "DropReason")}
print(json.dumps(description))
"""


@pytest.fixture(scope="module")
def varta_0_2() -> dict:
    """The public API of varta 0.2, read in a separate process."""
    import json

    result = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        env=os.environ | {"PYTHONPATH": needed("VARTA_0_2")},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def test_every_public_name_exists(varta_0_2: dict) -> None:
    assert set(varta_0_2["names"]) <= set(varta.__all__)
    for name, methods in varta_0_2["methods"].items():
        ours = getattr(varta, name)
        assert [m for m in methods if not hasattr(ours, m)] in ([], ["kind"]), name


def test_enumerations_have_all_members(varta_0_2: dict) -> None:
    for name, members in varta_0_2["enums"].items():
        ours = getattr(varta, name)
        assert members.items() <= {member.name: member.value for member in ours}.items()


def test_hooks_accept_the_same_arguments(varta_0_2: dict) -> None:
    panic = importlib.import_module("varta.panic")
    for name, parameters in varta_0_2["hooks"].items():
        ours = list(inspect.signature(getattr(panic, name)).parameters)
        assert ours[: len(parameters)] == parameters


def test_lazy_names_are_listed() -> None:
    assert set(varta.__all__) <= set(dir(varta))
    for name in varta.__all__:
        assert getattr(varta, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sing'"):
        varta.sing
