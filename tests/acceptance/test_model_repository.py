"""The HTTP door over a folder in which not every file is a memory's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from testing.bodies import new_id, read_request
from testing.service import NOWHERE, Service, write_memory

pytestmark = [pytest.mark.slow, pytest.mark.one_database]

REASON = (
    "models/bad/model-settings.json: parameters.extra.config.window is not a field; the fields are "
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two memories, one that is down, one with a bad file, one of another runtime."""
    folder = tmp_path_factory.mktemp("mixed")
    models = folder / "models"
    write_memory(models / "group", "nested", {"database": "filesys"})
    write_memory(models, "good", {"database": "filesys", "timeout": "5"}, "2")
    write_memory(models, "down", {"database": "sql", "config": {"url": NOWHERE}})
    write_memory(models, "bad", {"database": "filesys", "config": {"window": 5}}, "1")
    (models / "broken").mkdir()
    (models / "broken" / "model-settings.json").write_text("{")
    (models / "other").mkdir()
    other = {"name": "other", "implementation": "mlserver_sklearn.SKLearnModel"}
    (models / "other" / "model-settings.json").write_text(json.dumps(other))
    with Service(folder, MODELS_DIR=str(models)) as service:
        yield service


def ask(service: Service, method: str, path: str, body: object = None) -> requests.Response:
    return requests.request(method, f"{service.url}{path}", json=body, timeout=30)


@pytest.mark.parametrize("name", ["good", "nested"])
def test_the_memories_beside_a_bad_file_serve(mixed, name):
    reply = ask(mixed, "POST", f"/v2/models/{name}/infer", read_request(new_id()))
    assert reply.status_code == 200
    assert ask(mixed, "GET", "/v2/health/ready").status_code == 200


@pytest.mark.parametrize("model", ["bad", "bad/versions/1"])
@pytest.mark.parametrize(("method", "route"), [("POST", "/infer"), ("GET", ""), ("GET", "/ready")])
def test_a_memory_with_a_bad_file_answers_503_with_the_reason(mixed, model, method, route):
    reply = ask(mixed, method, f"/v2/models/{model}{route}", read_request(new_id()))
    assert reply.status_code == 503
    assert reply.json()["error"].startswith(REASON)
    assert "Retry-After" not in reply.headers


def test_the_index_lists_each_memory_and_why_one_is_unavailable(mixed):
    index = {each["name"]: each for each in ask(mixed, "POST", "/v2/repository/index").json()}
    reasons = {name: each.pop("reason") for name, each in index.items()}
    assert index == {
        "bad": {"name": "bad", "version": "1", "state": "UNAVAILABLE"},
        "broken": {"name": "broken", "state": "UNAVAILABLE"},
        "down": {"name": "down", "state": "UNAVAILABLE"},
        "good": {"name": "good", "version": "2", "state": "READY"},
        "nested": {"name": "nested", "state": "READY"},
    }
    assert reasons["bad"].startswith(REASON)
    assert reasons["broken"].startswith("models/broken/model-settings.json cannot be read: ")
    assert reasons["down"] == "the database cannot be reached"
    assert reasons["good"] == reasons["nested"] == ""


def test_the_index_can_be_asked_for_those_that_are_ready(mixed):
    ready = ask(mixed, "POST", "/v2/repository/index", {"ready": True}).json()
    assert sorted(each["name"] for each in ready) == ["good", "nested"]
    everything = ask(mixed, "POST", "/v2/repository/index", {"ready": False}).json()
    assert len(everything) == 5
    wrong = ask(mixed, "POST", "/v2/repository/index", {"ready": "yes"})
    assert wrong.status_code == 400
    assert wrong.json()["error"] == "parameter 'ready' is a string; it must be true or false"


def test_nobody_can_load_or_unload_a_memory_and_no_extension_says_so(mixed):
    assert ask(mixed, "GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
    for action in ("load", "unload"):
        path = f"/v2/repository/models/good/{action}"
        assert ask(mixed, "POST", path, {}).status_code == 404


def test_the_log_of_the_start_names_each_bad_file_and_unknown_key_once(mixed):
    log = mixed.log.read_text()
    assert log.count(f"memory bad is unavailable: {REASON}") == 1
    assert log.count("memory broken is unavailable: models/broken/model-settings.json") == 1
    assert log.count("parameters.extra.timeout is unknown and ignored") == 1
    assert log.count("passed over: models/other/model-settings.json: its implementation") == 1


def test_without_a_memory_the_service_is_not_ready_and_says_why(tmp_path):
    other = {"name": "other", "implementation": "mlserver_sklearn.SKLearnModel"}
    (tmp_path / "models" / "other").mkdir(parents=True)
    (tmp_path / "models" / "other" / "model-settings.json").write_text(json.dumps(other))
    with Service(tmp_path, MODELS_DIR=str(tmp_path / "models")) as service:
        ready = ask(service, "GET", "/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False})
        assert ask(service, "POST", "/v2/repository/index").json() == []
        log = service.log.read_text()
    assert "ERROR memory_api.memories: passed over: models/other/model-settings.json: its" in log
    assert f"there is no memory in {tmp_path}/models, so the service is not ready" in log


def test_a_file_in_the_folder_itself_is_a_memory(tmp_path: Path):
    write_memory(tmp_path, "single", {"database": "filesys"})
    with Service(tmp_path, MODELS_DIR=str(tmp_path / "single")) as service:
        reply = ask(service, "POST", "/v2/models/single/infer", read_request(new_id()))
        assert reply.status_code == 200
