"""Requests for the agents of a host, and the printed transitions of a fleet."""

import asyncio
import json
import select
import subprocess
import time
from typing import Any

import nats
from conftest import BEAT, DEADLINE, RELAY, WATCH, Fleet, free_port, is_open, wait_until

TOKEN = "0123456789abcdef" * 4


def ask(fleet: Fleet, subject: str, request: bytes = b"") -> dict[str, Any]:
    async def call() -> bytes:
        client = await nats.connect(fleet.url)
        try:
            end = time.monotonic() + DEADLINE
            while True:
                try:
                    return (await client.request(subject, request, timeout=DEADLINE)).data
                except nats.errors.NoRespondersError:
                    # The relay has not subscribed yet.
                    if time.monotonic() > end:
                        raise
                    await asyncio.sleep(0.05)
        finally:
            await client.close()

    return json.loads(asyncio.run(call()))


def test_a_request_is_answered_with_the_agents_of_the_daemon(fleet: Fleet) -> None:
    fleet.server()
    port = free_port()
    token = fleet.folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    socket = fleet.folder / "varta.sock"
    address = f"127.0.0.1:{port}"
    fleet.start(
        WATCH, "--socket", socket, "--threshold-ms", "1000",
        "--prom-addr", address, "--prom-token-file", token,
    )  # fmt: skip
    wait_until("the daemon", lambda: is_open(port) and socket.exists())
    for _ in range(3):
        fleet.start(BEAT, socket, "--every", "50", "1000000")
    fleet.relay("--agents-url", f"http://{address}", "--agents-token-file", token, "--host", "web.1")
    subject = "varta.ask.web%2E1"
    wait_until("three agents", lambda: len(ask(fleet, subject)["agents"]) == 3)
    page = ask(fleet, subject)
    assert page["total"] == 3 and page["offset"] == 0 and page["uptime_ms"] > 0
    assert {row["program"] for row in page["agents"]} == {"beat"}
    last = ask(fleet, subject, b'{"offset":2}')
    assert [row["agent"] for row in last["agents"]] == [page["agents"][2]["agent"]]
    assert "send nothing or" in ask(fleet, subject, b'{"page":2}')["error"]


def test_a_request_is_answered_with_an_error_if_the_daemon_does_not_answer(fleet: Fleet) -> None:
    fleet.server()
    fleet.relay("--agents-url", f"http://127.0.0.1:{free_port()}", "--host", "web1")
    error = ask(fleet, "varta.ask.web1")["error"]
    assert error.startswith("the daemon at http://127.0.0.1:") and "refused" in error
    assert fleet.metric("failed_requests_total") == fleet.metric("requests_total") == 1


def test_watch_prints_the_transitions_of_all_hosts(fleet: Fleet) -> None:
    fleet.server()
    watch = [RELAY, "watch", "varta.event.*.*.stall", "--server", fleet.url]
    process = subprocess.Popen([str(word) for word in watch], stdout=subprocess.PIPE, text=True)
    fleet.running.append(process)
    fleet.relay()
    assert process.stdout is not None
    # Transitions from before the subscription are not printed.
    while not select_line(process, 0.2):
        fleet.write(60)
    line = process.stdout.readline()
    assert ": stall, last heard at " in line and " web1: agent " in line and line.endswith("]\n")


def select_line(process: subprocess.Popen[str], seconds: float) -> bool:
    return bool(select.select([process.stdout], [], [], seconds)[0])
