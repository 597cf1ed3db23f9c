"""The lane and tasks when threads share it, processes fork, and either of them is killed."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading

import pytest
from conftest import DEADLINE, Watching, output_of, python, wait_until
from test_lane import work

from varta import Beat, Declared, Ended, Ending, Exit, Stall, Status, Varta

HOUR = 3600.0


def attached(path: str) -> Varta:
    agent = Varta.open(path)
    wait_until("the page", lambda: agent.beat().is_sent and agent.watched is not None)
    return agent


def test_the_beats_of_all_threads_are_counted(watching: Watching, path: str) -> None:
    shared = attached(path)
    # Python looks this often whether another thread wants to run.
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    sent: list[int] = []

    def beat(agent: Varta) -> None:
        sent.append(sum(agent.beat("ok", number).is_sent for number in range(2000)))

    agents = [shared, shared, Varta.open(path), Varta.open(path)]
    threads = [threading.Thread(target=beat, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert sent == 4 * [2000]
    shared.beat("critical")  # a new status rings
    assert watching.until(Beat, status=Status.CRITICAL).nonce > 8000
    stats = watching.observer.stats()
    assert stats["lane_beats"] + stats["beats"] > 8000 and stats["stalls"] == 0


class Killed(Exception):
    pass


def test_a_thread_that_is_killed_fails_its_task(watching: Watching, path: str) -> None:
    agent = attached(path)
    other = agent.task("other", HOUR)
    entered, ended = threading.Event(), threading.Event()

    def run() -> None:
        try:
            with agent.task("killed", HOUR) as task:
                while True:
                    with task.watch(HOUR):
                        task.beat()
                        entered.set()
        except Killed:
            ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert entered.wait(DEADLINE)
    watching.until(Declared, task_name="killed")
    ident = ctypes.c_ulong(thread.ident or 0)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Killed))
    thread.join(DEADLINE)
    assert ended.is_set()
    assert watching.until(Ended).how is Ending.FAILED
    assert other.beat().is_sent and [task["name"] for task in agent.tasks()] == ["other"]


def test_a_forked_child_continues_with_a_page_of_its_own(watching: Watching, path: str) -> None:
    agent = attached(path)
    task = agent.task("inherited", HOUR)
    parent = watching.until(Declared)
    context = multiprocessing.get_context("fork")
    followed, go_on = context.Event(), context.Event()

    def child() -> None:
        assert agent.watched is None
        wait_until("the page", lambda: agent.beat().is_sent and agent.watched is not None)
        assert task.beat().is_sent and agent.fork_recoveries() == 1
        # What was done before the first look is no news.
        assert followed.wait(DEADLINE)
        assert task.beat("critical", 7).is_sent and agent.beat("critical", 9).is_sent
        go_on.wait(DEADLINE)
        task.close()

    worker = context.Process(target=child)
    worker.start()
    declared = watching.until(Declared, pid=worker.pid)
    assert (declared.task_name, declared.agent != parent.agent) == ("inherited", True)
    followed.set()
    own = watching.until(Beat, pid=worker.pid, task=declared.task, status=Status.CRITICAL)
    assert own.payload == 7
    assert watching.until(Beat, pid=worker.pid, task=None, status=Status.CRITICAL).payload == 9
    assert agent.watched is not None and task.beat().is_sent
    go_on.set()
    worker.join(DEADLINE)
    assert worker.exitcode == 0
    assert watching.until(Exit).pid == worker.pid
    assert [info["pid"] for info in watching.observer.agents() if info["lane"]] == [os.getpid()]
    task.close()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_worker_that_is_killed_is_one_exit(watching: Watching, path: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    go_on = context.Event()
    worker = context.Process(target=work, args=(path, "killed", go_on))
    worker.start()
    watching.until(Declared, pid=worker.pid)
    worker.kill()
    assert watching.until(Exit, pid=worker.pid).signal == signal.SIGKILL
    worker.join(DEADLINE)
    # An exit ends the tasks of a process without further events.
    assert not any(isinstance(event, (Ended, Stall)) for event in watching.events)


FORKS = """
import os, sys, threading, warnings
from varta import Varta

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about such forks.
agent = Varta.open(sys.argv[1])
shared = agent.task("shared", 3600, spans=1000)
stop = threading.Event()

def call():
    own = Varta.open(sys.argv[1])
    with own.task("own", 3600) as task:
        while not stop.is_set():
            own.beat()
            agent.beat()
            shared.beat()
            with task.watch(3600), shared.watch(3600), task.idle():
                pass

threads = [threading.Thread(target=call) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        # Nothing here waits for what another thread was in the middle of.
        fine = not agent.beat().is_failed and not shared.beat().is_failed
        with shared.watch(3600):
            fine = fine and [task["name"] for task in agent.tasks()] == ["shared"]
        with agent.task("of the child", 3600) as task:
            fine = fine and not task.beat().is_failed
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
assert not any(shared.counts().values()), shared.counts()
"""


def test_a_fork_beside_threads_that_call_tasks_does_not_hang(watching: Watching, path: str) -> None:
    process = python(FORKS, path)
    output, errors = output_of(process)
    assert (process.returncode, output, errors) == (0, "", "")
    assert watching.until(Exit, pid=process.pid).code == 0
