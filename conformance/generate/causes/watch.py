"""When a process is read, and what is reported of it."""

from collections import Counter
from dataclasses import asdict, dataclass, replace

from .classify import LEAST_WINDOW, NO_PERMISSION, OUTSIDE, UNKNOWN, Why, classify
from .learn import Learner
from .reading import Reading, Sample

# A silence is looked at again at these thresholds, and then every 8.
AGAIN = (2, 3, 4, 8)
THEN_EVERY = 8
# In each period readings may take this long, and one more may begin before that is over.
PERIOD, SPEND = 10_000_000, 2_000_000
# Half of that is left for processes that are silent.
LEARN = SPEND // 2


@dataclass
class Silence:
    """Of an agent, by its pid, or of a task of it, by its number."""

    pid: int
    task: int
    last: int
    threshold: int
    told: int | None
    why: Why = UNKNOWN
    next: int = 0

    def plan(self, now: int) -> None:
        """One that is held from outside is looked at every threshold, and what could not be done is made up for."""
        made = (now - self.last) // self.threshold
        if not self.why.looked_ns:
            self.next = now
        elif made < 2 and self.why.window_ns < LEAST_WINDOW:
            self.next = now + max(self.threshold // 2, LEAST_WINDOW)
        else:
            at = made + 1 if self.why.cause in OUTSIDE else next(
                (at for at in AGAIN if at > made), (made // THEN_EVERY + 1) * THEN_EVERY
            )
            self.next = max(self.last + at * self.threshold, now + LEAST_WINDOW)


class Watch:
    def __init__(self, counters: Counter[str]) -> None:
        self.counters = counters
        # What can be read, and what was read last, by pid.
        self.readings: dict[int, Reading] = {}
        self.before: dict[int, Sample] = {}
        self.learners: dict[int, Learner] = {}
        self.silences: dict[tuple[int, int], Silence] = {}
        self.asleep = 0
        self.began, self.spent = 0, 0

    def allows(self, now: int) -> bool:
        if now >= self.began + PERIOD:
            self.began, self.spent = now, 0
        return self.spent < SPEND

    def next_allowed(self, due: int) -> int:
        return due if self.spent < SPEND else max(due, self.began + PERIOD)

    def reads_early(self, now: int, pid: int, last: int) -> None:
        """An earlier reading of the same silence shows more."""
        if pid not in self.before or self.before[pid].at < last:
            sample = self._read(now, pid)
            if sample:
                self.before[pid] = sample

    def learns(self, now: int, pid: int, beats: int, fresh: bool) -> None:
        """Of a beat. Only a fresh one shows which threads ran for it."""
        learner = self.learners.setdefault(pid, Learner())
        wants_program = learner.wants_program(beats)
        looks = fresh and learner.wants(now, beats)
        if not (looks or wants_program) or not self.allows(now) or self.spent >= LEARN:
            return
        sample = self._read(now, pid)
        learner.identify(sample, beats)
        if looks:
            learner.look(sample, beats)

    def explain(self, now: int, silence: Silence) -> dict:
        """The cause of a silence that is reported now."""
        self.silences[silence.pid, silence.task] = silence
        silence.why = self._find_out(now, silence)
        silence.plan(now)
        return asdict(silence.why)

    def looks_again(self, now: int) -> list[tuple[Silence, dict]]:
        """The silences whose causes have changed."""
        changed = []
        while self.allows(now):
            due = [one for one in self.silences.values() if one.next <= now]
            if not due:
                break
            silence = min(due, key=lambda one: (one.task != 0, one.next, one.last))
            before = silence.why
            silence.why = self._find_out(now, silence)
            silence.plan(now)
            if silence.why.cause != before.cause:
                changed.append((silence, asdict(silence.why)))
        return changed

    def ends(self, pid: int, task: int = 0) -> None:
        """It gives a sign of life again. One that executed another program begins anew."""
        silence = self.silences.pop((pid, task), None)
        if silence and task == 0 and silence.why.cause == "exec":
            del self.learners[pid]

    def exits(self, pid: int) -> None:
        self.silences = {key: one for key, one in self.silences.items() if key[0] != pid}
        self.before.pop(pid, None)
        self.learners.pop(pid, None)

    def _find_out(self, now: int, silence: Silence) -> Why:
        sample = self._read(now, silence.pid)
        if sample is None:
            return UNKNOWN
        self.counters["cause_looks"] += 1
        before = self.before.get(silence.pid)
        if before and before.at < silence.last:
            before = None
        learned = self.learners.setdefault(silence.pid, Learner()).learned
        why = classify(before, sample, learned, silence.told)
        self.before[silence.pid] = sample
        hidden = silence.pid not in self.readings
        return replace(why, flags=why.flags | NO_PERMISSION) if hidden else why

    def _read(self, now: int, pid: int) -> Sample | None:
        if not self.allows(now):
            self.counters["cause_refused"] += 1
            return None
        read = self.readings.get(pid, Reading())
        self.spent += read.spent_ns
        self.counters["cause_ns"] += read.spent_ns
        return Sample(now, self.asleep, read)
