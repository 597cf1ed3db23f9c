"""Tasks as a program sees them: its calls, its blocks, and what it finds late."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from conftest import Watching, in_child, output_of, python, wait_until

import varta
from varta import NEVER, DropReason, Edge, Ended, Ending, Exit, Promise, Stall, Status, Task, Varta
from varta.asyncio import beat_forever

HOUR = 3600.0
MS = 0.001


@pytest.fixture
def agent(path: str) -> Iterator[Varta]:
    with Varta.open(path) as agent:
        yield agent


@pytest.fixture
def task(agent: Varta) -> Iterator[Task]:
    with agent.task("work", HOUR) as task:
        yield task


def report(agent: Varta) -> dict[str, Any]:
    (only,) = agent.tasks()
    return dict(only)


def wait_until_late(agent: Varta, promise: Promise) -> None:
    wait_until(f"a broken {promise}", lambda: promise in report(agent)["broken"])


def test_a_task_lives_as_long_as_its_block(agent: Varta) -> None:
    with agent.task("ingest", 2) as task:
        assert (task.name, task.number) == ("ingest", 1)
        assert repr(task) == 'Task("ingest", number=1)'
        assert task.beat("degraded", 7).is_sent
        task.progress(3, 4)
        found = report(agent)
        assert found.pop("age_ns") < 2**63
        assert found == {
            "number": 1, "name": "ingest", "threshold_ns": 2 * 10**9, "status": Status.DEGRADED,
            "payload": 7, "idle": False, "vital": False, "done": 3, "left": 4, "violations": 0,
            "broken": [],
        }  # fmt: skip
    assert agent.tasks() == []
    assert repr(task) == 'Task("ingest", closed)'


def test_a_task_is_idle_until_the_next_call_or_the_end_of_the_block(agent: Varta, task: Task) -> None:
    task.idle()
    assert report(agent)["idle"]
    task.reach(3)
    assert not report(agent)["idle"]
    with task.idle():
        assert report(agent)["idle"]
    assert not report(agent)["idle"]
    task.idle(at_most=MS)
    wait_until_late(agent, Promise.BEAT)
    with task.idle(NEVER):
        assert report(agent)["broken"] == []


def test_a_block_is_watched_until_it_ends(agent: Varta, task: Task) -> None:
    with task.watch(HOUR), task.watch(MS) as inner:
        wait_until_late(agent, Promise.SPAN)
        assert inner.close() is True
        assert inner.close() is False
        assert report(agent)["broken"] == []
    with task.watch(HOUR / 2, HOUR, label=3):
        pass
    with task.watch(NEVER):
        pass
    counts = task.counts()
    assert (counts["too_late"], counts["too_early"]) == (1, 1)


def test_blocks_of_coroutines_overlap(agent: Varta, task: Task) -> None:
    async def main() -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            with task.watch(MS):
                reached.set()
                await go_on.wait()

        async def quick() -> None:
            with task.watch(HOUR):
                await asyncio.sleep(0)

        hangs = asyncio.ensure_future(slow())
        await reached.wait()
        # Other blocks begin and end; the first one stays open, and is late.
        while Promise.SPAN not in report(agent)["broken"]:
            await asyncio.gather(quick(), quick())
        go_on.set()
        await hangs
        assert report(agent)["broken"] == []

        # A cancelled coroutine leaves its block.
        go_on.clear()
        hangs = asyncio.ensure_future(slow())
        await asyncio.sleep(0)
        wait_until_late(agent, Promise.SPAN)
        hangs.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hangs
        assert report(agent)["broken"] == []

    asyncio.run(main())
    assert task.counts()["too_late"] == 2


def test_more_blocks_than_asked_for_are_not_watched(agent: Varta) -> None:
    task = agent.task("requests", NEVER, roams=True, spans=100)
    blocks = [task.watch(HOUR) for _ in range(101)]
    assert [block.close() for block in blocks] == 100 * [True] + [False]
    assert task.counts()["unwatched"] == 1


def test_an_exception_ends_the_blocks_that_it_leaves(agent: Varta, task: Task) -> None:
    with pytest.raises(KeyError):
        with task.watch(MS), task.idle():
            raise KeyError
    assert (report(agent)["idle"], task.counts()["too_late"]) == (False, 0)


def test_what_is_no_longer_referenced_ends(agent: Varta) -> None:
    task = agent.task("work", HOUR)
    block = task.watch(MS)
    wait_until_late(agent, Promise.SPAN)
    del block
    assert report(agent)["broken"] == []
    cycle: list[object] = [task, task.watch(HOUR), task.idle()]
    cycle.append(cycle)
    del task
    assert len(agent.tasks()) == 1
    del cycle
    gc.collect()
    assert agent.tasks() == []


def test_options(agent: Varta) -> None:
    with agent.task("copy", HOUR, edges=[(0, 1), (1, 2, 0, MS), Edge(2, 0, min=HOUR)]) as task:
        task.reach(1)
        wait_until_late(agent, Promise.CHECKPOINT)
        for checkpoint in (2, 0, 2):
            task.reach(checkpoint)
        counts = task.counts()
        assert (counts["too_late"], counts["too_early"], counts["wrong_order"]) == (1, 1, 1)
    with agent.task("batch", NEVER, progress=MS, startup=HOUR, vital=False, finest=None) as task:
        task.progress(1, 1)
        wait_until_late(agent, Promise.PROGRESS)
        task.progress(1, 0)
        assert report(agent)["threshold_ns"] == 2**64 - 1
    with agent.task("loop", HOUR, startup=MS, cycle=(MS, 3, 1000), roams=True) as task:
        wait_until_late(agent, Promise.BEAT)
        task.beat()
        wait_until("a cycle", lambda: task.reach(0) or task.counts()["too_few"])


def test_a_late_task_shows_in_the_beats_of_its_process(receiver: Any, path: str) -> None:
    def beat_until(condition: Callable[[varta.BeatOutcome, Status], bool]) -> None:
        def fits() -> bool:
            outcome = agent.beat()
            status = varta.Frame.decode(receiver.recv(32)).status if outcome.is_sent else Status.OK
            return condition(outcome, status)

        wait_until("a beat", fits)

    with Varta.open(path, lane=False) as agent:
        assert agent.watched is None
        with agent.task("late", MS):
            beat_until(lambda _, status: status is Status.CRITICAL)
        with agent.task("vital", MS, vital=True):
            beat_until(lambda outcome, _: outcome.reason is DropReason.WITHHELD)
        beat_until(lambda outcome, status: outcome.is_sent and status is Status.OK)


def test_calls_after_close_do_nothing(agent: Varta) -> None:
    task = agent.task("work", HOUR)
    with task.watch(HOUR / 2, HOUR):
        pass
    block, idle = task.watch(HOUR), task.idle()
    task.close()
    assert block.close() is False
    with idle, task.watch(MS) as after, task.idle(), task:
        task.reach(1)
        task.progress(1, 1)
    assert after.close() is False
    assert str(task.beat("ok", 1)) == "failed: Closed"
    task.fail()
    assert (agent.tasks(), task.number, task.counts()["too_early"]) == ([], 1, 1)


def test_tasks_outlive_their_agent(path: str) -> None:
    agent, other = Varta.open(path), Varta.open(path)
    task = agent.task("work", HOUR)
    agent.close()
    assert task.beat().is_sent
    assert (agent.tasks(), agent.watched, len(other.tasks())) == ([], None, 1)
    with pytest.raises(OSError, match="closed"):
        agent.task("another", HOUR)


def test_several_threads_share_a_task(agent: Varta, task: Task) -> None:
    def work() -> None:
        for _ in range(500):
            with task.watch(HOUR):
                task.beat()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(task.counts().values())


def test_a_child_that_leaves_blocks_of_its_parent_declares_nothing(agent: Varta) -> None:
    task = agent.task("work", HOUR)
    block = task.watch(HOUR)

    def child() -> None:
        with block, task.idle() as idle:
            pass
        idle.__exit__(None, None, None)
        assert block.close() is False
        task.idle()
        task.close()
        assert agent.tasks() == []

    with task.idle() as idle, task.watch(HOUR) as inner:

        def leave() -> None:
            idle.__exit__(None, None, None)
            inner.__exit__(None, None, None)
            block.__exit__(None, None, None)
            assert agent.tasks() == []
            # A call of its own declares it.
            task.beat()
            assert report(agent)["name"] == "work"

        in_child(leave)
    in_child(child)
    assert block.close() is True
    assert len(agent.tasks()) == 1


def test_a_watched_function_is_watched(agent: Varta, task: Task) -> None:
    @varta.watched(task, HOUR / 2, HOUR)
    def add(one: int, other: int = 1) -> int:
        """Adds."""
        return one + other

    @varta.watched(task, MS)
    async def wait() -> str:
        while Promise.SPAN not in report(agent)["broken"]:
            await asyncio.sleep(0)
        return "waited"

    class Worker:
        @varta.watched(task, MS)
        def fail(self) -> None:
            wait_until_late(agent, Promise.SPAN)
            raise KeyError(self)

    early = task.counts()["too_early"]
    assert (add(1, other=2), add.__name__, add.__doc__) == (3, "add", "Adds.")
    assert task.counts()["too_early"] == early + 1
    assert asyncio.iscoroutinefunction(wait) and asyncio.run(wait()) == "waited"
    with pytest.raises(KeyError):
        Worker().fail()
    assert (report(agent)["broken"], task.counts()["too_late"]) == ([], 2)
    with pytest.raises(TypeError, match="generator"):

        @varta.watched(task, 1)
        def items() -> Iterator[int]:
            yield 1

    with pytest.raises(ValueError, match="max: -1"):
        varta.watched(task, -1)


def test_beat_forever_beats_for_a_task(agent: Varta, task: Task) -> None:
    async def main() -> None:
        beats = asyncio.ensure_future(beat_forever(task, every=MS, status="degraded"))
        while report(agent)["status"] is not Status.DEGRADED:
            await asyncio.sleep(0)
        beats.cancel()

    asyncio.run(main())


SHUTDOWN = """
import asyncio, sys, threading
from varta import Varta

agent = Varta.open(sys.argv[1])
task = agent.task("global", 3600)
block = task.watch(3600)

def generator():
    with agent.task("suspended", 3600) as own, own.watch(3600):
        yield

suspended = generator()
next(suspended)
entered = threading.Event()

def hang():
    with agent.task("thread", 3600) as own, own.idle():
        entered.set()
        threading.Event().wait()

threading.Thread(target=hang, daemon=True).start()
entered.wait()

async def main():
    with agent.task("coroutine", 3600) as own, own.watch(3600):
        asyncio.ensure_future(main()) if len(agent.tasks()) < 5 else None
        await asyncio.sleep(0)

asyncio.run(main())
class Late:
    def __del__(self):
        task.beat()
        with task.watch(1):
            pass
late = Late()
"""


@pytest.mark.parametrize("observed", [False, True])
def test_a_program_exits_with_open_tasks(path: str, observed: bool) -> None:
    watching = Watching(path) if observed else None
    process = python(SHUTDOWN, path)
    assert (output_of(process), process.returncode) == (("", ""), 0)
    if watching is not None:
        assert watching.until(Exit).code == 0
        assert not any(isinstance(event, Stall) for event in watching.events)
        ends = {event.how for event in watching.events if isinstance(event, Ended)}
        assert ends <= {Ending.CLOSED}
        watching.close()


def test_a_call_makes_no_garbage(agent: Varta, task: Task) -> None:
    import tracemalloc

    def calls() -> None:
        for number in range(200):
            task.beat(Status.OK, number)
            with task.watch(0.5), task.watch(0.25, 0.5), task.idle():
                task.reach(number)
                task.progress(number, 0)

    calls()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        calls()
        before = tracemalloc.get_traced_memory()[0]
        calls()
        grown = tracemalloc.get_traced_memory()[0] - before
        assert (gc.collect(), grown) == (0, 0)
    finally:
        tracemalloc.stop()
        gc.enable()
