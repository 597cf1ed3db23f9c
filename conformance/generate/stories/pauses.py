"""Pauses: each silence is extended, once, by the time that the observer was late."""

from .book import MS, S, Story, story
from .senders import LAST_WORDS, Local, Remote

APP = Local(1, pid=4321)
OTHER = Local(2, pid=5678)
THIRD = Local(3, pid=600)


@story()
def an_observer_that_was_stopped(s: Story) -> None:
    """It was due at 1 s and polls at 11 s: no agent stalls for the time that it was stopped."""
    s.accepts(0, APP, nonce=1)
    s.accepts(500 * MS, OTHER, nonce=1)
    s.comes_late(11 * S, due=1 * S, pause=10 * S)
    s.accepts(11 * S, APP, nonce=2)
    s.polls(12 * S)
    s.polls(12_500 * MS, OTHER.stall(last_nonce=1, last_ns=500 * MS))


@story()
def died_while_the_observer_was_stopped(s: Story) -> None:
    """An agent that fell silent meanwhile is found within one threshold of resuming."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(60 * S, due=1_900 * MS, pause=58_100 * MS)
    s.polls(60 * S)
    s.polls(60_100 * MS - 1)
    s.polls(60_100 * MS, APP.stall(last_nonce=1, last_ns=0))


@story()
def a_crowd_sleeps_through_nothing(s: Story) -> None:
    """Thirty live agents and an observer stopped for ten seconds: there is no Stall."""
    crowd = [Local(number, pid=1000 + number) for number in range(1, 31)]
    for agent in crowd:
        s.accepts(0, agent, nonce=1)
    s.comes_late(10 * S, due=0, pause=10 * S)
    for agent in crowd:
        s.accepts(10 * S, agent, nonce=2)
    s.polls(12 * S - 1)


@story()
def a_little_late_is_no_pause(s: Story) -> None:
    """Half the shortest threshold is not yet a pause; one nanosecond more is."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(1 * S, due=0, pause=None)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
    s.comes_late(3 * S + 1, due=2 * S, pause=1 * S + 1)


@story(threshold_ns=10 * MS)
def at_least_fifty_milliseconds(s: Story) -> None:
    """With a short threshold, 50 ms or less is not a pause."""
    s.comes_late(50 * MS, due=0, pause=None)
    s.comes_late(100 * MS + 1, due=50 * MS, pause=50 * MS + 1)


@story(pause_after_ns=5 * S)
def a_pause_as_told(s: Story) -> None:
    """With a pause_after of 5 s, five seconds late is not a pause and gives nothing back."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(5 * S, due=0, pause=None)
    s.polls(5 * S, APP.stall(last_nonce=1, last_ns=0))
    s.comes_late(10 * S + 1, due=5 * S, pause=5 * S + 1)


@story()
def a_pause_by_the_shortest_threshold(s: Story) -> None:
    """One agent gets a threshold of 200 ms. From then on, more than 100 ms late is a pause."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(101 * MS, due=0, pause=None)
    s.sets_threshold(101 * MS, agent=1, ns=200 * MS)
    s.comes_late(202 * MS, due=101 * MS, pause=101 * MS)
    s.polls(301 * MS - 1)
    s.polls(301 * MS, APP.stall(last_nonce=1, last_ns=0))


@story()
def in_time_is_no_pause(s: Story) -> None:
    """An observer that polls when it is due, or earlier, is not late."""
    s.comes_late(5 * S, due=5 * S, pause=None)
    s.comes_late(6 * S, due=9 * S, pause=None)


@story()
def suspend(s: Story) -> None:
    """The system was suspended for a minute; each silence is given that minute back."""
    s.accepts(0, APP, nonce=1)
    s.was_suspended(61 * S, ns=60 * S, pause=60 * S)
    s.polls(62 * S - 1)
    s.polls(62 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def a_short_suspend(s: Story) -> None:
    """A suspend is a pause even if it is shorter than pause_after."""
    s.accepts(0, APP, nonce=1)
    s.was_suspended(1 * S, ns=20 * MS, pause=20 * MS)
    s.polls(2_020 * MS - 1)
    s.polls(2_020 * MS, APP.stall(last_nonce=1, last_ns=0))


@story()
def two_suspends(s: Story) -> None:
    """Each suspend is reported, and is given back to the agents that were silent during it."""
    s.accepts(0, APP, nonce=1)
    s.was_suspended(11 * S, ns=10 * S, pause=10 * S)
    s.accepts(11 * S, APP, nonce=2)
    s.was_suspended(32 * S, ns=20 * S, pause=20 * S)
    s.polls(33 * S - 1)
    s.polls(33 * S, APP.stall(last_nonce=2, last_ns=11 * S))


@story()
def once_per_silence(s: Story) -> None:
    """A second pause in one silence gives nothing more; the next silence gets one again."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(3 * S, due=1_500 * MS, pause=1_500 * MS)
    s.polls(3_400 * MS)
    s.comes_late(4_900 * MS, due=3_400 * MS, pause=1_500 * MS)
    s.polls(4_900 * MS, APP.stall(last_nonce=1, last_ns=0))
    s.accepts(5 * S, APP, nonce=2, after=(APP.recovered(silent_ns=5 * S),))
    s.comes_late(8_500 * MS, due=6 * S, pause=2_500 * MS)
    s.polls(9_500 * MS - 1)
    s.polls(9_500 * MS, APP.stall(last_nonce=2, last_ns=5 * S))


@story()
def a_pause_before_the_silence(s: Story) -> None:
    """A pause before the last beat is not given back."""
    s.comes_late(10 * S, due=5 * S, pause=5 * S)
    s.accepts(10 * S, APP, nonce=1)
    s.polls(12 * S, APP.stall(last_nonce=1, last_ns=10 * S))


@story()
def a_threshold_set_after_a_pause(s: Story) -> None:
    """A silence keeps the time that it was given back when its threshold changes."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(11 * S, due=1 * S, pause=10 * S)
    s.polls(11 * S)
    s.sets_threshold(11 * S, agent=1, ns=5 * S)
    s.polls(15 * S - 1)
    s.polls(15 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def a_pause_amid_a_stall(s: Story) -> None:
    """A silence that was already reported is not reported again, and its length is not reduced."""
    s.accepts(0, APP, nonce=1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
    s.comes_late(13 * S, due=3 * S, pause=10 * S)
    s.polls(60 * S)
    s.accepts(60 * S, APP, nonce=2, after=(APP.recovered(silent_ns=60 * S),))


@story()
def a_pause_for_everyone(s: Story) -> None:
    """Agents with their own thresholds and agents on other hosts are given the pause back too."""
    away = Remote(3, pid=77)
    s.accepts(0, APP, nonce=1)
    s.accepts(0, OTHER, nonce=1)
    s.accepts(0, away, nonce=1)
    s.sets_threshold(0, agent=2, ns=8 * S)
    s.comes_late(11 * S, due=1 * S, pause=10 * S)
    s.polls(12 * S - 1)
    s.polls(12 * S, APP.stall(last_nonce=1, last_ns=0), away.stall(last_nonce=1, last_ns=0))
    s.polls(18 * S - 1)
    s.polls(18 * S, OTHER.stall(last_nonce=1, last_ns=0))


@story()
def stalls_after_a_pause(s: Story) -> None:
    """Stalls are ordered by the deadlines that a pause has moved, and then by last beat."""
    s.accepts(0, APP, nonce=1)
    s.comes_late(11 * S, due=1 * S, pause=10 * S)
    s.accepts(11 * S, OTHER, nonce=1)
    s.accepts(11 * S, THIRD, nonce=1)
    s.sets_threshold(11 * S, agent=2, ns=1 * S)
    s.sets_threshold(11 * S, agent=3, ns=500 * MS)
    s.polls(
        60 * S,
        THIRD.stall(last_nonce=1, last_ns=11 * S),
        APP.stall(last_nonce=1, last_ns=0),
        OTHER.stall(last_nonce=1, last_ns=11 * S),
    )


@story()
def last_words_before_a_pause(s: Story) -> None:
    """Over a network, the Exit that follows last words is put off by a pause like a Stall."""
    away = Remote(1, pid=77)
    s.accepts(0, away, nonce=LAST_WORDS)
    s.comes_late(11 * S, due=1 * S, pause=10 * S)
    s.polls(12 * S - 1)
    s.polls(12 * S, away.exit("critical"))


@story()
def everything_is_due(s: Story) -> None:
    """The pause is reported first, then frames in order of arrival, then exits, then Stalls."""
    s.accepts(0, APP, nonce=1)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))
    s.accepts(2 * S, OTHER, nonce=1)
    s.accepts(2 * S, THIRD, nonce=1)
    s.comes_late(20 * S, due=2_500 * MS, pause=17_500 * MS)
    s.accepts(20 * S, OTHER, nonce=2, status="degraded")
    s.accepts(20 * S, APP, nonce=2, after=(APP.recovered(silent_ns=20 * S),))
    s.accepts(20 * S, OTHER, nonce=3)
    s.exits(20 * S, 5678, OTHER.exit("ok", code=1), code=1)
    s.polls(21_500 * MS - 1)
    s.polls(
        22 * S,
        THIRD.stall(last_nonce=1, last_ns=2 * S),
        APP.stall(last_nonce=2, last_ns=20 * S),
    )
