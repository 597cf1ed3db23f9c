"""The image and the plain manifests. There is no container engine here, so the image is not built; the tests
check that the files are valid and that what they name exists."""

import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import DEPLOY, RELAY, ROOT, WATCH, Daemon, Processes, run, tool, wait_until

DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
MANIFESTS = [DEPLOY / "kubernetes" / name for name in ("varta-watch.yaml", "agent.yaml")]
BIN = Path(sys.executable).parent


def instructions() -> list[list[str]]:
    lines = DOCKERFILE.read_text().splitlines()
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


def resource(kind: str) -> dict:
    [found] = [it for it in yaml.safe_load_all(MANIFESTS[0].read_text()) if it["kind"] == kind]
    return found


def daemon_container() -> dict:
    [container] = resource("DaemonSet")["spec"]["template"]["spec"]["containers"]
    return container


def test_hadolint_accepts_the_dockerfile() -> None:
    checked = run(BIN / "hadolint", DOCKERFILE)
    assert checked.returncode == 0, checked.stdout


def test_the_image_is_built_from_files_that_exist() -> None:
    commands = {words[0]: words for words in instructions()}
    built = commands["RUN"]
    [root] = {after for word, after in zip(built, built[1:]) if word == "--root"}
    packages = [after for word, after in zip(built, built[1:]) if word == "--path"]
    names = [
        tomllib.loads((ROOT / it / "Cargo.toml").read_text())["package"]["name"] for it in packages
    ]
    copied = [words for words in instructions() if words[:2] == ["COPY", "--from=build"]]
    assert copied[0][2:] == [*(f"{root}/bin/{name}" for name in names), "/usr/bin/"]
    assert names == [WATCH.name, RELAY.name]
    assert commands["ENTRYPOINT"][1:] == [f"[/usr/bin/{WATCH.name}]"]
    assert (ROOT / "Cargo.lock").exists(), "--locked"


def test_the_rust_of_the_image_is_not_older_than_the_minimum() -> None:
    [image] = [words[1] for words in instructions() if words[0] == "FROM" and "rust" in words[1]]
    relay = tomllib.loads((ROOT / "relay" / "Cargo.toml").read_text())
    numbers = [
        tuple(map(int, version.split(".")[:2]))
        for version in (image.removeprefix("rust:").split("-")[0], relay["package"]["rust-version"])
    ]
    assert numbers[0] >= numbers[1]


def test_foreign_images_are_named_by_digest() -> None:
    """Images of this repository have a digest only once they are built."""
    images = [words[1] for words in instructions() if words[0] == "FROM"]
    for manifest in MANIFESTS:
        images += re.findall(r"^ +(?:- )?image: (\S+)", manifest.read_text(), flags=re.M)
    assert len(images) == 5
    foreign = [image for image in images if image.split(":")[0] != "varta-watch"]
    for image in foreign:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_the_image_carries_the_licences() -> None:
    [copied] = [words for words in instructions() if words[:2] == ["COPY", "LICENSE-APACHE"]]
    assert copied[1:-1] == ["LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY-NOTICES"]
    assert copied[-1] == "/usr/share/doc/varta-watch/"


def test_the_image_starts_the_daemon_with_valid_flags() -> None:
    flags = " ".join(next(words[1:] for words in instructions() if words[0] == "CMD"))
    flags = flags.strip("[]").split(", ")
    checked = run(WATCH, *flags, "--check-config")
    assert checked.returncode == 0, checked.stderr


def test_kubernetes_accepts_the_manifests() -> None:
    checked = run(BIN / "kubernetes-validate", "--strict", *MANIFESTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_daemon_accepts_the_config_map(tmp_path: Path) -> None:
    text = resource("ConfigMap")["data"]["varta-watch.toml"]
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("0123456789abcdef" * 4)
    config = tmp_path / "varta-watch.toml"
    config.write_text(text.replace("/etc/varta-secret/token", str(token)))
    checked = run(WATCH, "--config", config, "--check-config")
    assert checked.returncode == 0, checked.stderr
    port = int(tomllib.loads(text)["prom-addr"].split(":")[1])
    assert daemon_container()["ports"] == [{"name": "metrics", "containerPort": port}]


def test_the_files_in_the_config_map_are_mounted() -> None:
    settings = tomllib.loads(resource("ConfigMap")["data"]["varta-watch.toml"])
    mounted = {Path(mount["mountPath"]) for mount in daemon_container()["volumeMounts"]}
    named = [settings["socket"], settings["prom-token-file"], daemon_container()["args"][1]]
    for path in named:
        assert Path(path).parent in mounted


def test_pods_mount_the_folder_of_the_daemons_socket() -> None:
    pod = yaml.safe_load(MANIFESTS[1].read_text())["spec"]
    [agent] = pod["containers"]
    settings = tomllib.loads(resource("ConfigMap")["data"]["varta-watch.toml"])
    [endpoint] = [it["value"] for it in agent["env"] if it["name"] == "VARTA_ENDPOINT"]
    assert endpoint == settings["socket"]
    daemons = resource("DaemonSet")["spec"]["template"]["spec"]["volumes"]
    [agents] = pod["volumes"]
    assert agents["hostPath"]["path"] in {
        it["hostPath"]["path"] for it in daemons if "hostPath" in it
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may create a pid namespace")
def test_the_pod_of_the_example_is_heard(processes: Processes, tmp_path: Path) -> None:
    """It runs what the manifest says as pid 1 of a namespace, with the package that the tests have installed."""
    [agent] = yaml.safe_load(MANIFESTS[1].read_text())["spec"]["containers"]
    daemon = Daemon(processes, tmp_path, "--allow-cross-namespace-agents")
    env = {it["name"]: it["value"] for it in agent["env"]} | {"VARTA_ENDPOINT": str(daemon.socket)}
    processes.start(
        tool("unshare"), "--fork", "--pid", "--mount-proc", "--kill-child",
        *agent["command"], *agent["args"],
        env=os.environ | env | {"PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip
    wait_until("the agent", lambda: 'varta_agent_info{program="python"' in daemon.metrics())


def test_prometheus_accepts_the_configuration_for_kubernetes(tmp_path: Path) -> None:
    """Debian's Prometheus is built without service discovery, so the test replaces it by a fixed
    target."""
    config = yaml.safe_load((DEPLOY / "kubernetes" / "prometheus.yml").read_text())
    [scrape] = config["scrape_configs"]
    [discovery] = scrape.pop("kubernetes_sd_configs")
    namespace = resource("DaemonSet")["metadata"]["namespace"]
    assert discovery == {"role": "pod", "namespaces": {"names": [namespace]}}
    scrape["static_configs"] = [{"targets": ["localhost:1"]}]
    token = tmp_path / "token"
    token.write_text("x")
    scrape["authorization"]["credentials_file"] = str(token)
    folder = DEPLOY / "kubernetes"
    config["rule_files"] = [str((folder / name).resolve()) for name in config["rule_files"]]
    written = tmp_path / "prometheus.yml"
    written.write_text(yaml.safe_dump(config))
    checked = run(tool("promtool"), "check", "config", written)
    assert checked.returncode == 0, checked.stderr
