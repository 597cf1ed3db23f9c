"""The engines that scrape a fleet: Prometheus, and VictoriaMetrics with vmagent and vmalert. Each
has the shipped rules, and reports to one Alertmanager under its own name."""

import json
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import yaml
from conftest import DEPLOY, Processes, fetch, free_port, secret, tool, wait_until

SHIPPED = DEPLOY / "prometheus"


def query(address: str, expression: str) -> list[dict]:
    try:
        url = f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        return json.loads(fetch(url))["data"]["result"]
    except OSError:
        # It has not started yet.
        return []


def fleet_config(folder: Path, targets: list[str]) -> dict:
    """The shipped configuration, with these targets and a token that this user can read."""
    config = yaml.safe_load((SHIPPED / "fleet-prometheus.yml").read_text())
    config["rule_files"] = [str(SHIPPED / name) for name in config["rule_files"]]
    listed = folder / "fleet-targets.json"
    listed.write_text(json.dumps([{"targets": targets}]))
    [scrape] = config["scrape_configs"]
    scrape["file_sd_configs"][0]["files"] = [str(listed)]
    scrape["authorization"]["credentials_file"] = str(secret(folder))
    return config


@dataclass
class Engine:
    """Something that answers queries and sends alerts."""

    name: str
    address: str

    def query(self, expression: str) -> list[dict]:
        return query(self.address, expression)

    def firing(self) -> set[tuple[str, str]]:
        """The alerts that are firing, with their instances."""
        found = [it["metric"] for it in self.query('ALERTS{alertstate="firing"}')]
        return {(it["alertname"], it["instance"]) for it in found}

    def exemplars(self, expression: str) -> list[dict]:
        asked = urllib.parse.urlencode({"query": expression, "start": 0, "end": 4_000_000_000})
        return json.loads(fetch(f"http://{self.address}/api/v1/query_exemplars?{asked}"))["data"]


def written(path: Path, config: dict) -> Path:
    path.write_text(yaml.safe_dump(config))
    return path


def start_prometheus(
    processes: Processes, folder: Path, targets: list[str], alertmanager: str
) -> Engine:
    config = fleet_config(folder, targets)
    config["global"]["external_labels"] = {"engine": "prometheus"}
    config["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    address = f"127.0.0.1:{free_port()}"
    processes.start(
        tool("prometheus"), f"--config.file={written(folder / 'prometheus.yml', config)}",
        f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    )  # fmt: skip
    return Engine("prometheus", address)


def start_victoria(
    processes: Processes, folder: Path, targets: list[str], alertmanager: str
) -> Engine:
    config = fleet_config(folder, targets)
    # vmalert reads the rules and knows the Alertmanager.
    scraping = {part: config[part] for part in ("global", "scrape_configs")}
    del scraping["global"]["evaluation_interval"]
    storage, agent, alert = (f"127.0.0.1:{free_port()}" for _ in range(3))
    processes.start(
        tool("victoria-metrics"), f"-storageDataPath={folder / 'victoria'}",
        f"-httpListenAddr={storage}", "-search.latencyOffset=0s", "-memory.allowedBytes=64MB",
    )  # fmt: skip
    wait_until("VictoriaMetrics", lambda: answers(f"http://{storage}/health"))
    processes.start(
        tool("vmagent"), f"-promscrape.config={written(folder / 'vmagent.yml', scraping)}",
        f"-remoteWrite.url=http://{storage}/api/v1/write", "-remoteWrite.flushInterval=100ms",
        f"-remoteWrite.tmpDataPath={folder / 'vmagent'}", f"-httpListenAddr={agent}",
        "-memory.allowedBytes=64MB",
    )  # fmt: skip
    processes.start(
        tool("vmalert"), *(f"-rule={path}" for path in config["rule_files"]),
        f"-datasource.url=http://{storage}", f"-remoteWrite.url=http://{storage}",
        f"-notifier.url=http://{alertmanager}", "-evaluationInterval=1s",
        "-external.label=engine=victoria", f"-httpListenAddr={alert}",
    )  # fmt: skip
    return Engine("victoria", storage)


def answers(url: str) -> bool:
    try:
        fetch(url)
    except OSError:
        return False
    return True
