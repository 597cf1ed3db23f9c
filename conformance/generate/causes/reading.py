"""What can be read of a process, as a story sets it."""

from dataclasses import asdict, dataclass, fields

# What cannot be read without a permission that the observer lacks: bits of `lacks`.
LACKS_WAIT_CHANNEL = 1


@dataclass(frozen=True)
class Thread:
    thread: int
    state: str = "S"
    run_ns: int = 0
    wait_ns: int = 0
    slices: int = 0
    flags: int = 0
    major_faults: int = 0
    stop_signal: int = 0
    # The kernel function and the system call in which it waits; empty if that is not known.
    wait_channel: str = ""
    call: str = ""
    arguments: tuple[int, ...] = (0, 0, 0, 0)


@dataclass(frozen=True)
class Reading:
    threads: tuple[Thread, ...] = ()
    # How long it takes to read the process.
    spent_ns: int = 0
    # 0 or empty if it is not known, here and below.
    cpu_ns: int = 0
    thread_count: int = 0
    lacks: int = 0
    device: int = 0
    inode: int = 0
    name: str = ""
    dumping: bool = False
    killed: bool = False
    tracer: int = 0
    frozen: bool = False
    under_oom: bool = False
    group: str = ""
    quota_periods: int = 0
    quota_throttled: int = 0
    memory_pressure_ns: int = 0

    @property
    def executable(self) -> tuple[int, int] | None:
        return (self.device, self.inode) if self.device or self.inode else None

    def thread(self, number: int) -> Thread | None:
        return next((thread for thread in self.threads if thread.thread == number), None)


@dataclass(frozen=True)
class Sample:
    """A reading, and the observer's time when it was made."""

    at: int
    # For how long the system had been suspended until then.
    asleep: int
    read: Reading

    def window(self, before: "Sample | None") -> int:
        """The time since an earlier one, without that in which the system was suspended."""
        if before is None:
            return 0
        return (self.at - self.asleep) - (before.at - before.asleep)


def text(read: Reading | Thread) -> dict:
    """The fields that are not at their defaults, in a step of a story."""
    defaults = {field.name: field.default for field in fields(read)}
    said = {name: value for name, value in asdict(read).items() if value != defaults[name]}
    said.pop("threads", None)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
