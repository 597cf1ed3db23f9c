"""Wrong types and out-of-range values raise errors that name the argument."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable

import pytest

from varta import Frame, Observer, Varta, crc32c
from varta.secure import Cipher, derive_agent_key

KEY = bytes(32)


def agent() -> Varta:
    return Varta.open("/nonexistent/varta.sock")


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
