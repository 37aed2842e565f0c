"""MLServer with workers for other models: memories stay in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from memory_api.memory import DEFAULT_TENSOR_NAMES
from testing.bodies import append_request, document, new_id, read_request, tensor
from testing.mlserver import MLServer
from testing.service import write_memories
from tests.doors import MLSERVER_DOORS, Door, open_door

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.soak]


@pytest.fixture(scope="module")
def parallel(database_kind, new_database, tmp_path_factory) -> Iterator[MLServer]:
    folder = tmp_path_factory.mktemp("parallel")
    write_memories(folder / "memories")
    url = new_database(database_kind)
    settings = {"parallel_workers": 1}
    with MLServer(folder, folder / "memories", settings, DATABASE_URL=url) as mlserver:
        yield mlserver


@pytest.fixture(params=MLSERVER_DOORS)
def door(request, parallel) -> Door:
    return open_door(request.param, parallel, lambda: parallel)


def test_messages_are_stored_and_read(door):
    memory_id = new_id()

    door.infer(append_request(memory_id, "é 😀", role="system"))
    reply = door.infer(append_request(memory_id, "second"))

    assert reply.texts == ["é 😀", "second"]
    assert door.infer(read_request(memory_id)).history == reply.history


def test_a_bad_request_is_refused_with_our_sentence(door):
    memory_id = new_id()

    reply = door.infer(document(tensor("memory_id", [memory_id]), tensor("role", ["user"])))

    assert reply.status == 422
    assert reply.document == {"error": "tensor 'content' is missing, but 'role' was sent"}
    assert door.infer(read_request(memory_id)).texts == []


def test_a_memory_whose_database_is_down_is_unavailable(door):
    reply = door.infer(read_request("x"), "down")

    assert reply.status == 503
    assert reply.document["error"].endswith("the database cannot be reached")
    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


def test_what_is_delivered_twice_is_stored_once(door):
    memory_id, request_id = new_id(), {"x-request-id": new_id()}

    for _ in range(2):
        reply = door.infer(append_request(memory_id, "hello"), "once", **request_id)

    assert reply.texts == ["hello"]


def test_the_metadata_have_the_memorys_tensors(parallel):
    reply = requests.get(f"{parallel.url}/v2/models/versioned", timeout=30).json()

    assert reply["versions"] == ["3"]
    assert [each["name"] for each in reply["inputs"]] == ["memory_id", *DEFAULT_TENSOR_NAMES]
    assert [each["name"] for each in reply["outputs"]] == ["memory_id", "history"]


def stored_total(parallel: MLServer, **labels: str) -> float:
    text = requests.get(f"http://127.0.0.1:{parallel.metrics_port}/metrics", timeout=30).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "memory_messages_stored_total" and sample.labels == labels
    )


def test_the_metrics_of_a_memory_are_on_the_metrics_port(door, parallel):
    before = stored_total(parallel, model="versioned", version="3")

    door.infer(append_request(new_id(), "hello"), "versioned")

    assert stored_total(parallel, model="versioned", version="3") == before + 1


def test_a_signal_ends_all_of_its_processes_within_seconds(new_database, tmp_path: Path):
    write_memories(tmp_path / "memories")
    settings = {"parallel_workers": 1}
    url = new_database("sqlite")
    with MLServer(tmp_path, tmp_path / "memories", settings, DATABASE_URL=url) as mlserver:
        open_door("rest", mlserver, lambda: mlserver).infer(append_request("x", "hello"))
        processes = psutil.Process(mlserver.process.pid).children(recursive=True)
        assert [each for each in processes if "spawn_main" in " ".join(each.cmdline())]
    _, alive = psutil.wait_procs(processes, timeout=15)

    # What MLServer says meanwhile is its own: make's child is told twice, which it does not like.
    assert not alive
