"""Each metric that a rule or the dashboard uses must exist, and each query must be valid."""

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
from conftest import DEPLOY, Daemon, Processes, run, secret, tool, wait_until
from metrics import Scrape, alerts, dashboard, expressions, faults

# Values for the variables of the dashboard, which promtool does not know.
VARIABLES = {"$instance": ".*", "$program": ".*"}


@pytest.fixture
def eventful(processes: Processes, tmp_path: Path) -> str:
    """A scrape of a daemon that has seen a beat, a stall, an exit and a recovery."""
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
    return daemon.metrics()


def test_every_metric_in_use_exists(eventful: str) -> None:
    scrape = Scrape.of(eventful)
    found = [f"{at}: {fault}" for at, used in expressions() for fault in faults(used, scrape)]
    assert found == []


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


def test_promtool_accepts_a_scrape(eventful: str) -> None:
    checked = run(tool("promtool"), "check", "metrics", input=eventful)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_rules_are_valid(tmp_path: Path) -> None:
    prometheus = DEPLOY / "prometheus"
    shutil.copytree(prometheus, tmp_path, dirs_exist_ok=True)
    config = (prometheus / "prometheus.yml").read_text()
    assert "/etc/prometheus/varta-token" in config
    config = config.replace("/etc/prometheus/varta-token", str(secret(tmp_path)))
    (tmp_path / "prometheus.yml").write_text(config)
    checked = run(tool("promtool"), "check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stderr
    tested = run(tool("promtool"), "test", "rules", prometheus / "tests" / "alerts.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_rules_tests_cover_each_alert() -> None:
    tests = (DEPLOY / "prometheus" / "tests" / "alerts.yml").read_text()
    for alert in alerts():
        fired = f'alertname="{alert["alert"]}"'
        assert fired in tests, f"{alert['alert']} has no test in which it fires"


def test_queries_of_the_dashboard_are_valid(tmp_path: Path) -> None:
    """promtool checks them as recording rules."""
    queries = [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])
    ]
    assert queries
    for variable, value in VARIABLES.items():
        queries = [query.replace(variable, value) for query in queries]
    named = [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(queries)]
    written = tmp_path / "rules.yml"
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": named}]}))
    checked = run(tool("promtool"), "check", "rules", "--lint=none", written)
    assert checked.returncode == 0, checked.stderr


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    used: dict[tuple[int, int], str] = {}
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in used, f"{panel['title']} overlaps {used[x, y]}"
                used[x, y] = panel["title"]
