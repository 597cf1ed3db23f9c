"""Secure UDP: a session must count up at any address, and is never forgotten."""

from secure import seal_master

from .book import MS, S, Story, story
from .senders import LAST_WORDS, MASTER_KEY, OTHER_KEY, SHARED_KEY, Remote, Sealed, iv

KEYS = {"shared_keys_hex": [SHARED_KEY.hex()]}
MASTER = {"master_key_hex": MASTER_KEY.hex()}
FAR = Sealed(1, pid=77)
OWN = Sealed(1, pid=77, master=MASTER_KEY)


@story(**KEYS)
def a_sealed_life(s: Story) -> None:
    """The origin of a sealed beat shows that its sender holds a key."""
    s.accepts(0, FAR.at(1), nonce=1, payload=2**32 - 1)
    s.accepts(1 * S, FAR.at(2), nonce=2)
    s.polls(3 * S, FAR.stall(last_nonce=2, last_ns=1 * S))
    s.accepts(4 * S, FAR.at(3), nonce=3, after=(FAR.recovered(silent_ns=3 * S),))


@story(**MASTER)
def a_key_of_its_own(s: Story) -> None:
    """Each agent's key is derived from the master key."""
    other = Sealed(2, pid=78, master=MASTER_KEY)
    s.accepts(0, OWN.at(1), nonce=1)
    s.accepts(1, other.at(1), nonce=1)
    s.accepts(2, OWN.at(2), nonce=2)


@story(shared_keys_hex=[SHARED_KEY.hex(), OTHER_KEY.hex()], **MASTER)
def keys_are_changed(s: Story) -> None:
    """During a key rotation both keys are accepted, and an agent may change its key."""
    renewed = Sealed(1, pid=77, key=OTHER_KEY)
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, renewed.at(1, "renewed"), nonce=2)
    s.counts(open_attempts=1)  # The key that opened this sender's last frame is tried first.
    s.accepts(2, renewed.at(2, "renewed"), nonce=3)
    s.accepts(3, Sealed(2, pid=78, master=MASTER_KEY).at(1), nonce=1)


@story(**KEYS)
def sealed_echoes(s: Story) -> None:
    """A session must count up. Gaps are legal, and so is a first counter of 0."""
    s.accepts(0, FAR.at(0), nonce=1)
    s.refuses(1, FAR.at(0), nonce=1, end="replays")
    s.accepts(2, FAR.at(1), nonce=2)
    s.accepts(3, FAR.at(500), nonce=3)
    s.refuses(4, FAR.at(500), nonce=3, end="replays")
    s.refuses(5, FAR.at(499), nonce=4, end="replays")
    s.accepts(6, FAR.at(2**32 - 1), nonce=4)


@story(**KEYS)
def a_counter_runs_out(s: Story) -> None:
    """The next prefix is a new session, in which the nonce continues."""
    s.accepts(0, FAR.at(2**32 - 1), nonce=8)
    s.accepts(1, FAR.at(1, "second"), nonce=9)
    s.refuses(2, FAR.at(2**32 - 1), nonce=8, end="replays")
    s.accepts(3, FAR.at(2, "second"), nonce=10)


@story(**KEYS)
def a_new_session(s: Story) -> None:
    """A process restarts: its new session is refused until the old one has stalled."""
    s.accepts(0, FAR.at(9), nonce=1000)
    s.refuses(1 * S, FAR.at(1, "second"), nonce=1, end="replays")
    s.polls(2 * S, FAR.stall(last_nonce=1000, last_ns=0))
    s.accepts(
        3 * S,
        FAR.at(3, "second"),
        nonce=3,
        forward=False,
        after=(FAR.recovered(silent_ns=3 * S),),
    )
    s.refuses(4 * S, FAR.at(2, "second"), nonce=2, end="replays")
    s.accepts(4 * S, FAR.at(4, "second"), nonce=4)


@story(**KEYS)
def a_handle_within_a_session(s: Story) -> None:
    """Within a known session the counter decides, and the nonce may fall."""
    s.accepts(0, FAR.at(1), nonce=1000)
    s.accepts(1, FAR.at(2), nonce=1, forward=False)
    s.accepts(2, FAR.at(3), nonce=2)


@story(**KEYS)
def an_echo_after_a_stall(s: Story) -> None:
    """A Stall admits a new session, but no old frame of a known session."""
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, FAR.at(2), nonce=2)
    s.polls(2 * S + 1, FAR.stall(last_nonce=2, last_ns=1))
    s.refuses(3 * S, FAR.at(1), nonce=1, end="replays")
    s.refuses(3 * S, FAR.at(2), nonce=2, end="replays")
    s.accepts(4 * S, FAR.at(3), nonce=3, after=(FAR.recovered(silent_ns=4 * S - 1),))


@story(**KEYS)
def every_session_is_remembered(s: Story) -> None:
    """Each session of an agent must count up, however many there are and in any order."""
    sessions = ("first", "second", "third", "fourth", "fifth", "sixth")
    for nonce, session in enumerate(sessions, start=1):
        s.accepts(nonce, FAR.at(7, session), nonce)
    for session in sessions:
        s.refuses(7, FAR.at(7, session), nonce=100, end="replays")
    s.accepts(8, FAR.at(8, "first"), nonce=7)


@story(**KEYS)
def an_echo_from_another_address(s: Story) -> None:
    """The address is not sealed: an accepted frame is a replay from every address."""
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, FAR.at(2), nonce=2)
    for host in range(2, 80):
        elsewhere = Sealed(0, pid=77, source=f"192.0.2.{host}")
        s.refuses(2, elsewhere.at(1), nonce=1, end="replays")
        s.refuses(2, elsewhere.at(2), nonce=2, end="replays")
    s.polls(2 * S + 1, FAR.stall(last_nonce=2, last_ns=1))
    s.polls(60 * S)


@story(**KEYS)
def an_agent_moves(s: Story) -> None:
    """A session that counts up from another address belongs to the same agent. A new session
    belongs to the agent that was last seen at its address."""
    moved = Sealed(1, pid=77, source="198.51.100.7")
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, moved.at(2), nonce=2)
    s.refuses(2, FAR.at(2), nonce=2, end="replays")
    s.refuses(3, moved.at(1, "second"), nonce=2, end="replays")
    s.accepts(4, moved.at(2, "second"), nonce=3)
    s.accepts(5, Sealed(2, pid=77).at(1, "third"), nonce=1)
    s.polls(2 * S + 5, moved.stall(last_nonce=3, last_ns=4), Sealed(2, pid=77).stall(1, 5))


@story(**KEYS)
def an_agent_moves_to_where_another_is(s: Story) -> None:
    """Two agents with the same pid stay two agents at any address."""
    other = Sealed(2, pid=77, source="198.51.100.7")
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, other.at(1, "second"), nonce=50)
    s.accepts(2, Sealed(1, pid=77, source="198.51.100.7").at(2), nonce=2)
    s.accepts(3, other.at(2, "second"), nonce=51)
    s.accepts(4, FAR.at(3), nonce=3)


@story(**KEYS)
def sealed_last_words(s: Story) -> None:
    """The panic hook has its own session, and may send its frame twice."""
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, FAR.at(1, "hook"), nonce=LAST_WORDS)
    s.refuses(2, FAR.at(1, "hook"), nonce=LAST_WORDS, end="replays")
    s.polls(2 * S + 1, FAR.exit("critical"))


@story(**KEYS)
def survived_its_sealed_last_words(s: Story) -> None:
    """The panic was caught: session and nonce continue where they were."""
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, FAR.at(1, "hook"), nonce=LAST_WORDS)
    s.accepts(2, FAR.at(2), nonce=2)
    s.polls(2 * S + 2, FAR.stall(last_nonce=2, last_ns=2))


@story(**KEYS)
def an_echo_after_an_exit(s: Story) -> None:
    """Sessions outlive their agent: its old frames do not bring it back."""
    s.accepts(0, FAR.at(1), nonce=1)
    s.accepts(1, FAR.at(2), nonce=LAST_WORDS)
    s.polls(2 * S + 1, FAR.exit("critical"))
    s.refuses(3 * S, FAR.at(1), nonce=1, end="replays")
    s.refuses(3 * S, FAR.at(2), nonce=LAST_WORDS, end="replays")
    s.accepts(4 * S, Sealed(2, pid=77).at(1, "second"), nonce=1)


@story(capacity=4, **KEYS)
def the_dead_are_not_forgotten(s: Story) -> None:
    """An agent that is gone makes room for another, but its sessions are remembered."""
    for number in (1, 2):
        s.accepts(number, Sealed(number, pid=70 + number), nonce=LAST_WORDS)
    s.polls(
        3 * S,
        Sealed(1, pid=71).exit("critical"),
        Sealed(2, pid=72).exit("critical"),
    )
    for number in (3, 4):
        s.accepts(3 * S, Sealed(number, pid=70 + number), nonce=1)
    s.polls(5 * S, *(Sealed(number, pid=70 + number).stall(1, 3 * S) for number in (3, 4)))
    for pid in (71, 72):
        s.refuses(40 * S, Sealed(0, pid=pid), nonce=LAST_WORDS, end="replays")


@story(**KEYS)
def forged(s: Story) -> None:
    """A frame that no key opens is counted and has no other effect."""
    s.accepts(0, FAR.at(1), nonce=1)
    whole = FAR.at(900).frame(900)
    spoilt = whole[:-1] + bytes([whole[-1] ^ 1])
    s.ignores(1, FAR, spoilt, end="decrypt_failures")
    s.ignores(2, FAR, bytes(60), end="decrypt_failures")
    stranger = Sealed(0, pid=77, key=OTHER_KEY)
    s.refuses(1_900 * MS, stranger.at(900), nonce=900, end="decrypt_failures")
    s.ignores(1_900 * MS, FAR, bytes(64), end="decrypt_failures")
    s.polls(2 * S, FAR.stall(last_nonce=1, last_ns=0))
    s.accepts(3 * S, FAR.at(2), nonce=2, after=(FAR.recovered(silent_ns=3 * S),))


@story(**MASTER)
def a_key_for_another_pid(s: Story) -> None:
    """The pid in the frame must be the one whose key sealed it."""
    wire = seal_master(MASTER_KEY, 78, iv("first", 1), Remote(0, pid=77).frame(1))
    s.ignores(0, OWN, wire, end="decrypt_failures")
    s.accepts(1, OWN.at(1), nonce=1)


@story(**KEYS)
def sealed_but_no_frame(s: Story) -> None:
    """A frame that opens is decoded like any other."""
    plain = Remote(0, pid=77)
    damaged = plain.frame(1)[:28] + bytes(4)
    s.decodes(0, FAR, FAR.at(1).seal(damaged), "BadCrc")
    s.decodes(1, FAR, FAR.at(2).seal(plain.frame(1, version=1)), "BadVersion")
    s.accepts(2, FAR.at(3), nonce=1)


@story(**KEYS)
def in_the_clear(s: Story) -> None:
    """A secure listener counts a plain frame, like any other wrong length, as wrong_length."""
    plain = Remote(0, pid=77)
    s.ignores(0, FAR, plain.frame(1), end="wrong_length")
    for length in (1, 59, 61, 63, 65):
        s.ignores(1, FAR, bytes(length), end="wrong_length")
    s.ignores(2, FAR, FAR.at(1).frame(1), end="wrong_length", truncated=True)
    s.ignores(3, FAR, b"", end="probes")
    s.accepts(4, FAR.at(1), nonce=1)


@story(**KEYS)
def plain_and_sealed(s: Story) -> None:
    """One address and one pid at two listeners are two agents with two origins."""
    plain = Remote(2, pid=77)
    s.accepts(0, FAR.at(1), nonce=9)
    s.accepts(1, plain, nonce=1)
    s.accepts(2, FAR.at(2), nonce=10)
    s.polls(2 * S + 1, plain.stall(last_nonce=1, last_ns=1))
