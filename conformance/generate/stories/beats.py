"""A kernel-attested beat proves life with any nonce, and reports how many were missed."""

from .book import S, Story, story
from .senders import LAST_WORDS, Local

APP = Local(1, pid=4321)
CHILD = Local(2, pid=4322)


@story()
def a_quiet_life(s: Story) -> None:
    """Beats arrive in time and in order, so that there are no other events."""
    s.accepts(0, APP, nonce=1, payload=7)
    s.polls(1 * S)
    s.accepts(1 * S, APP, nonce=2, status="degraded", payload=2**32 - 1)
    s.polls(2 * S)
    s.accepts(2 * S, APP, nonce=3, status="critical")
    s.polls(3 * S)


@story()
def every_counter(s: Story) -> None:
    """A runner knows each counter by its name."""
    s.accepts(0, APP, nonce=1)
    s.names_every_counter()


@story()
def restart(s: Story) -> None:
    """A process opens a new handle that counts from 1 again. Its beats count."""
    for nonce in (1, 2, 3):
        s.accepts(nonce * S, APP, nonce)
    s.accepts(4 * S, APP, nonce=1, forward=False)
    s.accepts(5 * S, APP, nonce=2)
    s.polls(7 * S - 1)
    s.polls(7 * S, APP.stall(last_nonce=2, last_ns=5 * S))


@story()
def second_handle(s: Story) -> None:
    """Two handles in one process beat in turn, each with its own nonces."""
    s.accepts(0, APP, nonce=1)
    s.accepts(1, APP, nonce=1, forward=False)
    s.accepts(2, APP, nonce=2)
    s.accepts(3, APP, nonce=2, forward=False)
    s.accepts(4, APP, nonce=3)


@story()
def second_handle_far_behind(s: Story) -> None:
    """A new handle beside one at nonce 1000: each return to the higher nonce looks like a loss."""
    s.accepts(0, APP, nonce=1000)
    s.accepts(1, APP, nonce=1, forward=False)
    s.accepts(2, APP, nonce=1001, missed=999)
    s.accepts(3, APP, nonce=2, forward=False)


@story()
def the_same_nonce_twice(s: Story) -> None:
    """A repeated nonce is not forward and not a loss, but it proves life."""
    s.accepts(0, APP, nonce=9)
    s.accepts(1 * S, APP, nonce=9, forward=False)
    s.polls(3 * S - 1)
    s.polls(3 * S, APP.stall(last_nonce=9, last_ns=1 * S))


@story()
def lost_beats(s: Story) -> None:
    """Beats that never arrived are missed; the nonces before and after them give their number."""
    s.accepts(0, APP, nonce=10)
    s.accepts(1, APP, nonce=11)
    s.accepts(2, APP, nonce=14, missed=2)
    s.accepts(3, APP, nonce=15)
    s.accepts(4, APP, nonce=2**53 + 1, missed=2**53 - 15)


@story()
def nonce_wrap(s: Story) -> None:
    """0 follows NONCE_TERMINAL - 1, and is forward by one."""
    s.accepts(0, APP, nonce=LAST_WORDS - 2)
    s.accepts(1, APP, nonce=LAST_WORDS - 1)
    s.accepts(2, APP, nonce=0)
    s.accepts(3, APP, nonce=1)


@story()
def losses_around_the_wrap(s: Story) -> None:
    """The terminal nonce is not counted as missed."""
    s.accepts(0, APP, nonce=LAST_WORDS - 1)
    s.accepts(1, APP, nonce=4, missed=4)
    s.accepts(2, APP, nonce=LAST_WORDS - 1, forward=False)
    s.accepts(3, APP, nonce=0)


@story()
def half_way_around(s: Story) -> None:
    """A distance below 2^63 is forward; 2^63 is not."""
    s.accepts(0, APP, nonce=0)
    s.accepts(1, APP, nonce=2**63 - 1, missed=2**63 - 2)
    s.accepts(2, CHILD, nonce=0)
    s.accepts(3, CHILD, nonce=2**63, forward=False)


@story()
def after_a_caught_panic(s: Story) -> None:
    """Last words after more than a million beats; the panic was caught, and the beats go on."""
    s.accepts(0, APP, nonce=2**20 + 5)
    s.accepts(1 * S, APP, nonce=LAST_WORDS)
    s.accepts(2 * S, APP, nonce=2**20 + 6)
    s.accepts(3 * S, APP, nonce=LAST_WORDS)
    s.accepts(3 * S, APP, nonce=LAST_WORDS)
    s.accepts(4 * S, APP, nonce=1, forward=False)


@story()
def last_words_are_no_exit(s: Story) -> None:
    """Silence after last words is a Stall, because the kernel reports exits of local processes."""
    s.accepts(0, APP, nonce=3)
    s.accepts(1 * S, APP, nonce=LAST_WORDS, payload=99)
    s.polls(3 * S, APP.stall(last_nonce=3, last_ns=1 * S))
    s.exits(4 * S, 4321, APP.exit("critical", signal=6), signal=6)


@story()
def nothing_but_last_words(s: Story) -> None:
    """An agent whose first beat is its last words has no nonce to count from."""
    s.accepts(0, APP, nonce=LAST_WORDS)
    s.accepts(1, CHILD, nonce=LAST_WORDS)
    s.accepts(2, CHILD, nonce=17)
    s.polls(2 * S, APP.stall(last_nonce=0, last_ns=0))


@story()
def an_alarm_is_no_exit(s: Story) -> None:
    """Critical with an ordinary nonce is an alarm, and silence after it is a Stall."""
    s.accepts(0, APP, nonce=1, status="critical", payload=3)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def a_forked_child(s: Story) -> None:
    """A child that beats through the inherited handle is an agent of its own."""
    s.accepts(0, APP, nonce=41)
    s.accepts(1 * S, CHILD, nonce=1)
    s.accepts(1 * S, APP, nonce=42)
    s.accepts(2 * S, CHILD, nonce=2)
    s.polls(3 * S, APP.stall(last_nonce=42, last_ns=1 * S))
    s.polls(4 * S, CHILD.stall(last_nonce=2, last_ns=2 * S))


@story()
def timestamps_decide_nothing(s: Story) -> None:
    """A sender's clock may restart, stop or run backwards."""
    s.accepts(0, APP, nonce=1, timestamp=2**64 - 2)
    s.accepts(1 * S, APP, nonce=2, timestamp=0)
    s.accepts(2 * S, APP, nonce=3, timestamp=0)


@story()
def numbers_beyond_doubles(s: Story) -> None:
    """After months of running: times, nonces and silences that a double cannot represent."""
    start, nonce = 2**53 + 1, 2**53 + 3
    s.accepts(start, APP, nonce)
    s.polls(start + 2 * S, APP.stall(last_nonce=nonce, last_ns=start))
    end = start + 2**53 + 1
    s.accepts(end, APP, nonce + 1, after=(APP.recovered(silent_ns=2**53 + 1),))
