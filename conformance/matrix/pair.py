"""Runs one cell of the matrix: an agent beats, forks and is killed, and an observer logs it."""

from collections.abc import Callable

from log import Mismatch
from observing import Daemon, ObserverProgram
from directory import Endpoint
from agent import CHILD, Child, Agent

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
            if isinstance(observer, Daemon) and observer.merges:
                if observer.shares_memory_with(program.pid) != shares_memory:
                    raise Mismatch(f"the agent {'has no' if shares_memory else 'has'} shared memory")
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
            if (counted["beats"], counted["received"]) != (sent, sent + unreadable):
                raise Mismatch(f"{sent} beats were sent, the observer counted {counted}")
    finally:
        observer.close()


def agree(agreed: bool, program: Agent, observer: ObserverProgram | Daemon) -> None:
    if not agreed:
        raise Mismatch(f"the agent sent\n{program.log}\n    the observer received\n{observer.log()}")
