"""Numbers, names and fields agree with conformance/tables.json."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import varta
from varta import (
    NEVER,
    AgentEvent,
    DecodeError,
    DropReason,
    Ending,
    Event,
    Frame,
    Observer,
    Origin,
    Promise,
    Rule,
    Stall,
    Status,
    Varta,
)

TABLES = json.loads(
    (Path(__file__).parents[3] / "conformance" / "tables.json").read_bytes()
)


def names(table: str) -> list[str]:
    return [entry["name"] for entry in TABLES[table]]


def attributes(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


@pytest.mark.parametrize(("enum", "table"), [(Status, "statuses"), (Origin, "origins")])
def test_enums(enum: type[Status] | type[Origin], table: str) -> None:
    listed = {entry["name"].upper().replace("-", "_"): entry["code"] for entry in TABLES[table]}
    assert {member.name: member.value for member in enum} == listed


def test_drop_reasons() -> None:
    assert [reason.value for reason in DropReason] == names("drop_reasons")
    assert [reason.name.lower().replace("_", " ") for reason in DropReason] == names("drop_reasons")


def test_notifications() -> None:
    with Varta.open("@varta-nobody") as agent:
        for name in TABLES["notifications"]:
            arguments = ["text"] if name == "status" else []
            assert getattr(agent, name)(*arguments).reason is DropReason.NOT_CONFIGURED


@pytest.mark.parametrize(
    ("enum", "table"), [(Promise, "promises"), (Rule, "rules"), (Ending, "endings")]
)
def test_what_tasks_promise_and_break(enum: type[Promise], table: str) -> None:
    assert [member.value for member in enum] == names(table)
    assert [entry["code"] for entry in TABLES[table]] == list(range(1, len(enum) + 1))
    assert [member.name.lower().replace("_", "-") for member in enum] == names(table)


# "Task" is the class of the handle, and "from" is a keyword.
CLASSES = {"task": "Declared"}
FIELDS = {"from": "from_"}


def test_event_classes() -> None:
    assert attributes(Event) == {"kind", *TABLES["event_fields"]}
    about = [*TABLES["about_fields"], *TABLES["about_name_fields"], *TABLES["about_task_fields"]]
    assert attributes(AgentEvent) == set(about)
    for kind in TABLES["kinds"]:
        name = CLASSES.get(kind["name"], kind["name"].title().replace("-", ""))
        cls = getattr(varta, name)
        assert issubclass(cls, AgentEvent) == kind["about_agent"], kind["name"]
        fields = {FIELDS.get(name, name) for field in kind["fields"] for name in field["story"]}
        assert attributes(cls) == fields, kind["name"]


def test_decode_errors() -> None:
    wire = bytearray(Frame(Status.OK, 2, 0, 1, 0).encode())
    wire[0] ^= 1
    with pytest.raises(DecodeError) as bad:
        Frame.decode(bytes(wire))
    assert bad.value.kind == names("decode_errors")[0]


def test_counters_and_agents() -> None:
    observer = Observer.simulated(uids=[0])
    observer.feed(0, Frame(Status.OK, 2, 0, 1, 0).encode(), pid=2, uid=0)
    assert list(observer.stats()) == names("counters")
    (agent,) = observer.agents()
    assert list(agent) == TABLES["agent_fields"]
    assert observer.tasks(agent["agent"]) == []


def test_causes(path: str) -> None:
    with Observer.bind(path, threshold=0.2, causes=True) as observer, Varta.open(path) as agent:
        agent.beat()
        while not isinstance(event := observer.poll(), Stall):
            pass
        assert event.why is not None
        assert event.why["cause"] in names("causes")
        assert event.why["class"] in names("cause_classes")
        assert event.why["certainty"] in names("certainties")
        assert set(event.why) == {*TABLES["why_fields"], "class"}
        info = observer.cause(event.agent)
        assert info is not None and list(info)[1:] == TABLES["cause_fields"][1:]
        assert info["why"] == event.why and info["looked_ns"] > event.last_ns
        assert observer.cause(event.agent, 1) is None


def test_tasks(path: str) -> None:
    limits = TABLES["limits"]
    with Varta.open(path) as agent:
        name = limits["task_name_bytes"] * "x"
        tasks = [agent.task(name, NEVER) for _ in range(limits["tasks"])]
        assert list(tasks[0].counts()) == TABLES["task_counts"]
        with pytest.raises(OSError, match="31 tasks"):
            agent.task("one more", NEVER)
        with pytest.raises(ValueError, match="23 bytes"):
            agent.task(name + "x", NEVER)


@pytest.mark.parametrize("make", [Observer.bind, Observer.simulated])
def test_defaults(make: object) -> None:
    parameters = inspect.signature(make).parameters  # type: ignore[arg-type]
    defaults = TABLES["defaults"]
    assert parameters["capacity"].default == defaults["capacity"]
    for name, unit in (("threshold", 1e-3), ("threshold_ns", 1e6)):
        if name in parameters:
            assert parameters[name].default == defaults["threshold_ms"] * unit
