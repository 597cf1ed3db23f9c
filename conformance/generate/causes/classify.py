"""The decision table: from two readings of a process to the cause of its silence. The first row that fits decides."""

from dataclasses import dataclass, field, replace

from .learn import Learned
from .reading import Sample, Thread
from .verdict import EVENT_WAITS, Moved, Verdict, judge_thread, moved_between

IN_EVENT_WAIT, TRACER, MANY_THREADS, NO_PERMISSION, SHORT_WINDOW = 1, 2, 4, 8, 16

# A time between two readings that is shorter tells little.
LEAST_WINDOW = 20_000_000
SUSPENDED = 50_000_000
EXITING = 4

OUTSIDE = ("suspended", "stopped", "traced", "frozen", "dumping", "dying", "throttled", "starved")
# The evidence that explains a silence best comes first, if it is not known which thread beats.
EVIDENCE = (
    ("stopped", "traced", "frozen"), ("lock",), ("io",), ("memory",), ("busy",), ("child",), ("starved",),
    ("awake",), ("waiting",), ("idle",), ("asleep",),
)
MEANS_SOMETHING = 6
# How sure it is which of several threads hangs, if it is not known which one beats.
MOST_OF_A_GUESS = 60
QUIET = ("awake", "idle", "waiting")


@dataclass(frozen=True)
class Why:
    """What was found out: the object `why` of a story."""

    cause: str = "unknown"
    certainty: str = "guess"
    flags: int = 0
    thread: int = 0
    other: int = 0
    looked_ns: int = 0
    signal: int = 0
    window_ns: int = 0
    run_ns: int = 0
    wait_ns: int = 0
    switches: int = 0
    major_faults: int = 0
    detail: str = ""


UNKNOWN = Why()


@dataclass(frozen=True)
class Evidence:
    before: Sample | None
    now: Sample
    learned: Learned
    told: int | None
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    @property
    def window(self) -> int:
        return self.now.window(self.before)

    @property
    def memory_pressure(self) -> bool:
        if self.before is None:
            return False
        before, now = self.before.read.memory_pressure_ns, self.now.read.memory_pressure_ns
        return bool(before and now) and (now - before) * 5 > self.window

    def moved(self, thread: Thread) -> Moved | None:
        before = self.before and self.before.read.thread(thread.thread)
        return moved_between(before, thread, self.window) if before else None

    def verdict(self, thread: Thread) -> Verdict:
        per_beat = self.learned.per_beat(thread.thread)
        return judge_thread(thread, self.moved(thread), self.now.read.lacks, per_beat, self.memory_pressure)


def classify(before: Sample | None, now: Sample, learned: Learned, told: int | None) -> Why:
    short = before is not None and now.window(before) < LEAST_WINDOW
    evidence = Evidence(None if short else before, now, learned, told)
    why = of_process(evidence) or of_thread(evidence) or by_clock(evidence)
    read = now.read
    flags = why.flags
    flags |= TRACER if read.tracer else 0
    flags |= MANY_THREADS if max(read.thread_count, len(read.threads)) > 1 else 0
    flags |= NO_PERMISSION if read.lacks else 0
    flags |= SHORT_WINDOW if short else 0
    certainty = "guess" if short and why.certainty != "certain" else why.certainty
    window = why.window_ns or evidence.window
    return replace(why, flags=flags, certainty=certainty, window_ns=window, looked_ns=now.at)


def of_process(evidence: Evidence) -> Why | None:
    """Rows 1 to 10, of which only the one of a learned thread is not certain."""
    now, read = evidence.now, evidence.now.read
    if evidence.before and now.asleep - evidence.before.asleep > SUSPENDED:
        return Why("suspended", "certain")
    if read.dumping:
        return Why("dumping", "certain")
    if not read.threads:
        return None
    living = [thread for thread in read.threads if thread.state not in "ZX"]
    if not living or read.killed or all(thread.flags & EXITING for thread in read.threads):
        return Why("dying", "certain")
    if all(thread.state == "t" for thread in living):
        return Why("traced", "certain", other=read.tracer)
    if all(thread.state == "T" for thread in living):
        return Why("stopped", "certain", signal=max(thread.stop_signal for thread in living))
    if read.frozen:
        return Why("frozen", "certain", detail=f"cgroup {read.group}".strip())
    if read.under_oom:
        return Why("memory", "certain", detail=f"out of memory in cgroup {read.group}".strip())
    return changed(evidence)


def changed(evidence: Evidence) -> Why | None:
    read, learned, told = evidence.now.read, evidence.learned, evidence.told
    leader = read.threads[0]
    beats = leader.thread == told if told else leader.thread in learned.threads or not learned.threads
    if leader.state in "ZX" and beats:
        return Why("leader-exited", "certain", thread=leader.thread)
    if learned.executable and read.executable and learned.executable != read.executable:
        return Why("exec", "certain", detail=read.name)
    for thread in [told] if told else learned.threads:
        found = read.thread(thread)
        if found is None or found.state in "ZX":
            return Why("thread-gone", "certain" if told else "likely", thread=thread)
    return None


def of_thread(evidence: Evidence) -> Why | None:
    """Rows 11 to 21, for the thread that hangs."""
    suspects = find_suspects(evidence)
    if not suspects:
        return None
    thread, verdict = choose(evidence, suspects)
    cause, percent = verdict.cause, verdict.percent
    detail = " ".join(word for word in (thread.wait_channel, thread.call) if word not in ("", "running", "outside"))
    quota = ended_by_quota(evidence, thread)
    if quota and cause == "starved":
        cause, percent, detail = "throttled", 90, f"quota {quota[0]} of {quota[1]} periods"
    waits = thread.call in EVENT_WAITS or (not thread.call and thread.wait_channel.startswith("ep_poll"))
    moved = verdict.moved
    return Why(
        cause=cause,
        certainty=replace(verdict, percent=percent).certainty,
        flags=IN_EVENT_WAIT if waits and thread.state == "S" else 0,
        thread=thread.thread,
        other=evidence.now.read.tracer if cause == "traced" else verdict.other,
        signal=thread.stop_signal if cause == "stopped" else 0,
        window_ns=moved.window_ns,
        run_ns=moved.run_ns,
        wait_ns=moved.wait_ns,
        switches=moved.slices,
        major_faults=moved.major_faults,
        detail=detail,
    )


def ended_by_quota(evidence: Evidence, thread: Thread) -> tuple[int, int] | None:
    """How often, and of how many periods; a long period may have begun and ended outside of the window."""
    if evidence.before is None or not evidence.now.read.quota_periods:
        return None
    before, now = evidence.before.read, evidence.now.read
    times, periods = now.quota_throttled - before.quota_throttled, now.quota_periods - before.quota_periods
    all_along = periods == 0 and now.quota_throttled > 0 and thread.state == "R"
    return (times, periods) if times > 0 or all_along else None


def find_suspects(evidence: Evidence) -> list[Thread]:
    """The thread that was told, those that were learned and changed, or all."""
    read, learned = evidence.now.read, evidence.learned
    if evidence.told:
        return [thread for thread in read.threads if thread.thread == evidence.told]
    known = [thread for number in learned.threads if (thread := read.thread(number))]
    if len(known) < 2 or evidence.before is None:
        return known or list(read.threads)
    moved = {thread.thread: evidence.moved(thread) or Moved() for thread in known}
    asleep = [one for one in known if moved[one.thread].slices == 0 and one.state in "SDTtI"]
    changed = [one for one in known if not learned.goes_on(one.thread, moved[one.thread])]
    awake = [one for one in changed if one.state == "R" and moved[one.thread].demand_ns * 10 >= evidence.window * 9]
    return asleep or awake or changed or list(read.threads)


def choose(evidence: Evidence, suspects: list[Thread]) -> tuple[Thread, Verdict]:
    judged = [(thread, evidence.verdict(thread)) for thread in suspects]

    def rank(verdict: Verdict) -> int:
        return next((at for at, causes in enumerate(EVIDENCE) if verdict.cause in causes), len(EVIDENCE))

    # One that turns while others hang does other work.
    if len(judged) > 1:
        judged = [
            (thread, replace(verdict, percent=max(0, verdict.percent - 30)))
            if verdict.cause in QUIET and verdict.moved.slices > 2
            else (thread, verdict)
            for thread, verdict in judged
        ]
    if evidence.told or evidence.learned.threads:
        return min(judged, key=lambda one: (-one[1].percent, rank(one[1])))
    leader = evidence.now.read.threads[0]

    def order(one: tuple[Thread, Verdict]) -> tuple[bool, int, int]:
        first = one[0] is leader and rank(one[1]) <= MEANS_SOMETHING
        return not first, rank(one[1]), -one[1].percent

    thread, verdict = min(judged, key=order)
    if len(evidence.now.read.threads) > 1 and verdict.cause not in EVIDENCE[0]:
        verdict = replace(verdict, percent=min(verdict.percent, MOST_OF_A_GUESS))
    return thread, verdict


def by_clock(evidence: Evidence) -> Why:
    """All that is known of a process whose threads are hidden."""
    before, now = evidence.before, evidence.now
    if before is None or not before.read.cpu_ns or not now.read.cpu_ns:
        return UNKNOWN
    run, window = now.read.cpu_ns - before.read.cpu_ns, evidence.window
    return Why("busy" if run >= window // 2 else "unknown", run_ns=run, window_ns=window)
