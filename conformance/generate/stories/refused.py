"""Every datagram is counted, and the policy decides whose beats count."""

import wire

from .book import MS, S, Story, story
from .senders import LAST_WORDS, SHARED_KEY, UID, Local, Remote, Sealed

APP = Local(1, pid=4321)
GOOD = APP.frame(1)


def altered(place: int, with_bytes: bytes) -> bytes:
    """A frame with other bytes at `place`, and with the checksum that fits them."""
    body = GOOD[:place] + with_bytes + GOOD[place + len(with_bytes) : 28]
    return wire.with_crc(body)


WRONG = {
    "BadMagic": altered(0, b"AV"),
    "BadVersion": altered(2, b"\x03"),
    "BadCrc": GOOD[:31] + bytes([GOOD[31] ^ 0x80]),
    "BadStatus": altered(3, b"\x04"),
    "StallOnWire": altered(3, b"\x03"),
    "BadPid": altered(4, b"\x01\0\0\0"),
    "BadTimestamp": altered(8, b"\xff" * 8),
    "BadNonce": altered(16, b"\xff" * 8),
}


@story()
def no_frames(s: Story) -> None:
    """Each way in which 32 bytes can fail to be a frame is reported and counted."""
    for at, (error, wrong) in enumerate(WRONG.items()):
        s.decodes(at, APP, wrong, error)
    s.accepts(10, APP, nonce=1)


@story()
def no_frames_over_udp(s: Story) -> None:
    """The same over a network, where anyone can send anything."""
    far = Remote(1, pid=4321)
    for at, (error, wrong) in enumerate(WRONG.items()):
        s.decodes(at, far, wrong, error)
    s.accepts(10, far, nonce=1)


@story()
def the_first_thing_wrong(s: Story) -> None:
    """If several things are wrong, the first one determines the error."""
    s.decodes(0, APP, b"\xff" * 32, "BadMagic")
    s.decodes(1, APP, b"VA" + b"\xff" * 30, "BadVersion")
    s.decodes(2, APP, b"VA\x02" + b"\xff" * 29, "BadCrc")
    s.decodes(3, APP, wire.with_crc(b"VA\x02" + b"\xff" * 25), "BadStatus")
    s.decodes(4, APP, wire.with_crc(b"VA\x02\x03" + bytes(4) + b"\xff" * 20), "StallOnWire")
    s.decodes(5, APP, wire.with_crc(b"VA\x02\x00" + bytes(4) + b"\xff" * 20), "BadPid")
    s.decodes(6, APP, wire.with_crc(b"VA\x02\x00" + b"\xff" * 24), "BadTimestamp")


@story()
def damage_proves_nothing(s: Story) -> None:
    """A damaged frame does not keep its sender alive."""
    s.accepts(0, APP, nonce=1)
    s.decodes(1_900 * MS, APP, WRONG["BadCrc"], "BadCrc")
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))


@story()
def other_lengths(s: Story) -> None:
    """A datagram of another length causes no event, whatever its first bytes are."""
    for length in (1, 31, 33, 60, 64, 1000):
        s.ignores(0, APP, (GOOD + bytes(1000))[:length], end="wrong_length")
        s.ignores(0, Remote(0, pid=4321), (GOOD + bytes(1000))[:length], end="wrong_length")
    s.polls(60 * S)


@story()
def cut_short(s: Story) -> None:
    """The first 32 bytes of a longer datagram are not a frame."""
    s.ignores(0, APP, GOOD, end="wrong_length", truncated=True)
    s.ignores(1, Remote(0, pid=4321), GOOD, end="wrong_length", truncated=True)
    s.polls(60 * S)


@story()
def without_the_kernels_word(s: Story) -> None:
    """The control data about the sender was truncated: the frame does not count."""
    s.accepts(0, APP, nonce=1)
    s.ignores(1 * S, APP, APP.frame(2), end="control_truncated", control_truncated=True)
    s.polls(2 * S, APP.stall(last_nonce=1, last_ns=0))


@story(shared_keys_hex=[SHARED_KEY.hex()])
def probes(s: Story) -> None:
    """An empty datagram asks whether an observer is there. It is counted and causes no event."""
    s.ignores(0, APP, b"", end="probes")
    s.ignores(1, Remote(0, pid=77), b"", end="probes")
    s.ignores(2, Sealed(0, pid=77), b"", end="probes")
    s.polls(60 * S)


@story()
def a_frame_that_names_another(s: Story) -> None:
    """A frame with another pid than the kernel's is reported, and proves nobody's life."""
    victim = Local(1, pid=5678)
    s.accepts(0, victim, nonce=1)
    s.rejects_pid(1_900 * MS, APP, victim.frame(2), claimed_pid=5678)
    s.polls(2 * S, victim.stall(last_nonce=1, last_ns=0))
    s.rejects_pid(3 * S, APP, victim.frame(3), claimed_pid=5678)
    s.polls(60 * S)


@story()
def a_stranger_by_uid(s: Story) -> None:
    """Beats of another user do not count, and cause no event."""
    s.accepts(0, APP, nonce=1)
    s.refuses(1, Local(0, pid=5678, uid=UID + 1), nonce=1, end="uid_refused")
    s.refuses(2, Local(0, pid=5678, uid=0), nonce=1, end="uid_refused")
    s.polls(1 * S)


@story(uids=[0, UID, 2**32 - 1])
def a_list_of_users(s: Story) -> None:
    """Only the beats of listed users count."""
    s.accepts(0, Local(1, pid=100, uid=0), nonce=1)
    s.accepts(1, Local(2, pid=200, uid=UID), nonce=1)
    s.accepts(2, Local(3, pid=300, uid=2**32 - 1), nonce=1)
    s.refuses(3, Local(0, pid=400, uid=UID + 1), nonce=1, end="uid_refused")


@story(uids="any")
def any_user(s: Story) -> None:
    """With uids "any", the beats of every user count."""
    s.accepts(0, Local(1, pid=100, uid=0), nonce=1)
    s.accepts(1, Local(2, pid=200, uid=65_534), nonce=1)


@story()
def another_namespace(s: Story) -> None:
    """Senders in another pid namespace are refused by default, with a pid here or without."""
    for number in (0, 1):
        visible = Local(0, pid=4321, claims=7, namespace="other")
        s.refuses(number, visible, nonce=1, end="namespace_refused")
        hidden = Local(0, pid=0, claims=7, process=9001)
        s.refuses(number, hidden, nonce=1, end="namespace_refused")
    s.polls(60 * S)


@story(namespaces=True)
def a_container(s: Story) -> None:
    """An admitted sender in another namespace has a pid here and claims the one it has there."""
    agent = Local(1, pid=4321, claims=7, namespace="other")
    s.accepts(0, agent, nonce=1)
    s.accepts(1 * S, agent, nonce=2)
    s.rejects_pid(1 * S, agent, Local(0, pid=8).frame(3), claimed_pid=8)
    s.polls(3 * S, agent.stall(last_nonce=2, last_ns=1 * S))
    s.exits(4 * S, 4321, agent.exit("ok", code=137), code=137)


@story(namespaces=True)
def two_containers(s: Story) -> None:
    """Both have no pid here and claim the same one; their process numbers distinguish them."""
    first = Local(1, pid=0, claims=7, process=9001)
    second = Local(2, pid=0, claims=7, process=9002)
    s.accepts(0, first, nonce=1)
    s.accepts(1, second, nonce=1)
    s.accepts(1 * S, first, nonce=2)
    s.polls(2 * S + 1, second.stall(last_nonce=1, last_ns=1))
    s.polls(3 * S, first.stall(last_nonce=2, last_ns=1 * S))


@story(namespaces=True)
def a_container_that_nothing_tells_apart(s: Story) -> None:
    """A sender without a pid here and without a process number cannot be followed."""
    s.refuses(0, Local(0, pid=0, claims=7), nonce=1, end="namespace_refused")


@story(namespaces=True)
def a_liar_where_namespaces_are_admitted(s: Story) -> None:
    """In the observer's own namespace a frame still has to claim the pid of its sender."""
    s.rejects_pid(0, APP, Local(0, pid=7).frame(1), claimed_pid=7)
    s.accepts(1, APP, nonce=1)


@story()
def version_1_by_default(s: Story) -> None:
    """Version 1 is refused unless it is enabled."""
    s.decodes(0, APP, APP.frame(1, version=1), "BadVersion")
    s.accepts(1, APP, nonce=1)


@story(version1=True)
def version_1(s: Story) -> None:
    """With version 1 enabled, payloads have 64 bits, and a process may change its version."""
    old = Local(2, pid=5678)
    s.accepts(0, APP, nonce=1, version=1, payload=2**64 - 1)
    s.accepts(1, old, nonce=1, version=1, payload=2**53 + 1)
    s.accepts(2, APP, nonce=2, payload=7)
    s.accepts(3, old, nonce=2, version=1, status="degraded")
    s.accepts(4, APP, nonce=3, version=1)


@story(version1=True)
def version_1_last_words(s: Story) -> None:
    """The terminal nonce has the same meaning in version 1 as in version 2."""
    far = Remote(1, pid=77)
    s.accepts(0, far, nonce=LAST_WORDS - 1, version=1)
    s.accepts(1, far, nonce=LAST_WORDS, version=1)
    s.polls(2 * S + 1, far.exit("critical"))


@story(version1=True)
def version_1_runs_out(s: Story) -> None:
    """In version 1 the nonce stops before the terminal one. Its beats still prove life."""
    s.accepts(0, APP, nonce=LAST_WORDS - 1, version=1)
    s.accepts(1 * S, APP, nonce=LAST_WORDS - 1, version=1, forward=False)
    s.polls(3 * S - 1)
    s.polls(3 * S, APP.stall(last_nonce=LAST_WORDS - 1, last_ns=1 * S))


@story(version1=True)
def version_1_no_frames(s: Story) -> None:
    """Version 1 frames fail with the same errors; versions other than 1 and 2 are refused."""
    good = APP.frame(1, version=1)

    def changed(place: int, with_bytes: bytes) -> bytes:
        return good[:place] + with_bytes + good[place + len(with_bytes) :]

    s.decodes(0, APP, changed(0, b"AV"), "BadMagic")
    s.decodes(1, APP, changed(2, b"\x03"), "BadVersion")
    s.decodes(2, APP, changed(2, b"\x00"), "BadVersion")
    s.decodes(3, APP, changed(3, b"\x04"), "BadStatus")
    s.decodes(4, APP, changed(3, b"\x03"), "StallOnWire")
    s.decodes(5, APP, changed(4, bytes(4)), "BadPid")
    s.decodes(6, APP, changed(8, b"\xff" * 8), "BadTimestamp")
    s.decodes(7, APP, changed(16, b"\xff" * 8), "BadNonce")
    s.decodes(8, APP, WRONG["BadCrc"], "BadCrc")
