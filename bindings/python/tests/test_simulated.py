"""The simulated observer, whose clock the test sets."""

from __future__ import annotations

import pytest

from varta import (
    Beat,
    Exit,
    Frame,
    Observer,
    Origin,
    Paused,
    Recovered,
    Simulated,
    Stall,
    Status,
    v1,
)
from varta.secure import Cipher, derive_agent_key

SECOND = 10**9


def beat(nonce: int, status: str = "ok") -> bytes:
    return Frame(status, 4321, 0, nonce, 0).encode()


def kinds(observer: Simulated) -> list[str]:
    return [event.kind for event in observer]


def test_a_stall_is_delayed_and_marked_deaf_while_the_queue_is_full() -> None:
    observer = Observer.simulated()
    observer.feed(0, beat(1), pid=4321)
    observer.advance(2 * SECOND, full=True)
    assert kinds(observer) == ["beat"]
    observer.advance(4 * SECOND)
    stall = observer.poll()
    assert isinstance(stall, Stall) and stall.deaf
    assert str(stall).endswith("with nonce 1, while the queue was full")
    stats = observer.stats()
    assert (stats["stalls"], stats["stalls_deaf"], stats["full_looks"]) == (1, 1, 1)


def test_slack_can_be_changed_while_a_task_is_late() -> None:
    observer = Observer.simulated(lane=True, tasks=True, task_slack_ns={"batch": 10 * SECOND})
    page = observer.attach(0, 4321)
    live, name = 1 << 32, int.from_bytes(b"batch", "little")
    observer.write(page, 0, cold=[1 << 48 | live, 0b11, 0, 0, 0, 0, 0, 0])
    observer.write(
        page, 1,
        cold=[1 | live, SECOND, SECOND, 0, 0, name, 0, 0],
        hot=[1, 0, 0, 0, 1, SECOND, 1 << 8, 0],
    )  # fmt: skip
    observer.mapped(1, page)
    observer.advance(5 * SECOND)
    assert "stall" not in kinds(observer)
    observer.set_slack(task_slack_ns={"batch": 5 * SECOND}, program_slack_ns={"other": 0})
    observer.advance(6 * SECOND - 1)
    assert kinds(observer) == []
    observer.advance(6 * SECOND)
    stall = observer.poll()
    assert isinstance(stall, Stall) and (stall.task_name, stall.due_ns) == ("batch", SECOND)
    with pytest.raises(TypeError, match="task_slack_ns: expected a dict of times"):
        observer.set_slack(task_slack_ns=[1])


def test_an_agent_stalls_recovers_and_exits() -> None:
    observer = Observer.simulated()
    observer.feed(SECOND, beat(1), pid=4321)
    observer.advance(3 * SECOND - 1)
    assert kinds(observer) == ["beat"]
    observer.advance(3 * SECOND)
    stall = observer.poll()
    assert isinstance(stall, Stall)
    assert (stall.last_nonce, stall.last_ns, stall.observer_ns) == (1, SECOND, 3 * SECOND)
    observer.feed(4 * SECOND, beat(2, "critical"), pid=4321)
    recovered, again = observer
    assert isinstance(recovered, Recovered) and recovered.silent_ns == 3 * SECOND
    assert isinstance(again, Beat) and again.missed == 0
    assert observer.exit(5 * SECOND, 4321, 7) is True
    exit = observer.poll()
    assert isinstance(exit, Exit)
    assert (exit.code, exit.signal, exit.last_status) == (7, None, Status.CRITICAL)
    assert observer.agents() == [] and observer.poll() is None
    assert observer.exit(6 * SECOND, 4321) is False


def test_lateness_and_suspension_are_pauses() -> None:
    observer = Observer.simulated(pause_after_ns=SECOND)
    observer.late(3 * SECOND, SECOND)
    paused = observer.poll()
    assert isinstance(paused, Paused) and paused.ns == 2 * SECOND
    observer.suspended(60 * SECOND, 50 * SECOND)
    paused = observer.poll()
    assert isinstance(paused, Paused) and paused.ns == 50 * SECOND


def test_thresholds_are_applied_per_agent() -> None:
    observer = Observer.simulated(threshold_ns=SECOND)
    observer.feed(0, beat(1), pid=4321)
    assert observer.set_threshold(1, 10 * SECOND) is True
    observer.advance(9 * SECOND)
    assert kinds(observer) == ["beat"]
    observer.advance(10 * SECOND)
    assert kinds(observer) == ["stall"]
    assert observer.set_threshold(2, SECOND) is False


def test_senders_are_identified_by_origin() -> None:
    observer = Observer.simulated(uids=[1000], capacity=10)
    observer.feed(0, beat(1), pid=4321, uid=1000)
    observer.feed(0, beat(1), pid=4321, uid=1001)
    observer.feed(0, Frame("ok", 9, 0, 1, 0).encode(), address="192.0.2.1", listener=1)
    first, second = observer
    assert isinstance(first, Beat) and isinstance(second, Beat)
    assert (first.origin, first.pid) == (Origin.KERNEL_ATTESTED, 4321)
    assert (second.origin, second.pid, second.claimed_pid) == (Origin.NETWORK, 0, 9)
    assert observer.stats()["uid_refused"] == 1
    local, network = observer.agents()
    assert (local["uid"], local["address"]) == (1000, None)
    assert (network["uid"], network["address"]) == (None, "192.0.2.1")


def test_sealed_datagrams_are_opened_and_replays_are_counted() -> None:
    shared, master = bytes(range(32)), bytes(32)
    observer = Observer.simulated(shared_keys=[shared], master_key=master)
    wire = Cipher(shared).seal(bytes(8), 1, beat(1))
    observer.feed(0, wire, address="192.0.2.1", sealed=True)
    observer.feed(0, wire, address="192.0.2.1", sealed=True)
    own = Cipher(derive_agent_key(master, 4321))
    observer.feed(0, own.seal_as(4321, b"8 random", 1, beat(1)), address="192.0.2.2", sealed=True)
    assert [event.origin for event in observer] == [Origin.SECURE_NETWORK] * 2
    assert observer.stats()["replays"] == 1


def test_version_1_and_rate_settings_are_applied() -> None:
    observer = Observer.simulated(version1=True, rate_per_agent=(1, 1))
    observer.feed(0, v1.Frame("ok", 4321, 0, 1, 2**63).encode(), pid=4321)
    observer.feed(1, v1.Frame("ok", 4321, 0, 2, 0).encode(), pid=4321)
    (event,) = observer
    assert isinstance(event, Beat) and event.payload == 2**63
    assert observer.stats()["rate_limited_agent"] == 1


def test_datagrams_that_are_not_frames_are_counted() -> None:
    observer = Observer.simulated()
    observer.feed(0, b"", pid=1)
    observer.feed(0, bytes(31), pid=1)
    observer.feed(0, bytes(32), pid=1, truncated=True)
    observer.feed(0, bytes(32), pid=1, control_truncated=True)
    stats = observer.stats()
    assert (stats["probes"], stats["wrong_length"], stats["control_truncated"]) == (1, 2, 1)
