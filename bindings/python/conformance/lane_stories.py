"""Stories of processes that beat through pages. The lines are written as the story gives them: that
a task writes these is checked in Rust, whose code the package calls.
"""

from __future__ import annotations

from typing import Any

import lines
import stories
from fields import Failure, Vector, field, number, only, same
from lines import Words
from varta import Simulated

PAGE = ("at_ns", "op", "pid", "copy")

VERBS = {
    "declare": ("name", "threshold_ns", "options"),
    "beat": ("status", "payload"),
    "idle": ("at_most_ns",),
    "watch": ("span", "max_ns", "min_ns", "label"),
    "unwatch": ("span",),
    "reach": ("checkpoint",),
    "progress": ("done", "left"),
}


def lane_story(document: Vector) -> None:
    processes = Processes()
    stories.run(document, processes.apply)


class Process:
    """A copy of the library in a process: its own copy of all lines, and the page that it has."""

    def __init__(self, pid: int) -> None:
        self.head = {"layout": lines.LAYOUT, "live": 0, "thread": pid}
        self.page: Any = None
        self.tasks: dict[int, Vector] = {}
        self.own: dict[int, tuple[Words, Words]] = {0: (lines.head(**self.head), 8 * [0])}

    def attach(self, observer: Simulated, page: Any) -> None:
        self.page = page
        for pair in self.own:
            self.show(observer, pair)

    def attached(self) -> Any:
        if self.page is None:
            raise Failure("pid", "a process that has a page", "another one")
        return self.page

    def write(
        self, observer: Simulated, pair: int, cold: Words | None, hot: Vector | None, at_ns: int
    ) -> None:
        old_cold, old_hot = self.own.get(pair, (8 * [0], 8 * [0]))
        new_hot = old_hot if hot is None else lines.next_hot(old_hot, hot, at_ns)
        self.own[pair] = (old_cold if cold is None else cold, new_hot)
        self.show(observer, pair)

    def show(self, observer: Simulated, pair: int) -> None:
        if self.page is not None:
            cold, hot = self.own[pair]
            observer.write(self.page, pair, cold=cold, hot=hot)

    def write_head(self, observer: Simulated) -> None:
        self.write(observer, 0, lines.head(**self.head), None, 0)


class Processes:
    """The processes of a story, by pid and copy of the library."""

    def __init__(self) -> None:
        self.all: dict[tuple[int, int], Process] = {}

    def apply(self, observer: Simulated, step: Vector) -> None:
        at_ns, op = number(step, "at_ns", 64), field(step, "op", str)
        if op == "program":
            only(step, "at_ns", "op", "pid", "name")
            observer.set_program(number(step, "pid", 32), field(step, "name", str))
        elif op == "name":
            only(step, "at_ns", "op", "pid", "name")
            observer.set_name(number(step, "pid", 32), field(step, "name", str))
        elif op == "thread_gone":
            only(step, "at_ns", "op", "pid", "thread")
            observer.thread_gone(number(step, "pid", 32), number(step, "thread", 32))
        elif op in ("mapped", "bell", "detach"):
            only(step, *PAGE)
            process = self.process(step)
            getattr(observer, op)(at_ns, process.attached())
            if op == "detach":
                process.page = None
        elif op in ("attach", "write", "call", "close"):
            getattr(self, op)(observer, at_ns, step)
        else:
            stories.apply(observer, step)
            if op == "exit":
                self.all = {key: one for key, one in self.all.items() if key[0] != step["pid"]}

    def process(self, step: Vector) -> Process:
        pid, copy = number(step, "pid", 32), number(step, "copy", 32) if "copy" in step else 0
        return self.all.setdefault((pid, copy), Process(pid))

    def attach(self, observer: Simulated, at_ns: int, step: Vector) -> None:
        only(step, *PAGE, "uid", "process", "nonce", "page", "errno")
        process = self.process(step)
        process.page = None
        try:
            page = observer.attach(
                at_ns,
                number(step, "pid", 32),
                number(step, "uid", 32),
                process=number(step, "process", 64) if "process" in step else None,
                nonce=number(step, "nonce", 64),
            )
        except OSError as error:
            same("the answer", {"errno": step.get("errno")}, {"errno": error.errno})
            return
        answer = {"page": {"threshold_ns": page.threshold_ns, "tasks": page.tasks}}
        same("the answer", {"page": step.get("page")}, answer)
        process.attach(observer, page)

    def write(self, observer: Simulated, at_ns: int, step: Vector) -> None:
        only(step, *PAGE, "pair", "head", "hot", "times")
        process, pair = self.process(step), number(step, "pair", 32)
        if "head" in step:
            new = field(step, "head", dict)
            only(new, "layout", "live", "thread")
            process.head = {
                "layout": number(new, "layout", 16),
                "live": number(new, "live", 32),
                "thread": number(new, "thread", 32),
            }
            process.write(observer, pair, lines.head(**process.head), None, at_ns)
        if "hot" in step:
            for _ in range(number(step, "times", 32) if "times" in step else 1):
                process.write(observer, pair, None, field(step, "hot", dict), at_ns)

    def call(self, observer: Simulated, at_ns: int, step: Vector) -> None:
        verb = field(step, "verb", str)
        if verb not in VERBS:
            raise Failure("verb", " or ".join(VERBS), verb)
        only(step, *PAGE, "pair", "verb", "cold", "hot", *VERBS[verb])
        process, pair = self.process(step), number(step, "pair", 32)
        if "cold" in step:
            process.tasks[pair] = field(step, "cold", dict)
        if pair not in process.tasks:
            raise Failure("pair", "the pair of a task", pair)
        cold = lines.cold(process.tasks[pair])
        process.write(observer, pair, cold, field(step, "hot", dict), at_ns)

    def close(self, observer: Simulated, at_ns: int, step: Vector) -> None:
        only(step, *PAGE, "pair", "state")
        process, pair = self.process(step), number(step, "pair", 32)
        if pair not in process.tasks:
            raise Failure("pair", "the pair of a task", pair)
        ended = {**process.tasks.pop(pair), "state": field(step, "state", str)}
        process.write(observer, pair, lines.cold(ended), None, at_ns)
        process.head["live"] &= ~(1 << pair)
        process.write_head(observer)
