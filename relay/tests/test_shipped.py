"""The unit, the configuration, the alerts and the page of the docs."""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import DEADLINE, RELAY, ROOT, Fleet

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "varta-relay.service"
ALERTS = DEPLOY / "prometheus" / "relay.yml"
# Its sh and toml blocks are run here.
PAGE = (ROOT / "docs" / "relay.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE, **options)


def tool(name: str) -> str:
    """A program of the system. Without it the test is skipped; in CI that is a failure."""
    if found := shutil.which(name):
        return found
    missing = f"{name} is not installed; tools/programs installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def test_systemd_accepts_the_unit_and_rates_it_as_secure(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/bin/varta-relay", str(RELAY)))
    checked = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    about_ours = [line for line in checked.stderr.splitlines() if "varta" in line]
    assert (checked.returncode, about_ours) == (0, [])
    rated = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=15", unit)
    assert rated.returncode == 0, rated.stdout


def placed(text: str, folder: Path) -> str:
    """A configuration whose files are in a folder of the test."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text("secret")
    # The page names credentials that only a server can check.
    text = re.sub(r'^credentials-file = ".*"$', "", text, flags=re.MULTILINE)
    for path in ["/run/credentials/varta-relay.service", "/var/lib/varta-relay"]:
        text = text.replace(path, str(folder))
    file = folder / "varta-relay.toml"
    file.write_text(f'{text}\ncursor-file = "{folder}/cursor"\n' if "cursor-file" not in text else text)
    return str(file)


def test_the_configurations_are_valid_and_so_are_the_keys_in_comments(tmp_path: Path) -> None:
    shipped = (DEPLOY / "varta-relay.toml").read_text()
    first, *_ = shipped.splitlines()
    assert first == "# /etc/varta/varta-relay.toml" and f"--config {first[2:]}" in UNIT.read_text()
    all_keys = re.sub(r"^#(?=[a-z-]+ = )", "", shipped, flags=re.MULTILINE)
    all_keys = re.sub(r"^tls-ca-file = .*$", "", all_keys, flags=re.MULTILINE)
    [check] = [it for it in blocks("sh") if "--check-config" in it]
    for text in [shipped, all_keys, *blocks("toml")]:
        command = check.replace("/etc/varta/varta-relay.toml", placed(text, tmp_path / "etc"))
        environment = os.environ | {"PATH": f"{RELAY.parent}:{os.environ['PATH']}"}
        checked = run("sh", "-e", "-c", command, env=environment)
        assert (checked.returncode, checked.stdout) == (0, "configuration OK\n"), checked.stderr


def test_the_page_lists_all_metrics_and_explains_all_alerts(fleet: Fleet) -> None:
    fleet.relay()
    fleet.wait_for_metric("connected", lambda connected: connected == 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.metrics}/metrics") as answer:
        served = set(re.findall(r"^# TYPE (\w+)", answer.read().decode(), re.MULTILINE))
    assert served == set(re.findall(r"\bvarta_relay_\w+", PAGE.split("| metric |")[1].split("\n\n")[0]))
    rules = ALERTS.read_text()
    assert set(re.findall(r"\bvarta_relay_\w+", rules)) <= served
    alerts = re.findall(r"alert: (\w+)", rules)
    explained = re.findall(r"^### (VartaRelay\w+)$", PAGE, re.MULTILINE)
    assert sorted(alerts) == sorted(explained)
    assert [it.lower() for it in alerts] == re.findall(r"runbook: docs/relay\.md#(\w+)", rules)
    checked = run(tool("promtool"), "check", "rules", ALERTS)
    assert checked.returncode == 0, checked.stderr


def test_the_page_shows_how_to_watch_a_fleet(fleet: Fleet) -> None:
    [watch] = [it for it in blocks("sh") if "watch" in it.split()]
    fleet.server()
    fleet.relay()
    environment = os.environ | {"PATH": f"{RELAY.parent}:{os.environ['PATH']}"}
    command = watch.replace("varta-relay", f"exec varta-relay --server {fleet.url}", 1)
    output = fleet.folder / "printed"
    with output.open("wb") as file:
        process = subprocess.Popen(["sh", "-e", "-c", command], stdout=file, env=environment)
    fleet.running.append(process)
    end = time.monotonic() + DEADLINE
    while not output.read_text().count("\n") > 20:
        assert time.monotonic() < end
        fleet.write(30)
        time.sleep(0.2)
    assert re.search(r"^\S+Z web1: agent \d+ \(pid \d+\): .* \[program\.\d\]$", output.read_text(), re.MULTILINE)


def test_flags_that_the_page_names_exist() -> None:
    known = set(re.findall(r"--[a-z-]+", run(RELAY, "--help").stdout + run(RELAY, "watch", "--help").stdout))
    named = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert named and named - {"--history-max-bytes"} <= known
