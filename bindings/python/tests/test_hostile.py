"""Misuse of objects, by mistake or on purpose, raises an error at most and never crashes."""

from __future__ import annotations

import copy
import pickle
import signal
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from conftest import DEADLINE, expect, output_of, python

from varta import Beat, Frame, Observer, Varta
from varta.secure import Cipher

OBJECTS: dict[str, Callable[[str], Any]] = {
    "agent": Varta.open,
    "task": lambda path: Varta.open(path).task("t", 1),
    "block": lambda path: Varta.open(path).task("t", 1).watch(1),
    "idle block": lambda path: Varta.open(path).task("t", 1).idle(),
    "observer": Observer.bind,
    "simulated observer": lambda _: Observer.simulated(),
    "frame": lambda _: Frame(0, 2, 0, 0, 0),
    "cipher": lambda _: Cipher(bytes(32)),
}

MISUSES: dict[str, Callable[[Any], object]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "weak reference": weakref.ref,
    "init again": lambda obj: obj.__init__("@other"),
    "new by object": lambda obj: object.__new__(type(obj)),
    "new without arguments": lambda obj: type(obj).__new__(type(obj)),
    "subclass": lambda obj: type("Subclass", (type(obj),), {})(),
    "new attribute": lambda obj: setattr(obj, "extra", 1),
    "foreign self": lambda obj: [
        method(object()) for method in vars(type(obj)).values() if callable(method)
    ],
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_an_object_works_as_before_after_misuse(kind: str, path: str) -> None:
    with Observer.bind("@" + path):
        obj = OBJECTS[kind](path)
        before = repr(obj)
        allowed = []
        for name, misuse in MISUSES.items():
            try:
                misuse(obj)
            except (TypeError, ValueError, AttributeError):
                continue
            allowed.append(name)
        # An observer owns its endpoint, so a copy of it cannot exist.
        assert not {"copy", "deepcopy", "pickle"} & {*allowed}, allowed
        assert repr(obj) == before
        getattr(obj, "close", int)()


class Calls:
    """A number that calls a function when it is converted."""

    def __init__(self, call: Callable[[], object], number: float = 1) -> None:
        self.call, self.number = call, number

    def __index__(self) -> int:
        self.call()
        return int(self.number)

    def __float__(self) -> float:
        self.call()
        return float(self.number)


def test_an_argument_may_close_the_object_it_is_passed_to(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)
    outcome = agent.beat(Calls(agent.close), Calls(agent.close))
    assert outcome.is_failed and str(outcome) == "failed: Closed"
    again = Varta.connect(path)
    for call in (
        lambda task: task.watch(Calls(task.close)),
        lambda task: task.watch(Calls(task.close), 2, label=Calls(task.close)),
        lambda task: task.idle(Calls(task.close)),
        lambda task: task.reach(Calls(task.close)),
        lambda task: task.progress(Calls(task.close), Calls(task.fail)),
        lambda task: again.task("t", Calls(again.tasks), spans=Calls(task.close)).close(),
    ):
        task = again.task("t", 1)
        call(task)
        assert str(task.beat()) == "failed: Closed" and again.tasks() == []
    assert again.beat(0, Calls(again.beat)).is_sent
    assert again.beat(0, Calls(again.reconnect)).is_sent
    for call in (
        lambda other: other.poll(Calls(other.close)),
        lambda other: other.set_threshold(Calls(other.close), 1.0),
        lambda other: other.set_threshold(1, Calls(other.close)),
    ):
        with pytest.raises(ValueError, match="closed"):
            call(Observer.bind(f"@{path}"))
    numbers = [expect(observer, Beat) for _ in range(3)]
    assert [beat.nonce for beat in numbers if isinstance(beat, Beat)] == [1, 2, 3]


def test_a_signal_handler_may_poll_and_close(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)
    polled = []

    def handler(number: int, frame: object) -> None:
        agent.beat(payload=len(polled))
        polled.append(observer.poll(DEADLINE))
        if len(polled) == 2:
            observer.close()

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        with pytest.raises(ValueError, match="closed"):
            while True:
                observer.poll(DEADLINE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert all(isinstance(beat, Beat) for beat in polled)


# The threads are woken by a beat that is sent during finalization, when nothing may return to
# them. `sys` is cleared last, so the finalizer uses nothing that may be gone by then.
POLLING = """
import os, sys, threading
from varta import Observer, Varta

observer = Observer.bind(sys.argv[1])
threads = [threading.Thread(target=observer.poll, daemon=True) for _ in range(4)]
for thread in threads:
    thread.start()

class Finalizer:
    def __init__(self):
        self.owner, self.beat = os.getpid(), Varta.connect(sys.argv[1]).beat
        self.pread, self.write, self.getpid = os.pread, os.write, os.getpid
        names = [f"/proc/self/task/{thread.native_id}/wchan" for thread in threads]
        self.files = [os.open(name, os.O_RDONLY) for name in names]

    def wait(self, condition):
        for file in self.files:
            while not condition(self.pread(file, 100, 0)):
                pass

    def __del__(self):
        if self.getpid() == self.owner:
            self.wait(lambda function: b"poll" in function)
            self.beat()
            self.wait(lambda function: b"poll" not in function and function != b"0")
            self.write(1, b"woken\\n")

sys.finalizer = Finalizer()
sys.finalizer.wait(lambda function: b"poll" in function)
ends = {"return": int, "exit": lambda: sys.exit(0), "fork": lambda: os.fork() or sys.exit(0)}
ends[sys.argv[2]]()
"""


@pytest.mark.parametrize("end", ["return", "exit", "fork"])
def test_the_interpreter_can_exit_while_threads_poll(path: str, end: str) -> None:
    """CPython before 3.14 ends each thread that wants to return to Python by unwinding its stack,
    which has frames of Rust. A thread that is just about to return when finalization begins may
    crash, whatever it called (CPython's issue 110052). So all of them wait until after that.
    """
    process = python(POLLING, path, end)
    assert output_of(process) == ("woken\n", "")
    assert process.returncode == 0
