from os import PathLike
from typing import Any, ClassVar, Literal, TypedDict, Union, final, type_check_only

from typing_extensions import Self, disjoint_base

from varta._observer import Origin
from varta._values import BeatOutcome, DecodeError, Status, _StatusLike

__all__ = [
    "Varta",
    "Frame",
    "FrameV1",
    "crc32c",
    "AgentEvent",
    "AuthFailure",
    "Beat",
    "Decode",
    "Event",
    "Exit",
    "Io",
    "Paused",
    "Recovered",
    "Stall",
    "_panic",
    "LastWords",
    "Observer",
    "Cipher",
    "derive_agent_key",
    "derive_epoch_key",
    "derive_iv_prefix",
    "Simulated",
    "classify_errno",
]

_Path = Union[str, bytes, PathLike[str]]
_Address = tuple[str, int]
_Bytes = Union[bytes, bytearray]

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

@type_check_only
class Counters(TypedDict):
    beats: int
    bad_magic: int
    bad_version: int
    bad_crc: int
    bad_status: int
    stall_on_wire: int
    bad_pid: int
    bad_timestamp: int
    bad_nonce: int
    wrong_length: int
    auth_failures: int
    decrypt_failures: int
    replays: int
    rate_limited_agent: int
    rate_limited_global: int
    capacity_exceeded: int
    sender_memory_full: int
    uid_refused: int
    namespace_refused: int
    origin_conflicts: int
    control_truncated: int
    probes: int
    received: int
    kernel_drops: int
    evictions: int
    missed: int
    not_forward: int
    stalls: int
    recoveries: int
    exits: int
    pauses: int
    io_errors: int
    open_attempts: int

@final
class Varta:
    @classmethod
    def open(
        cls,
        endpoint: _Path | None = None,
        *,
        follow: bool = True,
        reconnect_after: int = 0,
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
    def reconnect(self) -> None: ...
    def set_reconnect_after(self, n: int | None) -> None: ...
    def clock_regressions(self) -> int: ...
    def fork_recoveries(self) -> int: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@disjoint_base
class Observer:
    def __new__(cls, *endpoints: _Path, **settings: Any) -> Self: ...
    @property
    def closed(self) -> bool: ...
    def poll(self, timeout: float | None = None) -> Event | None: ...
    def agents(self) -> list[AgentInfo]: ...
    def stats(self) -> Counters: ...
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
    ) -> None: ...
    def advance(self, at_ns: int) -> None: ...
    def exit(
        self, at_ns: int, pid: int, code: int | None = None, signal: int | None = None
    ) -> bool: ...
    def late(self, at_ns: int, due_ns: int) -> None: ...
    def suspended(self, at_ns: int, ns: int) -> None: ...
    def set_threshold(self, agent: int, threshold_ns: int) -> bool: ...
    def set_namespace(
        self, pid: int, namespace: Literal["same", "other", "unknown"]
    ) -> None: ...
    def poll(self) -> Event | None: ...
    def agents(self) -> list[AgentInfo]: ...
    def stats(self) -> Counters: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...

@disjoint_base
class Event:
    @property
    def observer_ns(self) -> int: ...
    @property
    def kind(
        self,
    ) -> Literal[
        "beat", "stall", "recovered", "exit", "decode", "auth-failure", "io", "paused"
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

@final
class Beat(AgentEvent):
    __match_args__: ClassVar[
        tuple[
            Literal["agent"],
            Literal["status"],
            Literal["payload"],
            Literal["nonce"],
            Literal["missed"],
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

@final
class Stall(AgentEvent):
    __match_args__: ClassVar[
        tuple[Literal["agent"], Literal["last_nonce"], Literal["last_ns"]]
    ]
    @property
    def last_nonce(self) -> int: ...
    @property
    def last_ns(self) -> int: ...

@final
class Recovered(AgentEvent):
    __match_args__: ClassVar[tuple[Literal["agent"], Literal["silent_ns"]]]
    @property
    def silent_ns(self) -> int: ...

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
def derive_epoch_key(agent: _Bytes, epoch: int) -> bytes: ...
def _panic(message: str) -> None: ...
