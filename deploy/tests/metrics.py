"""The metrics that rules and dashboard use, and those that a scrape contains."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from conftest import DEPLOY

NAME = re.compile(r"\bvarta_[a-z0-9_]+")
RECORDED = re.compile(r"\bvarta:[a-z0-9_:]+")
SELECTOR = re.compile(r"\b(varta_[a-z0-9_]+)\{([^}]*)\}")
MATCHER = re.compile(r'([a-z_]+)(=~|!~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|group_left) \(([a-z_, ]+)\)")
SAMPLE = re.compile(r"^([a-z_:0-9]+)(?:\{(.*)\})? \S+$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')

# Prometheus adds these labels itself.
ADDED = {"job", "instance"}

# A metric that has only the values of a label that exist now, and the one that has all.
COMPLETE = {"varta_agent_stall_cause": "varta_stall_causes_total"}


@dataclass
class Scrape:
    """The samples of a scrape: the labels of each name, and the values of each label."""

    labels: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Scrape":
        labels: dict[str, dict[str, set[str]]] = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            sample = SAMPLE.match(line)
            assert sample, f"not a sample: {line}"
            name, listed = sample.groups()
            values = labels.setdefault(name, defaultdict(set))
            for label, value in LABEL.findall(listed or ""):
                values[label].add(value)
        return cls(labels)


def rules(name: str) -> list[dict]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True)
class Monitoring:
    """Alerts, recorded expressions and a dashboard, for one kind of scrape."""

    alerts_file: str
    recording_file: str
    dashboard_file: str
    # The page that explains the alerts.
    page: str
    # The scrape.
    path: str

    def alerts(self) -> list[dict]:
        return rules(self.alerts_file)

    def recorded(self) -> list[dict]:
        return rules(self.recording_file)

    def dashboard(self) -> dict:
        return json.loads((DEPLOY / "grafana" / self.dashboard_file).read_text())

    def queries(self) -> Iterator[tuple[str, str]]:
        """Each query of the dashboard, with its panel."""
        for panel in self.dashboard()["panels"]:
            for target in panel.get("targets", []):
                yield f"panel {panel['title']}", target["expr"]

    def expressions(self) -> Iterator[tuple[str, str]]:
        """Each expression, with the place where it is used."""
        for rule in self.alerts():
            yield f"alert {rule['alert']}", rule["expr"]
        for rule in self.recorded():
            yield f"record {rule['record']}", rule["expr"]
        yield from self.queries()
        for variable in self.dashboard()["templating"]["list"]:
            if variable["type"] == "query":
                yield f"variable {variable['name']}", variable["query"]["query"]


HOST = Monitoring(
    "alerts.yml", "recording.yml", "dashboard.json", "docs/operating.md", "/metrics"
)
FLEET = Monitoring(
    "fleet.yml", "fleet-recording.yml", "fleet.json", "docs/fleet.md",
    "/metrics?collect[]=daemon&collect[]=programs",
)  # fmt: skip
BOTH = [HOST, FLEET]


def faults(expression: str, scrape: Scrape) -> Iterator[str]:
    """The names in an expression that the scrape does not have."""
    known_records = {rule["record"] for one in BOTH for rule in one.recorded()}
    for name in set(RECORDED.findall(expression)) - known_records:
        yield f"no rule records {name}"
    names = set(NAME.findall(expression))
    for name in names - scrape.labels.keys():
        yield f"no metric {name}"
    for name, matchers in SELECTOR.findall(expression):
        for label, how, wanted in MATCHER.findall(matchers):
            if label in ADDED or name not in scrape.labels:
                continue
            if label not in scrape.labels[name]:
                yield f"{name} has no label {label}"
                continue
            values = scrape.labels.get(COMPLETE.get(name, name), {}).get(label, set())
            if how != "!=" and "$" not in wanted:
                yield from (
                    f"{name} has no {label}={value}"
                    for value in wanted.split("|")
                    if value not in values
                )
    labels = {label for name in names for label in scrape.labels.get(name, {})} | ADDED
    for grouping in GROUPING.findall(expression) if names else []:
        for label in set(grouping.split(", ")) - labels:
            yield f"no metric in it has a label {label}"
