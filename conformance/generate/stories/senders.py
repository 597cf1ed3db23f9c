"""The senders: their datagrams, and how events describe them.

Nothing is decided here. What an observer must do with a beat is stated in each story.
"""

import struct
from dataclasses import dataclass, replace

import secure
import wire
from values import derived
from wire import NONCE_TERMINAL, Beat

UID = 1000
LAST_WORDS = NONCE_TERMINAL
SHARED_KEY = derived("stories/shared", 32)
OTHER_KEY = derived("stories/other", 32)
MASTER_KEY = derived("stories/master", 32)


def iv(session: str, counter: int) -> bytes:
    """The AEAD nonce for this counter of a session."""
    return derived(f"stories/session/{session}", 8) + struct.pack("<I", counter)


def usual_status(nonce: int) -> str:
    """The status of a beat for which the story gives none."""
    return "critical" if nonce == LAST_WORDS else "ok"


@dataclass(frozen=True)
class Agent:
    """`number` is its agent number: the first agent that an observer follows is 1."""

    number: int
    pid: int

    origin = "kernel-attested"

    def wire(self, beat: Beat, version: int = 2) -> bytes:
        return wire.encode(beat) if version == 2 else wire.encode_v1(beat)

    def frame(
        self,
        nonce: int,
        status: str | None = None,
        payload: int = 0,
        timestamp: int = 0,
        version: int = 2,
    ) -> bytes:
        beat = Beat(status or usual_status(nonce), self.named_pid, timestamp, nonce, payload)
        return self.wire(beat, version)

    @property
    def named_pid(self) -> int:
        """The pid in its frames."""
        return self.pid

    @property
    def known_pid(self) -> int:
        """Its pid as the observer knows it."""
        return self.pid

    def event(self, kind: str, **fields: object) -> dict:
        """An event about it."""
        about = {
            "agent": self.number,
            "pid": self.known_pid,
            "claimed_pid": self.named_pid,
            "origin": self.origin,
        }
        return {"kind": kind, **about, **fields}

    def stall(self, last_nonce: int, last_ns: int, deaf: bool = False) -> dict:
        mark = {"deaf": True} if deaf else {}
        return self.event("stall", last_nonce=last_nonce, last_ns=last_ns, **mark)

    def recovered(self, silent_ns: int) -> dict:
        return self.event("recovered", silent_ns=silent_ns)

    def exit(self, last_status: str = "ok", **cause: int) -> dict:
        """`cause` is code=…, signal=… or empty if it is unknown."""
        return self.event("exit", last_status=last_status, **cause)


@dataclass(frozen=True)
class Local(Agent):
    """A process on this host that beats over a Unix socket. The kernel attests its pid."""

    uid: int = UID
    process: int | None = None
    namespace: str | None = None
    innermost: int | None = None
    claims: int | None = None

    listener = "uds"

    @property
    def named_pid(self) -> int:
        return self.pid if self.claims is None else self.claims

    @property
    def sender(self) -> dict:
        known = {"pid": self.pid, "uid": self.uid}
        more = {
            "process": self.process,
            "namespace": self.namespace,
            "innermost": self.innermost,
        }
        return known | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True)
class Remote(Agent):
    """A process that beats over UDP. Only its address is known."""

    source: str = "192.0.2.1"

    listener = "udp"
    origin = "network"

    @property
    def known_pid(self) -> int:
        return 0

    @property
    def sender(self) -> dict:
        return {"source": self.source}


@dataclass(frozen=True)
class Sealed(Remote):
    """A process that beats over secure UDP, with the shared key or with its own."""

    key: bytes = SHARED_KEY
    master: bytes | None = None
    session: str = "first"
    counter: int = 1

    listener = "secure-udp"
    origin = "secure-network"

    def at(self, counter: int, session: str | None = None) -> "Sealed":
        """The same agent at another counter, and session if given."""
        return replace(self, counter=counter, session=session or self.session)

    def wire(self, beat: Beat, version: int = 2) -> bytes:
        return self.seal(super().wire(beat, version))

    def seal(self, frame: bytes) -> bytes:
        place = iv(self.session, self.counter)
        if self.master is None:
            return secure.seal(self.key, place, frame)
        return secure.seal_master(self.master, self.pid, place, frame)
