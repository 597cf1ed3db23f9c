"""Value types: the outcomes of beats, and the fields of frames and events.

The native module returns these objects, so that there is only one of each. Their names and
numbers are the same in every language. To keep the import of the package cheap, annotations are
strings, and modules that only type checkers need are not imported.
"""

from enum import Enum, IntEnum

from varta import _varta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Literal, NoReturn, Union

    from typing_extensions import Self

    _Kind = Literal["sent", "dropped", "failed"]
    _StatusLike = Union["Status", int, Literal["ok", "degraded", "critical"]]

NONCE_TERMINAL = 2**64 - 1
"""The nonce that, with CRITICAL, marks the last words of a process."""


class Status(IntEnum):
    """The status that an agent reports. Only an observer uses STALL; it is never sent."""

    OK = 0
    DEGRADED = 1
    CRITICAL = 2
    STALL = 3


class DropReason(str, Enum):
    """Why a beat was dropped."""

    KERNEL_QUEUE_FULL = "kernel queue full"
    NO_OBSERVER = "no observer"
    PEER_GONE = "peer gone"
    STORAGE_FULL = "storage full"
    WITHHELD = "withheld"
    NOT_CONFIGURED = "not configured"


class _Frozen:
    """Base of classes whose attributes are set only by the constructor."""

    __slots__ = ()
    __match_args__: "ClassVar[tuple[str, ...]]" = ()

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __setattr__(self, name: str, value: object) -> "NoReturn":
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __delattr__(self, name: str) -> "NoReturn":
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()))

    def __repr__(self) -> str:
        pairs = zip(self.__match_args__, self._values())
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"

    def __reduce__(self) -> "tuple[type[Self], tuple[object, ...]]":
        return type(self), self._values()


class BeatError(_Frozen):
    """Why a beat failed: the errno, and a name, which is always set."""

    __slots__ = ("errno", "kind")
    __match_args__ = ("errno", "kind")

    UNKNOWN_ERRNO: "ClassVar[int]" = 0
    """The errno of an error that did not come from the operating system."""

    errno: int
    kind: str

    def __init__(self, errno: int, kind: str) -> None:
        object.__setattr__(self, "errno", errno)
        object.__setattr__(self, "kind", kind)

    def __str__(self) -> str:
        return str(self.to_oserror()) if self.errno != self.UNKNOWN_ERRNO else self.kind

    def to_oserror(self) -> OSError:
        """Returns the error as an OSError, of the subclass for its errno."""
        if self.errno == self.UNKNOWN_ERRNO:
            return OSError(self.errno, self.kind)
        from os import strerror

        return OSError(self.errno, strerror(self.errno))

    @staticmethod
    def from_oserror(exc: OSError) -> "BeatError":
        """Creates a BeatError from an OSError."""
        if not exc.errno:
            return BeatError(BeatError.UNKNOWN_ERRNO, type(exc).__name__)
        return BeatError(exc.errno, _name(exc.errno, type(exc).__name__))


class BeatOutcome(_Frozen):
    """The outcome of a beat. Sent and dropped outcomes are shared objects."""

    __slots__ = ("kind", "reason", "error")
    __match_args__ = ("kind", "reason", "error")

    kind: "_Kind"
    reason: "DropReason | None"
    error: "BeatError | None"

    def __init__(
        self,
        kind: "_Kind",
        reason: "DropReason | None" = None,
        error: "BeatError | None" = None,
    ) -> None:
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "reason", reason)
        object.__setattr__(self, "error", error)

    @staticmethod
    def sent() -> "BeatOutcome":
        """The kernel accepted the datagram."""
        return SENT

    @staticmethod
    def dropped(reason: DropReason) -> "BeatOutcome":
        """The beat was not delivered, for a temporary reason."""
        return _DROPPED[DropReason(reason)]

    @staticmethod
    def failed(error: BeatError) -> "BeatOutcome":
        """The beat failed, for a reason that does not go away by itself."""
        return BeatOutcome("failed", None, error)

    @property
    def is_sent(self) -> bool:
        """Whether the kernel accepted the datagram."""
        return self.kind == "sent"

    @property
    def is_dropped(self) -> bool:
        """Whether the beat was dropped; `reason` is the cause."""
        return self.kind == "dropped"

    @property
    def is_failed(self) -> bool:
        """Whether the beat failed; `error` is the cause."""
        return self.kind == "failed"

    def __str__(self) -> str:
        if self.reason is not None:
            return f"{self.kind}: {self.reason.value}"
        return self.kind if self.error is None else f"{self.kind}: {self.error}"


class DecodeError(Exception):
    """Why 32 bytes are not a valid frame. `kind` is a name like BadCrc."""

    kind: str

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind = kind

    def __str__(self) -> str:
        kind, detail = self.args
        return f"{kind}: {detail}" if detail else str(kind)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.args == self.args

    def __hash__(self) -> int:
        return hash(self.args)


class AuthError(Exception):
    """A frame was not sealed with this key, or was changed in transit."""


SENT = BeatOutcome("sent")
DROPPED = tuple(BeatOutcome("dropped", reason) for reason in DropReason)
STATUSES = tuple(Status)
_DROPPED = dict(zip(DropReason, DROPPED))


def failed(errno: int, kind: str) -> "BeatOutcome":
    """Creates the outcome of a failed beat, for the native module."""
    return BeatOutcome.failed(BeatError(errno, _name(errno, kind)))


def _name(errno: int, default: str) -> str:
    from errno import errorcode

    return errorcode.get(errno, default)


def classify_send_error(exc: OSError) -> "BeatOutcome":
    """Returns the beat outcome for an error of a send."""
    if not isinstance(exc, OSError):
        raise TypeError(f"exc: expected an OSError, not {type(exc).__name__}")
    number = exc.errno or _errno_of_class(exc)
    if not number:
        return BeatOutcome.failed(BeatError.from_oserror(exc))
    return _varta.classify_errno(number)


def _errno_of_class(exc: OSError) -> int:
    """Returns the errno for the exception's class, or 0 if the class has none."""
    import errno

    classes = {
        BlockingIOError: errno.EAGAIN,
        FileNotFoundError: errno.ENOENT,
        ConnectionRefusedError: errno.ECONNREFUSED,
        ConnectionResetError: errno.ECONNRESET,
        BrokenPipeError: errno.EPIPE,
    }
    return next((number for kind, number in classes.items() if isinstance(exc, kind)), 0)
