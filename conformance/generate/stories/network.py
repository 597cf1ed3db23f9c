"""Plain UDP: a beat must move forward, because nobody attests who sent it."""

from .book import MS, S, Story, story
from .senders import LAST_WORDS, Local, Remote

FAR = Remote(1, pid=77)


@story()
def a_life_over_udp(s: Story) -> None:
    """A network agent has no pid here, only the one that it claims."""
    s.accepts(0, FAR, nonce=1, payload=5)
    s.accepts(1 * S, FAR, nonce=4, missed=2, status="degraded")
    s.polls(3 * S, FAR.stall(last_nonce=4, last_ns=1 * S))
    s.accepts(4 * S, FAR, nonce=5, after=(FAR.recovered(silent_ns=3 * S),))


@story()
def two_hosts_with_one_pid(s: Story) -> None:
    """The same pid at two addresses is two agents, over IPv4 and IPv6."""
    second = Remote(2, pid=77, source="192.0.2.2")
    third = Remote(3, pid=77, source="2001:db8::1")
    s.accepts(0, FAR, nonce=100)
    s.accepts(1, second, nonce=1)
    s.accepts(2, third, nonce=50)
    s.accepts(1 * S, FAR, nonce=101)
    s.polls(
        2 * S + 2,
        second.stall(last_nonce=1, last_ns=1),
        third.stall(last_nonce=50, last_ns=2),
    )


@story()
def two_pids_at_one_host(s: Story) -> None:
    """Two pids at one address are two agents."""
    second = Remote(2, pid=78)
    s.accepts(0, FAR, nonce=100)
    s.accepts(1, second, nonce=1)
    s.accepts(2, FAR, nonce=101)


@story()
def a_pid_here_and_there(s: Story) -> None:
    """A local process and one on another host that claims its pid are two agents."""
    here = Local(1, pid=77)
    there = Remote(2, pid=77)
    s.accepts(0, here, nonce=1)
    s.accepts(1, there, nonce=1)
    s.accepts(1 * S, there, nonce=2)
    s.polls(2 * S, here.stall(last_nonce=1, last_ns=0))
    s.exits(2 * S, 77, here.exit("ok", signal=9), signal=9)
    s.accepts(2 * S, there, nonce=3)


@story()
def echoes(s: Story) -> None:
    """A beat that does not move forward is a replay, and causes no event."""
    s.accepts(0, FAR, nonce=5)
    s.refuses(1, FAR, nonce=5, end="replays")
    s.refuses(2, FAR, nonce=4, end="replays")
    s.accepts(3, FAR, nonce=6)
    s.accepts(4, FAR, nonce=9, missed=2)
    s.refuses(5, FAR, nonce=8, end="replays")


@story()
def echoes_prove_nothing(s: Story) -> None:
    """A replay does not keep its agent alive."""
    s.accepts(0, FAR, nonce=5)
    s.refuses(1_900 * MS, FAR, nonce=5, end="replays")
    s.polls(2 * S, FAR.stall(last_nonce=5, last_ns=0))


@story()
def half_way_around_over_udp(s: Story) -> None:
    """Forward is a distance of at least 1 and below 2^63."""
    s.accepts(0, FAR, nonce=0)
    s.refuses(1, FAR, nonce=2**63, end="replays")
    s.accepts(2, FAR, nonce=2**63 - 1, missed=2**63 - 2)


@story()
def nonce_wrap_over_udp(s: Story) -> None:
    """0 follows NONCE_TERMINAL - 1, and older nonces are replays."""
    s.accepts(0, FAR, nonce=LAST_WORDS - 1)
    s.accepts(1, FAR, nonce=0)
    s.refuses(2, FAR, nonce=LAST_WORDS - 1, end="replays")
    s.accepts(3, FAR, nonce=2, missed=1)


@story()
def restart_over_udp(s: Story) -> None:
    """The beats of a restarted process are replays until its Stall; then any nonce is accepted."""
    s.accepts(0, FAR, nonce=1000)
    s.refuses(1 * S, FAR, nonce=1, end="replays")
    s.polls(2 * S, FAR.stall(last_nonce=1000, last_ns=0))
    s.accepts(
        2_500 * MS, FAR, nonce=2, forward=False, after=(FAR.recovered(silent_ns=2_500 * MS),)
    )
    s.accepts(3 * S, FAR, nonce=3)
    s.refuses(3 * S, FAR, nonce=2, end="replays")


@story()
def last_words_over_udp(s: Story) -> None:
    """Silence after last words is an Exit, not a Stall, because no kernel reports the exit."""
    s.accepts(0, FAR, nonce=5)
    s.accepts(1 * S, FAR, nonce=LAST_WORDS, payload=42)
    s.polls(3 * S - 1)
    s.polls(3 * S, FAR.exit("critical"))
    s.polls(60 * S)


@story()
def survived_its_last_words(s: Story) -> None:
    """The panic was caught. The terminal nonce is not remembered: the agent continues from 5."""
    s.accepts(0, FAR, nonce=5)
    s.accepts(1 * S, FAR, nonce=LAST_WORDS)
    s.refuses(1 * S, FAR, nonce=5, end="replays")
    s.accepts(2 * S, FAR, nonce=6)
    s.polls(4 * S, FAR.stall(last_nonce=6, last_ns=2 * S))


@story()
def an_alarm_over_udp(s: Story) -> None:
    """Critical with an ordinary nonce is an alarm; silence after it is a Stall."""
    s.accepts(0, FAR, nonce=5, status="critical")
    s.polls(2 * S, FAR.stall(last_nonce=5, last_ns=0))


@story()
def back_after_its_exit(s: Story) -> None:
    """A sender that beats after its Exit is a new agent, and may start with any nonce."""
    s.accepts(0, FAR, nonce=5)
    s.accepts(1, FAR, nonce=LAST_WORDS)
    s.polls(2 * S + 1, FAR.exit("critical"))
    s.accepts(3 * S, Remote(2, pid=77), nonce=1)


@story()
def an_exit_among_stalls(s: Story) -> None:
    """An Exit that follows last words is ordered by its deadline, like a Stall."""
    dying, last = Remote(2, pid=78), Remote(3, pid=79)
    s.accepts(0, FAR, nonce=1)
    s.accepts(1, dying, nonce=LAST_WORDS)
    s.accepts(2, last, nonce=1)
    s.polls(
        60 * S,
        FAR.stall(last_nonce=1, last_ns=0),
        dying.exit("critical"),
        last.stall(last_nonce=1, last_ns=2),
    )


@story()
def origin_conflict(s: Story) -> None:
    """A datagram from this host may not claim the pid of a kernel-attested process."""
    here = Local(1, pid=4321)
    s.accepts(0, here, nonce=1)
    for source in ("127.0.0.1", "::1"):
        s.refuses(1 * S, Remote(0, pid=4321, source=source), nonce=2, end="origin_conflicts")
    s.polls(2 * S, here.stall(last_nonce=1, last_ns=0))
    s.exits(3 * S, 4321, here.exit("ok", code=0), code=0)
    s.accepts(4 * S, Remote(2, pid=4321, source="127.0.0.1"), nonce=3)
