"""Every outcome of a beat, and every reason for a drop."""

from __future__ import annotations

import copy
import errno
import os
import pickle
import resource
import socket

import pytest
from conftest import expect, in_child, wait_until

from varta import (
    Beat,
    BeatError,
    BeatOutcome,
    DropReason,
    Frame,
    Observer,
    Status,
    Varta,
    classify_send_error,
)


def test_sent_is_one_shared_object(observer: Observer, path: str) -> None:
    with Varta.connect(path) as agent:
        outcome = agent.beat(Status.DEGRADED, 7)
        assert outcome.is_sent and not outcome.is_dropped and not outcome.is_failed
        assert (outcome.reason, outcome.error, str(outcome)) == (None, None, "sent")
        assert agent.beat() is outcome is BeatOutcome.sent()
    first = expect(observer, Beat)
    assert isinstance(first, Beat)
    assert (first.status, first.payload, first.nonce) == (Status.DEGRADED, 7, 1)


def test_a_beat_to_a_full_queue_is_dropped(receiver: socket.socket, path: str) -> None:
    with Varta.connect(path) as agent:
        outcomes = {agent.beat() for _ in range(100_000)}
    assert outcomes == {BeatOutcome.sent(), BeatOutcome.dropped(DropReason.KERNEL_QUEUE_FULL)}


def test_beats_are_dropped_until_an_observer_binds(path: str) -> None:
    with Varta.open(path) as agent:
        outcome = agent.beat()
        assert outcome.is_dropped and outcome.reason is DropReason.NO_OBSERVER
        assert str(outcome) == "dropped: no observer"
        with Observer.bind(path) as observer:
            wait_until("the agent to find the observer", lambda: agent.beat().is_sent)
            expect(observer, Beat)


def test_a_beat_after_the_peer_has_closed_is_dropped(receiver: socket.socket, path: str) -> None:
    with Varta.connect(path) as agent:
        assert agent.beat().is_sent
        receiver.close()
        assert agent.beat().reason is DropReason.NO_OBSERVER
        assert agent.beat().reason is DropReason.PEER_GONE


def test_enospc_is_classified_as_storage_full() -> None:
    # No local socket returns this error, so only the classification is tested.
    outcome = classify_send_error(OSError(errno.ENOSPC, "full"))
    assert outcome.reason is DropReason.STORAGE_FULL


def test_a_failed_outcome_has_the_errno(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)

    def beat_without_descriptors() -> None:
        # A child needs its own session, which it cannot open without descriptors.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        outcome = agent.beat()
        assert outcome.is_failed and outcome.error is not None
        assert (outcome.error.errno, outcome.error.kind) == (errno.EMFILE, "EMFILE")
        assert isinstance(outcome.error.to_oserror(), OSError)
        assert outcome.error.to_oserror().errno == errno.EMFILE
        assert str(outcome) == f"failed: [Errno {errno.EMFILE}] {os.strerror(errno.EMFILE)}"

    in_child(beat_without_descriptors)
    assert observer.poll(0) is None


def test_an_agent_cannot_send_a_stall(observer: Observer, path: str) -> None:
    with Varta.connect(path) as agent:
        outcome = agent.beat(Status.STALL)
        assert outcome.error == BeatError(BeatError.UNKNOWN_ERRNO, "InvalidInput")
    assert observer.poll(0) is None


def test_a_closed_agent_fails_every_beat(observer: Observer, path: str) -> None:
    agent = Varta.connect(path)
    agent.close()
    agent.close()
    outcome = agent.beat()
    assert outcome.is_failed and outcome.error == BeatError(0, "Closed")
    assert str(outcome) == "failed: Closed"
    with pytest.raises(OSError, match="closed") as raised:
        agent.reconnect()
    assert raised.value.errno == errno.EBADF
    agent.set_reconnect_after(1)
    assert (agent.clock_regressions(), agent.fork_recoveries()) == (0, 0)
    assert repr(agent) == "Varta(closed)"


def test_reconnect_finds_a_new_observer(path: str) -> None:
    with Observer.bind(path):
        agent = Varta.connect(path)
        assert agent.beat().is_sent
    assert agent.beat().is_dropped
    with pytest.raises(FileNotFoundError):
        agent.reconnect()
    with Observer.bind(path) as observer:
        agent.reconnect()
        assert agent.beat().is_sent
        beat = expect(observer, Beat)
        assert isinstance(beat, Beat) and beat.nonce == 3


def test_an_agent_reconnects_after_the_configured_number_of_drops(path: str) -> None:
    with Observer.bind(path):
        agent = Varta.connect(path)
        agent.set_reconnect_after(2)
    with Observer.bind(path) as observer:
        assert agent.beat().is_dropped
        assert agent.beat().is_sent
        expect(observer, Beat)
    agent.set_reconnect_after(None)
    with Observer.bind(path):
        assert agent.beat().is_dropped
        assert agent.beat().is_dropped
        assert agent.beat().is_dropped


@pytest.mark.parametrize("transport", ["udp", "secure", "master"])
def test_beats_are_sent_over_a_network(transport: str) -> None:
    key = bytes(range(32))
    settings = {
        "udp": {"udp": ("127.0.0.1", 0)},
        "secure": {"secure_udp": ("127.0.0.1", 0), "shared_keys": [key]},
        "master": {"secure_udp": ("127.0.0.1", 0), "master_key": key},
    }[transport]
    with Observer.bind(**settings) as observer:
        (address,) = observer.udp_addresses()
        connect = {
            "udp": lambda: Varta.connect_udp(address),
            "secure": lambda: Varta.connect_secure_udp(address, key),
            "master": lambda: Varta.connect_secure_udp_with_master(address, bytearray(key)),
        }[transport]
        with connect() as agent:
            assert agent.beat("critical", 2**32 - 1).is_sent
        beat = expect(observer, Beat)
        assert isinstance(beat, Beat)
        assert (beat.status, beat.payload, beat.pid) == (Status.CRITICAL, 2**32 - 1, 0)
        assert beat.claimed_pid == os.getpid()


def test_a_host_name_is_resolved(udp: socket.socket) -> None:
    with Varta.connect_udp(("localhost", udp.getsockname()[1])) as agent:
        assert agent.beat(payload=3).is_sent
    assert Frame.decode(udp.recv(64)).payload == 3


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.EAGAIN, BeatOutcome.dropped(DropReason.KERNEL_QUEUE_FULL)),
        (errno.ENOBUFS, BeatOutcome.dropped(DropReason.KERNEL_QUEUE_FULL)),
        (errno.ENOENT, BeatOutcome.dropped(DropReason.NO_OBSERVER)),
        (errno.ECONNREFUSED, BeatOutcome.dropped(DropReason.NO_OBSERVER)),
        (errno.ECONNRESET, BeatOutcome.dropped(DropReason.PEER_GONE)),
        (errno.ENOTCONN, BeatOutcome.dropped(DropReason.PEER_GONE)),
        (errno.EPIPE, BeatOutcome.dropped(DropReason.PEER_GONE)),
        (errno.ENOSPC, BeatOutcome.dropped(DropReason.STORAGE_FULL)),
        (errno.EPERM, BeatOutcome.failed(BeatError(errno.EPERM, "EPERM"))),
    ],
)
def test_an_errno_determines_the_outcome(number: int, outcome: BeatOutcome) -> None:
    assert classify_send_error(OSError(number, "why")) == outcome


@pytest.mark.parametrize(
    ("exc", "reason"),
    [
        (BlockingIOError(), DropReason.KERNEL_QUEUE_FULL),
        (FileNotFoundError("no such socket"), DropReason.NO_OBSERVER),
        (ConnectionRefusedError(), DropReason.NO_OBSERVER),
        (ConnectionResetError(), DropReason.PEER_GONE),
        (BrokenPipeError(), DropReason.PEER_GONE),
    ],
)
def test_without_an_errno_the_exception_class_determines_the_outcome(exc: OSError, reason: DropReason) -> None:
    assert classify_send_error(exc) == BeatOutcome.dropped(reason)
    assert classify_send_error(type("Own", (type(exc),), {})()) == BeatOutcome.dropped(reason)


def test_an_unclassified_error_without_an_errno_is_a_failure() -> None:
    outcome = classify_send_error(TimeoutError())
    assert outcome.error == BeatError(0, "TimeoutError")
    assert BeatError.from_oserror(PermissionError(13, "no")) == BeatError(13, "EACCES")
    assert isinstance(BeatError(13, "EACCES").to_oserror(), PermissionError)
    with pytest.raises(TypeError, match="exc"):
        classify_send_error(ValueError())


def test_outcomes_are_values() -> None:
    failed = BeatOutcome.failed(BeatError(1, "EPERM"))
    assert failed == BeatOutcome.failed(BeatError(1, "EPERM")) != BeatOutcome.sent()
    assert len({failed, copy.copy(failed), pickle.loads(pickle.dumps(failed))}) == 1
    assert repr(failed) == "BeatOutcome(kind='failed', reason=None, error=BeatError(errno=1, kind='EPERM'))"
    with pytest.raises(AttributeError):
        failed.kind = "sent"
    with pytest.raises(AttributeError):
        del failed.kind
