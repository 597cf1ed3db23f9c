"""A task as its process sees it: what each call promises, breaks and writes into the line.

A promise is broken from its due on: now >= due. Everything here is in nanoseconds.
"""

from dataclasses import dataclass, field, replace

from .line import NEVER, Cold, Hot, Info, Violation


@dataclass(frozen=True)
class Edge:
    """A legal step between two checkpoints, and how long it may and must take."""

    from_: int
    to: int
    min_ns: int = 0
    max_ns: int | None = None


@dataclass(frozen=True)
class Options:
    startup_ns: int | None = None
    progress_ns: int | None = None
    edges: tuple[Edge, ...] = ()
    cycle_ns: int | None = None
    least: int = 0
    most: int = 2**32 - 1
    finest_ns: int | None = None
    vital: bool = False
    roams: bool = False
    spans: int = 8


@dataclass
class Span:
    opened: int
    min_ns: int
    max_ns: int
    label: int = 0


@dataclass
class Task:
    """Each verb takes the time of the call, and leaves `hot` and `cold`."""

    number: int
    name: str
    threshold_ns: int
    options: Options
    declared: int
    hot: Hot = field(init=False)
    cold: Cold = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        self.called = False
        self.at = self.declared
        self.status, self.payload = "ok", 0
        self.idle_since: int | None = None
        self.idle_until = NEVER
        self.spans: dict[int, Span] = {}
        self.checkpoint, self.reached = 0, self.declared
        self.done, self.left = 0, 0
        self.progress_from = self.declared
        self.window: int | None = None
        self.beats = 0
        self.cold = Cold(
            self.number,
            "live",
            self.name,
            self.threshold_ns,
            min(options.finest_ns or self.threshold_ns, self.threshold_ns),
            options.vital,
            options.roams,
        )
        self._publish()

    def beat(self, now: int, status: str, payload: int) -> None:
        self._call(now)
        self.status, self.payload = status, payload
        if self.options.cycle_ns is not None:
            if self.window is None:
                self.window = now
            self.beats += 1
        self._publish()

    def idle(self, now: int, at_most: int | None = None) -> None:
        self._call(now)
        self.idle_since = now
        self.idle_until = NEVER if at_most is None else now + at_most
        self.window, self.beats = None, 0
        self._publish()

    def watch(self, now: int, span: int, max_ns: int, min_ns: int = 0, label: int = 0) -> None:
        """Opens a span. If too many are open, it is not watched."""
        self._call(now)
        if len(self.spans) < self.options.spans:
            self.spans[span] = Span(now, min_ns, max_ns, label)
        self._publish()

    def unwatch(self, now: int, span: int) -> None:
        self._call(now)
        ended = self.spans.pop(span, None)
        took = now - ended.opened if ended else 0
        if ended and took < ended.min_ns:
            self._violates("too-early", ended.label, 0, ended.min_ns - took)
        elif ended and took >= ended.max_ns:
            self._violates("too-late", ended.label, 0, took - ended.max_ns)
        self._publish()

    def reach(self, now: int, checkpoint: int) -> None:
        self._call(now)
        before, took = self.checkpoint, now - self.reached
        if self.options.edges:
            step = next((e for e in self._leaving() if e.to == checkpoint), None)
            if step is None:
                self._violates("wrong-order", before, checkpoint, 0)
            elif took < step.min_ns:
                self._violates("too-early", before, checkpoint, step.min_ns - took)
            elif step.max_ns is not None and took >= step.max_ns:
                self._violates("too-late", before, checkpoint, took - step.max_ns)
        self.checkpoint, self.reached = checkpoint, now
        self._publish()

    def progress(self, now: int, done: int, left: int) -> None:
        self._call(now)
        if done != self.done or (self.left == 0 and left > 0):
            self.progress_from = now
        self.done, self.left = done, left
        self._publish()

    def close(self, state: str = "closed") -> None:
        self.cold = replace(self.cold, state=state)

    def _call(self, now: int) -> None:
        """What every call does first: it ends idling, and judges the cycle before it."""
        if now < self.at:
            raise ValueError(f"time goes back to {now}")
        if self.idle_since is not None:
            idled = now - self.idle_since
            for span in self.spans.values():
                span.opened += idled
            self.reached += idled
            self.progress_from += idled
            self.idle_since = None
        self.called, self.at = True, now
        if self.window is not None and now >= self.window + self.options.cycle_ns:
            self._judge_cycle(now)

    def _judge_cycle(self, now: int) -> None:
        options = self.options
        if self.beats < options.least:
            self._violates("too-few", 0, 0, options.least - self.beats)
        elif self.beats > options.most:
            self._violates("too-many", 0, 0, self.beats - options.most)
        windows = (now - self.window) // options.cycle_ns
        if windows > 1 and options.least > 0:
            self._violates("too-few", 0, 0, options.least)
        self.window, self.beats = self.window + windows * options.cycle_ns, 0

    def _violates(self, rule: str, from_: int, to: int, by: int) -> None:
        self.cold = replace(
            self.cold,
            violations=self.cold.violations + 1,
            last_violation=Violation(rule, from_, to, by),
        )

    def _leaving(self) -> list[Edge]:
        return [edge for edge in self.options.edges if edge.from_ == self.checkpoint]

    def dues(self) -> list[tuple[int, str, int]]:
        """When what was promised is due, which promise that is, and its label or checkpoint. Of
        several at once, the beat is the last, because an observer knows when it is due."""
        found = [(span.opened + span.max_ns, "span", span.label) for span in self.spans.values()]
        leaving = [edge.max_ns for edge in self._leaving()]
        if leaving and None not in leaving:
            found.append((self.reached + max(leaving), "checkpoint", self.checkpoint))
        if self.options.progress_ns is not None and self.left > 0:
            due = self.progress_from + self.options.progress_ns
            found.append((due, "progress", self.checkpoint))
        within = self.threshold_ns
        if not self.called and self.options.startup_ns is not None:
            within = self.options.startup_ns
        if within != NEVER:
            found.append((self.at + within, "beat", self.checkpoint))
        return found

    def _publish(self) -> None:
        dues = self.dues()
        broken = frozenset(promise for due, promise, _ in dues if due <= self.at)
        ahead = [one for one in dues if one[0] > self.at]
        if self.idle_since is not None:
            ahead = [(self.idle_until, "beat", self.checkpoint)] if self.idle_until != NEVER else []
        nothing = (NEVER, None, self.checkpoint)
        until, which, label = min(ahead, key=lambda one: one[0], default=nothing)
        info = Info(
            self.status, which, self.idle_since is not None, broken, label, self.payload
        )
        self.hot = Hot(self.at, until, info.word(), self.left << 32 | self.done)
