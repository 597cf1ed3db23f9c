"""What one thread does, by two readings of it."""

from dataclasses import dataclass

from .reading import LACKS_WAIT_CHANNEL, Thread

SECOND = 1_000_000_000
EVENT_WAITS = ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "epoll_pwait2", "io_uring_enter")
RECLAIMS = 0x800

# The operations of a futex, and the value with which a mutex of glibc or Rust is waited for.
PRIORITY_INHERITANCE = (6, 13)
WAITS = (0, 9)
CONTENDED = 2


@dataclass(frozen=True)
class Moved:
    """What it did in between."""

    window_ns: int = 0
    run_ns: int = 0
    wait_ns: int = 0
    slices: int = 0
    major_faults: int = 0

    def per_second(self, count: int) -> int:
        return count * SECOND // self.window_ns if self.window_ns else 0

    @property
    def demand_ns(self) -> int:
        return self.run_ns + self.wait_ns


@dataclass(frozen=True)
class Verdict:
    cause: str
    percent: int
    moved: Moved = Moved()
    # The thread for which it waits.
    other: int = 0

    @property
    def certainty(self) -> str:
        return "certain" if self.percent >= 95 else "likely" if self.percent >= 70 else "guess"


def moved_between(before: Thread, now: Thread, window: int) -> Moved:
    run, slices = now.run_ns - before.run_ns, now.slices - before.slices
    wait = now.wait_ns - before.wait_ns
    # The time that a thread waits to run is added when that wait ends.
    if now.state == "R" and slices == 0 and (before.state == "R" or run * 10 < window):
        wait = max(wait, window - run)
    faults = now.major_faults - before.major_faults
    return Moved(window, run, min(wait, window), slices, faults)


def judge_thread(
    now: Thread, moved: Moved | None, lacks: int = 0, per_beat: int | None = None, memory_pressure: bool = False
) -> Verdict:
    held = {"T": "stopped", "t": "traced"}.get(now.state)
    if held:
        return Verdict(held, 99, moved or Moved())
    if now.state == "S" and now.wait_channel == "get_signal":
        return Verdict("frozen", 90, moved or Moved())
    by_movement = moved and what_it_uses(now, moved, per_beat, memory_pressure)
    cause, percent = by_movement or what_it_waits_for(now, moved, lacks)
    joined = joined_thread(now) if cause == "waiting" else 0
    return Verdict(cause, percent, moved or Moved(), joined)


def what_it_uses(now: Thread, moved: Moved, per_beat: int | None, memory_pressure: bool) -> tuple[str, int] | None:
    """Rows 11 to 14 and 17 of the table: it runs, or wants to."""
    if moved.per_second(moved.major_faults) >= 200:
        return "memory", 80 if memory_pressure or now.flags & RECLAIMS else 65
    if moved.demand_ns * 100 >= moved.window_ns * 60:
        more_than_beats = per_beat is not None and moved.run_ns > max(3 * per_beat, 1_000_000)
        busy = moved.run_ns >= moved.demand_ns // 2 or more_than_beats
        return ("busy", 85) if busy else ("starved", 80)
    if moved.slices >= 3 and moved.per_second(moved.slices) >= 20:
        return "awake", 75
    return None


def what_it_waits_for(now: Thread, moved: Moved | None, lacks: int) -> tuple[str, int]:
    """Rows 11, 15, 16 and 18 to 21."""
    channel, call = now.wait_channel, now.call
    if now.state == "D":
        if channel.startswith("kernel_clone") or call == "vfork":
            return "child", 85
        in_call = call not in ("", "outside", "running")
        paging = channel.startswith(("folio_wait", "handle_userfault")) and not in_call
        if paging or channel.startswith("mem_cgroup"):
            return "memory", 80
        return "io", 80 if channel else 60
    if now.state != "S":
        return "unknown", 0
    if call == "futex":
        operation, value, timeout = now.arguments[1] & 0x7F, now.arguments[2], now.arguments[3]
        if operation in PRIORITY_INHERITANCE:
            return "lock", 97
        is_mutex = operation in WAITS and value == CONTENDED and timeout == 0
        return ("lock", 90) if is_mutex else ("waiting", 70)
    if call == "flock" or channel.startswith(("locks_lock_inode_wait", "fcntl_setlk")):
        return "lock", 95
    if channel.startswith("handle_userfault"):
        return "memory", 90
    if channel.startswith(("request_wait_answer", "rpc_wait", "nfs")):
        return "io", 80
    if call in ("wait4", "waitid") or channel.startswith("do_wait"):
        return "child", 90
    if channel.startswith("futex"):
        return "waiting", 50
    if not channel and (not call or lacks & LACKS_WAIT_CHANNEL):
        return "asleep", 96 if moved and moved.slices == 0 else 60
    return "idle", 60


def joined_thread(now: Thread) -> int:
    """The thread for whose end glibc waits: a futex that is not private and holds its number."""
    _, operation, value, timeout = now.arguments
    joins = now.call == "futex" and operation & 0xFF == 9 and value > CONTENDED and timeout == 0
    return value if joins else 0
