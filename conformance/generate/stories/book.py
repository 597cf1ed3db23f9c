"""Writing a story: its steps, and the events and counters that the observer must produce.

This only records them. Each story states its own expectations.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from .senders import UID, Agent, usual_status

MS = 1_000_000
S = 1_000 * MS

_TABLES = json.loads((Path(__file__).parents[2] / "tables.json").read_bytes())
COUNTERS = [counter["name"] for counter in _TABLES["counters"]]
# The counters of datagrams. Each datagram is counted in exactly one.
ENDS = [counter["name"] for counter in _TABLES["counters"] if counter["settles"]]
ERROR_COUNTERS = {
    "BadMagic": "bad_magic",
    "BadVersion": "bad_version",
    "BadCrc": "bad_crc",
    "BadStatus": "bad_status",
    "StallOnWire": "stall_on_wire",
    "BadPid": "bad_pid",
    "BadTimestamp": "bad_timestamp",
    "BadNonce": "bad_nonce",
}
EVENT_COUNTERS = {
    "stall": "stalls",
    "recovered": "recoveries",
    "exit": "exits",
    "paused": "pauses",
}


class Story:
    def __init__(self, id: str, description: str, config: dict):
        self.id = id
        self.description = description
        self.config = {"threshold_ns": 2 * S, "uids": [UID], **config}
        self.steps: list[dict] = []
        self.events: list[dict] = []
        self.counters: Counter[str] = Counter()
        self.names_zeros = False

    @staticmethod
    def of(chapter: ModuleType) -> Iterator["Story"]:
        """The stories of a chapter, in its order."""
        for write in vars(chapter).values():
            if isinstance(config := getattr(write, "config", None), dict):
                description = " ".join((write.__doc__ or "").split())
                story = Story(write.__name__.replace("_", "-"), description, config)
                write(story)
                yield story

    def accepts(
        self,
        at: int,
        agent: Agent,
        nonce: int,
        missed: int = 0,
        forward: bool = True,
        after: tuple[dict, ...] = (),
        **frame: object,
    ) -> None:
        """A beat that counts. `after` are the events before it."""
        self._receive(at, agent, agent.frame(nonce, **{"timestamp": at, **frame}), "beats")
        fields = {
            "status": frame.get("status", usual_status(nonce)),
            "payload": frame.get("payload", 0),
            "nonce": nonce,
            "missed": missed,
        }
        self._expect(at, *after, agent.event("beat", **fields))
        self.counts(missed=missed, not_forward=int(not forward))

    def refuses(self, at: int, agent: Agent, nonce: int, end: str, **frame: object) -> None:
        """A beat that is counted as `end` and causes no event."""
        self._receive(at, agent, agent.frame(nonce, **{"timestamp": at, **frame}), end)

    def ignores(self, at: int, agent: Agent, wire: bytes, end: str, **flags: bool) -> None:
        """A datagram that is counted as `end` and causes no event."""
        self._receive(at, agent, wire, end, **flags)

    def decodes(self, at: int, agent: Agent, wire: bytes, error: str) -> None:
        """32 bytes that are not a valid frame."""
        self._receive(at, agent, wire, ERROR_COUNTERS[error])
        self._expect(at, {"kind": "decode", "error": error})

    def rejects_pid(
        self,
        at: int,
        agent: Agent,
        wire: bytes,
        claimed_pid: int,
        after: tuple[dict, ...] = (),
    ) -> None:
        """A frame with another pid than that of its sender."""
        self._receive(at, agent, wire, "auth_failures")
        pids = {"claimed_pid": claimed_pid, "true_pid": agent.known_pid}
        self._expect(at, *after, {"kind": "auth-failure", **pids})

    def polls(self, at: int, *events: dict) -> None:
        self._step(at, "poll")
        self._expect(at, *events)

    def finds_full(self, at: int, *events: dict) -> None:
        """Like a poll, but the queue is full."""
        self._step(at, "full")
        self.counts(full_looks=1)
        self._expect(at, *events)

    def exits(self, at: int, pid: int, *events: dict, **cause: int) -> None:
        """The process ends. `cause` is code=…, signal=… or empty."""
        self._step(at, "exit", pid=pid, **cause)
        self._expect(at, *events)

    def comes_late(self, at: int, due: int, pause: int | None) -> None:
        """The observer was due earlier. `pause` is the pause that it reports, if any."""
        self._step(at, "late", due_ns=due)
        self._pause(at, pause)

    def was_suspended(self, at: int, ns: int, pause: int | None) -> None:
        self._step(at, "suspend", ns=ns)
        self._pause(at, pause)

    def sets_threshold(self, at: int, agent: int, ns: int) -> None:
        self._step(at, "set_threshold", agent=agent, ns=ns)

    def counts(self, **counters: int) -> None:
        """Adds counts that no event shows."""
        self.counters.update(counters)

    def names_every_counter(self) -> None:
        """Those that are 0 too, so that a runner that does not know one fails."""
        self.names_zeros = True

    def document(self) -> dict:
        ended = sum(self.counters[end] for end in ENDS)
        if ended != self.counters["received"]:
            raise ValueError(f"{self.id}: {ended} datagrams of {self.counters['received']}")
        return {
            "id": self.id,
            "description": self.description,
            "config": self.config,
            "steps": self.steps,
            "events": self.events,
            "counters": {name: self.counters[name] for name in self._named()},
        }

    def _named(self) -> list[str]:
        if self.names_zeros:
            return COUNTERS
        return [name for name, count in self.counters.items() if count]

    def _receive(self, at: int, agent: Agent, wire: bytes, end: str, **flags: bool) -> None:
        if end not in ENDS:
            raise ValueError(f"{self.id}: no datagram ends in {end}")
        place = {"listener": agent.listener, "sender": agent.sender}
        if agent.listener == "secure-udp" and not flags.get("truncated"):
            # One key is tried, if one of that form is held; a story counts any more itself.
            form = {60: "shared_keys_hex", 64: "master_key_hex"}.get(len(wire))
            self.counts(open_attempts=int(form in self.config))
        self._step(at, "frame", **place, hex=wire.hex(), **flags)
        self.counts(received=1, **{end: 1})

    def _pause(self, at: int, ns: int | None) -> None:
        if ns is not None:
            self._expect(at, {"kind": "paused", "ns": ns})

    def _step(self, at: int, op: str, **fields: object) -> None:
        if self.steps and at < self.steps[-1]["at_ns"]:
            raise ValueError(f"{self.id}: time goes back to {at}")
        self.steps.append({"at_ns": at, "op": op, **fields})

    def _expect(self, at: int, *events: dict) -> None:
        for event in events:
            self.events.append({"step": len(self.steps) - 1, "observer_ns": at, **event})
            if event["kind"] in EVENT_COUNTERS:
                self.counts(**{EVENT_COUNTERS[event["kind"]]: 1})
            self.counts(stalls_deaf=int(event.get("deaf", False)))


def story(**config: object) -> Callable[[Callable], Callable]:
    """Marks a function as a story. Its name is the id, its doc string the description."""

    def mark(write: Callable) -> Callable:
        write.config = config
        return write

    return mark
