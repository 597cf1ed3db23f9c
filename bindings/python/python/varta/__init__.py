"""Process liveness: programs send heartbeats, an observer reports stalls, exits and recoveries.

    from varta import Varta

    with Varta.open("/run/user/1000/varta.sock") as agent:
        for work in range(10):
            ...  # do the work, then beat:
            agent.beat("ok", work)

`Varta` is the agent, which sends beats. `Observer` receives them. `varta.panic` sends a final
message when a process crashes, `varta.asyncio` beats from an event loop, and `varta.secure` and
`varta.v1` are codecs. `agent.task` declares a part of the process that is watched on its own.
"""

from varta._values import (
    NONCE_TERMINAL,
    BeatError,
    BeatOutcome,
    DecodeError,
    DropReason,
    Status,
    classify_send_error,
)
from varta._varta import (
    AgentEvent,
    AuthFailure,
    Beat,
    Cause,
    Decode,
    Declared,
    Ended,
    Event,
    Exit,
    Frame,
    Io,
    Paused,
    Recovered,
    Simulated,
    Span,
    Stall,
    Task,
    Varta,
    Violation,
    crc32c,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from varta import asyncio, panic, secure, v1
    from varta._observer import Observer, Origin
    from varta._tasks import NEVER, Edge, Ending, Promise, Rule, watched

__version__ = "0.3.0"

__all__ = [
    "NEVER",
    "NONCE_TERMINAL",
    "AgentEvent",
    "AuthFailure",
    "Beat",
    "BeatError",
    "BeatOutcome",
    "Cause",
    "Decode",
    "DecodeError",
    "Declared",
    "DropReason",
    "Edge",
    "Ended",
    "Ending",
    "Event",
    "Exit",
    "Frame",
    "Io",
    "Observer",
    "Origin",
    "Paused",
    "Promise",
    "Recovered",
    "Rule",
    "Simulated",
    "Span",
    "Stall",
    "Status",
    "Task",
    "Varta",
    "Violation",
    "__version__",
    "asyncio",
    "classify_send_error",
    "crc32c",
    "panic",
    "secure",
    "v1",
    "watched",
]


def __getattr__(name: str) -> object:
    # A program that only beats does not import the rest.
    from importlib import import_module

    if name in ("Observer", "Origin"):
        return getattr(import_module("varta._observer"), name)
    if name in ("NEVER", "Edge", "Ending", "Promise", "Rule", "watched"):
        return getattr(import_module("varta._tasks"), name)
    if name in ("asyncio", "panic", "secure", "v1"):
        return import_module(f"varta.{name}")
    raise AttributeError(f"module 'varta' has no attribute {name!r}")


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
