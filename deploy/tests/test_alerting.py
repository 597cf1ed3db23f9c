"""From the end of a process to a webhook, through real Prometheus and Alertmanager, with the shipped
configuration."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from alerting import Webhook, alertmanager
from conftest import (
    DEPLOY,
    Daemon,
    Processes,
    free_port,
    run,
    secret,
    tool,
    wait_until,
)
from engines import query


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    yield webhook
    webhook.close()


def prometheus(processes: Processes, folder: Path, watched: str, alertmanager: str) -> str:
    """Starts it with the shipped configuration, these addresses and short intervals."""
    shipped = DEPLOY / "prometheus"
    config = yaml.safe_load((shipped / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = [str(shipped / name) for name in config["rule_files"]]
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    [scrape] = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [watched]}]
    scrape["authorization"]["credentials_file"] = str(secret(folder))
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    processes.start(
        tool("prometheus"), f"--config.file={written}",
        f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address={address}",
    )  # fmt: skip
    return address


def test_a_crash_and_a_stall_reach_the_webhook(
    processes: Processes, tmp_path: Path, webhook: Webhook
) -> None:
    daemon = Daemon(processes, tmp_path, "--prom-token-file", secret(tmp_path))
    alerts = alertmanager(processes, tmp_path, webhook)
    server = prometheus(processes, tmp_path, daemon.address, alerts)
    crashing, silent = (processes.beat(daemon.socket) for _ in range(2))
    wait_until("both agents to be scraped", lambda: len(query(server, "varta_agent_info")) == 2)
    scraped = 'count_over_time(varta_program_exits_total{program="beat"}[1m]) > 2'
    wait_until("exits to be scraped", lambda: query(server, scraped))
    assert webhook.received == []

    crashing.kill()
    crashed = wait_until("the crash", lambda: webhook.labels("VartaAgentCrashed", "firing"))
    assert (crashed["program"], crashed["cause"]) == ("beat", "signalled")
    assert crashed["instance"] == daemon.address

    silent.send_signal(signal.SIGSTOP)
    labels = wait_until("the stall", lambda: webhook.labels("VartaAgentSilent", "firing"))
    assert (labels["program"], labels["pid"]) == ("beat", str(silent.pid))
    silent.send_signal(signal.SIGCONT)
    wait_until("the recovery", lambda: webhook.labels("VartaAgentSilent", "resolved"))

    # No other alert fired.
    assert {it.name for it in webhook.received} == {"VartaAgentCrashed", "VartaAgentSilent"}


def test_alertmanager_accepts_its_configuration() -> None:
    checked = run(tool("amtool"), "check-config", DEPLOY / "alertmanager" / "alertmanager.yml")
    assert checked.returncode == 0, checked.stderr
