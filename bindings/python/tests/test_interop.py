"""Interoperation with varta 0.2: its pure-Python agent, and the daemon varta-watch 0.2.0."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DEADLINE, WITH_SERVERS, expect, needed, output_of, wait_until

from varta import NONCE_TERMINAL, Beat, Exit, Observer, Origin, Status, Varta

KEY = bytes(range(32))

AGENT = """
import sys, time
import varta
assert sys.argv[1] in varta.__file__, varta.__file__
agent = eval(sys.argv[2], {"Varta": varta.Varta})
for payload in range(1, 6):
    assert agent.beat(varta.Status.DEGRADED, payload).is_sent
    time.sleep(0.02)
"""

DYING = """
import sys
from varta.panic import install_excepthook_uds
install_excepthook_uds(sys.argv[2])
1 / 0
"""


def old_agent(code: str, *arguments: str) -> subprocess.Popen[str]:
    place = needed("VARTA_0_2")
    return subprocess.Popen(
        [sys.executable, "-c", code, place, *arguments],
        env=os.environ | {"PYTHONPATH": place},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def receive_five(observer: Observer) -> list[Beat]:
    beats = [expect(observer, Beat) for _ in range(5)]
    assert [(beat.payload, beat.missed) for beat in beats] == [(n, 0) for n in range(1, 6)]
    assert {beat.status for beat in beats} == {Status.DEGRADED}
    return beats


def test_an_agent_of_0_2_beats_over_a_unix_socket(observer: Observer, path: str) -> None:
    agent = old_agent(AGENT, f"Varta.connect({path!r})")
    assert {beat.pid for beat in receive_five(observer)} == {agent.pid}
    assert output_of(agent) == ("", "")
    assert expect(observer, Exit).code == 0


# varta 0.2 needs another package for sealing. It is installed together with gunicorn.
@pytest.mark.parametrize("transport", ["udp", "shared", "master"] if WITH_SERVERS else ["udp"])
def test_an_agent_of_0_2_beats_over_a_network(transport: str) -> None:
    settings, connect = {
        "udp": ({"udp": ("127.0.0.1", 0)}, "connect_udp"),
        "shared": (
            {"secure_udp": ("127.0.0.1", 0), "shared_keys": [KEY]},
            "connect_secure_udp",
        ),
        "master": (
            {"secure_udp": ("127.0.0.1", 0), "master_key": KEY},
            "connect_secure_udp_with_master",
        ),
    }[transport]
    with Observer.bind(**settings, threshold=60) as observer:
        key = "" if transport == "udp" else f", {KEY!r}"
        agent = old_agent(AGENT, f"Varta.{connect}({observer.udp_addresses()[0]!r}{key})")
        (origin,) = {beat.origin for beat in receive_five(observer)}
        assert origin is (Origin.NETWORK if transport == "udp" else Origin.SECURE_NETWORK)
        assert output_of(agent) == ("", "")


def test_last_words_of_0_2_are_received(observer: Observer, path: str) -> None:
    agent = old_agent(DYING, path)
    beat = expect(observer, Beat)
    assert (beat.status, beat.nonce) == (Status.CRITICAL, NONCE_TERMINAL)
    assert expect(observer, Exit).code == 1
    output_of(agent)


@pytest.mark.parametrize("transport", ["uds", "udp", "key-file", "master-key-file"])
def test_the_daemon_of_0_2_receives_our_beats(folder: Path, path: str, transport: str) -> None:
    daemon, export = needed("VARTA_WATCH"), folder / "export"
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(KEY.hex() + "\n")
    port = free_port()
    network = ["--udp-port", str(port), "--udp-bind-addr", "127.0.0.1"]
    flags = {
        "uds": [],
        "udp": [*network, "--i-accept-plaintext-udp"],
    }.get(transport, [*network, f"--{transport}", str(key)])
    connect = {
        "uds": lambda: Varta.connect(path),
        "udp": lambda: Varta.connect_udp(("127.0.0.1", port)),
        "key-file": lambda: Varta.connect_secure_udp(("127.0.0.1", port), KEY),
        "master-key-file": lambda: Varta.open(
            f"udp+secure://127.0.0.1:{port}?master-key-file={key}"
        ),
    }[transport]
    watch = subprocess.Popen(
        [daemon, "--socket", path, "--threshold-ms", "60000", "--export-file", export]
        + ["--export-file-sync-every", "1", "--max-beat-rate", "0", *flags],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until("the daemon's socket", lambda: os.path.exists(path))
        with connect() as agent:
            numbers, sent = itertools.count(1), []

            def five_received() -> bool:
                # The daemon may write a beat only when the next one arrives. It may listen over UDP
                # later than at its socket, and its queue may be full while it does not run.
                time.sleep(0.02)
                number = next(numbers)
                if agent.beat("degraded", number).is_sent:
                    sent.append(number)
                return len(exported(export)) >= 5

            wait_until("five beats in the export file", five_received)
    finally:
        watch.send_signal(signal.SIGTERM)
        watch.wait(DEADLINE)
    beats = exported(export)[:5]
    first = int(beats[0][0])
    assert first == 1 or transport != "uds"
    following = sent[sent.index(first) :][:5]
    assert beats == [(str(number), "degraded", str(number)) for number in following]


def exported(export: Path) -> list[tuple[str, str, str]]:
    """The beats in the daemon's export file: nonce, status and payload."""
    if not export.exists():
        return []
    rows = [line.split("\t") for line in export.read_text().splitlines()]
    return [(row[3], row[4], row[5]) for row in rows if len(row) == 6 and row[1] == "beat"]


def free_port() -> int:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
