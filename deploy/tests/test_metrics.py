"""Each metric that a rule or the dashboard uses must exist, and each query must be valid."""

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DEPLOY, ROOT, Daemon, Processes, run, secret, tool, wait_until
from metrics import BOTH, FLEET, HOST, Monitoring, Scrape, faults

# Values for the variables of the dashboard, which promtool does not know.
VARIABLES = {"$instance": ".*", "$program": ".*"}


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that has seen a beat, a stall, an exit and a recovery."""
    tmp_path = tmp_path_factory.mktemp("eventful")
    processes = Processes(tmp_path)
    with processes.stack:
        yield start_eventful(processes, tmp_path)


def start_eventful(processes: Processes, tmp_path: Path) -> Daemon:
    config = tmp_path / "varta.toml"
    config.write_text('[[expect]]\nprogram = "nobody"\n')
    daemon = Daemon(
        processes, tmp_path,
        "--config", config,
        "--recovery-exec", "/bin/true",
        "--recovery-on", "hung,stopped,crash",
        "--recovery-audit-file", tmp_path / "audit",
        "--export-file", tmp_path / "events",
        "--heartbeat-file", tmp_path / "heartbeat",
    )  # fmt: skip
    recovering, silent, killed = (processes.beat(daemon.socket) for _ in range(3))

    def shows(pattern: str) -> bool:
        return re.search(pattern, daemon.metrics(), re.MULTILINE) is not None

    wait_until("three agents", lambda: shows(r"^varta_watch_pids_tracked 3$"))
    recovering.send_signal(signal.SIGSTOP)
    silent.send_signal(signal.SIGSTOP)
    killed.kill()
    wait_until("two stalls", lambda: shows(r"^varta_silences_total 2$"))
    recovering.send_signal(signal.SIGCONT)
    wait_until("a recovery", lambda: shows(r"^varta_recoveries_total 1$"))
    wait_until("an exit", lambda: shows(r'^varta_exits_total\{cause="signalled"\} 1$'))
    done = r'^varta_recovery_outcomes_total\{outcome="reaped_zero"\} [1-9]'
    wait_until("a recovery command", lambda: shows(done))
    return daemon


def test_every_metric_in_use_exists(eventful: Daemon) -> None:
    for monitoring in BOTH:
        scrape = Scrape.of(eventful.metrics(monitoring.path))
        used = monitoring.expressions()
        assert [f"{at}: {fault}" for at, it in used for fault in faults(it, scrape)] == []


def test_the_docs_of_a_fleet_list_the_alerts_that_need_series_of_agents(eventful: Daemon) -> None:
    scrape = Scrape.of(eventful.metrics(FLEET.path))
    recorded = {rule["record"]: rule["expr"] for rule in HOST.recorded()}

    def lacks(expression: str) -> bool:
        """Whether each of the alternatives needs something that the scrape does not have."""
        return all(
            any(faults(part, scrape)) or any(lacks(recorded[it]) for it in recorded if it in part)
            for part in re.split(r"\bor\b", expression)
        )

    unusable = {alert["alert"] for alert in HOST.alerts() if lacks(alert["expr"])}
    text = " ".join((ROOT / FLEET.page).read_text().split())
    [listed] = re.findall(r"have nothing to fire for: ([^.]*)\.", text)
    assert set(re.findall(r"Varta\w+", listed)) == unusable


def test_missing_metrics_and_labels_are_found() -> None:
    scrape = Scrape.of('varta_a_total{reason="x"} 1\n')
    assert list(faults('varta_a_total{reason=~"x"} / on (job) varta_a_total', scrape)) == []
    assert list(faults("varta_b_total", scrape)) == ["no metric varta_b_total"]
    assert list(faults("varta:b", scrape)) == ["no rule records varta:b"]
    assert list(faults('varta_a_total{reason=~"x|y"}', scrape)) == ["varta_a_total has no reason=y"]
    assert list(faults('varta_a_total{kind="x"}', scrape)) == ["varta_a_total has no label kind"]
    causes = 'varta_stall_causes_total{cause="lock"} 0\nvarta_agent_stall_cause{cause="idle"} 1\n'
    stalls = Scrape.of(causes)
    assert list(faults('varta_agent_stall_cause{cause!~"lock"}', stalls)) == []
    unknown = ["varta_agent_stall_cause has no cause=loc"]
    assert list(faults('varta_agent_stall_cause{cause=~"loc"}', stalls)) == unknown
    grouped = "sum by (kind) (varta_a_total)"
    assert list(faults(grouped, scrape)) == ["no metric in it has a label kind"]


def test_promtool_accepts_a_scrape(eventful: Daemon) -> None:
    for monitoring in BOTH:
        scraped = eventful.metrics(monitoring.path)
        checked = run(tool("promtool"), "check", "metrics", input=scraped)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_rules_are_valid(tmp_path: Path) -> None:
    prometheus = DEPLOY / "prometheus"
    shutil.copytree(prometheus, tmp_path, dirs_exist_ok=True)
    for name in ("prometheus.yml", "fleet-prometheus.yml"):
        config = (prometheus / name).read_text()
        assert "/etc/prometheus/varta-token" in config
        config = config.replace("/etc/prometheus/varta-token", str(secret(tmp_path)))
        (tmp_path / name).write_text(config)
        checked = run(tool("promtool"), "check", "config", tmp_path / name)
        assert checked.returncode == 0, checked.stderr
    tested = run(tool("promtool"), "test", "rules", *(prometheus / "tests").glob("*.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("monitoring", BOTH, ids=lambda it: it.alerts_file)
def test_the_rules_tests_cover_each_alert(monitoring: Monitoring) -> None:
    folder = DEPLOY / "prometheus" / "tests"
    tests = "".join(path.read_text() for path in folder.glob("*.yml"))
    for alert in monitoring.alerts():
        fired = f'alertname="{alert["alert"]}"'
        assert fired in tests, f"{alert['alert']} has no test in which it fires"


def test_queries_of_the_dashboards_are_valid(tmp_path: Path) -> None:
    """promtool checks them as recording rules."""
    queries = [query for monitoring in BOTH for _, query in monitoring.queries()]
    assert queries
    for variable, value in VARIABLES.items():
        queries = [query.replace(variable, value) for query in queries]
    named = [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(queries)]
    written = tmp_path / "rules.yml"
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}))
    checked = run(tool("promtool"), "check", "rules", "--lint=none", written)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("monitoring", BOTH, ids=lambda it: it.dashboard_file)
def test_panels_of_a_dashboard_do_not_overlap(monitoring: Monitoring) -> None:
    used: dict[tuple[int, int], str] = {}
    panels = monitoring.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in used, f"{panel['title']} overlaps {used[x, y]}"
                used[x, y] = panel["title"]
