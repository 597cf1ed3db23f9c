"""The units, checked with systemd's own tools and with the real daemon."""

import os
import re
import signal
import socket
import stat
from pathlib import Path

import pytest
from conftest import ROOT, WATCH, Daemon, Processes, free_port, run, shipped_config, tool, wait_until
from units import SYSTEMD, UNITS, setting

INSTALLED = "/usr/bin/varta-watch"
CONFIG = "/etc/varta/varta-watch.toml"
BOUND = "/run/varta/varta.sock"


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units, with the path of the daemon that was built."""
    copies = [tmp_path / unit.name for unit in UNITS]
    for unit, copy in zip(UNITS, copies, strict=True):
        copy.write_text(unit.read_text().replace(INSTALLED, str(WATCH)))
    return copies


def test_systemd_accepts_the_units(units: list[Path]) -> None:
    checked = run(tool("systemd-analyze"), "verify", "--man=no", *units)
    about_ours = [line for line in checked.stderr.splitlines() if "varta" in line]
    assert (checked.returncode, about_ours) == (0, [])


def test_systemd_accepts_the_settings_for_an_agent(tmp_path: Path) -> None:
    page = (ROOT / "docs/notify.md").read_text()
    [settings] = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    unit = tmp_path / "varta-agent.service"
    unit.write_text(f"{settings}ExecStart=/bin/true\n")
    checked = run(tool("systemd-analyze"), "verify", "--man=no", unit)
    about_ours = [line for line in checked.stderr.splitlines() if "varta" in line]
    assert (checked.returncode, about_ours) == (0, [])


def test_systemd_rates_the_service_as_secure(units: list[Path]) -> None:
    rated = run(tool("systemd-analyze"), "security", "--offline=true", "--threshold=25", units[0])
    assert rated.returncode == 0, rated.stdout


def test_the_service_sees_all_processes_and_proc_sys() -> None:
    text = UNITS[0].read_text()
    for hides in ["PrivateUsers", "PrivateNetwork", "PrivatePIDs", "ProtectProc", "ProcSubset"]:
        assert f"\n{hides}=" not in text


def test_recovery_commands_can_signal_processes_of_other_users() -> None:
    for name in ["AmbientCapabilities", "CapabilityBoundingSet"]:
        assert "CAP_KILL" in setting(UNITS[0], name).split()


def test_only_the_group_can_send_beats() -> None:
    assert setting(UNITS[1], "SocketMode") == "0660"
    assert setting(UNITS[1], "SocketGroup") == "varta"


def test_the_daemon_accepts_the_flags_of_the_service(tmp_path: Path) -> None:
    command = setting(UNITS[0], "ExecStart").split()
    assert command[0] == INSTALLED
    flags = [word.replace(CONFIG, str(shipped_config(tmp_path))) for word in command[1:]]
    checked = run(WATCH, *flags, "--check-config")
    assert checked.returncode == 0, checked.stderr
    assert setting(UNITS[1], "ListenDatagram") == BOUND
    # Agents look for shared memory at this name.
    assert setting(UNITS[1], "ListenSequentialPacket") == f"{BOUND}.lane"
    assert BOUND in command


def notified(notifications: socket.socket, wanted: str) -> bool:
    """Whether the next notification to the service manager contains this line."""
    try:
        return wanted in notifications.recv(4096).decode().splitlines()
    except BlockingIOError:
        return False


def test_a_beat_starts_the_daemon_through_the_socket_and_the_manager_is_notified(
    processes: Processes, tmp_path: Path
) -> None:
    """systemd's own code passes the socket; this test receives the notifications."""
    bound, notify = tmp_path / "varta.sock", tmp_path / "notify"
    address = f"127.0.0.1:{free_port()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notifications:
        notifications.bind(str(notify))
        command = setting(UNITS[0], "ExecStart").split()[1:]
        places = {CONFIG: str(shipped_config(tmp_path)), BOUND: str(bound)}
        flags = [places.get(word, word) for word in command]
        daemon = processes.start(
            tool("systemd-socket-activate"), "--datagram", f"--listen={bound}",
            f"--setenv=NOTIFY_SOCKET={notify}", "--setenv=WATCHDOG_USEC=1000000",
            WATCH, *flags, "--prom-addr", address,
        )  # fmt: skip
        wait_until("the socket", bound.exists)
        inode = bound.stat().st_ino
        agent = processes.beat(bound)
        wait_until("READY", lambda: notified(notifications, "READY=1"))

        def is_tracked() -> bool:
            # 0 or 1 depending on the status it reports, 2 if it is stalled or unknown.
            checked = run(WATCH, "check", "--pid", agent.pid, "--socket", bound)
            return checked.returncode < 2

        wait_until("the agent to be tracked", is_tracked)
        wait_until("WATCHDOG", lambda: notified(notifications, "WATCHDOG=1"))
        daemon.send_signal(signal.SIGHUP)
        wait_until("RELOADING", lambda: notified(notifications, "RELOADING=1"))
        wait_until("READY again", lambda: notified(notifications, "READY=1"))
        assert is_tracked(), "a reload lost an agent"
        daemon.send_signal(signal.SIGTERM)
        wait_until("STOPPING", lambda: notified(notifications, "STOPPING=1"))
        assert daemon.wait(60) == 0
        # The socket belongs to the service manager; beats continue to wait there.
        assert stat.S_ISSOCK(bound.stat().st_mode)
        assert bound.stat().st_ino == inode


def nice_of(stat: Path) -> int:
    return int(stat.read_text().rpartition(") ")[2].split()[16])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lower a nice value")
def test_the_receiving_thread_runs_before_other_threads_and_recovery_commands(
    processes: Processes, tmp_path: Path
) -> None:
    nice = int(setting(UNITS[0], "Nice"))
    assert setting(UNITS[0], "CPUSchedulingPolicy") == "other"
    assert setting(UNITS[0], "CPUSchedulingResetOnFork") == "yes"
    seen, script = tmp_path / "stat", tmp_path / "recover"
    script.write_text(f"#!/bin/sh\ncat /proc/self/stat > {seen}.new && mv {seen}.new {seen}\n")
    script.chmod(0o700)

    def as_systemd_does() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        policy = os.SCHED_OTHER | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(0))

    daemon = Daemon(
        processes, tmp_path, "--recovery-exec", script, preexec_fn=as_systemd_does
    )  # fmt: skip
    agent = processes.beat(daemon.socket)
    wait_until("the agent", lambda: 'varta_agent_info{program="beat"' in daemon.metrics())
    agent.kill()
    wait_until("recovery", seen.exists)
    assert nice_of(seen) == 0
    threads = Path(f"/proc/{daemon.process.pid}/task").iterdir()
    nices = {int(thread.name): nice_of(thread / "stat") for thread in threads}
    assert nices.pop(daemon.process.pid) == nice
    assert nices and set(nices.values()) == {0}


def test_the_queue_has_room_for_each_agent() -> None:
    lines = (SYSTEMD / "sysctl.conf").read_text().splitlines()
    settings = [line.split(" = ") for line in lines if line and not line.startswith("#")]
    [[name, length]] = settings
    assert Path("/proc/sys", name.replace(".", "/")).exists()
    [capacity] = re.findall(r"--tracker-capacity.*?default: (\d+)", run(WATCH, "-h").stdout, re.DOTALL)
    assert int(length) >= int(capacity)


def test_sysusers_creates_the_user_of_the_units(tmp_path: Path) -> None:
    # An empty root, so that the result does not depend on existing users.
    (tmp_path / "etc").mkdir()
    made = run(
        tool("systemd-sysusers"), "--dry-run", f"--root={tmp_path}", SYSTEMD / "sysusers.conf",
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "info"},
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    user = setting(UNITS[0], "User")
    assert setting(UNITS[1], "SocketUser") == user
    assert f"'{user}'" in made.stderr
