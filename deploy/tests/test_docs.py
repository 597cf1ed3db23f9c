"""Everything that docs/operating.md names must exist."""

import os
import re
from pathlib import Path

from conftest import ROOT, WATCH, run
from metrics import alerts, dashboard

PAGE = ROOT / "docs" / "operating.md"
TEXT = PAGE.read_text()
LINK = re.compile(r"\]\(([^)]+)\)")


def anchors() -> set[str]:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    return {heading.lower().replace(" ", "-") for heading in headings}


def test_exactly_the_alerts_are_explained() -> None:
    linked = {alert["annotations"]["runbook"] for alert in alerts()}
    assert linked == {f"docs/operating.md#{alert['alert'].lower()}" for alert in alerts()}
    explained = {name for name in anchors() if name.startswith("varta")}
    assert explained == {alert["alert"].lower() for alert in alerts()}


def test_link_targets_exist() -> None:
    for link in LINK.findall(TEXT):
        path, _, anchor = link.partition("#")
        assert not path or (PAGE.parent / path).exists(), link
        assert path or anchor in anchors(), link


def test_named_panels_exist() -> None:
    titles = {panel["title"] for panel in dashboard()["panels"]}
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
