"""When silence is a Stall, and in which order. Queues are drained before silence is judged."""

from .book import MS, S, Story, story
from .senders import Local

APP = Local(1, pid=4321)
OTHER = Local(2, pid=5678)
THIRD = Local(3, pid=600)


@story()
def stall_and_recovery(s: Story) -> None:
    """A silence as long as the threshold is one Stall; the next beat is a recovery."""
    s.accepts(1 * S, APP, nonce=1)
    s.polls(3 * S - 1)
    s.polls(3 * S, APP.stall(last_nonce=1, last_ns=1 * S))
    s.polls(60 * S)
    s.accepts(61 * S, APP, nonce=2, after=(APP.recovered(silent_ns=60 * S),))
    s.polls(63 * S - 1)


@story()
def stalled_again(s: Story) -> None:
    """Once per silence: after a recovery the next silence is reported again."""
    s.accepts(0, APP, nonce=1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
    s.accepts(3 * S, APP, nonce=2, after=(APP.recovered(silent_ns=3 * S),))
    s.accepts(4 * S, APP, nonce=3)
    s.polls(6 * S, APP.stall(last_nonce=3, last_ns=4 * S))
    s.accepts(7 * S, APP, nonce=4, after=(APP.recovered(silent_ns=3 * S),))


@story()
def late_beat(s: Story) -> None:
    """A beat that is queued is read before silence is judged."""
    s.accepts(0, APP, nonce=1)
    s.accepts(3 * S, APP, nonce=2)
    s.polls(3 * S)
    s.accepts(5 * S, APP, nonce=3)
    s.polls(5 * S)


@story()
def seldom_polled(s: Story) -> None:
    """A host that polls on its own timer gets its Stalls, and no pause is reported."""
    s.accepts(0, APP, nonce=1)
    s.polls(60 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def one_of_three_is_silent(s: Story) -> None:
    """Only the silent agent stalls."""
    for agent in (APP, OTHER, THIRD):
        s.accepts(0, agent, nonce=1)
    for second in (1, 2, 3):
        s.accepts(second * S, APP, nonce=1 + second)
        s.accepts(second * S, THIRD, nonce=1 + second)
        stalls = [OTHER.stall(last_nonce=1, last_ns=0)] if second == 2 else []
        s.polls(second * S, *stalls)


@story()
def stalls_by_deadline(s: Story) -> None:
    """Stalls that are due together are ordered by deadline, not by last beat."""
    s.accepts(0, APP, nonce=1)
    s.accepts(500 * MS, OTHER, nonce=1)
    s.accepts(600 * MS, THIRD, nonce=1)
    s.sets_threshold(600 * MS, agent=3, ns=1 * S)
    s.polls(
        60 * S,
        THIRD.stall(last_nonce=1, last_ns=600 * MS),
        APP.stall(last_nonce=1, last_ns=0),
        OTHER.stall(last_nonce=1, last_ns=500 * MS),
    )


@story()
def stalls_of_one_deadline(s: Story) -> None:
    """Of agents with one deadline, the one that has been silent longer is first."""
    s.accepts(0, APP, nonce=1)
    s.sets_threshold(0, agent=1, ns=1 * S)
    s.accepts(1 * S, OTHER, nonce=1)
    s.accepts(2 * S, APP, nonce=2)
    s.polls(
        3 * S,
        OTHER.stall(last_nonce=1, last_ns=1 * S),
        APP.stall(last_nonce=2, last_ns=2 * S),
    )


@story()
def stalls_of_one_instant(s: Story) -> None:
    """Twenty agents that beat in one instant stall in the order of their beats."""
    crowd = [Local(number, pid=9000 - number) for number in range(1, 21)]
    for agent in crowd:
        s.accepts(5, agent, nonce=agent.number)
    s.polls(2 * S + 5, *(agent.stall(last_nonce=agent.number, last_ns=5) for agent in crowd))


@story()
def frames_in_the_order_of_arrival(s: Story) -> None:
    """Each recovery is reported just before its own beat."""
    s.accepts(0, APP, nonce=1)
    s.accepts(1, OTHER, nonce=1)
    s.polls(
        3 * S,
        APP.stall(last_nonce=1, last_ns=0),
        OTHER.stall(last_nonce=1, last_ns=1),
    )
    s.accepts(4 * S, OTHER, nonce=2, after=(OTHER.recovered(silent_ns=4 * S - 1),))
    s.accepts(4 * S, THIRD, nonce=1)
    s.accepts(4 * S, APP, nonce=2, after=(APP.recovered(silent_ns=4 * S),))
    s.accepts(4 * S, OTHER, nonce=3)


@story()
def two_thresholds(s: Story) -> None:
    """One agent has a shorter threshold than the default, another a longer one."""
    for agent in (APP, OTHER, THIRD):
        s.accepts(0, agent, nonce=1)
    s.sets_threshold(0, agent=1, ns=500 * MS)
    s.sets_threshold(0, agent=3, ns=10 * S)
    s.polls(500 * MS - 1)
    s.polls(500 * MS, APP.stall(last_nonce=1, last_ns=0))
    s.polls(2 * S, OTHER.stall(last_nonce=1, last_ns=0))
    s.polls(10 * S - 1)
    s.polls(10 * S, THIRD.stall(last_nonce=1, last_ns=0))


@story()
def a_threshold_of_its_own_stays(s: Story) -> None:
    """It holds for later silences, after a recovery too."""
    s.accepts(0, APP, nonce=1)
    s.sets_threshold(0, agent=1, ns=500 * MS)
    s.accepts(400 * MS, APP, nonce=2)
    s.polls(899 * MS)
    s.polls(900 * MS, APP.stall(last_nonce=2, last_ns=400 * MS))
    s.accepts(1 * S, APP, nonce=3, after=(APP.recovered(silent_ns=600 * MS),))
    s.polls(1499 * MS)
    s.polls(1500 * MS, APP.stall(last_nonce=3, last_ns=1 * S))


@story()
def a_threshold_set_amid_silence(s: Story) -> None:
    """It counts from the last beat, whether it is shorter or longer than the old one."""
    s.accepts(0, APP, nonce=1)
    s.accepts(0, OTHER, nonce=1)
    s.sets_threshold(1 * S, agent=1, ns=500 * MS)
    s.sets_threshold(1 * S, agent=2, ns=5 * S)
    s.polls(1 * S, APP.stall(last_nonce=1, last_ns=0))
    s.polls(5 * S - 1)
    s.polls(5 * S, OTHER.stall(last_nonce=1, last_ns=0))


@story()
def a_threshold_set_while_stalled(s: Story) -> None:
    """The silence was already reported; the threshold applies to the next one."""
    s.accepts(0, APP, nonce=1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
    s.sets_threshold(3 * S, agent=1, ns=5 * S)
    s.polls(60 * S)
    s.accepts(60 * S, APP, nonce=2, after=(APP.recovered(silent_ns=60 * S),))
    s.polls(65 * S - 1)
    s.polls(65 * S, APP.stall(last_nonce=2, last_ns=60 * S))


@story()
def a_threshold_for_nobody(s: Story) -> None:
    """A threshold set for an unknown agent has no effect on an agent that gets its number."""
    s.sets_threshold(0, agent=1, ns=500 * MS)
    s.accepts(0, APP, nonce=1)
    s.polls(2 * S - 1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
