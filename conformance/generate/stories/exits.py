"""Exits, and pids that are used again: neither a silence nor a pid identifies a process."""

from .book import MS, S, Story, story
from .senders import LAST_WORDS, Local, Remote

APP = Local(1, pid=4321)
OTHER = Local(2, pid=5678)


@story()
def exit_before_a_stall(s: Story) -> None:
    """A process that has exited gets its Exit, and no Stall later."""
    s.accepts(0, APP, nonce=1, status="degraded")
    s.exits(1 * S, 4321, APP.exit("degraded", code=7), code=7)
    s.polls(60 * S)


@story()
def exit_after_a_stall(s: Story) -> None:
    """A stalled agent that exits gets its Exit too, and no recovery."""
    s.accepts(0, APP, nonce=1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
    s.exits(5 * S, 4321, APP.exit("ok", signal=9), signal=9)
    s.polls(60 * S)


@story()
def exit_with_zero(s: Story) -> None:
    """An exit code of 0 is a cause; an unknown cause is something else."""
    s.accepts(0, APP, nonce=1)
    s.accepts(0, OTHER, nonce=1)
    s.exits(1, 4321, APP.exit("ok", code=0), code=0)
    s.exits(2, 5678, OTHER.exit("ok"))


@story()
def exit_after_last_words(s: Story) -> None:
    """The panic was not caught: last words, then the process aborts."""
    s.accepts(0, APP, nonce=1)
    s.accepts(1, APP, nonce=LAST_WORDS, payload=13)
    s.exits(2, 4321, APP.exit("critical", signal=6), signal=6)
    s.polls(60 * S)


@story()
def exit_after_queued_beats(s: Story) -> None:
    """The beats that a process left in the queue are reported before its Exit."""
    s.accepts(0, APP, nonce=1)
    s.accepts(3 * S, APP, nonce=2)
    s.accepts(3 * S, APP, nonce=3, status="critical")
    s.exits(3 * S, 4321, APP.exit("critical", code=1), code=1)
    s.polls(3 * S)


@story()
def exit_of_a_stranger(s: Story) -> None:
    """The exit of a process that never beat causes no event, and neither does a second exit."""
    s.accepts(0, APP, nonce=1)
    s.exits(1, 5678, code=1)
    s.exits(2, 4321, APP.exit("ok", code=1), code=1)
    s.exits(3, 4321, code=1)


@story()
def exit_of_one_of_two(s: Story) -> None:
    """The other agent lives on, and stalls at its own deadline."""
    s.accepts(0, APP, nonce=1)
    s.accepts(500 * MS, OTHER, nonce=1)
    s.exits(1 * S, 4321, APP.exit("ok", code=0), code=0)
    s.accepts(1 * S, OTHER, nonce=2)
    s.polls(3 * S - 1)
    s.polls(3 * S, OTHER.stall(last_nonce=2, last_ns=1 * S))


@story()
def a_pid_is_used_again(s: Story) -> None:
    """After an Exit, the same pid is a new agent, which inherits nothing."""
    heir = Local(2, pid=4321)
    s.accepts(0, APP, nonce=500, status="critical")
    s.sets_threshold(0, agent=1, ns=100 * MS)
    s.exits(50 * MS, 4321, APP.exit("critical", code=1), code=1)
    s.accepts(60 * MS, heir, nonce=7)
    s.polls(2_060 * MS - 1)
    s.polls(2_060 * MS, heir.stall(last_nonce=7, last_ns=60 * MS))


@story()
def recycled_pid(s: Story) -> None:
    """The kernel's process number shows that the pid has a new owner: the old agent exits."""
    first = Local(1, pid=4321, process=9001)
    heir = Local(2, pid=4321, process=9002)
    s.accepts(0, first, nonce=1000, status="degraded")
    s.accepts(1 * S, heir, nonce=1, after=(first.exit("degraded"),))
    s.accepts(2 * S, heir, nonce=2)


@story()
def recycled_pid_after_a_stall(s: Story) -> None:
    """The new process does not get the recovery of the old one."""
    first = Local(1, pid=4321, process=9001)
    heir = Local(2, pid=4321, process=9002)
    s.accepts(0, first, nonce=1)
    s.polls(2 * S, first.stall(last_nonce=1, last_ns=0))
    s.accepts(3 * S, heir, nonce=2, after=(first.exit("ok"),))
    s.exits(4 * S, 4321, heir.exit("ok", code=0), code=0)


@story(capacity=1)
def an_heir_needs_no_room(s: Story) -> None:
    """The table is full, but the old owner of the pid has exited, so that its slot is free."""
    first = Local(1, pid=4321, process=9001)
    s.accepts(0, first, nonce=1)
    s.refuses(1, Local(0, pid=5678, process=9003), nonce=1, end="capacity_exceeded")
    s.accepts(2, Local(2, pid=4321, process=9002), nonce=1, after=(first.exit("ok"),))


@story(namespaces=True)
def a_container_leaves_its_pid(s: Story) -> None:
    """The new owner is in the observer's own namespace, so that it has to claim its true pid."""
    first = Local(1, pid=4321, process=9001, claims=7, namespace="other")
    liar = Local(0, pid=4321, process=9002, claims=7, namespace="same")
    heir = Local(2, pid=4321, process=9002)
    s.accepts(0, first, nonce=1)
    s.rejects_pid(1, liar, liar.frame(2), claimed_pid=7, after=(first.exit("ok"),))
    s.accepts(2, heir, nonce=1)


@story()
def a_number_now_and_then(s: Story) -> None:
    """Only some datagrams carry the process number; all of them belong to one agent."""
    numbered = Local(1, pid=4321, process=2**53 + 1)
    heir = Local(2, pid=4321, process=2**53 + 2)
    s.accepts(0, APP, nonce=1)
    s.accepts(1, numbered, nonce=2)
    s.accepts(2, APP, nonce=3)
    s.accepts(3, numbered, nonce=4)
    s.accepts(4, heir, nonce=1, after=(numbered.exit("ok"),))


@story(detect_exits=False)
def exits_are_not_detected(s: Story) -> None:
    """Exit detection is off: the exited process stalls."""
    s.accepts(0, APP, nonce=1)
    s.exits(1 * S, 4321, code=1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def exit_of_a_local_pid_only(s: Story) -> None:
    """An exit on this host does not end an agent on another host that claims the same pid."""
    away = Remote(1, pid=4321)
    s.accepts(0, away, nonce=1)
    s.exits(1 * S, 4321, code=1)
    s.accepts(1 * S, away, nonce=2)


@story()
def numbers_are_never_used_again(s: Story) -> None:
    """Agents come and go, and each has a new agent number."""
    for number in range(1, 6):
        agent = Local(number, pid=4321)
        s.accepts(number * S, agent, nonce=1)
        s.exits(number * S, 4321, agent.exit("ok", code=number), code=number)
