"""Runs one cell of the matrix: an agent beats, forks and is killed, and an observer logs it."""

import time
from collections.abc import Callable

from log import Mismatch
from observing import Daemon, ObserverProgram
from directory import Endpoint
from agent import CHILD, PATIENCE, Child, Agent

BEFORE = [("ok", 1), ("degraded", 4294967295), ("critical", 7), ("ok", 0)]
AFTER = [("ok", 8), ("ok", 9)]


def run_pair(
    agent: list[str],
    observe: Callable[[Endpoint], ObserverProgram | Daemon],
    endpoint: Endpoint,
    child_behavior: Child,
    shares_memory: bool,
) -> None:
    """Runs an agent and an observer. Raises Mismatch if their logs differ."""
    observer = observe(endpoint)
    try:
        program = Agent(agent, endpoint.url)
        try:
            program.beat(BEFORE)
            child = program.fork(child_behavior)
            # An observer that looks up each sender must receive its beats while the process runs.
            expected = dict(program.log.beats)
            if child_behavior is Child.UNREADABLE:
                del expected[child]
            agree(observer.wait_for_beats(expected), program, observer)
            program.end_child()
            program.beat(AFTER)
            agree(observer.wait_for_beats(expected), program, observer)
            # Otherwise its beats could be datagrams, and the column would show nothing new.
            if observer.lane and shares_memory:
                use_lane(program)
                agree(observer.wait_for_beats(expected), program, observer)
            if program.has_page() != (observer.lane and shares_memory):
                raise Mismatch(f"the agent {'has' if program.has_page() else 'has no'} shared memory")
            if isinstance(observer, Daemon) and observer.lane:
                if observer.shares_memory_with(program.pid) != shares_memory:
                    raise Mismatch("the agent and the daemon differ about shared memory")
        finally:
            program.kill()
        # Exits are detected over Unix sockets, and the daemons do not export them.
        exits = endpoint.transport == "uds" and isinstance(observer, ObserverProgram)
        program.log.ends = {
            program.pid: "signal 9" if exits else "silent",
            child: "exit 0" if exits else "silent",
        }
        if child_behavior is Child.UNREADABLE:
            del program.log.beats[child], program.log.ends[child]
        agree(observer.wait_for(program.log), program, observer)
        if isinstance(observer, ObserverProgram):
            sent = sum(map(len, program.log.beats.values()))
            counted = observer.counters()
            unreadable = len(CHILD) if child_behavior is Child.UNREADABLE else 0
            received = counted["beats"] + unreadable
            if (counted["beats"] + counted["lane_beats"], counted["received"]) != (sent, received):
                raise Mismatch(f"{sent} beats were sent, the observer counted {counted}")
            if (counted["lane_beats"] > 0) != (observer.lane and shares_memory):
                raise Mismatch(f"the observer counted {counted['lane_beats']} beats through shared memory")
    finally:
        observer.close()


def use_lane(program: Agent) -> None:
    """Beats until the agent has its page, which may take a while if the observer was busy, and once more."""
    until = time.monotonic() + PATIENCE
    while not program.has_page():
        if time.monotonic() > until:
            raise Mismatch("the agent gets no shared memory")
        time.sleep(0.02)
        program.beat([("ok", 10)])
    program.beat([("ok", 11)])


def agree(agreed: bool, program: Agent, observer: ObserverProgram | Daemon) -> None:
    if not agreed:
        raise Mismatch(f"the agent sent\n{program.log}\n    the observer received\n{observer.log()}")
