"""Writing a story of processes that beat through pages.

A story says what the processes do and when the observer looks. What their calls write comes from
`lane.task`, and what the observer reports from `lane.judge`. Each story also states the events in
short, so that an error in those two does not go unnoticed.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from types import ModuleType

import wire
from causes import reading
from causes.reading import Reading
from lane import line
from lane.judge import Judge, Page
from lane.line import NEVER, PROMISES, Cold, Head, Hot, Info
from lane.task import Edge, Options, Task
from stories.senders import UID
from wire import Beat

MS = 1_000_000
S = 1_000 * MS
THRESHOLD = 2 * S
# For a story that is made by chance and states no events.
ANYTHING = ("anything",)
# Where the times of a story begin: a line whose time is 0 is no news.
START = 1 * S


@dataclass
class Process:
    """A process that has a page, or is to get one: or one of several copies of the library in it."""

    pid: int
    copy: int = 0
    page: Page = field(default_factory=Page)
    nonce: int = 0
    live: int = 0
    numbers: int = 0

    def __post_init__(self) -> None:
        self.page.cold[0] = self.head()

    def head(self) -> bytes:
        return Head(self.live, self.pid).wire()

    @property
    def key(self) -> tuple[int, int]:
        return self.pid, self.copy

    @property
    def where(self) -> dict[str, int]:
        """What names it in a step."""
        return {"pid": self.pid, **({"copy": self.copy} if self.copy else {})}


@dataclass
class Named:
    """A task of a process, and the pair of lines that it has."""

    process: Process
    pair: int
    task: Task


class Story:
    def __init__(self, id: str, description: str, config: dict):
        self.id = id
        self.description = description
        self.config = {"threshold_ns": THRESHOLD, "uids": [UID], "lane": True, "tasks": True, **config}
        self.steps: list[dict] = []
        self.events: list[dict] = []
        self.judge = Judge(self.config)

    @staticmethod
    def of(chapter: ModuleType) -> Iterator["Story"]:
        """The stories of a chapter, in its order."""
        for write in vars(chapter).values():
            if isinstance(config := getattr(write, "config", None), dict):
                description = " ".join((write.__doc__ or "").split())
                story = Story(write.__name__.replace("_", "-"), description, config)
                write(story)
                yield story

    # What a process does.

    def attaches(self, at: int, process: Process, nonce: int = 0) -> None:
        """It asks for a page and gets one, into which it puts what it wrote before."""
        at += START
        process.nonce = nonce
        offer = {"threshold_ns": self.judge.threshold, "tasks": self.config["tasks"]}
        self._step(at, "attach", **process.where, uid=UID, nonce=nonce, page=offer)
        self.judge.attach(at, process.key, process.page, nonce)

    def is_refused(self, at: int, process: Process, errno: int, uid: int = UID) -> None:
        at += START
        self._step(at, "attach", **process.where, uid=uid, nonce=0, errno=errno)
        self.judge.refuse()

    def maps(self, at: int, process: Process, *expected: str) -> None:
        at += START
        self._step(at, "mapped", **process.where)
        self.judge.mapped(at, process.key)
        self._expect(*expected)

    def joins(self, at: int, process: Process, *expected: str, nonce: int = 0) -> None:
        self.attaches(at, process, nonce)
        self.maps(at, process, *expected)

    def beats(self, at: int, process: Process, status: str = "ok", payload: int = 0, count: int = 1) -> None:
        """The process beats `count` times until `at`."""
        at += START
        process.nonce += count
        hot = Hot(self.clock(at), 0, Info(status, payload=payload).word(), process.nonce)
        self._write(at, process, 0, hot=hot, times=count)

    def sends(
        self, at: int, process: Process, *expected: str, status: str = "ok", payload: int = 0, fresh: bool = False
    ) -> None:
        """The process beats by a datagram. A fresh one woke the observer, so that it may learn from it."""
        at += START
        process.nonce += 1
        frame = wire.encode(Beat(status, process.pid, at, process.nonce, payload))
        sender = {"pid": process.pid, "uid": UID}
        flags = {"fresh": True} if fresh else {}
        self._step(at, "frame", listener="uds", sender=sender, hex=frame.hex(), **flags)
        self.judge.datagram(at, process.pid, status, payload, process.nonce, fresh)
        self._expect(*expected)

    def declares(
        self, at: int, process: Process, name: str, threshold: int = S, thread: int = 0, **options: object
    ) -> Named:
        at += START
        pair = next(pair for pair in range(1, line.PAIRS) if not process.live >> pair & 1)
        process.numbers += 1
        task = Task(process.numbers, name, threshold, Options(**options), self.clock(at))
        before = process.page.cold[pair]
        ended = Cold.of_wire(before).state if any(before) else "free"
        task.cold = replace(task.cold, ended=ended, thread=thread)
        process.live |= 1 << pair
        given = {"threshold_ns": threshold, "options": options_text(task.options)}
        self._call(at, Named(process, pair, task), "declare", name=name, **given)
        self._write(at, process, 0, cold=process.head())
        return Named(process, pair, task)

    def calls(self, at: int, named: Named, verb: str, **given: object) -> None:
        """A call of a task: beat, idle, watch, unwatch, reach or progress."""
        at += START
        if verb == "beat":
            given = {"status": "ok", "payload": 0, **given}
        getattr(named.task, verb)(self.clock(at), **given)
        names = {"at_most": "at_most_ns"}
        self._call(at, named, verb, **{names.get(name, name): value for name, value in given.items()})

    def closes(self, at: int, named: Named, state: str = "closed") -> None:
        at += START
        named.task.close(state)
        process = named.process
        process.live &= ~(1 << named.pair)
        self._step(at, "close", **process.where, pair=named.pair, state=state)
        process.page.cold[named.pair] = named.task.cold.wire()
        process.page.cold[0] = process.head()

    def writes(self, at: int, process: Process, pair: int, hot: Hot) -> None:
        """The process writes whatever it likes into a hot line."""
        at += START
        moved = (time + START if 0 < time < NEVER else time for time in (hot.at, hot.until))
        self._write(at, process, pair, hot=Hot(*moved, hot.info, hot.last))

    # What the observer does, and what happens to it.

    def rings(self, at: int, process: Process, *expected: str) -> None:
        at += START
        self._step(at, "bell", **process.where)
        self.judge.bell(at, process.key)
        self._expect(*expected)

    def polls(self, at: int, *expected: str) -> None:
        at += START
        self._step(at, "poll")
        self.judge.poll(at)
        self._expect(*expected)

    def detaches(self, at: int, process: Process, *expected: str) -> None:
        """The connection ends, and the process lives on."""
        at += START
        self._step(at, "detach", **process.where)
        self.judge.detach(at, process.key)
        self._expect(*expected)

    def exits(self, at: int, process: Process, *expected: str, **cause: int) -> None:
        at += START
        self._step(at, "exit", pid=process.pid, **cause)
        self.judge.exit(at, process.pid, **cause)
        self._expect(*expected)

    def comes_late(self, at: int, due: int, *expected: str) -> None:
        at += START
        self._step(at, "late", due_ns=due + START)
        self.judge.late(at, due + START)
        self._expect(*expected)

    def was_suspended(self, at: int, ns: int) -> None:
        """The system was suspended until now, and the clock of processes stood still."""
        at += START
        self._step(at, "suspend", ns=ns)
        self.judge.suspended(at, ns)
        self._expect("observer paused")

    def runs(self, at: int, process: Process, program: str) -> None:
        """The name of its program."""
        at += START
        self._step(at, "program", pid=process.pid, name=program)
        self.judge.programs[process.pid] = program

    def declares_name(self, at: int, process: Process, name: str) -> None:
        """The name by which its events and its agent are known from now on."""
        at += START
        self._step(at, "name", pid=process.pid, name=name)
        self.judge.names[process.pid] = name

    def loses_thread(self, at: int, process: Process, thread: int) -> None:
        """From now on the process has no thread with this id."""
        at += START
        self._step(at, "thread_gone", pid=process.pid, thread=thread)
        self.judge.gone.add((process.pid, thread))

    def reads(self, at: int, process: Process, read: Reading) -> None:
        """From now on this can be read of the process, if anyone reads it."""
        at += START
        self._step(at, "reading", pid=process.pid, **reading.text(read))
        for thread in read.threads:
            self._step(at, "thread_reading", pid=process.pid, **reading.text(thread))
        if self.judge.watch:
            self.judge.watch.readings[process.pid] = read

    def sets_threshold(self, at: int, agent: int, ns: int) -> None:
        at += START
        self._step(at, "set_threshold", agent=agent, ns=ns)
        self.judge.set_threshold(at, agent, ns)

    def clock(self, at: int) -> int:
        """The clock of processes."""
        return at - self.judge.asleep

    def document(self) -> dict:
        return {
            "id": self.id,
            "description": self.description,
            "config": self.config,
            "steps": self.steps,
            "events": self.events,
            "counters": {name: count for name, count in self.judge.counters.items() if count},
        }

    def _call(self, at: int, named: Named, verb: str, **given: object) -> None:
        """A step with the call and, for a runner that has no tasks, with what it writes."""
        task, page, pair = named.task, named.process.page, named.pair
        known = page.cold[pair]
        page.hot[pair] = line.write(page.hot[pair], task.hot)
        page.cold[pair] = task.cold.wire()
        cold = {} if page.cold[pair] == known else {"cold": cold_text(task.cold)}
        where = named.process.where
        self._step(at, "call", **where, pair=pair, verb=verb, **given, **cold, hot=hot_text(task.hot, at))

    def _write(
        self, at: int, process: Process, pair: int, cold: bytes | None = None, hot: Hot | None = None, times: int = 1
    ) -> None:
        written = {}
        if cold is not None:
            process.page.cold[pair] = cold
            head = Head.of_wire(cold)
            written["head"] = {"layout": head.layout, "live": head.live, "thread": head.thread}
        if hot is not None:
            for _ in range(times):
                process.page.hot[pair] = line.write(process.page.hot[pair], hot)
            written["hot"] = hot_text(hot, at)
            if times != 1:
                written["times"] = times
        self._step(at, "write", **process.where, pair=pair, **written)

    def _step(self, at: int, op: str, **fields: object) -> None:
        if self.steps and at < self.steps[-1]["at_ns"]:
            raise ValueError(f"{self.id}: time goes back to {at}")
        self.steps.append({"at_ns": at, "op": op, **fields})

    def _expect(self, *expected: str) -> None:
        said = [short(event) for event in self.judge.events]
        if expected != ANYTHING and said != list(expected):
            step = self.steps[-1]
            raise ValueError(f"{self.id}: {step}\n  the story says {list(expected)}\n  the judge says {said}")
        self.events += [{"step": len(self.steps) - 1, **event} for event in self.judge.events]
        self.judge.events.clear()


def short(event: dict) -> str:
    """An event in a few words."""
    kind = event["kind"]
    name = next((event[part] for part in ("task_name", "label", "pid") if part in event), "observer")
    words = {
        "beat": lambda: f"beat x{event['count']}" if "count" in event else "beat",
        "stall": lambda: " ".join(["stall", *([event["promise"]] if "promise" in event else [])]),
        "recovered": lambda: " ".join(["recovered", *([event["promise"]] if "promise" in event else [])]),
        "ended": lambda: event["how"],
        "violation": lambda: f"{event['rule']} x{event['count']}",
    }
    why = event.get("why")
    thread = f" {why['thread']}" if why and why["thread"] else ""
    reason = f" ({why['cause']}{thread})" if why else ""
    return f"{name} {words.get(kind, lambda: kind)()}{reason}"


def hot_text(hot: Hot, at: int) -> dict:
    """A hot line for a reader; `at` is left out if it is the time of the step."""
    try:
        info = Info.of_word(hot.info)
    except line.Invalid:
        said = {"info": hot.info}
    else:
        said = asdict(info)
        said["broken"] = [promise for promise in PROMISES[1:] if promise in info.broken]
    when = {} if hot.at == at else {"at": hot.at}
    return {**when, "until": hot.until, **said, "last": hot.last}


def cold_text(cold: Cold) -> dict:
    last = cold.last_violation
    said = asdict(cold)
    if last:
        said["last_violation"] = {"rule": last.rule, "from": last.from_, "to": last.to, "by": last.by}
    return said


def options_text(options: Options) -> dict:
    """The options that are not at their defaults."""
    defaults = asdict(Options())
    chosen = {name: value for name, value in asdict(options).items() if value != defaults[name]}
    if "edges" in chosen:
        chosen["edges"] = [
            {"from": edge.from_, "to": edge.to, "min_ns": edge.min_ns, "max_ns": edge.max_ns}
            for edge in options.edges
        ]
    return chosen


def story(**config: object) -> Callable[[Callable], Callable]:
    """Marks a function as a story. Its name is the id, its doc string the description."""

    def mark(write: Callable) -> Callable:
        write.config = config
        return write

    return mark


__all__ = ["ANYTHING", "MS", "NEVER", "S", "Edge", "Hot", "Info", "Named", "Process", "Story", "story"]
