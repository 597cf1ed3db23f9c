"""The Helm chart: what it renders is valid, says what the values say, and is what the other files say."""

import base64
import json
import re
import tarfile
import tomllib
from pathlib import Path

import jsonschema
import metrics
import pytest
import yaml
from conftest import DEPLOY, RELAY, ROOT, TOKEN, WATCH, run
from helm import CHART, built, check, helm, of_kind, rendered, template
from metrics import FLEET, HOST

EVERYTHING = """
image: {registry: registry.example:5000, tag: 0.3.1, digest: "sha256:%s", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
namespaceOverride: monitoring
commonLabels: {team: sre}
config: |
  uids = "any"
  threshold-ms = 3000
  export-file = "/var/lib/varta/events.tsv"
  recovery-exec = "/usr/bin/varta-watch signal KILL"
  # Quotes and braces: "{{ .Values.token }}" 'x' \\ %% ${HOME}
  [[rule]]
  match = { program = "web*" }
  recovery-exec = "/bin/restart {unit} 'a b'"
  [[expect]]
  program = "indexer"
state: {hostPath: /srv/varta}
token: {key: scrape, value: "%s"}
queue: {length: 8192}
relay:
  enabled: true
  config: |
    server = ["tls://nats.example:4222"]
    user = "varta"
    password-file = "/etc/varta-relay-secret/password"
  existingSecret: nats
extraArgs: [--log-level, debug]
env: {TZ: UTC, NUMBER: 1}
service: {type: NodePort, clusterIP: "", port: 9999, annotations: {a: b}, labels: {c: d}}
prometheus:
  monitor:
    {enabled: true, namespace: prom, additionalLabels: {release: kube}, interval: 15s, scrapeTimeout: 10s, podTargetLabels: [team],
     relabelings: [{sourceLabels: [__meta_kubernetes_namespace], targetLabel: namespace}],
     metricRelabelings: [{sourceLabels: [__name__], regex: varta_agent_payload, action: drop}]}
  podMonitor: {enabled: true, interval: 1m30s}
prometheusRule: {enabled: true, additionalLabels: {release: kube}, additionalRuleLabels: {team: sre}, disabled: [VartaAgentFlaps]}
dashboard: {enabled: true, namespace: grafana, annotations: {grafana_folder: Varta}}
serviceAccount: {annotations: {a: b}}
rbac: {create: true}
networkPolicy: {enabled: true, from: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
hostNetwork: true
dnsPolicy: ClusterFirstWithHostNet
updateStrategy: {type: OnDelete, rollingUpdate: null}
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: x, operator: Exists}]}]}}}
daemonsetAnnotations: {a: b}
podAnnotations: {c: "1"}
podLabels: {d: e}
securityContext: {sysctls: [{name: net.unix.max_dgram_qlen, value: "4096"}]}
extraVolumes: [{name: more, emptyDir: {}}]
extraVolumeMounts: [{name: more, mountPath: /more}]
extraInitContainers: [{name: first, image: "busybox:1.36.1"}]
sidecars: [{name: beside, image: "busybox:1.36.1"}]
extraManifests:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: "{{ .Release.Name }}-more"}, data: {a: b}}
  - "{apiVersion: v1, kind: ConfigMap, metadata: {name: text}, data: {a: b}}"
""" % ("a" * 64, TOKEN)
NOTHING = """
queue: {length: 0}
notify: {enabled: false}
state: {enabled: false}
service: {enabled: false}
serviceAccount: {create: false}
token: {existingSecret: mine}
restartOnConfigChange: false
priorityClassName: ""
resources: null
startupProbe: null
readinessProbe: null
livenessProbe: null
nodeSelector: null
tolerations: []
hostPID: false
"""


def daemon(manifests: list[dict]) -> tuple[dict, dict]:
    """The pod of the DaemonSet and the daemon's container."""
    pod = of_kind(manifests, "DaemonSet")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def config_of(manifests: list[dict], name: str) -> str:
    return of_kind(manifests, "ConfigMap", name)["data"]["varta-watch.toml"]


def test_the_chart_has_no_lint() -> None:
    built()
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_plain_manifests_are_those_of_the_chart(tmp_path: Path) -> None:
    built()
    plain = DEPLOY / "kubernetes"
    done = run(plain / "render", tmp_path / "varta-watch.yaml")
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "varta-watch.yaml").read_text()
    assert (plain / "varta-watch.yaml").read_text() == expected, "run deploy/kubernetes/render"


@pytest.mark.parametrize(
    "values", ["", NOTHING, EVERYTHING], ids=["defaults", "nothing", "everything"]
)
def test_the_daemon_accepts_the_configuration_that_the_chart_writes(
    tmp_path: Path, values: str
) -> None:
    manifests = rendered(tmp_path, values)
    pod, container = daemon(manifests)
    name = "varta-varta-watch"
    text = config_of(manifests, name)
    settings = tomllib.loads(text)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    paths = [settings["socket"], settings["prom-token-file"], container["args"][1]]
    assert {str(Path(path).parent) for path in paths} <= mounts
    assert {mount["name"] for mount in container["volumeMounts"]} <= {
        it["name"] for it in pod["volumes"]
    }
    [port] = container["ports"]
    assert port["containerPort"] == int(settings["prom-addr"].split(":")[1])
    assert settings["threshold-ms"] >= 3000
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    config = tmp_path / "varta-watch.toml"
    config.write_text(text.replace("/etc/varta-secret/token", str(token)))
    checked = run(WATCH, "--config", config, *container["args"][2:], "--check-config")
    assert checked.returncode == 0, checked.stderr


def test_varta_relay_accepts_the_configuration_that_the_chart_writes(tmp_path: Path) -> None:
    manifests = rendered(tmp_path, EVERYTHING)
    pod, watch = daemon(manifests)
    [relay] = [it for it in pod["containers"] if it["name"] == "varta-relay"]
    data = of_kind(manifests, "ConfigMap", "varta-varta-watch")["data"]
    text = data["varta-relay.toml"]
    settings = tomllib.loads(text)
    mounts = {mount["mountPath"] for mount in relay["volumeMounts"]}
    files = [settings[key] for key in ("cursor-file", "agents-token-file", "password-file")]
    assert {str(Path(path).parent) for path in [*files, relay["args"][1]]} <= mounts
    assert settings["history-dir"] in mounts & {it["mountPath"] for it in watch["volumeMounts"]}
    address = tomllib.loads(data["varta-watch.toml"])["prom-addr"]
    assert settings["agents-url"].split(":")[-1] == address.split(":")[-1]
    assert relay["ports"][0]["containerPort"] == int(settings["metrics-addr"].split(":")[1])
    # Both use the same name for the host.
    assert {"--host=$(NODE_NAME)"} == {it for it in relay["args"] + watch["args"] if "host" in it}
    for path in files[1:]:
        file = tmp_path / Path(path).name
        file.touch(mode=0o600)
        file.write_text(TOKEN)
        text = text.replace(path, str(file))
    text = text.replace(files[0], str(tmp_path / "cursor.json"))
    config = tmp_path / "varta-relay.toml"
    config.write_text(text.replace(settings["history-dir"], str(tmp_path)))
    checked = run(RELAY, "--config", config, *relay["args"][2:], "--check-config")
    assert checked.returncode == 0, checked.stderr


def test_each_value_reaches_the_manifests(tmp_path: Path) -> None:
    manifests = rendered(tmp_path, EVERYTHING)
    values = yaml.safe_load(EVERYTHING)
    pod, container = daemon(manifests)
    assert container["image"] == f"registry.example:5000/varta-watch:0.3.1@sha256:{'a' * 64}"
    assert [it["name"] for it in pod["containers"]] == ["varta-watch", "varta-relay", "beside"]
    assert [it["name"] for it in pod["initContainers"]] == ["queue", "first"]
    assert pod["initContainers"][0]["command"][-1] == "net.unix.max_dgram_qlen=8192"
    assert container["args"][-2:] == values["extraArgs"]
    assert container["env"][1:] == [
        {"name": "NUMBER", "value": "1"},
        {"name": "TZ", "value": "UTC"},
    ]
    assert {it["mountPath"] for it in container["volumeMounts"]} >= {"/more", "/var/lib/varta"}
    assert pod["securityContext"] == values["securityContext"]
    assert pod["affinity"] == values["affinity"]
    # A file that ends with tables keeps them, and what the chart sets precedes them.
    settings = tomllib.loads(config_of(manifests, "varta-varta-watch"))
    assert settings["rule"][0]["recovery-exec"] == "/bin/restart {unit} 'a b'"
    assert base64.b64decode(of_kind(manifests, "Secret")["data"]["scrape"]).decode() == TOKEN
    [volume] = [it for it in pod["volumes"] if it["name"] == "secret"]
    assert volume["secret"]["items"] == [{"key": "scrape", "path": "token"}]
    assert of_kind(manifests, "Service")["spec"]["ports"][0]["port"] == 9999
    namespaces = {it["kind"]: it["metadata"].get("namespace") for it in manifests}
    assert namespaces["ServiceMonitor"] == "prom"
    assert namespaces["DaemonSet"] == namespaces["PodMonitor"] == "monitoring"
    for kind, endpoints in (("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")):
        spec = of_kind(manifests, kind)["spec"]
        assert spec["namespaceSelector"] == {"matchNames": ["monitoring"]}
        labels = of_kind(manifests, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        endpoint, relay = spec[endpoints]
        assert relay["relabelings"][0]["replacement"] == "varta-relay"
        # The alerts depend on the job and the instance.
        assert endpoint["relabelings"][:2] == [
            {"targetLabel": "job", "replacement": "varta-watch"},
            {"sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "instance"},
        ]
        assert endpoint["authorization"]["credentials"] == {
            "name": "varta-varta-watch",
            "key": "scrape",
        }


def rules(manifests: list[dict]) -> list[dict]:
    groups = of_kind(manifests, "PrometheusRule")["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_rules_and_dashboards_are_those_of_deploy(tmp_path: Path) -> None:
    on = {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}}
    fleet = {"prometheus": {"fleet": True, "podMonitor": {"enabled": True}}}
    host = HOST.recorded() + HOST.alerts()
    for values, expected, shown in [
        (on, host, {"varta-watch.json": "dashboard.json"}),
        (on | fleet, host + FLEET.recorded() + FLEET.alerts(), {"varta-fleet.json": "fleet.json"}),
    ]:
        manifests = rendered(tmp_path, values)
        assert rules(manifests) == expected
        board = of_kind(manifests, "ConfigMap", "varta-varta-watch-dashboard")
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        files = {name: (DEPLOY / "grafana" / file).read_text() for name, file in shown.items()}
        assert board["data"] == files
    [endpoint] = of_kind(manifests, "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["params"] == {"collect[]": ["daemon", "programs"]}

    changed = rules(rendered(tmp_path, EVERYTHING))
    relay = metrics.rules("relay.yml")
    left = [it for it in host + relay if it.get("alert") != "VartaAgentFlaps"]
    assert changed == [
        it | ({"labels": it["labels"] | {"team": "sre"}} if "alert" in it else {}) for it in left
    ]


def test_a_created_token_is_random_and_has_64_hex_digits(tmp_path: Path) -> None:
    tokens = {
        base64.b64decode(of_kind(rendered(tmp_path, ""), "Secret")["data"]["token"]).decode()
        for _ in range(2)
    }
    assert len(tokens) == 2
    assert all(re.fullmatch("[0-9a-f]{64}", token) for token in tokens)


def test_long_names_and_odd_texts_stay_valid(tmp_path: Path) -> None:
    """`rendered` checks each manifest."""
    odd = '  a = "\\u0000"\n\t# \u202e "quotes" \'here\' {{ fail "x" }} \\ # : - \r\n\n'
    values = {
        "nameOverride": "n" * 300,
        "config": odd,
        "podAnnotations": {"a": '"\n: {{ x }}'},
        "env": {"A": '"\n$(B)'},
    }
    manifests = rendered(tmp_path, values, name="r" * 53, namespace="s" * 63)
    [name] = {it["metadata"]["name"] for it in manifests}
    assert len(name) == 63
    assert config_of(manifests, name).endswith(odd)
    pod = of_kind(manifests, "DaemonSet")["spec"]["template"]
    assert pod["metadata"]["annotations"]["a"] == '"\n: {{ x }}'
    assert pod["spec"]["containers"][0]["env"][1:] == [{"name": "A", "value": '"\n$(B)'}]
    full = rendered(tmp_path, {"fullnameOverride": "f" * 62 + "-" + "f" * 40})
    assert {it["metadata"]["name"] for it in full} == {"f" * 62}


REFUSED = {
    "config: |\n  threshold-ms = 1\n  socket = '/x'": "config must not contain `socket`",
    "config: |\n  'prom-addr'= '[::]:1'": "config must not contain `'prom-addr'`",
    "state: {enabled: false}\nrelay: {enabled: true}": "relay.enabled needs state.enabled",
    "relay: {enabled: true, config: 'host=\"x\"'}": "relay.config must not contain `host`",
    "config: 1": "/config",
    "configs: x": "configs",
    "socketDir: run": "/socketDir",
    "socketDir: '/run/\"x'": "/socketDir",
    "token: {value: secret}": "/token/value",
    "image: {digest: 'sha256:12'}": "/image/digest",
    "service: {port: 70000}": "/service/port",
    "queue: {length: -1}": "/queue/length",
    "nodeSelector: {a: 1}": "/nodeSelector/a",
    "tolerations: {operator: Exists}": "/tolerations",
    "nameOverride: A_B": "/nameOverride",
    "prometheus: {podMonitor: {interval: often}}": "/prometheus/podMonitor/interval",
    "prometheus: {podmonitor: {enabled: true}}": "podmonitor",
    "updateStrategy: null\nextraManifests: [1]": "/extraManifests/0",
}


def test_wrong_values_are_refused_by_name(tmp_path: Path) -> None:
    for values, named in REFUSED.items():
        done = template(tmp_path, values)
        assert done.returncode != 0, values
        plain = done.stderr.replace(".", "/")
        assert named in done.stderr or named in plain, f"{values}: {done.stderr}"


def keys(of: object, at: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The paths of all values that the chart itself reads."""
    if not isinstance(of, dict) or not of or at[-1:] in {("resources",), ("labels",)}:
        return {at}
    return {path for key, value in of.items() for path in keys(value, (*at, key))} | {at}


def test_values_and_schema_have_the_same_names() -> None:
    """The other direction is checked by Helm, because the schema is closed."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    known = keys(values)

    def walk(part: dict, at: tuple[str, ...]) -> None:
        for key, below in part.get("properties", {}).items():
            assert (*at, key) in known, f"values.yaml has no {'.'.join((*at, key))}"
            walk(below, (*at, key))

    schema["properties"].pop("global")
    walk(schema, ())
    # A line of the readme is about a value that exists.
    for name in re.findall(r"^\| `([\w.]+)`", (CHART / "README.md").read_text(), flags=re.M):
        assert tuple(name.split(".")) in known, name


def test_a_package_has_the_files_and_not_the_links(tmp_path: Path) -> None:
    built()
    done = helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    [archive] = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as packed:
        for path in ("prometheus/alerts.yml", "prometheus/fleet.yml", "grafana/dashboard.json"):
            member = packed.getmember(f"varta-watch/files/{Path(path).name}")
            assert member.isfile()
            assert packed.extractfile(member).read() == (DEPLOY / path).read_bytes()


def test_the_notes_say_how_pods_reach_the_daemon_and_what_is_missing() -> None:
    built()
    flags = ("--namespace", "varta", "--dry-run=client", "--set")
    values = "hostPID=false,prometheus.podMonitor.enabled=true,prometheus.podMonitor.namespace=prom"
    done = helm("install", "varta", CHART, *flags, values)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    for words in [
        "VARTA_ENDPOINT=/run/varta/varta.sock",
        "exec -it daemonset/varta-varta-watch -- ",
        "Copy that Secret to namespace prom",
        "WARNING: without hostPID",
        '{{index .data "token" | base64decode}}',
    ]:
        assert words in notes


def test_the_versions_are_those_of_the_workspace() -> None:
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def test_the_commands_in_operating_render_what_they_promise(tmp_path: Path) -> None:
    built()
    text = (ROOT / "docs" / "operating.md").read_text()
    section = text.split("## In containers and Kubernetes")[1].split("\n## ")[0]
    commands = re.findall(r"^    (helm (?:.*\\\n)*.*)$", section, flags=re.M)
    assert len(commands) >= 2
    for command in commands:
        assert "upgrade --install" in command
        script = command.replace("upgrade --install", "template").replace(
            "helm ", f"{ROOT}/tools/helm ", 1
        )
        done = run("bash", "-e", "-c", script.replace("--create-namespace", ""), cwd=ROOT)
        assert done.returncode == 0, done.stderr
        manifests = [it for it in yaml.safe_load_all(done.stdout) if it]
        for manifest in manifests:
            check(manifest)
        kinds = {it["kind"] for it in manifests}
        assert "DaemonSet" in kinds
        assert ("PodMonitor" in kinds) == ("podMonitor" in command)
