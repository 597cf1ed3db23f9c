"""Capacity and rate limits: one agent cannot take the share of the others."""

from .book import MS, S, Story, story
from .senders import Local, Remote

FIRST = Local(1, pid=101)
SECOND = Local(2, pid=102)
NEWCOMER = Local(0, pid=103)
FAR = Remote(1, pid=77)


@story(capacity=2)
def capacity_reached(s: Story) -> None:
    """A new agent is refused and counted; the agents that are followed live on."""
    s.accepts(0, FIRST, nonce=1)
    s.accepts(0, SECOND, nonce=1)
    s.refuses(1 * S, NEWCOMER, nonce=1, end="capacity_exceeded")
    s.refuses(1 * S, NEWCOMER, nonce=2, end="capacity_exceeded")
    s.accepts(1 * S, FIRST, nonce=2)
    s.polls(2 * S, SECOND.stall(last_nonce=1, last_ns=0))
    s.accepts(2 * S, SECOND, nonce=2, after=(SECOND.recovered(silent_ns=2 * S),))


@story(capacity=2)
def an_exit_makes_room(s: Story) -> None:
    """The slot of an exited agent is free at once."""
    s.accepts(0, FIRST, nonce=1)
    s.accepts(0, SECOND, nonce=1)
    s.refuses(1, NEWCOMER, nonce=1, end="capacity_exceeded")
    s.exits(2, 101, FIRST.exit("ok", code=0), code=0)
    s.accepts(3, Local(3, pid=103), nonce=2)
    s.refuses(4, FIRST, nonce=2, end="capacity_exceeded")


@story(capacity=1)
def hung_is_not_gone(s: Story) -> None:
    """With exit detection, a silent local process keeps its slot however long it is silent."""
    s.accepts(0, FIRST, nonce=1)
    s.polls(2 * S, FIRST.stall(last_nonce=1, last_ns=0))
    s.polls(200 * S)
    s.refuses(200 * S, SECOND, nonce=1, end="capacity_exceeded")
    s.accepts(201 * S, FIRST, nonce=2, after=(FIRST.recovered(silent_ns=201 * S),))


@story(capacity=1, detect_exits=False)
def gone_makes_room(s: Story) -> None:
    """Without exit detection, an agent that was silent for ten thresholds makes room."""
    s.accepts(0, FIRST, nonce=1)
    s.polls(2 * S, FIRST.stall(last_nonce=1, last_ns=0))
    s.polls(20 * S - 1)
    s.refuses(20 * S - 1, SECOND, nonce=1, end="capacity_exceeded")
    s.polls(20 * S)
    s.accepts(20 * S, SECOND, nonce=2)
    s.counts(evictions=1)
    s.refuses(21 * S, FIRST, nonce=2, end="capacity_exceeded")


@story(capacity=1, detect_exits=False)
def ten_of_its_own_thresholds(s: Story) -> None:
    """An agent with its own threshold is gone after ten of those."""
    s.accepts(0, FIRST, nonce=1)
    s.sets_threshold(0, agent=1, ns=100 * MS)
    s.polls(100 * MS, FIRST.stall(last_nonce=1, last_ns=0))
    s.polls(999 * MS)
    s.refuses(999 * MS, SECOND, nonce=1, end="capacity_exceeded")
    s.polls(1 * S)
    s.accepts(1 * S, SECOND, nonce=2)
    s.counts(evictions=1)


@story(capacity=1, detect_exits=False)
def a_pause_is_no_part_of_ten_thresholds(s: Story) -> None:
    """An agent that stalled just after a suspend is not gone at once."""
    s.accepts(0, FIRST, nonce=1)
    s.was_suspended(61 * S, ns=60 * S, pause=60 * S)
    s.polls(62 * S, FIRST.stall(last_nonce=1, last_ns=0))
    s.polls(80 * S - 1)
    s.refuses(80 * S - 1, SECOND, nonce=1, end="capacity_exceeded")
    s.polls(80 * S)
    s.accepts(80 * S, SECOND, nonce=2)
    s.counts(evictions=1)


@story(capacity=1, detect_exits=False)
def a_pause_after_the_stall(s: Story) -> None:
    """An agent that stalled before a suspend is not gone at once either."""
    s.accepts(0, FIRST, nonce=1)
    s.polls(2 * S, FIRST.stall(last_nonce=1, last_ns=0))
    s.was_suspended(63 * S, ns=60 * S, pause=60 * S)
    s.polls(80 * S - 1)
    s.refuses(80 * S - 1, SECOND, nonce=1, end="capacity_exceeded")
    s.polls(80 * S)
    s.accepts(80 * S, SECOND, nonce=2)
    s.counts(evictions=1)


@story(capacity=2, detect_exits=False)
def gone_but_not_in_the_way(s: Story) -> None:
    """While the slot is not needed, an agent that was gone returns as the same agent."""
    s.accepts(0, FIRST, nonce=1)
    s.polls(2 * S, FIRST.stall(last_nonce=1, last_ns=0))
    s.polls(50 * S)
    s.accepts(50 * S, SECOND, nonce=1)
    s.accepts(51 * S, FIRST, nonce=2, after=(FIRST.recovered(silent_ns=51 * S),))
    s.polls(51 * S)
    s.refuses(51 * S, NEWCOMER, nonce=1, end="capacity_exceeded")


@story(capacity=4)
def network_agents_may_hold_half(s: Story) -> None:
    """Two of four slots are for local agents, which may also take all."""
    s.accepts(0, FAR, nonce=1)
    s.accepts(0, Remote(2, pid=78), nonce=1)
    s.refuses(0, Remote(0, pid=79), nonce=1, end="capacity_exceeded")
    s.accepts(1, Local(3, pid=101), nonce=1)
    s.accepts(1, Local(4, pid=102), nonce=1)
    s.refuses(1, Local(0, pid=103), nonce=1, end="capacity_exceeded")


@story(capacity=4)
def local_agents_may_hold_all(s: Story) -> None:
    """Network agents may take at most half of the slots, but no slot is reserved for them."""
    for number in (1, 2, 3, 4):
        s.accepts(number, Local(number, pid=100 + number), nonce=1)
    s.refuses(5, Remote(0, pid=77), nonce=1, end="capacity_exceeded")
    s.exits(6, 104, Local(4, pid=104).exit("ok", code=0), code=0)
    s.accepts(7, Remote(5, pid=77), nonce=2)


@story(capacity=4)
def forged_crowd(s: Story) -> None:
    """Twenty forged sources shut out neither local agents nor a live network agent."""
    s.accepts(0, FAR, nonce=1)
    s.accepts(1, Remote(2, pid=77, source="198.51.100.1"), nonce=1)
    for host in range(2, 21):
        forged = Remote(0, pid=77, source=f"198.51.100.{host}")
        s.refuses(host, forged, nonce=1, end="capacity_exceeded")
    s.accepts(1 * S, FAR, nonce=2)
    s.accepts(1 * S, Local(3, pid=101), nonce=1)
    s.accepts(1 * S, Local(4, pid=102), nonce=1)


@story(capacity=2)
def gone_over_udp(s: Story) -> None:
    """The exit of a network agent is never seen: after ten thresholds it makes room."""
    second = Remote(0, pid=78)
    s.accepts(0, FAR, nonce=1)
    s.refuses(1 * S, second, nonce=1, end="capacity_exceeded")
    s.polls(2 * S, FAR.stall(last_nonce=1, last_ns=0))
    s.refuses(3 * S, second, nonce=2, end="capacity_exceeded")
    s.polls(20 * S)
    s.accepts(20 * S, Remote(2, pid=78), nonce=3)
    s.counts(evictions=1)
    s.polls(22 * S, Remote(2, pid=78).stall(last_nonce=3, last_ns=20 * S))
    s.polls(40 * S)
    s.accepts(40 * S, Remote(3, pid=77), nonce=2)
    s.counts(evictions=1)


@story(capacity=1)
def half_of_one(s: Story) -> None:
    """Half of one slot is none."""
    s.refuses(0, Remote(0, pid=77), nonce=1, end="capacity_exceeded")
    s.accepts(1, FIRST, nonce=1)


@story()
def a_flood(s: Story) -> None:
    """Without limits every beat is reported, and those of a quiet agent are too."""
    quiet, loud = Local(1, pid=101), Local(2, pid=102)
    s.accepts(0, quiet, nonce=1)
    for nonce in range(1, 31):
        s.accepts(1 * S, loud, nonce)
    s.accepts(1 * S, quiet, nonce=2)
    s.polls(3 * S - 1)


@story(rate_per_agent={"per_second": 10, "burst": 2})
def rate_limit(s: Story) -> None:
    """Two at once, then ten a second. A beat over the limit does not count as missed."""
    s.accepts(0, FIRST, nonce=1)
    s.accepts(0, FIRST, nonce=2)
    s.refuses(0, FIRST, nonce=3, end="rate_limited_agent")
    s.refuses(99 * MS, FIRST, nonce=4, end="rate_limited_agent")
    s.accepts(100 * MS, FIRST, nonce=5)
    s.refuses(150 * MS, FIRST, nonce=6, end="rate_limited_agent")
    s.accepts(200 * MS, FIRST, nonce=7)
    s.accepts(10 * S, FIRST, nonce=8)
    s.accepts(10 * S, FIRST, nonce=9)
    s.refuses(10 * S, FIRST, nonce=10, end="rate_limited_agent")


@story(rate_per_agent={"per_second": 10, "burst": 2})
def one_loud_agent(s: Story) -> None:
    """Each agent has its own limit: one that is too fast takes nothing from the others."""
    s.accepts(0, FIRST, nonce=1)
    s.accepts(0, FIRST, nonce=2)
    for nonce in range(3, 21):
        s.refuses(0, FIRST, nonce, end="rate_limited_agent")
    s.accepts(0, SECOND, nonce=1)
    s.accepts(0, Remote(3, pid=77), nonce=1)
    s.accepts(0, SECOND, nonce=2)


@story(rate_per_agent={"per_second": 1, "burst": 1})
def held_back_but_alive(s: Story) -> None:
    """A beat over the limit causes no event, but proves life."""
    s.accepts(0, FIRST, nonce=1)
    s.refuses(900 * MS, FIRST, nonce=2, end="rate_limited_agent")
    s.polls(2_900 * MS - 1)
    s.polls(2_900 * MS, FIRST.stall(last_nonce=2, last_ns=900 * MS))


@story(rate={"per_second": 1, "burst": 3})
def a_limit_for_all(s: Story) -> None:
    """Three at once from all agents together, then one a second."""
    s.accepts(0, FIRST, nonce=1)
    s.accepts(0, SECOND, nonce=1)
    s.accepts(10 * S, FIRST, nonce=2)
    s.accepts(10 * S, SECOND, nonce=2)
    s.accepts(10 * S, FIRST, nonce=3)
    s.refuses(10 * S, SECOND, nonce=3, end="rate_limited_global")
    s.accepts(11 * S, SECOND, nonce=4)
    s.refuses(11 * S, FIRST, nonce=4, end="rate_limited_global")


@story(rate_per_agent={"per_second": 1, "burst": 1}, rate={"per_second": 1, "burst": 3})
def its_own_limit_first(s: Story) -> None:
    """A beat over its agent's limit takes nothing from the global rate."""
    third = Local(3, pid=103)
    for agent in (FIRST, SECOND, third):
        s.accepts(0, agent, nonce=1)
    s.accepts(10 * S, FIRST, nonce=2)
    for nonce in range(3, 13):
        s.refuses(10 * S, FIRST, nonce, end="rate_limited_agent")
    s.accepts(10 * S, SECOND, nonce=2)
    s.accepts(10 * S, third, nonce=2)


@story(rate={"per_second": 1, "burst": 1})
def a_recovery_is_always_told(s: Story) -> None:
    """A recovery is reported even if the global rate is used up."""
    s.accepts(0, FIRST, nonce=1)
    s.accepts(1_500 * MS, SECOND, nonce=1)
    s.polls(2 * S, FIRST.stall(last_nonce=1, last_ns=0))
    s.accepts(3 * S, SECOND, nonce=2)
    s.accepts(3 * S, FIRST, nonce=2, after=(FIRST.recovered(silent_ns=3 * S),))


@story(rate={"per_second": 1, "burst": 1})
def a_limit_keeps_strangers_out(s: Story) -> None:
    """A new network agent beyond the global rate is not followed."""
    s.accepts(0, FAR, nonce=1)
    s.refuses(0, Remote(0, pid=78), nonce=1, end="rate_limited_global")
    s.accepts(1 * S, Remote(2, pid=79), nonce=1)
    s.polls(
        3 * S,
        FAR.stall(last_nonce=1, last_ns=0),
        Remote(2, pid=79).stall(last_nonce=1, last_ns=1 * S),
    )


@story(capacity=8, uids="any")
def one_user_leaves_room_for_others(s: Story) -> None:
    """One user leaves an eighth to others; its stalled agents make room up to an equal share."""
    sitters = [Local(number, pid=200 + number, uid=65534) for number in range(1, 8)]
    for sitter in sitters:
        s.accepts(0, sitter, nonce=1)
    s.refuses(0, Local(0, pid=300, uid=65534), nonce=1, end="capacity_exceeded")
    s.accepts(0, Local(8, pid=101, uid=0), nonce=1)
    s.refuses(1 * S, Local(0, pid=102, uid=0), nonce=1, end="capacity_exceeded")
    stalls = [agent.stall(last_nonce=1, last_ns=0) for agent in sitters]
    s.polls(2 * S, *stalls, Local(8, pid=101, uid=0).stall(last_nonce=1, last_ns=0))
    for number in range(9, 12):
        s.accepts(2 * S, Local(number, pid=100 + number, uid=0), nonce=1)
        s.counts(evictions=1)
    s.refuses(2 * S, Local(0, pid=112, uid=0), nonce=1, end="capacity_exceeded")
    s.refuses(2 * S, sitters[0], nonce=2, end="capacity_exceeded")
    back = sitters[3].recovered(silent_ns=3 * S)
    s.accepts(3 * S, sitters[3], nonce=2, after=(back,))
