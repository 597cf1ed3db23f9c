"""How the relay logs in, and what it says if that fails."""

import re
import subprocess
from pathlib import Path

import pytest
from conftest import RELAY, SERVERS, Fleet, Proxy, id_of, stored, wait_until
from secrets_of_nats import Authority, NKey, operator_and_credentials


def publishes(fleet: Fleet, *flags: object) -> None:
    """Checks that a relay with these flags gets its messages into the stream."""
    fleet.write(30)
    fleet.relay(*flags)
    fleet.wait_for_metric("published_total", lambda published: published >= 30)


def config(fleet: Fleet, text: str) -> list[object]:
    file = fleet.folder / "server.conf"
    file.write_text(text)
    return ["--config", file]


@pytest.mark.parametrize("server", SERVERS, ids=lambda path: path.parent.name)
def test_a_relay_logs_in_with_a_credentials_file(fleet: Fleet, server: Path) -> None:
    text, credentials = operator_and_credentials(fleet.folder)
    fleet.server(*config(fleet, text), program=server)
    publishes(fleet, "--credentials-file", credentials)


def test_a_relay_logs_in_with_an_nkey(fleet: Fleet) -> None:
    key = NKey("user")
    fleet.server(*config(fleet, f"authorization: {{ users: [ {{ nkey: {key.public} }} ] }}"))
    seed = fleet.folder / "seed"
    seed.write_text(f"{key.seed}\n")
    publishes(fleet, "--nkey-file", seed)


def test_a_password_that_is_replaced_counts_for_the_next_connection(fleet: Fleet) -> None:
    password = fleet.folder / "password"
    password.write_text("old")
    text = "authorization: { user: relay, password: %s }"
    server = fleet.server(*config(fleet, text % "old"))
    publishes(fleet, "--user", "relay", "--password-file", password)
    server.kill()
    server.wait()
    fleet.server(*config(fleet, text % "new"))
    wait_until("a refusal", lambda: "authorization violation" in fleet.log())
    password.write_text("new")
    fleet.write(30)
    fleet.wait_for_metric("published_total", lambda published: published >= 60)


def test_only_the_relay_itself_connects_again(fleet: Fleet) -> None:
    # If its client did, it could send what it had queued before earlier messages that were lost.
    server = fleet.server()
    proxy = Proxy(fleet.port)
    fleet.write(2_000)
    fleet.relay("--server", f"nats://127.0.0.1:{proxy.port}")
    for connections in range(1, 4):
        fleet.wait_for_metric("connections_total", lambda opened: opened >= connections)
        proxy.end_all()
    fleet.wait_for_metric("connections_total", lambda opened: opened >= 4)
    attempts = fleet.metric("connections_total") + fleet.metric("connect_failures_total")
    assert proxy.logins <= attempts
    server.kill()
    server.wait()
    fleet.write(2_000)
    fleet.server()
    ids = [id_of(it) for it in fleet.transitions()]
    published = [it.id for it in stored(fleet, "varta.event.>", len(ids))]
    assert list(dict.fromkeys(published)) == ids
    fleet.wait_for_metric("connections_total", lambda opened: opened >= 5)


def test_a_relay_uses_tls_with_a_certificate_of_its_own(fleet: Fleet) -> None:
    authority = Authority(fleet.folder)
    (server, server_key), (client, client_key) = map(authority.issue, ["server", "client"])
    fleet.server("--tlsverify", "--tlscert", server, "--tlskey", server_key, "--tlscacert", authority.file)
    own = ["--tls-cert-file", client, "--tls-key-file", client_key]
    other = Authority(fleet.folder, "other")
    stranger = fleet.start(RELAY, *fleet.flags(), *own, "--tls-ca-file", other.file)
    wait_until("a refusal", lambda: re.search("(?i)certificate", fleet.log()))
    stranger.kill()
    stranger.wait()
    publishes(fleet, *own, "--tls", "--tls-ca-file", authority.file)


def test_a_server_without_tls_is_refused_if_tls_is_required(fleet: Fleet) -> None:
    fleet.server()
    fleet.relay("--tls")
    wait_until("a refusal", lambda: "cannot connect" in fleet.log())
    assert fleet.metric("connections_total") == 0


def test_mistakes_are_named_before_anything_is_started(fleet: Fleet) -> None:
    empty = fleet.folder / "empty"
    empty.touch()
    (fleet.folder / "bad.toml").write_text('server = "nats://a"\nwindows = 5\n')
    for flags, wanted in [
        (["--nkey-file", "/nowhere"], "--nkey-file /nowhere: No such file"),
        (["--credentials-file", empty], "the file is empty"),
        (["--nkey-file", fleet.folder / "bad.toml"], "invalid nkey"),
        (["--cursor-file", "/nowhere/cursor"], "its folder does not exist; create it"),
        (["--server", "nats://u:p@h"], "use --password-file"),
        (["--config", fleet.folder / "bad.toml"], "--windows"),
        (["--user", "x"], "--password-file"),
    ]:
        command = [RELAY, *fleet.flags()[2:], *flags, "--check-config"]
        ended = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        assert (ended.returncode, ended.stdout) == (2, ""), flags
        assert wanted in ended.stderr, ended.stderr
    command = [str(word) for word in [RELAY, *fleet.flags(), "--check-config"]]
    assert subprocess.run(command, capture_output=True).stdout == b"configuration OK\n"
