"""The agents and observers: how each is built and called, and what it supports."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from observing import THRESHOLD_MS, Daemon, ObserverProgram
from directory import TRANSPORTS, Endpoint
from agent import Child

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")

ALL = frozenset(TRANSPORTS)
LOCAL = frozenset({"uds"})


@dataclass(frozen=True)
class Agent:
    command: list[str]
    transports: frozenset[str] = ALL
    version: int = 2
    child: Child = Child.COUNTS_FROM_ONE
    # Over these transports the beats of its forked child cannot be opened.
    child_unreadable: frozenset[str] = frozenset()
    # Whether it beats into shared memory where the observer offers it.
    shares_memory: bool = False

    def child_over(self, transport: str) -> Child:
        return Child.UNREADABLE if transport in self.child_unreadable else self.child


@dataclass(frozen=True)
class Observer:
    observe: Callable[[Endpoint], ObserverProgram | Daemon]
    versions: tuple[int, ...] = (1, 2)
    transports: frozenset[str] = ALL


@cache
def output(*command: object) -> str:
    """The output of a command, which is run once."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def ours(*command: object, lane: bool = False) -> Callable[[Endpoint], ObserverProgram]:
    how = [str(THRESHOLD_MS), *(["lane"] if lane else [])]
    return lambda endpoint: ObserverProgram([*map(str, command), endpoint.url, *how], lane=lane)


def daemon(command: str, flags: list[str], **how: bool) -> Callable[[Endpoint], Daemon]:
    return lambda endpoint: Daemon([command], endpoint, flags, **how)


def rust(program: str) -> str:
    return f"{output('tools/built')}/{program}"


def python(program: str) -> list[str]:
    return [output("bindings/python/run", "install").split()[-1], str(HERE / "python" / program)]


def node(script: str) -> list[str]:
    output("node", "bindings/node/tool/build.js")
    return ["node", str(HERE / "node" / script)]


@cache
def native(source: str) -> str:
    """A program in C or C++, built with libvarta."""
    output("cargo", "build", "--quiet", "--release", "--package", "varta-ffi", "--lib")
    program = TARGET / "peers" / source.replace(".", "-")
    program.parent.mkdir(parents=True, exist_ok=True)
    compiler = ["c++", "-std=c++17"] if source.endswith(".cpp") else ["cc", "-std=gnu11"]
    libraries = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]
    subprocess.run(
        [*compiler, "-O1", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'include'}", HERE / source]
        + [TARGET / "release/libvarta.a", *libraries, "-o", program],
        check=True,
    )
    return str(program)


def older(name: str) -> str:
    return output("tools/peers", name)


def agents() -> dict[str, Agent]:
    client = older("client")
    return {
        "Rust": Agent([rust("agent")], shares_memory=True),
        "Rust, version 1": Agent([rust("agent"), "--v1"], LOCAL, version=1),
        "C": Agent([native("c/agent.c")], shares_memory=True),
        "C++": Agent([native("cpp/agent.cpp")], shares_memory=True),
        "Python": Agent(python("agent.py"), shares_memory=True),
        "Node": Agent(node("agent.js"), shares_memory=True),
        "Node, version 1": Agent([*node("agent.js"), "--v1"], LOCAL, version=1),
        "varta-client 0.1": Agent([client, "0.1"], LOCAL, version=1, child=Child.KEEPS_COUNTING),
        "varta-client 0.2": Agent([client, "0.2"], child_unreadable=frozenset({"master"})),
        "Python varta 0.2": Agent([older("python"), str(HERE / "older/agent.py")]),
    }


def observers() -> dict[str, Observer]:
    our_flags = ["--accept-version-1", "--export-file-sync-every", "1"]
    flags = ["--max-beat-rate", "0", "--export-file-sync-every", "1"]
    programs = {
        "Rust": [rust("observer")],
        "C": [native("c/observer.c")],
        "C++": [native("cpp/observer.cpp")],
        "Python": python("observer.py"),
        "Node": node("observer.js"),
    }
    lane = {
        f"{name}, shared memory": Observer(ours(*command, lane=True), transports=LOCAL)
        for name, command in programs.items()
    }
    return {
        **{name: Observer(ours(*command)) for name, command in programs.items()},
        "varta-watch": Observer(daemon(rust("varta-watch"), [*our_flags, "--lane", "off"])),
        **lane,
        "varta-watch, shared memory": Observer(daemon(rust("varta-watch"), our_flags, lane=True), transports=LOCAL),
        "varta-watch 0.1": Observer(
            daemon(older("daemon-0.1"), [], at_end=True), (1,), LOCAL
        ),
        "varta-watch 0.2": Observer(daemon(older("daemon-0.2"), flags), (2,)),
    }
