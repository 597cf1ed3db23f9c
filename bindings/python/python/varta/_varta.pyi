from os import PathLike
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Literal, TypedDict, Union, final, overload, type_check_only

from typing_extensions import Self, disjoint_base

from varta._observer import Origin
from varta._tasks import Ending, Promise, Rule
from varta._values import BeatOutcome, DecodeError, Status, _StatusLike

__all__ = [
    "Varta",
    "Frame",
    "FrameV1",
    "crc32c",
    "AgentEvent",
    "AuthFailure",
    "Beat",
    "Cause",
    "Declared",
    "Decode",
    "Ended",
    "Event",
    "Exit",
    "Io",
    "Paused",
    "Recovered",
    "Stall",
    "Violation",
    "_panic",
    "LastWords",
    "Observer",
    "Cipher",
    "derive_agent_key",
    "derive_iv_prefix",
    "Simulated",
    "SimulatedPage",
    "Idle",
    "Span",
    "Task",
    "classify_errno",
]

_Path = Union[str, bytes, PathLike[str]]
_Address = tuple[str, int]
_Bytes = Union[bytes, bytearray]
_Edge = Union[tuple[int, int], tuple[int, int, float], tuple[int, int, float, float]]

@type_check_only
class AgentInfo(TypedDict):
    agent: int
    name: str
    pid: int
    claimed_pid: int
    origin: Origin
    uid: int | None
    address: str | None
    status: Status
    last_ns: int
    age_ns: int
    beats: int
    missed: int
    threshold_ns: int
    stalled: bool
    unconfirmed: bool
    lane: bool
    tasks: int
    tasks_late: int
    label: str

# "class" is a keyword.
_Why = TypedDict(
    "_Why",
    {
        "cause": str,
        "class": str,
        "certainty": str,
        "flags": int,
        "thread": int,
        "other": int,
    },
)

@type_check_only
class CauseInfo(TypedDict):
    why: _Why
    looked_ns: int
    signal: int
    window_ns: int
    run_ns: int
    wait_ns: int
    switches: int
    major_faults: int
    detail: str

@type_check_only
class Due(TypedDict):
    promise: Promise
    due_ns: int
    checkpoint: int

@type_check_only
class TaskInfo(TypedDict):
    number: int
    name: str
    threshold_ns: int
    status: Status
    payload: int
    last_ns: int
    age_ns: int
    due: Due | None
    idle: bool
    checkpoint: int
    done: int
    left: int
    beats: int
    violations: int
    broken: list[Promise]

@type_check_only
class TaskReport(TypedDict):
    number: int
    name: str
    threshold_ns: int
    age_ns: int
    status: Status
    payload: int
    idle: bool
    vital: bool
    done: int
    left: int
    violations: int
    broken: list[Promise]

@type_check_only
class TaskCounts(TypedDict):
    too_early: int
    too_late: int
    wrong_order: int
    too_few: int
    too_many: int
    unwatched: int
    undeclared: int

@final
class Varta:
    @classmethod
    def open(
        cls,
        endpoint: _Path | None = None,
        *,
        follow: bool = True,
        reconnect_after: int = 0,
        lane: bool = True,
        name: str | None = None,
        notify: bool = False,
    ) -> Varta: ...
    @classmethod
    def connect(cls, path: _Path) -> Varta: ...
    @classmethod
    def connect_udp(cls, addr: _Address) -> Varta: ...
    @classmethod
    def connect_secure_udp(cls, addr: _Address, key: _Bytes) -> Varta: ...
    @classmethod
    def connect_secure_udp_with_master(cls, addr: _Address, master_key: _Bytes) -> Varta: ...
    def beat(self, status: _StatusLike = 0, payload: int = 0) -> BeatOutcome: ...
    def task(
        self,
        name: str,
        threshold: float,
        *,
        startup: float | None = None,
        progress: float | None = None,
        edges: Iterable[_Edge] | None = None,
        cycle: tuple[float, int, int] | None = None,
        finest: float | None = None,
        vital: bool = False,
        roams: bool = False,
        spans: int = 8,
    ) -> Task: ...
    def tasks(self) -> list[TaskReport]: ...
    def ready(self) -> BeatOutcome: ...
    def stopping(self) -> BeatOutcome: ...
    def status(self, text: str) -> BeatOutcome: ...
    @property
    def watched(self) -> float | None: ...
    def reconnect(self) -> None: ...
    def set_reconnect_after(self, n: int | None) -> None: ...
    def clock_regressions(self) -> int: ...
    def fork_recoveries(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Task:
    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    def beat(self, status: _StatusLike = 0, payload: int = 0) -> BeatOutcome: ...
    def idle(self, at_most: float = ...) -> Idle: ...
    @overload
    def watch(self, max: float, /, *, label: int = 0) -> Span: ...
    @overload
    def watch(self, min: float, max: float, /, *, label: int = 0) -> Span: ...
    def reach(self, checkpoint: int) -> None: ...
    def progress(self, done: int, left: int) -> None: ...
    def counts(self) -> TaskCounts: ...
    def close(self) -> None: ...
    def fail(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        _value: BaseException | None = None,
        _traceback: TracebackType | None = None,
        /,
    ) -> None: ...

@final
class Span:
    def close(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Idle:
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@disjoint_base
class Observer:
    def __new__(cls, *endpoints: _Path, **settings: Any) -> Self: ...
    @property
    def closed(self) -> bool: ...
    def poll(self, timeout: float | None = None) -> Event | None: ...
    def agents(self) -> list[AgentInfo]: ...
    def tasks(self, agent: int) -> list[TaskInfo]: ...
    def cause(self, agent: int, task: int | None = None) -> CauseInfo | None: ...
    def set_slack(
        self,
        *,
        task_slack: dict[str, float] | None = None,
        program_slack: dict[str, float] | None = None,
    ) -> None: ...
    def stats(self) -> dict[str, int]: ...
    def set_threshold(self, agent: int, threshold: float) -> bool: ...
    def fileno(self) -> int: ...
    def next_deadline(self) -> float | None: ...
    def udp_addresses(self) -> list[_Address]: ...
    def advice(self) -> str | None: ...
    def drain_evictions(self) -> int: ...
    def drain_capacity_exceeded(self) -> int: ...
    def close(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

@final
class Simulated:
    def __new__(cls, **settings: Any) -> Self: ...
    def feed(
        self,
        at_ns: int,
        data: _Bytes,
        *,
        pid: int | None = None,
        uid: int | None = None,
        process: int | None = None,
        address: str | None = None,
        sealed: bool = False,
        listener: int = 0,
        truncated: bool = False,
        control_truncated: bool = False,
        fresh: bool = False,
    ) -> None: ...
    def advance(self, at_ns: int, *, full: bool = False) -> None: ...
    def exit(
        self, at_ns: int, pid: int, code: int | None = None, signal: int | None = None
    ) -> bool: ...
    def late(self, at_ns: int, due_ns: int) -> None: ...
    def suspended(self, at_ns: int, ns: int) -> None: ...
    def set_threshold(self, agent: int, threshold_ns: int) -> bool: ...
    def set_slack(
        self,
        *,
        task_slack_ns: dict[str, int] | None = None,
        program_slack_ns: dict[str, int] | None = None,
    ) -> None: ...
    def set_namespace(
        self,
        pid: int,
        namespace: Literal["same", "other", "unknown"],
        *,
        innermost_pid: int | None = None,
    ) -> None: ...
    def set_program(self, pid: int, name: str) -> None: ...
    def set_name(self, pid: int, name: str) -> None: ...
    def attach(
        self, at_ns: int, pid: int, uid: int = 0, *, process: int | None = None, nonce: int = 0
    ) -> SimulatedPage: ...
    def mapped(self, at_ns: int, page: SimulatedPage) -> None: ...
    def bell(self, at_ns: int, page: SimulatedPage) -> None: ...
    def detach(self, at_ns: int, page: SimulatedPage) -> None: ...
    def write(
        self,
        page: SimulatedPage,
        pair: int,
        *,
        cold: list[int] | None = None,
        hot: list[int] | None = None,
    ) -> None: ...
    def thread_gone(self, pid: int, thread: int) -> None: ...
    def set_reading(
        self,
        pid: int,
        *,
        spent_ns: int = 0,
        cpu_ns: int = 0,
        thread_count: int = 0,
        lacks: int = 0,
        device: int = 0,
        inode: int = 0,
        name: str = "",
        dumping: bool = False,
        killed: bool = False,
        tracer: int = 0,
        frozen: bool = False,
        under_oom: bool = False,
        group: str = "",
        quota_periods: int = 0,
        quota_throttled: int = 0,
        memory_pressure_ns: int = 0,
    ) -> None: ...
    def add_thread_reading(
        self,
        pid: int,
        thread: int,
        *,
        state: str = "S",
        run_ns: int = 0,
        wait_ns: int = 0,
        slices: int = 0,
        flags: int = 0,
        major_faults: int = 0,
        stop_signal: int = 0,
        wait_channel: str = "",
        call: str | None = None,
        arguments: Sequence[int] = (0, 0, 0, 0),
    ) -> None: ...
    def tasks(self, agent: int) -> list[TaskInfo]: ...
    def cause(self, agent: int, task: int = 0) -> CauseInfo | None: ...
    def poll(self) -> Event | None: ...
    def agents(self) -> list[AgentInfo]: ...
    def stats(self) -> dict[str, int]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

@final
class SimulatedPage:
    @property
    def threshold_ns(self) -> int: ...
    @property
    def tasks(self) -> bool: ...

@disjoint_base
class Event:
    @property
    def observer_ns(self) -> int: ...
    @property
    def kind(
        self,
    ) -> Literal[
        "beat",
        "stall",
        "recovered",
        "exit",
        "decode",
        "auth-failure",
        "io",
        "paused",
        "task",
        "ended",
        "violation",
    ]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@disjoint_base
class AgentEvent(Event):
    @property
    def agent(self) -> int: ...
    @property
    def pid(self) -> int: ...
    @property
    def claimed_pid(self) -> int: ...
    @property
    def origin(self) -> Origin: ...
    @property
    def label(self) -> str: ...
    @property
    def task(self) -> int | None: ...
    @property
    def task_name(self) -> str | None: ...

@final
class Beat(AgentEvent):
    __match_args__: ClassVar[
        tuple[
            Literal["agent"],
            Literal["status"],
            Literal["payload"],
            Literal["nonce"],
            Literal["missed"],
            Literal["count"],
        ]
    ]
    @property
    def status(self) -> Status: ...
    @property
    def payload(self) -> int: ...
    @property
    def nonce(self) -> int: ...
    @property
    def missed(self) -> int: ...
    @property
    def count(self) -> int: ...

@final
class Stall(AgentEvent):
    __match_args__: ClassVar[
        tuple[
            Literal["agent"],
            Literal["last_nonce"],
            Literal["last_ns"],
            Literal["promise"],
            Literal["due_ns"],
            Literal["checkpoint"],
        ]
    ]
    @property
    def last_nonce(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
    @property
    def deaf(self) -> bool: ...
    @property
    def promise(self) -> Promise | None: ...
    @property
    def due_ns(self) -> int | None: ...
    @property
    def checkpoint(self) -> int | None: ...
    @property
    def why(self) -> _Why | None: ...

@final
class Cause(AgentEvent):
    __match_args__: ClassVar[tuple[Literal["agent"], Literal["why"]]]
    @property
    def why(self) -> _Why: ...

@final
class Recovered(AgentEvent):
    __match_args__: ClassVar[
        tuple[Literal["agent"], Literal["silent_ns"], Literal["promise"]]
    ]
    @property
    def silent_ns(self) -> int: ...
    @property
    def promise(self) -> Promise: ...

@final
class Exit(AgentEvent):
    __match_args__: ClassVar[
        tuple[Literal["agent"], Literal["code"], Literal["signal"], Literal["last_status"]]
    ]
    @property
    def code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def last_status(self) -> Status: ...

@final
class Declared(AgentEvent):
    __match_args__: ClassVar[
        tuple[
            Literal["agent"], Literal["task"], Literal["task_name"], Literal["threshold_ns"]
        ]
    ]
    @property
    def threshold_ns(self) -> int: ...

@final
class Ended(AgentEvent):
    __match_args__: ClassVar[
        tuple[Literal["agent"], Literal["task"], Literal["task_name"], Literal["how"]]
    ]
    @property
    def how(self) -> Ending: ...

@final
class Violation(AgentEvent):
    __match_args__: ClassVar[
        tuple[
            Literal["agent"],
            Literal["task"],
            Literal["task_name"],
            Literal["rule"],
            Literal["count"],
            Literal["from_"],
            Literal["to"],
            Literal["by"],
        ]
    ]
    @property
    def rule(self) -> Rule: ...
    @property
    def count(self) -> int: ...
    @property
    def from_(self) -> int: ...
    @property
    def to(self) -> int: ...
    @property
    def by(self) -> int: ...

@final
class Decode(Event):
    __match_args__: ClassVar[tuple[Literal["error"]]]
    @property
    def error(self) -> DecodeError: ...

@final
class AuthFailure(Event):
    __match_args__: ClassVar[tuple[Literal["claimed_pid"], Literal["true_pid"]]]
    @property
    def claimed_pid(self) -> int: ...
    @property
    def true_pid(self) -> int: ...

@final
class Io(Event):
    __match_args__: ClassVar[tuple[Literal["errno"]]]
    @property
    def errno(self) -> int: ...

@final
class Paused(Event):
    __match_args__: ClassVar[tuple[Literal["ns"]]]
    @property
    def ns(self) -> int: ...

@final
class Frame:
    __match_args__: ClassVar[
        tuple[
            Literal["status"],
            Literal["pid"],
            Literal["timestamp"],
            Literal["nonce"],
            Literal["payload"],
        ]
    ]
    def __new__(
        cls, status: _StatusLike, pid: int, timestamp: int, nonce: int, payload: int
    ) -> Self: ...
    @staticmethod
    def decode(wire: _Bytes) -> Frame: ...
    def encode(self) -> bytes: ...
    @property
    def status(self) -> Status: ...
    @property
    def pid(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def nonce(self) -> int: ...
    @property
    def payload(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class FrameV1:
    __match_args__: ClassVar[
        tuple[
            Literal["status"],
            Literal["pid"],
            Literal["timestamp"],
            Literal["nonce"],
            Literal["payload"],
        ]
    ]
    def __new__(
        cls, status: _StatusLike, pid: int, timestamp: int, nonce: int, payload: int
    ) -> Self: ...
    @staticmethod
    def decode(wire: _Bytes) -> FrameV1: ...
    def encode(self) -> bytes: ...
    @property
    def status(self) -> Status: ...
    @property
    def pid(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def nonce(self) -> int: ...
    @property
    def payload(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Cipher:
    def __new__(cls, key: _Bytes) -> Self: ...
    def seal(self, prefix: _Bytes, counter: int, frame: _Bytes) -> bytes: ...
    def seal_as(self, pid: int, prefix: _Bytes, counter: int, frame: _Bytes) -> bytes: ...
    def open(self, wire: _Bytes) -> bytes: ...
    def open_from(self, wire: _Bytes) -> bytes: ...

@final
class LastWords:
    @staticmethod
    def open(endpoint: _Path) -> LastWords: ...
    @staticmethod
    def open_udp(addr: _Address) -> LastWords: ...
    @staticmethod
    def open_secure_udp(addr: _Address, key: _Bytes) -> LastWords: ...
    def say(self) -> BeatOutcome: ...

def crc32c(data: _Bytes) -> int: ...
def classify_errno(errno: int) -> BeatOutcome: ...
def derive_agent_key(master: _Bytes, pid: int) -> bytes: ...
def derive_iv_prefix(salt: _Bytes, index: int) -> bytes: ...
def _panic(message: str) -> None: ...
