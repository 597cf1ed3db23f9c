"""Telling a story: steps, and beside each what the observer must say and count.

This keeps the books and no more. Each expectation stands in its story.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from types import ModuleType

from .senders import UID, Agent, usual_status

MS = 1_000_000
S = 1_000 * MS

# Where a datagram may end. Each ends in exactly one.
ENDS = (
    *("beats", "bad_magic", "bad_version", "bad_crc", "bad_status", "stall_on_wire"),
    *("bad_pid", "bad_timestamp", "bad_nonce", "wrong_length", "auth_failures"),
    *("decrypt_failures", "replays", "rate_limited_agent", "rate_limited_global"),
    *("capacity_exceeded", "sender_memory_full", "uid_refused", "namespace_refused"),
    *("origin_conflicts", "control_truncated", "probes"),
)
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
SAID = {"stall": "stalls", "recovered": "recoveries", "exit": "exits", "paused": "pauses"}


class Story:
    def __init__(self, id: str, description: str, config: dict):
        self.id = id
        self.description = description
        self.config = {"threshold_ns": 2 * S, "uids": [UID], **config}
        self.steps: list[dict] = []
        self.events: list[dict] = []
        self.counters: Counter[str] = Counter()

    @staticmethod
    def of(chapter: ModuleType) -> Iterator["Story"]:
        """A chapter's stories, as they stand there."""
        for tell in vars(chapter).values():
            if isinstance(told := getattr(tell, "told", None), dict):
                description = " ".join((tell.__doc__ or "").split())
                story = Story(tell.__name__.replace("_", "-"), description, told)
                tell(story)
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
        """A beat that counts. `after` is what is said before it."""
        self._hear(at, agent, agent.frame(nonce, **{"timestamp": at, **frame}), "beats")
        said = {
            "status": frame.get("status", usual_status(nonce)),
            "payload": frame.get("payload", 0),
            "nonce": nonce,
            "missed": missed,
        }
        self._say(at, *after, agent.says("beat", **said))
        self.also(missed=missed, not_forward=int(not forward))

    def refuses(self, at: int, agent: Agent, nonce: int, end: str, **frame: object) -> None:
        """A beat that is counted there, of which nothing is said."""
        self._hear(at, agent, agent.frame(nonce, **{"timestamp": at, **frame}), end)

    def ignores(self, at: int, agent: Agent, wire: bytes, end: str, **flags: bool) -> None:
        """A datagram that is counted there, of which nothing is said."""
        self._hear(at, agent, wire, end, **flags)

    def decodes(self, at: int, agent: Agent, wire: bytes, error: str) -> None:
        """32 bytes that are no frame."""
        self._hear(at, agent, wire, ERROR_COUNTERS[error])
        self._say(at, {"kind": "decode", "error": error})

    def disbelieves(
        self,
        at: int,
        agent: Agent,
        wire: bytes,
        claimed_pid: int,
        after: tuple[dict, ...] = (),
    ) -> None:
        """A frame that names another process than the one that sent it."""
        self._hear(at, agent, wire, "auth_failures")
        pids = {"claimed_pid": claimed_pid, "true_pid": agent.known_pid}
        self._say(at, *after, {"kind": "auth-failure", **pids})

    def polls(self, at: int, *events: dict) -> None:
        self._step(at, "poll")
        self._say(at, *events)

    def finds_full(self, at: int, *events: dict) -> None:
        """As a poll, but the queue is at its length."""
        self._step(at, "full")
        self.also(full_looks=1)
        self._say(at, *events)

    def exits(self, at: int, pid: int, *events: dict, **cause: int) -> None:
        """The process ends. `cause` is code=…, signal=… or nothing."""
        self._step(at, "exit", pid=pid, **cause)
        self._say(at, *events)

    def comes_late(self, at: int, due: int, pause: int | None) -> None:
        """The observer looks only now. `pause` is what it says of that, if anything."""
        self._step(at, "late", due_ns=due)
        self._pause(at, pause)

    def was_suspended(self, at: int, ns: int, pause: int | None) -> None:
        self._step(at, "suspend", ns=ns)
        self._pause(at, pause)

    def sets_threshold(self, at: int, agent: int, ns: int) -> None:
        self._step(at, "set_threshold", agent=agent, ns=ns)

    def also(self, **counters: int) -> None:
        """Counts what no event shows."""
        self.counters.update(counters)

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
            "counters": {name: count for name, count in self.counters.items() if count},
        }

    def _hear(self, at: int, agent: Agent, wire: bytes, end: str, **flags: bool) -> None:
        if end not in ENDS:
            raise ValueError(f"{self.id}: no datagram ends in {end}")
        place = {"listener": agent.listener, "sender": agent.sender}
        self._step(at, "frame", **place, hex=wire.hex(), **flags)
        self.also(received=1, **{end: 1})

    def _pause(self, at: int, ns: int | None) -> None:
        if ns is not None:
            self._say(at, {"kind": "paused", "ns": ns})

    def _step(self, at: int, op: str, **fields: object) -> None:
        if self.steps and at < self.steps[-1]["at_ns"]:
            raise ValueError(f"{self.id}: time goes back to {at}")
        self.steps.append({"at_ns": at, "op": op, **fields})

    def _say(self, at: int, *events: dict) -> None:
        for event in events:
            self.events.append({"step": len(self.steps) - 1, "observer_ns": at, **event})
            if event["kind"] in SAID:
                self.also(**{SAID[event["kind"]]: 1})
            self.also(stalls_deaf=int(event.get("deaf", False)))


def story(**config: object) -> Callable[[Callable], Callable]:
    """Marks a function that tells one. Its name is the id, its text the description."""

    def mark(tell: Callable) -> Callable:
        tell.told = config
        return tell

    return mark
