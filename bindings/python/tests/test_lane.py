"""What an observer with a lane and tasks reports about a program in Python."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from typing import Any

import pytest
from conftest import DEADLINE, Watching, wait_until

from varta import (
    NEVER, AgentEvent, Beat, Declared, Edge, Ended, Ending, Exit, Promise, Recovered, Rule, Stall,
    Status, Varta, Violation,
)  # fmt: skip

HOUR = 3600.0
MS = 0.001


def test_beats_go_through_shared_memory(watching: Watching, path: str) -> None:
    with Varta.open(path) as agent:
        # If the observer was not there within 20 ms, the page comes a little later.
        wait_until("the page", lambda: agent.beat().is_sent and agent.watched is not None)
        assert agent.watched < DEADLINE
        for number in range(1000):
            assert agent.beat("ok", number).is_sent
        agent.beat("critical", 7)  # a new status rings
        beat = watching.until(Beat, status=Status.CRITICAL)
        assert (beat.payload, beat.missed, beat.task, beat.task_name) == (7, 0, None, None)
        assert beat.count > 1 or any(isinstance(event, Beat) for event in watching.events)
        (info,) = watching.observer.agents()
        assert (info["lane"], info["tasks"], info["tasks_late"]) == (True, 0, 0)
        assert watching.observer.stats()["lane_beats"] > 1000


def test_the_life_of_a_task_is_reported(watching: Watching, path: str) -> None:
    agent = Varta.open(path)
    options = {"finest": MS, "edges": [Edge(0, 1)]}
    with pytest.raises(KeyError), agent.task("job", HOUR, **options) as task:
        wait_until("the page", lambda: agent.beat().is_sent and agent.watched is not None)
        declared = watching.until(Declared)
        assert (declared.pid, declared.task, declared.task_name) == (os.getpid(), 1, "job")
        assert (declared.threshold_ns, declared.kind) == (3600 * 10**9, "task")

        task.beat("degraded", 7)
        beat = watching.until(Beat, status=Status.DEGRADED)
        assert (beat.task, beat.payload, beat.nonce) == (1, 7, 0)

        task.reach(1)
        with task.watch(MS, label=9):
            stall = watching.until(Stall)
            assert (stall.task_name, stall.promise, stall.checkpoint) == ("job", Promise.SPAN, 9)
            assert stall.due_ns <= stall.observer_ns and not stall.deaf
            (info,) = watching.observer.tasks(stall.agent)
            assert (info["name"], info["broken"], info["due"]["promise"]) == ("job", ["span"], "span")
            assert watching.observer.agents()[0]["tasks_late"] == 1
        assert watching.until(Recovered).promise is Promise.SPAN
        late = watching.until(Violation)
        assert (late.rule, late.count, late.from_, late.to) == (Rule.TOO_LATE, 1, 9, 0)
        assert late.by > 0 and repr(late).startswith(f"Violation(agent={late.agent}, task=1, ")
        task.reach(5)
        wrong = watching.until(Violation)
        assert (wrong.rule, wrong.from_, wrong.to) == (Rule.WRONG_ORDER, 1, 5)
        raise KeyError
    assert watching.until(Ended).how is Ending.FAILED
    assert watching.observer.tasks(declared.agent) == []
    assert (watching.observer.tasks(99), watching.observer.agents()[0]["tasks"]) == ([], 0)


@pytest.mark.parametrize(
    ("error", "how"),
    [
        (None, Ending.CLOSED),
        (ValueError, Ending.FAILED),
        (asyncio.CancelledError, Ending.CLOSED),
        (GeneratorExit, Ending.CLOSED),
        (SystemExit, Ending.CLOSED),
    ],
)
def test_a_task_fails_by_an_error(path: str, error: Any, how: Ending) -> None:
    watching = Watching(path)
    agent = Varta.open(path)
    try:
        with agent.task("job", HOUR) as task:
            wait_until("the page", lambda: task.beat().is_sent and agent.watched is not None)
            watching.until(Declared)
            if error is not None:
                raise error
    except BaseException as raised:
        assert type(raised) is error
    # The number of the next task tells the observer that the pair has another one.
    with agent.task("next", HOUR):
        assert watching.until(Ended).how is how
    watching.close()


def test_a_thread_that_ends_without_closing_its_task_is_found(watching: Watching, path: str) -> None:
    agent = Varta.open(path)
    # On a slow machine the thread may still be there when its task is due.
    for seconds in (0.1, 1.0, 10.0):
        tasks = []

        def work() -> None:
            tasks.append(agent.task(f"{seconds} s", NEVER))
            wait_until("the page", lambda: tasks[0].beat().is_sent and agent.watched is not None)
            tasks[0].idle(seconds)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        event = watching.until((Stall, Ended), task_name=f"{seconds} s")
        if isinstance(event, Ended):
            assert event.how is Ending.THREAD_GONE
            return
    raise AssertionError("the thread is not gone")


def test_slack_delays_the_report(path: str) -> None:
    watching = Watching(path, task_slack={"slow": HOUR}, program_slack={"none": 0})
    agent = Varta.open(path)
    with agent.task("slow", MS) as task:
        wait_until("the page", lambda: task.beat().is_sent and agent.watched is not None)
        watching.until(Declared)
        wait_until("a late task", lambda: agent.tasks()[0]["broken"])
        assert not any(isinstance(event, Stall) for event in watching.events)
        watching.observer.set_slack(program_slack={"none": HOUR})
        task.beat("degraded")
        assert watching.until(Stall).promise is Promise.BEAT
    watching.close()


def work(path: str, name: str, go_on: Any) -> None:
    with Varta.open(path) as agent, agent.task(name, HOUR):
        wait_until("the page", lambda: agent.beat().is_sent and agent.watched is not None)
        go_on.wait(DEADLINE)


def test_the_tasks_of_child_processes_are_their_own(watching: Watching, path: str) -> None:
    agent = Varta.open(path)
    inherited = agent.task("inherited", HOUR)
    wait_until("the page", lambda: inherited.beat().is_sent and agent.watched is not None)
    methods = ["fork", "spawn", "forkserver"]
    workers = {}
    for method in methods:
        context = multiprocessing.get_context(method)
        go_on = context.Event()
        worker = context.Process(target=work, args=(path, method, go_on))
        worker.start()
        workers[method] = worker, go_on
    for method, (worker, go_on) in workers.items():
        declared = watching.until(Declared, task_name=method)
        assert (declared.pid, declared.task) == (worker.pid, 1)
        go_on.set()
        worker.join(DEADLINE)
        assert worker.exitcode == 0
        assert watching.until(Exit, pid=worker.pid).code == 0
    # The child of a fork did not touch the task of its parent.
    assert agent.tasks()[0]["broken"] == []
    others = [event for event in watching.events if isinstance(event, AgentEvent)]
    assert {event.pid for event in others if event.task_name == "inherited"} == {os.getpid()}
    inherited.close()


def test_an_observer_reports_tasks_only_if_it_is_asked_to(path: str) -> None:
    for settings, lane in (({"lane": False, "tasks": False}, False), ({"tasks": False}, True)):
        watching = Watching(path, **settings)
        with Varta.open(path) as agent, agent.task("job", HOUR) as task:
            wait_until(
                "the way",
                lambda: task.beat().is_sent and agent.beat().is_sent and (agent.watched is not None) == lane,
            )
            watching.until(Beat)
            assert all(event.task is None for event in watching.events)
            assert watching.observer.agents()[0]["tasks"] == 0
        watching.close()
