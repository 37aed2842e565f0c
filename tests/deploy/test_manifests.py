"""What is deployed is what Kubernetes, Seldon Core 2, compose and docker understand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import convstore
from convstore.database.url import database_settings
from memory_api.model_repository import read_repository
from memory_api.model_settings import memory_from_settings
from testing.processes import ROOT
from tests.deploy.manifests import JUDGES, documents, name, seldon, validate
from tests.peak import BASE, PEAK_OF_A_REPLY, PEAK_OF_CONTROL_CHARACTERS

BIN = Path(sys.executable).parent
EXAMPLES = Path(__file__).parent / "seldon_examples"
SETTINGS = sorted(
    path
    for folder in ("memory_api", "examples", "deploy")
    for path in (ROOT / folder).rglob("model-settings.json")
)
VERSION = convstore.__version__
# Where a typo is put, in which document; each of them must be found.
TYPOS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "storageUri": ("Model psql-memory", lambda it: it["spec"]),
    "requirements": ("Model memory-1", lambda it: it["spec"]),
    "inputs": ("Pipeline chatbot", lambda it: it["spec"]["steps"][1]),
    "output": ("Pipeline chatbot", lambda it: it["spec"]),
    "capabilities": ("Server mlserver-memory", lambda it: it["spec"]),
    "image": ("Server mlserver-memory", lambda it: it["spec"]["podSpec"]["containers"][0]),
    "secretKeyRef": (
        "Server mlserver-memory",
        lambda it: it["spec"]["podSpec"]["containers"][0]["env"][1]["valueFrom"],
    ),
    "stringData": ("Secret convstore", lambda it: it),
    "containerPort": (
        "Deployment postgres",
        lambda it: it["spec"]["template"]["spec"]["containers"][0]["ports"][0],
    ),
}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# --- Settings of memories ----------------------------------------------------------------


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_model_settings_file_makes_the_memory_that_its_folder_is_named_after(path):
    memory = memory_from_settings(json.loads(path.read_text()), str(path))
    assert memory.name == path.parent.name
    assert memory.window_size == 50


def test_the_chatbots_memories_store_a_request_once_and_hold_no_password():
    for path in (ROOT / "deploy").rglob("model-settings.json"):
        memory = memory_from_settings(json.loads(path.read_text()), str(path))
        assert memory.once_per_request_id == ("seldon" in path.parts)
        assert "url" not in path.read_text()


# --- Seldon Core 2 -----------------------------------------------------------------------


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("document", seldon(), ids=name)
def test_each_manifest_for_seldon_is_valid(document, judge):
    validate(document, JUDGES[judge])


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("field", TYPOS)
def test_a_typo_in_a_manifest_for_seldon_is_found(field, judge):
    where, part = TYPOS[field]
    (found,) = [document for document in seldon() if name(document) == where]
    document = deepcopy(found)
    part(document)[f"{field}s"] = part(document).pop(field)
    with pytest.raises(jsonschema.ValidationError):
        validate(document, JUDGES[judge])


@pytest.mark.parametrize("file", ["psql-deployment", "psql-memory"])
def test_the_documents_manifests_are_as_printed(file):
    """But for the first line, which says what the file is for, and the lost indentation."""
    ours = (ROOT / f"deploy/seldon/{file}.yaml").read_text().splitlines()[1:]
    assert [line.strip() for line in ours] == (EXAMPLES / f"{file}.txt").read_text().splitlines()


def test_each_model_finds_a_server_and_each_memory_of_the_pipeline_a_model():
    found = {name(document): document for document in seldon()}
    models = {it["metadata"]["name"] for it in found.values() if it["kind"] == "Model"}
    capabilities = set(found["Server mlserver-memory"]["spec"]["capabilities"])
    for model in models:
        assert set(found[f"Model {model}"]["spec"]["requirements"]) <= capabilities
    steps = [step["name"] for step in found["Pipeline chatbot"]["spec"]["steps"]]
    assert [step for step in steps if step not in models] == ["chatgpt"]  # everyone's own
    for model in set(steps) & models:
        uri = found[f"Model {model}"]["spec"]["storageUri"]
        assert (ROOT / "deploy/seldon/models" / uri.rpartition("/models/")[2]).is_dir()


def test_each_input_of_the_pipeline_is_an_output_of_an_earlier_step():
    (pipeline,) = [it for it in seldon() if it["kind"] == "Pipeline"]
    message = {"role", "content", "type"}
    tensors = {
        "chatbot.inputs": {"memory_id", *message},
        "memory-1.outputs": {"memory_id", "history"},
        "chatgpt.outputs": message,
    }
    known = ["chatbot.inputs"]
    for step in pipeline["spec"]["steps"]:
        for given in step["inputs"]:
            source, _, tensor = given.rpartition(".")
            assert source in known
            assert tensor in tensors[source]
        known.append(f"{step['name']}.outputs")
    *_, last = pipeline["spec"]["steps"]
    assert {given.rpartition(".")[2] for given in last["inputs"]} == {"memory_id", *message}


def test_the_server_and_its_secret_name_the_database_of_the_document():
    found = {name(document): document for document in seldon()}
    (container,) = found["Server mlserver-memory"]["spec"]["podSpec"]["containers"]
    assert container["image"] == f"convstore:{VERSION}"
    (reference,) = [it["valueFrom"]["secretKeyRef"] for it in container["env"] if "valueFrom" in it]
    url = found[f"Secret {reference['name']}"]["stringData"][reference["key"]]
    entry = database_settings(url)
    postgres = found["Deployment postgres"]["spec"]["template"]["spec"]["containers"][0]
    assert {it["name"]: it["value"] for it in postgres["env"]} == {
        "POSTGRES_USER": entry["USER"],
        "POSTGRES_PASSWORD": entry["PASSWORD"],
        "POSTGRES_DB": entry["NAME"],
    }
    (port,) = found["Service postgres"]["spec"]["ports"]
    assert (entry["HOST"], entry["PORT"]) == ("postgres", str(port["port"]))


# --- Kubernetes --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What `kubectl kustomize` makes of deploy/kubernetes, by kind."""
    folder = tmp_path_factory.mktemp("kustomize") / "kubernetes"
    shutil.copytree(ROOT / "deploy/kubernetes", folder, ignore=shutil.ignore_patterns("secret.env"))
    assert "secret.env: no such file" in run("kubectl", "kustomize", str(folder)).stderr
    shutil.copy(folder / "secret.example.env", folder / "secret.env")
    made = run("kubectl", "kustomize", str(folder))
    assert made.returncode == 0, made.stderr
    return {it["kind"]: it for it in yaml.safe_load_all(made.stdout)}


KINDS = (
    *("ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Job", "PodDisruptionBudget"),
    *("Secret", "Service", "ServiceAccount"),
)


def test_the_kustomization_has_one_of_each_kind(kubernetes):
    assert sorted(kubernetes) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_each_manifest_for_kubernetes_is_valid(kubernetes, kind):
    validate(kubernetes[kind], {})


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_field_in_a_manifest_for_kubernetes_is_found(kubernetes, kind):
    with pytest.raises(jsonschema.ValidationError):
        validate({**kubernetes[kind], "specs": {}}, {})


def test_a_wrong_field_deep_inside_a_manifest_for_kubernetes_is_found(kubernetes):
    document = deepcopy(kubernetes["Deployment"])
    document["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpget"] = {}
    with pytest.raises(jsonschema.ValidationError):
        validate(document, {})


def test_the_names_in_the_manifests_lead_to_each_other(kubernetes):
    labels = kubernetes["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kubernetes["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes["Service"]["spec"]["selector"] == labels
    assert kubernetes["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes["Job"]["spec"]["template"]["metadata"]["labels"] != labels
    deployment = kubernetes["Deployment"]["metadata"]["name"]
    assert kubernetes["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment
    for pod in pods(kubernetes):
        assert pod["serviceAccountName"] == kubernetes["ServiceAccount"]["metadata"]["name"]
        (models,) = [it["configMap"] for it in pod["volumes"] if it["name"] == "models"]
        assert models["name"] == kubernetes["ConfigMap"]["metadata"]["name"]
        assert {it["key"] for it in models["items"]} == set(kubernetes["ConfigMap"]["data"])
    for container in containers(kubernetes):
        (source,) = container["envFrom"]
        assert source["secretRef"]["name"] == kubernetes["Secret"]["metadata"]["name"]
    assert set(kubernetes["Secret"]["data"]) == {"DATABASE_URL", "SECRET_KEY"}


def test_every_container_is_confined_and_of_this_version(kubernetes):
    for pod in pods(kubernetes):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
    for container in containers(kubernetes):
        assert container["image"] == f"convstore:{VERSION}"
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_config_map_as_kubernetes_mounts_it_is_one_memory(kubernetes, tmp_path):
    """By way of two symbolic links, so that a change of it is there at once."""
    ((key, text),) = kubernetes["ConfigMap"]["data"].items()
    (volume, *_) = kubernetes["Deployment"]["spec"]["template"]["spec"]["volumes"]
    (item,) = volume["configMap"]["items"]
    assert item["key"] == key
    file = tmp_path / "..2026_01_01" / item["path"]
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (tmp_path / "..data").symlink_to("..2026_01_01")
    top = Path(item["path"]).parts[0]
    (tmp_path / top).symlink_to(f"..data/{top}")
    assert [memory.name for memory in read_repository(tmp_path).entries] == ["memory"]


def pods(kubernetes: dict[str, Any]) -> list[dict[str, Any]]:
    return [kubernetes[kind]["spec"]["template"]["spec"] for kind in ("Deployment", "Job")]


def containers(kubernetes: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        container
        for pod in pods(kubernetes)
        for container in [*pod["containers"], *pod.get("initContainers", ())]
    ]


# --- Compose and the Dockerfile ----------------------------------------------------------


def compose(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f"docker-compose --project-directory {ROOT} --file {file} --profile * config --quiet"
    return run(*command.split(), **environment)


def test_the_compose_file_is_valid_and_asks_for_its_password(tmp_path):
    file = ROOT / "compose.yaml"
    assert compose(file, POSTGRES_PASSWORD="secret").returncode == 0  # noqa: S106
    nobody_elses = tmp_path / "compose.yaml"  # where there is no .env of somebody's
    nobody_elses.write_text(file.read_text())
    refused = run("docker-compose", "--file", str(nobody_elses), "config", POSTGRES_PASSWORD="")
    assert "POSTGRES_PASSWORD is missing a value" in refused.stderr
    nobody_elses.write_text(file.read_text().replace("read_only:", "readonly:", 1))
    refused = compose(nobody_elses, POSTGRES_PASSWORD="secret")  # noqa: S106
    assert "readonly" in refused.stderr


def test_every_container_of_the_compose_file_is_confined():
    (file,) = documents(ROOT / "compose.yaml")
    for service in file["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_hadolint_has_nothing_to_say_of_the_dockerfile(tmp_path):
    done = run("hadolint", str(ROOT / "Dockerfile"))
    assert (done.returncode, done.stdout) == (0, "")
    worse = tmp_path / "Dockerfile"
    worse.write_text((ROOT / "Dockerfile").read_text().replace(":3.12-slim-bookworm", ""))
    assert "DL3006" in run("hadolint", str(worse)).stdout


def test_what_the_dockerfile_copies_is_let_through_and_nothing_else():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    assert all((ROOT / path).exists() for path in let_through)
    assert {"requirements.txt", "requirements-mlserver.txt", "pyproject.toml"} <= let_through


# --- What the docs say of them -----------------------------------------------------------


def test_the_files_that_the_howto_names_are_there():
    text = (ROOT / "docs/howto/seldon.md").read_text()
    linked = re.findall(r"\]\(\.\./\.\./([^)#]+)", text)
    applied = re.findall(r"kubectl apply -n seldon -f (\S+)", text)
    named = re.findall(r"`((?:deploy|examples)/[\w./-]+)`", text)
    in_seldon = [f"deploy/seldon/{file}" for file in re.findall(r"`(\w+\.yaml)`", text)]
    elsewhere = {"deploy/seldon/compose.yaml", "deploy/seldon/kustomization.yaml"}
    for path in {*linked, *applied, *named, *in_seldon} - elsewhere:
        assert (ROOT / path).exists()
    assert set(applied) == {
        str(path.relative_to(ROOT)) for path in (ROOT / "deploy/seldon").glob("*.yaml")
    }
    assert f"convstore:{VERSION}" in text


def test_a_pod_has_the_memory_that_the_settings_may_take(settings):
    (pod,) = documents(ROOT / "deploy/kubernetes/deployment.yaml")
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    needed = (
        BASE
        + settings.MAX_BUFFERED_BYTES
        + PEAK_OF_CONTROL_CHARACTERS * settings.MAX_BYTES_IN_WORK
        + settings.THREADS * PEAK_OF_A_REPLY * settings.MAX_REPLY_BYTES
    )
    assert needed <= int(limit.removesuffix("Gi")) * 1024**3 < 2 * needed
