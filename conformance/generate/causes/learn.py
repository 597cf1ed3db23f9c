"""What is learned from a process that beats: its executable, and which of its threads run between two beats."""

from dataclasses import dataclass, field, replace
from statistics import median_high

from .reading import Sample
from .verdict import Moved

APART = 9_000_000
INTERVALS = 7
# Fewer say nothing.
LEAST_INTERVALS = 3
# After this many beats it is learned again.
AGAIN = 512


@dataclass(frozen=True)
class Learned:
    executable: tuple[int, int] | None = None
    # By thread: the CPU time of a beat, and the share of the time that it runs.
    threads: dict[int, tuple[int, float]] = field(default_factory=dict)
    done: bool = False

    def per_beat(self, thread: int) -> int | None:
        return self.threads[thread][0] if thread in self.threads else None

    def goes_on(self, thread: int, moved: Moved) -> bool:
        """Whether it runs as much as it did before."""
        share = self.threads[thread][1]
        return share > 0 and moved.window_ns > 0 and 0.4 <= moved.run_ns / moved.window_ns / share <= 2.5


class Learner:
    """Two looks are at least 9 ms apart, and a beat is between them."""

    def __init__(self) -> None:
        self.whole = Learned()
        self.looks: list[tuple[Sample, int]] = []
        self.beats = 0
        # The number of beats when it was first seen, and at which its program is identified again.
        self.began: int | None = None
        self.identify_at = 0

    @property
    def learned(self) -> Learned:
        """What is known of its threads counts before all looks were made."""
        partial = not self.whole.done and len(self.looks) > LEAST_INTERVALS
        return self._result() if partial else self.whole

    def wants_program(self, beats: int) -> bool:
        """At its first beats, and then ever less often."""
        if self.began is None:
            self.began = beats
        return beats >= self.identify_at

    def identify(self, sample: Sample, beats: int) -> None:
        self.whole = replace(self.whole, executable=sample.read.executable or self.whole.executable)
        self.identify_at = beats + max(1, beats - (self.began or 0))

    def wants(self, now: int, beats: int) -> bool:
        if self.whole.done and beats < self.beats + AGAIN:
            return False
        return not self.looks or now >= self.looks[-1][0].at + APART

    def look(self, sample: Sample, beats: int) -> None:
        # If nothing ran, the beat was made before the last look.
        if self.looks and not any(self._ran(self.looks[-1][0], sample, one.thread) for one in sample.read.threads):
            self.looks[-1] = sample, beats
            return
        self.looks.append((sample, beats))
        if len(self.looks) == INTERVALS + 1:
            self.whole, self.beats = replace(self._result(), done=True), beats
            self.looks = []

    @staticmethod
    def _ran(before: Sample, now: Sample, thread: int) -> bool:
        old, new = before.read.thread(thread), now.read.thread(thread)
        return bool(old and new) and (new.run_ns > old.run_ns or new.slices > old.slices)

    def _result(self) -> Learned:
        pairs = list(zip(self.looks, self.looks[1:]))
        first, last = self.looks[0][0], self.looks[-1][0]
        threads = {}
        for thread in first.read.threads:
            number = thread.thread
            if sum(self._ran(a, b, number) for (a, _), (b, _) in pairs) * 4 < len(pairs) * 3:
                continue
            costs = [
                (b.read.thread(number).run_ns - a.read.thread(number).run_ns) // max(1, made - had)
                for (a, had), (b, made) in pairs
            ]
            run = last.read.thread(number).run_ns - thread.run_ns
            threads[number] = median_high(costs), run / (last.at - first.at)
        return Learned(self.whole.executable, threads)
