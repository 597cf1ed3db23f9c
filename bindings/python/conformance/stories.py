"""Stories: each one drives a simulated observer, which must report exactly the listed events."""

from __future__ import annotations

from enum import Enum
from typing import Any, Callable

from fields import Failure, Vector, boolean, field, number, only, raw, same
from varta import AgentEvent, Cause, Decode, Event, Observer, Origin, Recovered, Simulated, Stall, Status

LISTENERS = ("uds", "udp", "secure-udp")


def story(document: Vector) -> None:
    run(document, apply)


def run(document: Vector, apply: Callable[[Simulated, Vector], None]) -> None:
    """Runs a story whose steps this function applies."""
    only(document, "id", "description", "config", "steps", "events", "counters")
    observer = simulated(field(document, "config", dict))
    expected = list(field(document, "events", list))
    for index, step in enumerate(field(document, "steps", list)):
        apply(observer, step)
        for event in observer:
            wanted = expected.pop(0) if expected else None
            same(f"step {index}", wanted, {"step": index, **plain(event), **details(observer, event)})
        if expected and expected[0].get("step") == index:
            raise Failure(f"step {index}", expected[0], "nothing more")
    same("after the last step", [], expected)
    compare(observer.stats(), field(document, "counters", dict))


def simulated(config: Vector) -> Simulated:
    settings: Vector = {}
    for name, value in config.items():
        if name in ("threshold_ns", "pause_after_ns"):
            settings[name] = number(config, name, 64)
        elif name == "capacity":
            settings[name] = number(config, name, 32)
        elif name in ("namespaces", "version1", "detect_exits", "lane", "tasks", "causes"):
            settings[name] = boolean(config, name)
        elif name in ("rate_per_agent", "rate"):
            rate = field(config, name, dict)
            only(rate, "per_second", "burst")
            settings[name] = (number(rate, "per_second", 32), number(rate, "burst", 32))
        elif name in ("task_slack", "program_slack"):
            slack = field(config, name, dict)
            settings[f"{name}_ns"] = {key: number(slack, key, 64) for key in slack}
        elif name == "shared_keys_hex":
            keys = field(config, name, list)
            settings["shared_keys"] = [raw({name: key}, name, 32) for key in keys]
        elif name == "master_key_hex":
            settings["master_key"] = raw(config, name, 32)
        elif name == "uids":
            settings[name] = value
        else:
            raise Failure("config", "a setting that conformance/README.md lists", name)
    return Observer.simulated(**settings)


def apply(observer: Simulated, step: Vector) -> None:
    at_ns, op = number(step, "at_ns", 64), field(step, "op", str)
    if op == "frame":
        feed(observer, at_ns, step)
    elif op == "poll":
        only(step, "at_ns", "op")
        observer.advance(at_ns)
    elif op == "full":
        only(step, "at_ns", "op")
        observer.advance(at_ns, full=True)
    elif op == "exit":
        only(step, "at_ns", "op", "pid", "code", "signal")
        observer.exit(at_ns, number(step, "pid", 32), step.get("code"), step.get("signal"))
    elif op == "late":
        only(step, "at_ns", "op", "due_ns")
        observer.late(at_ns, number(step, "due_ns", 64))
    elif op == "suspend":
        only(step, "at_ns", "op", "ns")
        observer.suspended(at_ns, number(step, "ns", 64))
    elif op == "set_threshold":
        only(step, "at_ns", "op", "agent", "ns")
        observer.set_threshold(number(step, "agent", 64), number(step, "ns", 64))
    elif op == "reading":
        observer.set_reading(**values(step))
    elif op == "thread_reading":
        observer.add_thread_reading(**values(step))
    else:
        raise Failure("op", "an operation that conformance/README.md lists", op)


def values(step: Vector) -> Vector:
    """What a step says besides its time. An unknown name is an error of the call."""
    return {name: value for name, value in step.items() if name not in ("at_ns", "op")}


def feed(observer: Simulated, at_ns: int, step: Vector) -> None:
    only(step, "at_ns", "op", "listener", "sender", "hex", "truncated", "control_truncated", "fresh")
    listener, sender = field(step, "listener", str), field(step, "sender", dict)
    if listener not in LISTENERS:
        raise Failure("listener", " or ".join(LISTENERS), listener)
    origin: Vector
    if listener == "uds":
        only(sender, "pid", "uid", "process", "namespace", "innermost")
        pid = number(sender, "pid", 32)
        if "namespace" in sender:
            innermost = number(sender, "innermost", 32) if "innermost" in sender else None
            observer.set_namespace(pid, sender["namespace"], innermost_pid=innermost)
        origin = {"pid": pid, "uid": number(sender, "uid", 32)}
        if "process" in sender:
            origin["process"] = number(sender, "process", 64)
    else:
        only(sender, "source")
        origin = {"address": field(sender, "source", str), "sealed": listener == "secure-udp"}
    observer.feed(
        at_ns,
        raw(step, "hex"),
        listener=LISTENERS.index(listener),
        truncated="truncated" in step and boolean(step, "truncated"),
        control_truncated="control_truncated" in step and boolean(step, "control_truncated"),
        fresh="fresh" in step and boolean(step, "fresh"),
        **origin,
    )


def plain(event: Event) -> Vector:
    """An event in the form that stories use."""
    fields: Vector = {"observer_ns": event.observer_ns, "kind": event.kind}
    if isinstance(event, AgentEvent):
        fields |= {
            "agent": event.agent,
            "pid": event.pid,
            "claimed_pid": event.claimed_pid,
            "origin": Origin(event.origin).name.lower().replace("_", "-"),
        }
        if event.label:
            fields["label"] = event.label
        if event.task is not None:
            fields |= {"task": event.task, "task_name": event.task_name}
    for name in type(event).__match_args__:  # type: ignore[attr-defined]
        value: Any = getattr(event, name)
        if isinstance(event, Decode):
            value = event.error.kind
        elif isinstance(value, Status):
            value = value.name.lower()
        elif isinstance(value, Enum):
            value = value.value
        # An exit of unknown cause has neither a code nor a signal.
        if value is not None:
            fields[name.rstrip("_")] = value
    if isinstance(event, Stall) and event.deaf:
        fields["deaf"] = True
    if isinstance(event, Recovered) and event.task is None:
        del fields["promise"]
    if fields.get("count") == 1 and event.kind == "beat":
        del fields["count"]
    return fields


def details(observer: Simulated, event: Event) -> Vector:
    """Why it is silent: the cause in the event, and what goes with it."""
    if not isinstance(event, (Stall, Cause)) or event.why is None:
        return {}
    found = observer.cause(event.agent, event.task or 0)
    if found is None:
        return {"why": None}
    same("the cause of the event", found["why"], event.why)
    why = {**found, **event.why}
    return {"why": {name: value for name, value in why.items() if name not in ("why", "class")}}


def compare(seen: dict[str, int], expected: Vector) -> None:
    """Counters that are not listed must be 0."""
    only(expected, *seen)
    for name, count in seen.items():
        same(f"counter {name}", expected.get(name, 0), count)
