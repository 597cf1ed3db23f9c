"""Wrong types and out-of-range values raise errors that name the argument."""

from __future__ import annotations

import inspect
import os
from pathlib import Path
from typing import Any, Callable

import pytest

from varta import Frame, Observer, Simulated, Status, Task, Varta, crc32c, watched
from varta.secure import Cipher, derive_agent_key

KEY = bytes(32)


def agent() -> Varta:
    return Varta.open("/nonexistent/varta.sock")


def declare(name: Any = "t", threshold: Any = 1, **options: Any) -> Task:
    return agent().task(name, threshold, **options)


def simulated() -> Simulated:
    return Observer.simulated(uids=[0], lane=True)


def read_thread(**thread: Any) -> None:
    observer = simulated()
    observer.set_reading(1)
    observer.add_thread_reading(1, 1, **thread)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: agent().beat(None), TypeError, "status: expected a Status, an int or a str"),
        (lambda: agent().beat(1.0), TypeError, "status"),
        (lambda: agent().beat(4), ValueError, "status: 4 is not a status"),
        (lambda: agent().beat(-1), ValueError, "status"),
        (lambda: agent().beat(2**70), ValueError, "status"),
        (lambda: agent().beat("fine"), ValueError, "status: 'fine'"),
        (lambda: agent().beat(0, 2**32), OverflowError, "payload: 4294967296"),
        (lambda: agent().beat(0, -1), OverflowError, "payload"),
        (lambda: agent().beat(0, 2**70), OverflowError, "payload"),
        (lambda: agent().beat(0, "1"), TypeError, "payload: expected an int, not str"),
        (lambda: agent().beat(0, None), TypeError, "payload"),
        (lambda: agent().beat(0, 0, 0), TypeError, "takes from 0 to 2 positional arguments but 3"),
        (lambda: agent().beat(0, 0, payload=0), TypeError, "multiple values for argument 'payload'"),
        (lambda: agent().beat(0, status=0), TypeError, "multiple values for argument 'status'"),
        (lambda: agent().beat(level=0), TypeError, "unexpected keyword argument 'level'"),
        (lambda: agent().beat(payload="1"), TypeError, "payload: expected an int, not str"),
        (lambda: Varta.beat(), TypeError, "argument"),
        (lambda: Varta.beat(declare()), TypeError, "Task"),
        (lambda: Task.beat(agent()), TypeError, "Varta"),
        (lambda: agent().set_reconnect_after(-1), OverflowError, "n: -1"),
        (lambda: Varta.open(7), TypeError, "endpoint"),
        (lambda: Varta.open(""), ValueError, "endpoint"),
        (lambda: Varta.open("udp://localhost:1"), ValueError, "not a numeric address"),
        (lambda: Varta.open("/x", follow=1), TypeError, "follow: expected a bool"),
        (lambda: Varta.open("/x", reconnect_after="1"), TypeError, "reconnect_after"),
        (lambda: Varta.connect(None), TypeError, "path"),
        (lambda: Varta.connect("/" + 200 * "x"), ValueError, "shorter"),
        (lambda: Varta.connect_udp("127.0.0.1:9"), TypeError, "addr: expected a pair"),
        (lambda: Varta.connect_udp(("127.0.0.1",)), TypeError, "addr: expected a pair"),
        (lambda: Varta.connect_udp((1, 2)), TypeError, "addr: expected a str as host"),
        (lambda: Varta.connect_udp(("127.0.0.1", "9")), TypeError, "addr: expected an int"),
        (lambda: Varta.connect_udp(("127.0.0.1", 65536)), OverflowError, "addr: 65536"),
        (lambda: Varta.connect_secure_udp(("127.0.0.1", 9), b"k"), ValueError, "key: expected 32 bytes"),
        (lambda: Varta.connect_secure_udp(("127.0.0.1", 9), "k"), TypeError, "key: expected bytes"),
        (
            lambda: Varta.connect_secure_udp_with_master(("127.0.0.1", 9), b""),
            ValueError,
            "master_key",
        ),
        (lambda: Varta.open("/x", lane="off"), TypeError, "lane: expected a bool"),
        (lambda: declare(7), TypeError, "name: expected a str, not int"),
        (lambda: declare(""), ValueError, "1 to 23 bytes"),
        (lambda: declare("a\nb"), ValueError, "no control characters"),
        (lambda: declare(threshold=None), TypeError, "threshold: expected a number of seconds"),
        (lambda: declare(threshold="1"), TypeError, "threshold"),
        (lambda: declare(threshold=0), ValueError, "threshold is 0ns, not 1 ms to 30 days"),
        (lambda: declare(threshold=-1), ValueError, "threshold: -1"),
        (lambda: declare(threshold=float("nan")), ValueError, "threshold: nan"),
        (lambda: declare(threshold=1e30), OverflowError, "threshold: .* too long"),
        (lambda: declare(threshold=1e7), ValueError, "threshold is .* 30 days"),
        (lambda: declare(color="red"), TypeError, "color: unknown task option"),
        (lambda: declare(startup="1"), TypeError, "startup"),
        (lambda: declare(progress=-1), ValueError, "progress: -1"),
        (lambda: declare(finest=0), ValueError, "finest span is 0ns"),
        (lambda: declare(edges=7), TypeError, "edges: expected a list of edges"),
        (lambda: declare(edges=[7]), TypeError, "edges: expected edges"),
        (lambda: declare(edges=[(1,)]), TypeError, "edges: expected edges"),
        (lambda: declare(edges=[(1, 2, 0, 1, 2)]), TypeError, "edges: expected edges"),
        (lambda: declare(edges=[("a", 2)]), TypeError, "edges: expected an int"),
        (lambda: declare(edges=[(1, 65536)]), OverflowError, "edges: 65536"),
        (lambda: declare(edges=[(1, 2, 3, 2)]), ValueError, "the edge from 1 to 2"),
        (lambda: declare(edges=[(1, 2), (1, 2)]), ValueError, "two edges"),
        (lambda: declare(cycle=1), TypeError, r"cycle: expected \(seconds, least, most\)"),
        (lambda: declare(cycle=(1, 2)), TypeError, "cycle: expected"),
        (lambda: declare(cycle=(1, 3, 2)), ValueError, "no number of beats"),
        (lambda: declare(cycle=(1, -1, 2)), OverflowError, "cycle: -1"),
        (lambda: declare(vital=1), TypeError, "vital: expected a bool"),
        (lambda: declare(roams="no"), TypeError, "roams"),
        (lambda: declare(spans=65537), ValueError, "65537 spans"),
        (lambda: declare(spans=-1), OverflowError, "spans: -1"),
        (lambda: declare().beat("fine"), ValueError, "status: 'fine'"),
        (lambda: declare().beat(0, -1), OverflowError, "payload: -1"),
        (lambda: declare().idle("1"), TypeError, "at_most"),
        (lambda: declare().idle(-1), ValueError, "at_most: -1"),
        (lambda: declare().watch(), TypeError, "limit"),
        (lambda: declare().watch(None), TypeError, "max: expected a number of seconds"),
        (lambda: declare().watch(-1), ValueError, "max: -1"),
        (lambda: declare().watch("1", 2), TypeError, "min"),
        (lambda: declare().watch(1, "2"), TypeError, "max"),
        (lambda: declare().watch(2, 1), ValueError, "min: 2 is not less than max: 1"),
        (lambda: declare().watch(float("inf"), float("inf")), OverflowError, "min"),
        (lambda: declare().watch(1, label=65536), OverflowError, "label: 65536"),
        (lambda: declare().watch(1, label="a"), TypeError, "label"),
        (lambda: declare().reach(-1), OverflowError, "checkpoint: -1"),
        (lambda: declare().reach("a"), TypeError, "checkpoint"),
        (lambda: declare().progress(-1, 0), OverflowError, "done: -1"),
        (lambda: declare().progress(0, 2**32), OverflowError, "left"),
        (lambda: declare().progress(0), TypeError, "left"),
        (lambda: watched(declare(), "1"), TypeError, "max"),
        (lambda: watched(declare(), 2, 1), ValueError, "min: 2"),
        (lambda: Observer.bind("@x", lane=1), TypeError, "lane: expected a bool"),
        (lambda: Observer.bind("@x", tasks="yes"), TypeError, "tasks"),
        (lambda: Observer.bind("@x", lane_floor=-1), ValueError, "lane_floor: -1"),
        (lambda: Observer.bind("@x", task_slack=[1]), TypeError, "task_slack: expected a dict"),
        (lambda: Observer.bind("@x", task_slack={1: 1}), TypeError, "task_slack"),
        (lambda: Observer.bind("@x", program_slack={"a": -1}), ValueError, "program_slack: -1"),
        (lambda: simulated().tasks(-1), OverflowError, "convert|unsigned"),
        (lambda: simulated().set_reading(1, nme=""), TypeError, "unknown argument"),  # type: ignore[call-arg]
        (lambda: simulated().set_reading(1, cpu_ns=-1), OverflowError, "convert|unsigned"),
        (lambda: simulated().add_thread_reading(1, 1), ValueError, "1 has no reading"),
        (lambda: read_thread(state="SS"), ValueError, 'state: "SS" is not one letter'),
        (lambda: read_thread(call="dance"), ValueError, 'call: "dance" is not a known system call'),
        (lambda: read_thread(arguments=(1, 2)), ValueError, "length"),
        (lambda: simulated().attach(0, 1, 7), PermissionError, "Errno 13"),
        (lambda: simulated().write(simulated().attach(0, 1), 32), ValueError, "no pair 32"),
        (lambda: Observer.bind(), ValueError, "no endpoint"),
        (lambda: Observer.bind(3), TypeError, "endpoint"),
        (lambda: Observer.bind("@x", threshold=0), ValueError, "threshold"),
        (lambda: Observer.bind("@x", threshold=-1), ValueError, "threshold: -1"),
        (lambda: Observer.bind("@x", threshold=float("nan")), ValueError, "threshold"),
        (lambda: Observer.bind("@x", threshold=1e30), OverflowError, "threshold"),
        (lambda: Observer.bind("@x", threshold="2"), TypeError, "threshold"),
        (lambda: Observer.bind("@x", capacity=0), ValueError, "capacity"),
        (lambda: Observer.bind("@x", capacity=-1), OverflowError, "capacity"),
        (lambda: Observer.bind("@x", uids="root"), ValueError, "uids"),
        (lambda: Observer.bind("@x", uids=3), TypeError, "uids"),
        (lambda: Observer.bind("@x", uids=["a"]), TypeError, "uids"),
        (lambda: Observer.bind("@x", rate=5), TypeError, "rate: expected a pair"),
        (lambda: Observer.bind("@x", version1=1), TypeError, "version1"),
        (lambda: Observer.bind("@x", master_key=b"k"), ValueError, "master_key"),
        (lambda: Observer.bind("@x", secure_state_file=3), TypeError, "secure_state_file"),
        (lambda: Observer.bind("@x", shared_keys=[b"k"]), ValueError, "shared_keys"),
        (lambda: Observer("@x", color="red"), TypeError, "color"),
        (lambda: Frame(0, -1, 0, 0, 0), OverflowError, "pid"),
        (lambda: Frame(0, 2, 2**64, 0, 0), OverflowError, "timestamp"),
        (lambda: Frame(0, 2, 0, "n", 0), TypeError, "nonce"),
        (lambda: Frame(0, 2, 0, 0, 2**32), OverflowError, "payload"),
        (lambda: Frame(9, 2, 0, 0, 0), ValueError, "status"),
        (lambda: Frame.decode("x"), TypeError, "wire"),
        (lambda: Frame.decode(b"x"), ValueError, "wire: expected 32 bytes, got 1"),
        (lambda: crc32c("x"), TypeError, "data"),
        (lambda: Cipher(b""), ValueError, "key"),
        (lambda: Cipher(KEY).seal(b"", 1, bytes(32)), ValueError, "prefix"),
        (lambda: Cipher(KEY).seal(bytes(8), -1, bytes(32)), OverflowError, "counter"),
        (lambda: Cipher(KEY).seal(bytes(8), 1, b""), ValueError, "frame"),
        (lambda: Cipher(KEY).open(b""), ValueError, "wire: expected 60 bytes"),
        (lambda: derive_agent_key(KEY, 2**32), OverflowError, "pid"),
        (lambda: Observer.simulated(threshold_ns=-1), OverflowError, "threshold_ns"),
        (lambda: Observer.simulated().feed(0, b""), TypeError, "pid or address"),
        (lambda: Observer.simulated().feed(0, b"", address="here"), ValueError, "address"),
        (lambda: Observer.simulated().set_namespace(1, "mine"), ValueError, "namespace"),
        (lambda: Observer.simulated().set_namespace(1, 2), TypeError, "namespace"),
        (lambda: Observer.simulated().set_namespace(1, "same", innermost_pid=1), ValueError, "innermost_pid"),
        (lambda: Observer.simulated().set_namespace(1, "other", innermost_pid=0), ValueError, "innermost_pid"),
        (lambda: Observer.simulated().exit(0, 1, 2, 3), TypeError, "code or signal"),
    ],
)
def test_an_invalid_argument_is_named(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("timeout", [-0.1, float("nan"), "1", -float("inf")])
def test_an_invalid_timeout_is_refused(observer: Observer, timeout: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="timeout"):
        observer.poll(timeout)


def test_a_missing_socket_is_an_oserror(folder: Path) -> None:
    missing = folder / "varta.sock"
    with pytest.raises(FileNotFoundError) as raised:
        Varta.connect(missing)
    assert raised.value.errno == 2 and str(missing) in str(raised.value)
    with pytest.raises(FileNotFoundError):
        Varta.open(missing, follow=False)
    missing.touch()
    with pytest.raises(OSError, match="varta.sock"):
        Observer.bind(missing)


def test_binding_where_an_observer_listens_fails(observer: Observer, path: str) -> None:
    with pytest.raises(OSError, match="already listening there") as raised:
        Observer.bind(path)
    assert raised.value.errno == 98


def test_key_files_are_checked(folder: Path) -> None:
    key = folder / "key"
    endpoint = f"udp+secure://127.0.0.1:9?key-file={key}"
    with pytest.raises(FileNotFoundError, match="key"):
        Varta.open(endpoint)
    key.write_text("00" * 31)
    key.chmod(0o600)
    with pytest.raises(ValueError, match="64 hex digits"):
        Varta.open(endpoint)
    key.write_text("00" * 32 + "\n")
    key.chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 0600"):
        Varta.open(endpoint)
    key.chmod(0o600)
    Varta.open(endpoint).close()


class Whole(int):
    """A subclass is not recognized as quickly."""


class Index:
    def __index__(self) -> int:
        return 2


FORMS: list[tuple[tuple[Any, ...], dict[str, Any], Status, int]] = [
    ((), {}, Status.OK, 0),
    ((Status.DEGRADED,), {}, Status.DEGRADED, 0),
    (("critical", 7), {}, Status.CRITICAL, 7),
    ((1, 2**32 - 1), {}, Status.DEGRADED, 2**32 - 1),
    (("".join(("degra", "ded")),), {"payload": 7}, Status.DEGRADED, 7),
    ((), {"payload": 7, "status": Status.CRITICAL}, Status.CRITICAL, 7),
    ((), {"".join(("pay", "load")): 7}, Status.OK, 7),
    ((True, True), {}, Status.DEGRADED, 1),
    ((Whole(2), Whole(7)), {}, Status.CRITICAL, 7),
    ((Index(),), {"payload": Index()}, Status.CRITICAL, 2),
]


@pytest.mark.parametrize(("arguments", "named", "status", "payload"), FORMS)
def test_a_beat_understands_its_arguments_in_every_form(
    receiver: Any, path: str, arguments: Any, named: Any, status: Status, payload: int
) -> None:
    with Varta.open(path, lane=False) as agent, agent.task("t", 3600) as task:
        # Python calls a method differently once it has called it often.
        for _ in range(100):
            assert task.beat(*arguments, **named) is agent.beat(*arguments, **named)
            frame = Frame.decode(receiver.recv(64))
            assert (frame.status, frame.payload) == (status, payload)
        (report,) = agent.tasks()
        assert (report["status"], report["payload"]) == (status, payload)


def test_a_beat_has_a_signature_and_a_documentation() -> None:
    for kind in (Varta, Task):
        assert str(inspect.signature(kind.beat)) == "(self, /, status=0, payload=0)"
        assert kind.beat.__doc__.endswith("outcome.")
        assert kind.beat.__name__ == "beat" and kind.beat.__qualname__ == f"{kind.__name__}.beat"


def test_paths_of_every_type_are_accepted(observer: Observer, path: str) -> None:
    for same in (path, Path(path), os.fsencode(path), f"unix://{path}"):
        with Varta.open(same) as agent:
            assert agent.beat().is_sent


def test_the_default_endpoint_is_the_environment_variable(
    observer: Observer, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VARTA_ENDPOINT", path)
    with Varta.open() as agent:
        assert agent.beat().is_sent
