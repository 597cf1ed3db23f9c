"""A real Alertmanager with the shipped configuration, and the webhook that it calls."""

import http.server
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from conftest import DEPLOY, Processes, free_port, tool


@dataclass
class Received:
    """An alert, and when it was received."""

    name: str
    status: str
    labels: dict
    at: float


class Webhook:
    """Records each alert that it receives."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        received = self.received

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                now = time.time()
                for alert in json.loads(self.rfile.read(length))["alerts"]:
                    labels = alert["labels"]
                    received.append(Received(labels["alertname"], alert["status"], labels, now))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/"

    def first(self, name: str, status: str, **labels: str) -> Received | None:
        """The first such alert that has these labels."""
        for it in self.received:
            if (it.name, it.status) == (name, status) and labels.items() <= it.labels.items():
                return it
        return None

    def labels(self, name: str, status: str) -> dict | None:
        """The labels of the first such alert."""
        found = self.first(name, status)
        return found and found.labels

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def alertmanager(
    processes: Processes, folder: Path, webhook: Webhook, *group_by: str
) -> str:
    """Starts it with the shipped configuration, this webhook and a short interval."""
    config = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text())
    config["receivers"][0]["webhook_configs"][0]["url"] = webhook.url
    config["route"]["group_interval"] = "1s"
    config["route"]["group_by"] += group_by
    written = folder / "alertmanager.yml"
    written.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    processes.start(
        tool("prometheus-alertmanager"), f"--config.file={written}",
        f"--storage.path={folder / 'alerts'}", f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )  # fmt: skip
    return address
