"""Beats may have been lost while a queue was full: Stalls are put off, and marked."""

from .book import MS, S, Story, story
from .senders import Local, Remote

APP = Local(1, pid=4321)
FAR = Remote(2, pid=77)


@story()
def a_flood_that_ends(s: Story) -> None:
    """The queue is full at each poll until 6 s. The Stall follows one threshold later."""
    s.accepts(0, APP, nonce=1)
    for at in range(1, 7):
        s.finds_full(at * S)
    s.polls(8 * S - 1)
    s.polls(8 * S, APP.stall(last_nonce=1, last_ns=0, deaf=True))
    s.accepts(9 * S, APP, nonce=2, after=(APP.recovered(silent_ns=9 * S),))


@story()
def a_flood_without_end(s: Story) -> None:
    """A Stall is put off for at most ten thresholds after it was due."""
    s.accepts(0, APP, nonce=1)
    for at in range(1, 22):
        s.finds_full(at * S)
    s.finds_full(22 * S, APP.stall(last_nonce=1, last_ns=0, deaf=True))
    s.finds_full(60 * S)


@story()
def a_flood_that_is_over_when_it_is_due(s: Story) -> None:
    """The Stall is certain after a whole threshold in which no beat can have been lost."""
    s.accepts(0, APP, nonce=1)
    s.finds_full(1 * S)
    s.polls(2 * S)
    s.polls(3 * S - 1)
    s.polls(3 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def a_beat_gets_through_the_flood(s: Story) -> None:
    """Its agent was not silent, and the next silence is judged as usual."""
    s.accepts(0, APP, nonce=1)
    for at in range(1, 4):
        s.finds_full(at * S)
    s.accepts(3_500 * MS, APP, nonce=9, missed=7)
    s.polls(5_500 * MS - 1)
    s.polls(5_500 * MS, APP.stall(last_nonce=9, last_ns=3_500 * MS))


@story()
def a_queue_that_is_full_for_a_moment(s: Story) -> None:
    """20 ms of the last half second are less than a sixteenth, so that no Stall is put off."""
    s.accepts(0, APP, nonce=1)
    s.polls(1_900 * MS)
    s.finds_full(1_920 * MS)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def an_exit_in_a_flood(s: Story) -> None:
    """An Exit is not put off, because it does not depend on beats."""
    s.accepts(0, APP, nonce=1)
    s.finds_full(1 * S)
    s.finds_full(2 * S)
    s.exits(2_500 * MS, 4321, APP.exit("ok", signal=9), signal=9)


@story()
def a_full_unix_socket_and_the_network(s: Story) -> None:
    """A full Unix socket does not put off the Stall of a network agent."""
    s.accepts(0, APP, nonce=1)
    s.accepts(0, FAR, nonce=1)
    s.finds_full(1 * S)
    s.finds_full(2 * S, FAR.stall(last_nonce=1, last_ns=0))
