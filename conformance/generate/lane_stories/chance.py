"""Stories made by chance: processes whose tasks make any calls at any time.

They state no events of their own; they hold the second implementation and others against each other.
"""

from values import derived_u64

from .book import ANYTHING, MS, NEVER, S, Edge, Named, Process, Story, story

STEPS = 60
TIMES = (0, 1, 1 * MS, 7 * MS, 50 * MS, 99 * MS, 100 * MS, 250 * MS, 700 * MS, 2 * S)
LIMITS = (1 * MS, 5 * MS, 100 * MS, 250 * MS, 1 * S)
EDGES = (
    Edge(0, 1, max_ns=1 * S),
    Edge(1, 2, min_ns=5 * MS, max_ns=250 * MS),
    Edge(1, 3),
    Edge(2, 1, max_ns=100 * MS),
    Edge(2, 0),
    Edge(3, 2, min_ns=1, max_ns=2),
)


class Chance:
    """Numbers that only look random."""

    def __init__(self, name: str):
        self.name = name
        self.count = 0

    def below(self, limit: int) -> int:
        self.count += 1
        return derived_u64(f"chance/{self.name}/{self.count}") % limit

    def of(self, values: tuple) -> object:
        return values[self.below(len(values))]


class Traces:
    """What one process does."""

    def __init__(self, s: Story, name: str):
        self.s, self.chance = s, Chance(name)
        self.app = Process(4321)
        self.tasks: list[Named] = []
        self.spans: list[tuple[Named, int]] = []
        self.opened = 0
        self.at = 0

    def run(self) -> None:
        self.s.joins(0, self.app)
        for _ in range(STEPS):
            self.at += self.chance.of(TIMES)
            if self.chance.below(3) == 0:
                self.look()
            elif not self.tasks or self.chance.below(12) == 0:
                self.declare()
            else:
                self.call(self.chance.of(tuple(self.tasks)))
        self.s.polls(self.at + 10 * S, *ANYTHING)

    def look(self) -> None:
        if self.chance.below(4) == 0:
            self.s.rings(self.at, self.app, *ANYTHING)
        else:
            self.s.polls(self.at, *ANYTHING)

    def declare(self) -> None:
        if len(self.tasks) == 4:
            task = self.tasks.pop(self.chance.below(4))
            self.spans = [open for open in self.spans if open[0] is not task]
            self.s.closes(self.at, task, self.chance.of(("closed", "failed")))
        options = {
            "startup_ns": self.chance.of((None, 2 * S)),
            "progress_ns": self.chance.of((None, 100 * MS)),
            "edges": self.chance.of(((), EDGES)),
            "finest_ns": self.chance.of((None, 20 * MS)),
        }
        if self.chance.below(2):
            options |= {"cycle_ns": 250 * MS, "least": 1, "most": self.chance.of((2, 3))}
        threshold = self.chance.of((100 * MS, 1 * S, NEVER))
        name = self.chance.of(("ingest", "worker"))
        self.tasks.append(self.s.declares(self.at, self.app, name, threshold=threshold, **options))

    def call(self, task: Named) -> None:
        chance, s, at = self.chance, self.s, self.at
        own = [open for open in self.spans if open[0] is task]
        verb = chance.below(8)
        if verb == 0 or (verb == 1 and not own):
            self.opened += 1
            # Of two that are due at once either may be published.
            max_ns = chance.of(LIMITS) + self.opened
            limits = {"max_ns": max_ns, "min_ns": chance.of((0, 1 * MS, 5 * MS))}
            s.calls(at, task, "watch", span=self.opened, label=chance.below(100), **limits)
            self.spans.append((task, self.opened))
        elif verb == 1:
            ended = own[chance.below(len(own))]
            self.spans.remove(ended)
            s.calls(at, task, "unwatch", span=ended[1])
        elif verb == 2:
            at_most = {} if chance.below(2) else {"at_most": chance.of(LIMITS)}
            s.calls(at, task, "idle", **at_most)
        elif verb in (3, 4):
            s.calls(at, task, "reach", checkpoint=chance.below(4))
        elif verb == 5:
            s.calls(at, task, "progress", done=chance.below(3), left=chance.below(3))
        elif verb == 6:
            s.beats(at, self.app, status=chance.of(("ok", "degraded", "critical")))
        else:
            status = chance.of(("ok", "degraded", "critical"))
            s.calls(at, task, "beat", status=status, payload=chance.below(2**32))


def by_chance(number: int) -> None:
    """Adds a story to this chapter."""

    @story()
    def write(s: Story) -> None:
        """Any calls at any time."""
        Traces(s, str(number)).run()

    write.__name__ = f"by_chance_{number}"
    globals()[write.__name__] = write


for number in range(1, 9):
    by_chance(number)
