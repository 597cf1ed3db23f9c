"""The first process of a pid namespace, which has pid 1 there, as the main program of a container.

A frame may name pid 1 only if the kernel proves that it is the pid of its sender.
"""

from .book import MS, S, Story, story
from .refused import APP, altered
from .senders import LAST_WORDS, MASTER_KEY, SHARED_KEY, Local, Remote, Sealed

NAMES_PID_1 = altered(4, b"\x01\0\0\0")


@story()
def the_first_process_of_the_observers_namespace(s: Story) -> None:
    """It needs no setting. All that is reported about others is reported about it."""
    first = Local(1, pid=1)
    s.accepts(0, first, nonce=1)
    s.accepts(1 * S, first, nonce=3, missed=1)
    s.polls(3 * S, first.stall(last_nonce=3, last_ns=1 * S))
    s.accepts(4 * S, first, nonce=4, after=(first.recovered(3 * S),))
    s.accepts(5 * S, first, nonce=LAST_WORDS)
    s.exits(6 * S, 1, first.exit("critical", code=1), code=1)
    s.polls(60 * S)


@story(version1=True)
def the_first_process_with_version_1(s: Story) -> None:
    """Frames of version 1 may name pid 1 too."""
    s.accepts(0, Local(1, pid=1), nonce=1, version=1)
    s.decodes(1, APP, Local(0, pid=1).frame(1, version=1), "BadPid")


@story(namespaces=True)
def another_process_that_names_pid_1(s: Story) -> None:
    """Its frames do not count and prove nobody's life, whether it was heard before or not."""
    first = Local(1, pid=1)
    agent = Local(2, pid=4321)
    s.accepts(0, first, nonce=1)
    for number, namespace in enumerate(("same", "unknown")):
        liar = Local(0, pid=5678 + number, claims=1, namespace=namespace)
        s.decodes(1, liar, liar.frame(2), "BadPid")
    s.accepts(1, agent, nonce=1)
    s.decodes(1_900 * MS, agent, NAMES_PID_1, "BadPid")
    s.polls(2 * S, first.stall(last_nonce=1, last_ns=0))
    s.polls(2 * S + 1, agent.stall(last_nonce=1, last_ns=1))


@story(namespaces=True)
def the_first_process_names_another(s: Story) -> None:
    """Its kernel pid is 1, and no frame of it may name another."""
    first = Local(1, pid=1)
    s.rejects_pid(0, first, APP.frame(1), claimed_pid=APP.pid)
    s.accepts(1, first, nonce=1)
    s.rejects_pid(2, first, APP.frame(2), claimed_pid=APP.pid)


@story(namespaces=True)
def main_programs_of_containers(s: Story) -> None:
    """Each is pid 1 in its namespace; they are told apart by their pids here."""
    first = Local(1, pid=4321, claims=1, namespace="other", innermost=1)
    second = Local(2, pid=5432, claims=1, namespace="other", innermost=1)
    s.accepts(0, first, nonce=1)
    s.accepts(1, second, nonce=1)
    s.accepts(1 * S, first, nonce=2)
    s.polls(2 * S + 1, second.stall(last_nonce=1, last_ns=1))
    s.accepts(2_500 * MS, second, nonce=2, after=(second.recovered(2_500 * MS - 1),))
    s.exits(2_600 * MS, 4321, first.exit("ok", signal=9), signal=9)
    s.exits(2_700 * MS, 5432, second.exit("ok", code=137), code=137)


@story(namespaces=True)
def a_child_in_a_container_that_names_pid_1(s: Story) -> None:
    """It has another pid there, so it can neither be nor keep alive the container's first."""
    first = Local(1, pid=4321, claims=1, namespace="other", innermost=1)
    child = Local(2, pid=4322, claims=7, namespace="other", innermost=7)
    s.accepts(0, first, nonce=1)
    s.decodes(1, child, first.frame(2), "BadPid")
    s.accepts(2, child, nonce=1)
    s.decodes(1_900 * MS, child, first.frame(2), "BadPid")
    s.rejects_pid(1_950 * MS, first, child.frame(2), claimed_pid=7)
    s.polls(2 * S, first.stall(last_nonce=1, last_ns=0))


@story(namespaces=True)
def main_programs_of_sibling_containers(s: Story) -> None:
    """The observer is in a container too: they have no pid here, and the number tells them apart."""
    first = Local(1, pid=0, claims=1, process=9001)
    second = Local(2, pid=0, claims=1, process=9002)
    s.accepts(0, first, nonce=1)
    s.accepts(1, second, nonce=1)
    s.accepts(1 * S, first, nonce=2)
    s.polls(2 * S + 1, second.stall(last_nonce=1, last_ns=1))
    s.polls(3 * S, first.stall(last_nonce=2, last_ns=1 * S))


@story()
def main_programs_of_containers_that_are_not_admitted(s: Story) -> None:
    """They are counted as senders of another namespace, with a pid here or without."""
    s.refuses(0, Local(0, pid=4321, claims=1, namespace="other", innermost=1), 1, "namespace_refused")
    s.refuses(1, Local(0, pid=0, claims=1, process=9001), 1, "namespace_refused")
    s.refuses(2, Local(0, pid=0, claims=1), 1, "namespace_refused")
    s.polls(60 * S)


@story()
def other_faults_of_frames_that_name_pid_1(s: Story) -> None:
    """They are found before it is asked whose pid it is. Pid 0 stays an error for everybody."""
    first = Local(1, pid=1)
    s.decodes(0, first, first.frame(1, timestamp=2**64 - 1), "BadTimestamp")
    s.decodes(1, APP, first.frame(1, timestamp=2**64 - 1), "BadTimestamp")
    s.decodes(2, first, first.frame(LAST_WORDS, status="ok"), "BadNonce")
    s.decodes(3, first, altered(4, bytes(4)), "BadPid")
    s.decodes(4, Local(0, pid=0), altered(4, bytes(4)), "BadPid")
    s.accepts(5, first, nonce=1)


@story(shared_keys_hex=[SHARED_KEY.hex()], master_key_hex=MASTER_KEY.hex(), namespaces=True)
def pid_1_over_a_network(s: Story) -> None:
    """The kernel proves nothing about a sender on a network, whether its frame is sealed or not."""
    s.decodes(0, Remote(0, pid=1), NAMES_PID_1, "BadPid")
    for at, master in enumerate((None, MASTER_KEY), start=1):
        sealed = Sealed(0, pid=1, master=master)
        s.decodes(at, sealed, sealed.frame(1), "BadPid")
