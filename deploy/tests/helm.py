"""Renders the chart, and checks what comes out against the schemas of Kubernetes and of the Prometheus operator."""

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from conftest import DEPLOY, ROOT, run

CHART = DEPLOY / "helm" / "varta-watch"
# The oldest Kubernetes in Chart.yaml, and the newest that the package knows.
VERSIONS = ("1.25", kubernetes_validate.latest_version())
# The operator's module has the custom resource definitions of its release.
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
NO_GO = 3
LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def helm(*arguments: object, **options: Any):
    """Runs Helm. Without Go it cannot be built and the test is skipped; in CI that is a failure."""
    done = run(ROOT / "tools" / "helm", *arguments, **{"timeout": 300} | options)
    if done.returncode == NO_GO:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(done.stderr.strip())
    return done


@functools.cache
def built() -> None:
    """Building takes minutes in a new clone, so it has a deadline of its own."""
    helm("version", timeout=1800)


def template(folder: Path, values: dict | str, name: str = "varta", namespace: str = "varta"):
    """`helm template` with these values."""
    built()
    written = folder / "values.yaml"
    written.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return helm("template", name, CHART, "--namespace", namespace, "--values", written)


def rendered(folder: Path, values: dict | str, **names: str) -> list[dict]:
    """The manifests for these values, each of them checked."""
    done = template(folder, values, **names)
    assert done.returncode == 0, done.stderr
    manifests = [it for it in yaml.safe_load_all(done.stdout) if it]
    for manifest in manifests:
        check(manifest)
    return manifests


def of_kind(manifests: list[dict], kind: str, name: str | None = None) -> dict:
    [found] = [
        it for it in manifests if it["kind"] == kind and name in (None, it["metadata"]["name"])
    ]
    return found


def check(manifest: dict) -> None:
    """Raises an error if a server would refuse this manifest."""
    metadata = manifest["metadata"]
    # A Service, of which this is the limit, has the same name as most others.
    longest = 63 + len("-dashboard")
    assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", metadata["name"]), metadata["name"]
    assert len(metadata["name"]) <= (63 if manifest["kind"] == "Service" else longest)
    for value in metadata.get("labels", {}).values():
        assert LABEL.fullmatch(value), value
    group = manifest["apiVersion"].split("/")[0]
    if group == "monitoring.coreos.com":
        jsonschema.validate(manifest, operator_schema(manifest["kind"]))
    else:
        for version in VERSIONS:
            kubernetes_validate.validate(manifest, version, strict=True)


@functools.cache
def operator_schema(kind: str) -> dict:
    # Outside of any Go module.
    found = json.loads(run("go", "mod", "download", "-json", OPERATOR, cwd="/", timeout=600).stdout)
    folder = Path(found["Dir"]) / "example" / "prometheus-operator-crd"
    definition = yaml.safe_load(
        (folder / f"monitoring.coreos.com_{kind.lower()}s.yaml").read_text()
    )
    [version] = definition["spec"]["versions"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    # The definition leaves this to the server.
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def closed(schema: Any) -> Any:
    """The same schema, but it refuses unknown members instead of dropping them."""
    if isinstance(schema, list):
        return [closed(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        schema.setdefault("additionalProperties", False)
    if isinstance(schema.get("pattern"), str):
        # In Go, flags may follow the start of a line.
        schema["pattern"] = schema["pattern"].replace("^(?i)", "(?i)^")
    if schema.pop("x-kubernetes-int-or-string", False):
        return {"type": ["integer", "string"]}
    return schema
