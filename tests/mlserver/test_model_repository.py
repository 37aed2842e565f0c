"""MLServer over a folder with files that are wrong, or ask for what a memory does not do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from tritonclient.grpc import service_pb2 as pb

from testing.bodies import append_request, new_id, read_request
from testing.mlserver import MLServer
from testing.service import write_memory
from tests.doors import GrpcDoor, RestDoor

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.one_database]

REASON = "model bad: parameters.extra.config.window is not a field; the fields are "
BATCHED = {"max_batch_size": 8, "max_batch_time": 0.3, "cache_enabled": True}


def change(models: Path, name: str, **fields: Any) -> None:
    path = models / name / "model-settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    """MLServer with its cache on, and memories of which some have files that are wrong."""
    folder = tmp_path_factory.mktemp("mixed")
    models = folder / "source"
    write_memory(models, "good", {"database": "filesys", "timeout": "5"})
    write_memory(models, "batched", {"database": "filesys"})
    change(models, "batched", **BATCHED)
    write_memory(models, "bad", {"database": "filesys", "config": {"window": 5}})
    write_memory(models, "misspelt", {"database": "filesys"})
    change(models, "misspelt", nmae="other")
    unmade = {"path": str(folder / "unmade"), "auto_migrate": False}
    write_memory(models, "unmade", {"database": "filesys", "config": unmade})
    write_memory(models, "typed", {"database": "filesys"})
    change(models, "typed", max_batch_size="many")
    write_memory(models, "nobodys", {"database": "filesys"})
    change(models, "nobodys", implementation=None)
    (models / "broken").mkdir()
    (models / "broken" / "model-settings.json").write_text("{")
    with MLServer(folder, models, {"cache_enabled": True}) as mlserver:
        yield mlserver


def test_the_memories_beside_bad_files_serve(mixed):
    assert RestDoor(mixed).infer(append_request(new_id(), "Hi"), "good").texts == ["Hi"]
    assert GrpcDoor(mixed).infer(append_request(new_id(), "Hi"), "good").texts == ["Hi"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bad", REASON),
        ("misspelt", "model misspelt: nmae is not a field; the fields are name"),
        ("unmade", "the database's tables are not those of this version"),
    ],
)
def test_a_memory_whose_file_is_wrong_answers_503_with_the_reason(mixed, name, sentence):
    for door in (RestDoor(mixed), GrpcDoor(mixed)):
        reply = door.infer(read_request(new_id()), name)
        assert reply.status == 503
        assert reply.document["error"].startswith(sentence)
    assert sentence in mixed.log.read_text()


def test_there_are_no_metadata_of_a_memory_whose_file_is_wrong(mixed):
    reply = requests.get(f"{mixed.url}/v2/models/bad", timeout=30)
    assert reply.status_code == 503
    assert reply.json()["error"].startswith(REASON)


@pytest.mark.parametrize("name", ["broken", "typed", "nobodys"])
def test_mlserver_passes_over_a_file_that_it_cannot_read_and_says_so(mixed, name):
    assert RestDoor(mixed).infer(read_request(new_id()), name).status == 404
    path = mixed.models / name / "model-settings.json"
    assert f"Failed load model settings at {path}" in mixed.log.read_text()


def test_a_load_by_the_repositorys_api_is_refused_with_the_reason(mixed):
    reply = requests.post(f"{mixed.url}/v2/repository/models/bad/load", timeout=30)
    assert reply.status_code == 422
    assert reply.json()["error"].startswith(REASON)
    with pytest.raises(grpc.RpcError) as refusal:
        mixed.grpc.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="bad"), timeout=30)
    assert refusal.value.details().startswith(REASON)
    assert RestDoor(mixed).infer(read_request(new_id()), "good").status == 200


def test_requests_at_once_are_not_joined_where_the_file_asks_for_it(mixed):
    ids = [new_id() for _ in range(4)]

    def ask(memory_id: str) -> list[str]:
        return RestDoor(mixed).infer(append_request(memory_id, memory_id), "batched").texts

    with ThreadPoolExecutor(len(ids)) as threads:
        assert list(threads.map(ask, ids)) == [[memory_id] for memory_id in ids]


def test_no_reply_comes_from_a_cache_where_the_file_asks_for_it(mixed):
    request = append_request(new_id(), "again")
    replies = [RestDoor(mixed).infer(request, "batched").texts for _ in range(3)]
    assert replies == [["again"] * n for n in (1, 2, 3)]


def test_what_has_no_effect_is_in_the_log_once(mixed):
    log = mixed.log.read_text()
    for field in BATCHED:
        assert log.count(f"model batched: {field} has no effect: ") == 1
    assert log.count("model good: parameters.extra.timeout is unknown and ignored") == 1


def test_workers_for_other_models_change_nothing_for_memories(tmp_path):
    """Without a settings.json, MLServer has one."""
    models = tmp_path / "source"
    write_memory(models, "good", {"database": "filesys"})
    write_memory(models, "bad", {"database": "filesys", "config": {"window": 5}})
    change(models, "good", parallel_workers=2)
    with MLServer(tmp_path, models, {"parallel_workers": 1}) as mlserver:
        door = RestDoor(mlserver)
        good = door.infer(append_request(new_id(), "Hi"), "good")
        bad = door.infer(read_request(new_id()), "bad")
        log = mlserver.log.read_text()
    assert good.texts == ["Hi"]
    assert bad.status == 503
    assert bad.document["error"].startswith(REASON)
    assert log.count("model good: parallel_workers has no effect: ") == 1


def test_fields_for_the_whole_server_in_the_environment_have_no_effect(tmp_path):
    models = tmp_path / "source"
    write_memory(models, "plain", {"database": "filesys"})
    environment = {"MLSERVER_MODEL_MAX_BATCH_SIZE": "8", "MLSERVER_MODEL_MAX_BATCH_TIME": "0.3"}
    with MLServer(tmp_path, models, None, **environment) as mlserver:
        door = RestDoor(mlserver)
        with ThreadPoolExecutor(2) as threads:
            replies = list(
                threads.map(lambda n: door.infer(read_request(n), "plain"), ["one", "two"])
            )
        log = mlserver.log.read_text()
    assert [reply.status for reply in replies] == [200, 200]
    assert "model plain: max_batch_size has no effect" in log
