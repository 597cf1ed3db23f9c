"""Everything that docs/operating.md and docs/fleet.md name must exist."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from conftest import DEPLOY, ROOT, WATCH, Daemon, Processes, fetch, run, tool, wait_until
from metrics import BOTH, FLEET, HOST, Monitoring

TEXT = (ROOT / HOST.page).read_text()
FLEET_TEXT = (ROOT / FLEET.page).read_text()
LINK = re.compile(r"\]\(([^)]+)\)")

each_page = pytest.mark.parametrize("monitoring", BOTH, ids=lambda it: it.page)


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {heading.lower().replace(" ", "-") for heading in headings}


@each_page
def test_exactly_the_alerts_are_explained(monitoring: Monitoring) -> None:
    alerts, page = monitoring.alerts(), monitoring.page
    linked = {alert["annotations"]["runbook"] for alert in alerts}
    assert linked == {f"{page}#{alert['alert'].lower()}" for alert in alerts}
    text = (ROOT / page).read_text()
    explained = {name for name in anchors(text) if name.startswith("varta")}
    assert explained == {alert["alert"].lower() for alert in alerts}


@each_page
def test_link_targets_exist(monitoring: Monitoring) -> None:
    page = ROOT / monitoring.page
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        assert not path or (page.parent / path).exists(), link
        assert path or anchor in anchors(page.read_text()), link


def test_the_scrape_in_the_docs_of_a_fleet_is_the_shipped_one() -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", FLEET_TEXT, re.DOTALL)
    shipped = yaml.safe_load((DEPLOY / "prometheus" / "fleet-prometheus.yml").read_text())
    [scrape] = shipped["scrape_configs"]
    assert yaml.safe_load(block).items() <= scrape.items()


def test_the_commands_in_the_docs_of_a_fleet_have_these_flags() -> None:
    [block] = re.findall(r"```sh\n(.*?)```", FLEET_TEXT, re.DOTALL)
    programs = [line.split() for line in block.splitlines()]
    assert [program for program, *_ in programs] == ["victoria-metrics", "vmagent", "vmalert"]
    for program, *flags in programs:
        helped = run(tool(program), "-help")
        known = re.findall(r"^  (-\S+)", helped.stdout + helped.stderr, re.MULTILINE)
        assert {flag.partition("=")[0] for flag in flags} <= set(known), program


def test_named_panels_exist() -> None:
    titles = {panel["title"] for panel in HOST.dashboard()["panels"]}
    named = [" ".join(it.split()) for it in re.findall(r"[Pp]anel\s+\*([^*]+)\*", TEXT)]
    assert named
    assert set(named) <= titles


def test_named_flags_exist() -> None:
    commands = ([], ["run"], ["rules"], ["audit", "verify"])
    helps = "".join(run(WATCH, *command, "--help").stdout for command in commands)
    known = set(re.findall(r"--[a-z0-9-]+", helps))
    inline = " ".join(re.findall(r"`(--[a-z][^`]*)`", TEXT))
    named = set(re.findall(r"--[a-z0-9-]+", inline))
    assert named
    assert named <= known


def test_the_install_commands_put_files_where_the_units_expect_them(tmp_path: Path) -> None:
    block = next(it for it in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) if "install" in it)
    script = block.replace("target/release/varta-watch", str(WATCH))
    env = os.environ | {"DESTDIR": str(tmp_path)}
    done = run("sh", "-e", "-u", "-c", script, cwd=ROOT, env=env)
    assert done.returncode == 0, done.stderr
    unit = (tmp_path / "usr/lib/systemd/system/varta-watch.service").read_text()
    for path in re.findall(r"^ExecStart=(\S+) --config (\S+)", unit, re.MULTILINE)[0]:
        assert (tmp_path / path.lstrip("/")).exists()
    # The first line of each of these files is its path.
    for folder in ["usr/lib/sysusers.d", "usr/lib/sysctl.d", "etc/varta"]:
        [file] = (tmp_path / folder).iterdir()
        assert file.read_text().splitlines()[0] == f"# /{folder}/{file.name}"


def test_the_commands_for_programs_that_cannot_be_changed_work(
    processes: Processes, tmp_path: Path
) -> None:
    """systemd-notify is called as the page does; the shell that calls it becomes the agent."""
    tool("systemd-notify")
    socket = tmp_path / "notify.sock"
    daemon = Daemon(processes, tmp_path, "--notify-socket", socket)
    [command] = re.findall(r"^    (NOTIFY_SOCKET=.* systemd-notify .*)$", TEXT, re.MULTILINE)
    command = command.replace("/run/varta/notify.sock", str(socket))
    shell = processes.start("sh", "-e", "-c", f"{command}\nsleep 1000 & wait")

    def reported() -> dict | None:
        agents = json.loads(fetch(f"http://{daemon.address}/agents"))["agents"]
        return next((it for it in agents if it["pid"] == shell.pid), None)

    service = wait_until("the shell to be an agent", reported)["service"]
    assert (service["state"], service["status"]) == ("ready", "at work")
    [start] = re.findall(r"^    ExecStart=(\S+ run .*)$", TEXT, re.MULTILINE)
    words = start.replace("/usr/bin/varta-watch", str(WATCH)).split()
    flags = words[: words.index("--")]
    name = flags[flags.index("--name") + 1]
    program = processes.start(*flags, "--notify-socket", socket, "--", "sleep", "1000")
    launched = f'varta_agent_info{{program="{name}"'
    wait_until("the launched program", lambda: launched in daemon.metrics())
    explain = re.findall(r"`varta-watch (rules [^`]*)`", TEXT)[0].split()
    explain = [str(program.pid) if word == "PID" else word for word in explain]
    explained = run(WATCH, *explain, "--socket", daemon.socket)
    assert explained.returncode == 0, explained.stderr
    assert name in explained.stdout
