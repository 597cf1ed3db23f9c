"""The events that an observer reports for real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time

import pytest
from conftest import DEADLINE, expect, in_child, output_of, python, until, wait_until

from varta import (
    AuthFailure,
    Beat,
    Decode,
    DecodeError,
    Event,
    Exit,
    Frame,
    Observer,
    Origin,
    Paused,
    Recovered,
    Stall,
    Status,
    Varta,
)


def test_a_silent_agent_stalls_and_recovers(path: str) -> None:
    with Observer.bind(path, threshold=0.1) as observer, Varta.connect(path) as agent:
        agent.beat("degraded")
        beat = expect(observer, Beat)
        stall = until(observer, Stall)
        assert stall.agent == beat.agent and stall.last_nonce == 1
        assert stall.observer_ns - stall.last_ns >= 100_000_000
        assert str(stall).startswith(f"{stall.observer_ns // 10**9}.")
        (tracked,) = observer.agents()
        assert tracked["stalled"] and tracked["status"] is Status.DEGRADED
        agent.beat()
        recovered = until(observer, Recovered)
        assert recovered.silent_ns >= 100_000_000
        assert isinstance(expect(observer, Beat), Beat)


def test_an_exit_has_a_code_or_a_signal(observer: Observer, path: str) -> None:
    for end, (code, killed) in {
        "os._exit(7)": (7, None),
        "os.kill(os.getpid(), 9)": (None, signal.SIGKILL),
    }.items():
        child = os.fork()
        if child == 0:
            Varta.connect(path).beat("critical")
            eval(end)
        os.waitpid(child, 0)
        expect(observer, Beat)
        exit = expect(observer, Exit)
        assert (exit.code, exit.signal, exit.last_status) == (code, killed, Status.CRITICAL)
        assert exit.pid == child
    assert observer.agents() == []


def test_invalid_datagrams_are_reported_and_counted(observer: Observer, path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.connect(path)
        stranger.send(bytes(32))
        decode = expect(observer, Decode)
        assert isinstance(decode.error, DecodeError) and decode.error.kind == "BadMagic"
        other = os.getppid()
        stranger.send(Frame("ok", other, 0, 1, 0).encode())
        failure = expect(observer, AuthFailure)
        assert (failure.claimed_pid, failure.true_pid) == (other, os.getpid())
        stranger.send(b"short")
        stranger.send(b"")
    assert observer.poll(0) is None
    stats = observer.stats()
    assert (stats["bad_magic"], stats["auth_failures"]) == (1, 1)
    assert (stats["wrong_length"], stats["probes"], stats["received"]) == (1, 1, 4)


def test_a_late_poll_is_a_pause(path: str) -> None:
    with Observer.bind(path, threshold=60, pause_after=0.05) as observer:
        with Varta.connect(path) as agent:
            agent.beat()
            expect(observer, Beat)
            observer.poll(0.001)
            # With tracked agents, a poll is due at least once per second.
            time.sleep(1.2)
            paused = until(observer, Paused)
            assert paused.ns >= 50_000_000


def test_every_counter_and_field_is_plain_data(observer: Observer, path: str) -> None:
    with Varta.connect(path) as agent:
        agent.beat("ok", 5)
        expect(observer, Beat)
        (tracked,) = json.loads(json.dumps(observer.agents()))
    assert tracked["pid"] == tracked["claimed_pid"] == os.getpid()
    assert tracked["origin"] == Origin.KERNEL_ATTESTED and tracked["uid"] == os.getuid()
    assert tracked["name"].startswith("py") and tracked["address"] is None
    assert (tracked["beats"], tracked["missed"], tracked["stalled"]) == (1, 0, False)
    assert tracked["threshold_ns"] == 60 * 10**9
    stats = json.loads(json.dumps(observer.stats()))
    assert stats["received"] == stats["beats"] == 1
    assert all(isinstance(value, int) for value in stats.values())


def test_events_are_frozen_values(observer: Observer, path: str) -> None:
    with Varta.connect(path) as agent:
        agent.beat("degraded", 7)
    beat = expect(observer, Beat)
    assert isinstance(beat, Event) and beat.kind == "beat"
    assert beat == beat and hash(beat) == hash(beat)
    with pytest.raises(AttributeError):
        beat.payload = 8
    with pytest.raises(TypeError):
        Beat()
    assert Beat.__match_args__ == ("agent", "status", "payload", "nonce", "missed", "count")
    assert repr(beat).startswith("Beat(agent=1, status=<Status.DEGRADED: 1>, payload=7, nonce=1")
    assert beat.origin is Origin.KERNEL_ATTESTED
    assert str(beat).endswith("beat, degraded, payload 7, nonce 1")


# A syntax error in older interpreters.
MATCH = """
match event:
    case Beat(agent, Status.DEGRADED, payload):
        answer = (agent, payload)
"""

if sys.version_info >= (3, 10):

    def test_an_event_matches_by_position(observer: Observer, path: str) -> None:
        with Varta.connect(path) as agent:
            agent.beat("degraded", 7)
        found: dict[str, object] = {"event": expect(observer, Beat)}
        exec(MATCH, globals(), found)
        assert found["answer"] == (1, 7)


def test_an_agent_can_have_its_own_threshold(observer: Observer, path: str) -> None:
    with Varta.connect(path) as agent:
        agent.beat()
        beat = expect(observer, Beat)
        assert observer.poll(0) is None
        assert observer.set_threshold(beat.agent, 0.05) is True
        until(observer, Stall)
    assert observer.set_threshold(99, 1) is False


def test_poll_waits_for_its_timeout(observer: Observer) -> None:
    assert observer.poll(0) is None
    began = time.monotonic()
    assert observer.poll(0.25) is None
    assert time.monotonic() - began >= 0.25


def test_the_descriptor_is_readable_for_every_event(path: str) -> None:
    import select

    with Observer.bind(path, threshold=0.1) as observer, Varta.connect(path) as agent:
        poller = select.poll()
        poller.register(observer, select.POLLIN)
        agent.beat()
        kinds: list[str] = []
        end = time.monotonic() + DEADLINE
        # Only readiness leads to a poll, including the one that reports the Stall.
        while kinds != ["beat", "stall"]:
            assert time.monotonic() < end, kinds
            if poller.poll(1000):
                while (event := observer.poll(0)) is not None:
                    # On a busy machine the observer itself may be late.
                    if not isinstance(event, Paused):
                        kinds.append(event.kind)


def test_the_next_deadline_is_the_threshold(path: str) -> None:
    with Observer.bind(path, threshold=0.1) as observer, Varta.connect(path) as agent:
        assert observer.next_deadline() is None
        agent.beat()
        expect(observer, Beat)
        deadline = observer.next_deadline()
        assert deadline is not None and 0 <= deadline <= 0.1


def test_a_closed_observer_refuses_calls(path: str) -> None:
    observer = Observer.bind(path)
    assert not observer.closed
    observer.close()
    observer.close()
    assert observer.closed and not os.path.exists(path)
    assert list(observer) == []
    for call in (observer.poll, observer.agents, observer.stats, observer.fileno):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert repr(observer) == "Observer(closed)"


def test_closing_during_an_iteration_ends_it(observer: Observer, path: str) -> None:
    with Varta.connect(path) as agent:
        agent.beat()
        agent.beat()
    events = []
    for event in observer:
        events.append(event)
        observer.close()
    assert len(events) == 1


def test_a_dropped_observer_removes_its_socket(path: str) -> None:
    observer = Observer.bind(path)
    assert os.path.exists(path)
    del observer
    assert not os.path.exists(path)


def test_mode_uids_and_capacity_are_applied(path: str) -> None:
    with Observer.bind(path, socket_mode=0o660, uids=[os.getuid() + 1], capacity=1) as observer:
        assert os.stat(path).st_mode & 0o777 == 0o660
        with Varta.connect(path) as agent:
            agent.beat()
        assert observer.poll(0) is None
        assert observer.stats()["uid_refused"] == 1
    with Observer.bind(path, uids="any", capacity=1) as observer:
        agent = Varta.connect(path)
        agent.beat()
        expect(observer, Beat)
        in_child(lambda: agent.beat())
        wait_for_count(observer, "capacity_exceeded", 1)
        assert observer.drain_capacity_exceeded() == 1
        assert observer.drain_evictions() == 0


def wait_for_count(observer: Observer, counter: str, count: int) -> None:
    def counted() -> bool:
        observer.poll(0)
        return observer.stats()[counter] == count

    wait_until(f"{counter} to be {count}", counted)


def test_a_rate_limits_the_beats_of_an_agent(path: str) -> None:
    with Observer.bind(path, rate_per_agent=(1, 2)) as observer, Varta.connect(path) as agent:
        for _ in range(5):
            agent.beat()
        wait_for_count(observer, "rate_limited_agent", 3)


def test_version_1_is_accepted_only_if_enabled(path: str) -> None:
    from varta import v1

    for accepted in (False, True):
        with Observer.bind(path, version1=accepted) as observer:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as old:
                old.connect(path)
                old.send(v1.Frame("ok", os.getpid(), 0, 1, 2**40).encode())
            event = observer.poll(DEADLINE)
            if accepted:
                assert isinstance(event, Beat) and event.payload == 2**40
            else:
                assert isinstance(event, Decode) and event.error.kind == "BadVersion"


def test_an_observer_listens_on_several_endpoints(path: str) -> None:
    name = f"@varta-test-{os.getpid()}"
    with Observer.bind(path, name, udp=("127.0.0.1", 0)) as observer:
        (address,) = observer.udp_addresses()
        with Varta.open(name) as agent:
            assert agent.beat(payload=1).is_sent
        assert expect(observer, Beat).payload == 1
        with Varta.open(path) as agent:
            assert agent.beat(payload=2).is_sent
        assert expect(observer, Beat).payload == 2
        # Over UDP anyone could claim the pid of a process that the kernel has identified.
        with Varta.connect_udp(address) as agent:
            assert agent.beat().is_sent
        wait_for_count(observer, "origin_conflicts", 1)


def test_advice_is_logged(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="varta"):
        with Observer.bind(path, capacity=1_000_000) as observer:
            assert "max_dgram_qlen" in (observer.advice() or "")
    assert "max_dgram_qlen" in caplog.text


TOO_MANY_AGENTS = """
import errno, resource, sys
from varta import Observer
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
for capacity in (1 << 28, 2**32 - 1):
    try:
        Observer.bind(sys.argv[1], capacity=capacity)
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def test_a_capacity_beyond_the_memory_is_an_error(path: str) -> None:
    process = python(TOO_MANY_AGENTS, path)
    output, errors = output_of(process)
    assert (process.returncode, output) == (0, "ENOMEM\nENOMEM\n"), errors
