"""Hosts in network namespaces of their own, watched by real Prometheus, VictoriaMetrics and
Alertmanager with the shipped configuration.

`make fleet` runs this with ten hosts. What is measured is printed, and written to the file
VARTA_FLEET_JSON if that is set. It is no condition of the test, because machines differ.
"""

import json
import os
import re
import signal
import statistics
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from alerting import Webhook, alertmanager
from conftest import DEADLINE, TOKEN, Processes, run, tool, wait_until
from engines import SHIPPED, start_prometheus, start_victoria
from network import Host, private_network

# One host stays as it is, and the three others are lost in three ways.
HOSTS = int(os.environ.get("VARTA_FLEET_HOSTS", "4"))
AGENTS = int(os.environ.get("VARTA_FLEET_AGENTS", "1"))
STALLS = int(os.environ.get("VARTA_FLEET_STALLS", "1"))
PATH = "/metrics?collect%5B%5D=daemon&collect%5B%5D=programs"
OPEN = "application/openmetrics-text;version=1.0.0"
# When an agent was found to be stalled, in the exemplar of its program.
EXEMPLAR = r'^varta_program_stalls_total\{{program="beat",.* # \{{.*pid="{pid}".*\}} 1 (\S+)$'


def scrape(host: Host) -> str:
    """What Prometheus gets."""
    headers = {"Accept": OPEN, "Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(f"http://{host.target}{PATH}", headers=headers)
    with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
        return answer.read().decode()


class Fleet:
    """Hosts, the engines that scrape them, and what these report."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.hosts = [Host(processes, folder, number, AGENTS) for number in range(1, HOSTS + 1)]
        targets = [host.target for host in self.hosts]
        self.webhook = Webhook()
        # Both engines report the same alerts.
        alerts = alertmanager(processes, folder, self.webhook, "engine")
        starts = (start_prometheus, start_victoria)
        self.engines = [start(processes, folder, targets, alerts) for start in starts]

    def close(self) -> None:
        self.webhook.close()

    def reported(self, since: float, name: str, status: str, **labels: str) -> dict[str, float]:
        """How long it took until each engine's alert was received. Waits for all of them."""

        def look() -> dict[str, float] | None:
            found = {
                engine.name: self.webhook.first(name, status, engine=engine.name, **labels)
                for engine in self.engines
            }
            return all(found.values()) and {name: it.at - since for name, it in found.items() if it}

        return wait_until(f"{name} {status} {labels}", look)


@pytest.fixture
def fleet(processes: Processes, tmp_path: Path) -> Iterator[Fleet]:
    with private_network(), closing(Fleet(processes, tmp_path)) as fleet:
        yield fleet


@dataclass
class Figures:
    """What is measured, by name, in the order of measurement."""

    print: Callable[[str], None]
    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, unit: str, values: list[float]) -> None:
        self.found[name] = values
        def shown(value: float) -> str:
            return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

        most = f", at most {shown(max(values))} of {len(values)}" if len(values) > 1 else ""
        self.print(f"\n    {name}: {shown(statistics.median(values))} {unit}{most}")


@pytest.fixture
def figures(capsys: pytest.CaptureFixture[str]) -> Iterator[Figures]:
    def show(line: str) -> None:
        with capsys.disabled():
            print(line, end="", flush=True)

    figures = Figures(show)
    yield figures
    if path := os.environ.get("VARTA_FLEET_JSON"):
        Path(path).write_text(json.dumps(figures.found))


def stall_and_recover(fleet: Fleet, host: Host) -> dict[str, float]:
    """Stops an agent. Returns how long after the daemon's verdict each engine's alert arrived."""
    [agent, *_] = host.agents
    fleet.webhook.received.clear()
    before = time.time()
    agent.send_signal(signal.SIGSTOP)
    labels = {"instance": host.target, "program": "beat"}
    exemplar = re.compile(EXEMPLAR.format(pid=agent.pid), re.MULTILINE)

    def stalled_at() -> float | None:
        found = exemplar.search(scrape(host))
        return float(found[1]) if found and float(found[1]) > before else None

    since = wait_until("the exemplar of the stall", stalled_at)
    took = fleet.reported(since, "VartaProgramSilent", "firing", **labels)
    agent.send_signal(signal.SIGCONT)
    fleet.reported(0, "VartaProgramSilent", "resolved", **labels)
    return took


def test_stalls_and_lost_hosts_reach_the_webhook(fleet: Fleet, figures: Figures) -> None:
    up = f'sum(up{{job="varta-watch"}} == 1) == {HOSTS}'
    agents = f"sum(varta_program_agents) == {HOSTS * AGENTS}"
    for engine in fleet.engines:
        for expected in (up, agents):
            wait_until(f"{engine.name}: {expected}", lambda: engine.query(expected))
    check_size(fleet, figures)

    stayed, cut, frozen, killed, *_ = fleet.hosts
    times = [stall_and_recover(fleet, stayed) for _ in range(STALLS)]
    for engine in fleet.engines:
        figures.add(f"stall to webhook, {engine.name}", "s", [it[engine.name] for it in times])
    check_exemplar(fleet, stayed)

    fleet.webhook.received.clear()
    for host, lose in ((cut, cut.cut), (frozen, frozen.freeze), (killed, killed.kill_daemon)):
        began = time.time()
        lose()
        took = fleet.reported(began, "VartaHostDown", "firing", instance=host.target)
        for name, seconds in took.items():
            figures.add(f"{lose.__name__} to webhook, {name}", "s", [seconds])
    # On a machine that is held, others may have missed scrapes for a moment.
    lost = {("VartaHostDown", host.target) for host in (cut, frozen, killed)}
    wait_until("no other alert", lambda: fleet.engines[0].firing() == lost)


def check_size(fleet: Fleet, figures: Figures) -> None:
    """The size of a scrape is bounded. Agents of one program add nothing to it."""
    text = scrape(fleet.hosts[0])
    samples = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    of_programs = [line for line in samples if '{program="' in line]
    programs = text.count("\nvarta_program_agents{")
    assert programs == 2, "the one that beats, and the sum of all others"
    assert len(samples) - len(of_programs) <= 100
    assert len(of_programs) <= 32 * programs
    assert sum(map(len, of_programs)) <= 4096 * programs
    figures.add("series of a host", "", [len(samples)])
    figures.add("series of a program", "", [len(of_programs) / programs])
    figures.add("bytes of a scrape", "B", [len(text)])
    figures.add("bytes of a program", "B", [sum(map(len, of_programs)) / programs])
    [prometheus, *_] = fleet.engines
    scraped = f"max(scrape_samples_scraped) == {len(samples)}"
    wait_until("Prometheus to store them all", lambda: prometheus.query(scraped))


def check_exemplar(fleet: Fleet, host: Host) -> None:
    """Prometheus stores which agent stalled."""
    [prometheus, *_] = fleet.engines
    [agent, *_] = host.agents

    def pids() -> set[str]:
        selected = f'varta_program_stalls_total{{program="beat", instance="{host.target}"}}'
        found = [one for series in prometheus.exemplars(selected) for one in series["exemplars"]]
        return {one["labels"]["pid"] for one in found}

    wait_until("the exemplar in Prometheus", lambda: str(agent.pid) in pids())


def test_the_shipped_rules_are_valid_for_vmalert() -> None:
    """A dry run parses all expressions as MetricsQL."""
    names = ("alerts.yml", "recording.yml", "fleet.yml", "fleet-recording.yml")
    done = run(tool("vmalert"), "-dryRun", *(f"-rule={SHIPPED / name}" for name in names))
    assert done.returncode == 0, done.stderr
