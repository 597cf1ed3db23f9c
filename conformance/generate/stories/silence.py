"""Rules 3 and 5: when silence is a Stall, and when it is an Exit."""

from .book import MS, S, Story, story
from .senders import Local

APP = Local(1, pid=4321)
OTHER = Local(2, pid=5678)


@story()
def stall_and_recovery(s: Story) -> None:
    """Silent for the threshold is stalled, said once; the next beat is told as a recovery."""
    s.accepts(1 * S, APP, nonce=1)
    s.polls(3 * S - 1)
    s.polls(3 * S, APP.stall(last_nonce=1, last_ns=1 * S))
    s.polls(60 * S)
    s.accepts(61 * S, APP, nonce=2, after=(APP.recovered(silent_ns=60 * S),))
    s.polls(63 * S - 1)


@story()
def exit_before_a_stall(s: Story) -> None:
    """A process that has exited gets its Exit, and no Stall later."""
    s.accepts(0, APP, nonce=1, status="degraded")
    s.exits(1 * S, 4321, APP.exit("degraded", code=7), code=7)
    s.polls(60 * S)


@story()
def an_observer_that_was_stopped(s: Story) -> None:
    """It was due at 1 s and looks at 11 s: nobody is called stalled for what it slept through."""
    s.accepts(0, APP, nonce=1)
    s.accepts(500 * MS, OTHER, nonce=1)
    s.comes_late(11 * S, due=1 * S, pause=10 * S)
    s.accepts(11 * S, APP, nonce=2)
    s.polls(12 * S)
    s.polls(12 * S + 500 * MS, OTHER.stall(last_nonce=1, last_ns=500 * MS))
