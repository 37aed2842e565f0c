"""What MLServer shows of the memories beside their answers: metadata, health, metrics, its log."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import grpc
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc import service_pb2 as pb

from testing.bodies import (
    append_request,
    append_several_request,
    document,
    new_id,
    read_request,
    tensor,
)
from testing.mlserver import MLServer
from testing.service import MEMORIES, TENSORS, TOOLS
from tests.doors import (
    MLSERVER_DOORS,
    GrpcDoor,
    RestDoor,
    at,
    infer_request,
    infer_response,
    stored_counts,
)
from tests.refusals import PRIVATE

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.one_database]

Samples = dict[tuple[str, str, str], float]


def get(mlserver: MLServer, path: str) -> requests.Response:
    return requests.get(mlserver.url + path, timeout=30)


def described(name: str, shape: list[int]) -> dict[str, object]:
    parameters = {"content_type": "str"}
    return {"name": name, "datatype": "BYTES", "shape": shape, "parameters": parameters}


# --- Metadata ----------------------------------------------------------------------------

TENSORS_OF = {
    "memory": TENSORS,
    "tools": [*TOOLS, "name"],
    "contents": ["content"],
    "versioned": [*TOOLS, "name", "refusal"],
}
REQUEST_PARAMETERS = (
    "binary_data_output, expected_position, idempotency_key, memory_parameters, positions,"
    " stale, window_size, window_unit, window_tokens"
)
WITH_VERSIONS = [*TENSORS_OF, "versioned/versions/3"]


@pytest.mark.parametrize("memory", WITH_VERSIONS)
def test_the_metadata_are_those_of_the_http_door(mlserver, service, memory):
    ours = requests.get(f"{service.url}/v2/models/{memory}", timeout=30)
    theirs = get(mlserver, f"/v2/models/{memory}")

    name = memory.partition("/")[0]
    assert theirs.status_code == 200
    assert theirs.content == ours.content
    assert theirs.json() == {
        "name": name,
        "versions": ["3"] if name == "versioned" else [],
        "platform": "",
        "inputs": [
            described("memory_id", [1]),
            *(described(each, [-1]) for each in TENSORS_OF[name]),
        ],
        "outputs": [described("memory_id", [1, 1]), described("history", [-1, 1])],
        "parameters": {
            "request_parameters": REQUEST_PARAMETERS,
            "window_size": MEMORIES[name][1].get("window_size", 10),
            "window_unit": "message",
        },
    }


@pytest.mark.parametrize("memory", WITH_VERSIONS)
def test_the_metadata_in_grpc_have_the_same_tensors(mlserver, memory):
    name, _, version = memory.partition("/versions/")

    metadata = mlserver.grpc.ModelMetadata(
        pb.ModelMetadataRequest(name=name, version=version), timeout=30
    )

    assert metadata.name == name
    assert list(metadata.versions) == (["3"] if name == "versioned" else [])
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.inputs] == [
        ("memory_id", "BYTES", [1]),
        *((each, "BYTES", [-1]) for each in TENSORS_OF[name]),
    ]
    assert [(each.name, each.datatype, list(each.shape)) for each in metadata.outputs] == [
        ("memory_id", "BYTES", [1, 1]),
        ("history", "BYTES", [-1, 1]),
    ]


@pytest.mark.parametrize(("name", "version"), [("nope", ""), ("versioned", "9")])
def test_there_are_no_metadata_of_an_unknown_memory(mlserver, name, version):
    path = f"{name}/versions/{version}" if version else name
    with pytest.raises(grpc.RpcError) as refusal:
        mlserver.grpc.ModelMetadata(pb.ModelMetadataRequest(name=name, version=version), timeout=30)

    assert get(mlserver, f"/v2/models/{path}").status_code == 404
    assert refusal.value.code() == grpc.StatusCode.NOT_FOUND


# --- Health ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_the_server_is_live_and_ready(mlserver, path):
    assert get(mlserver, path).status_code == 200


def test_the_server_is_live_and_ready_in_grpc(mlserver):
    assert mlserver.grpc.ServerLive(pb.ServerLiveRequest(), timeout=30).live
    assert mlserver.grpc.ServerReady(pb.ServerReadyRequest(), timeout=30).ready


@pytest.mark.parametrize("name", MEMORIES)
def test_every_memory_is_ready_one_whose_database_is_down_too(mlserver, name):
    request = pb.ModelReadyRequest(name=name)

    assert get(mlserver, f"/v2/models/{name}/ready").status_code == 200
    assert mlserver.grpc.ModelReady(request, timeout=30).ready


def test_the_repository_holds_every_memory(mlserver):
    reply = requests.post(f"{mlserver.url}/v2/repository/index", json={}, timeout=30)

    assert {each["name"]: each.get("version") for each in reply.json()} == {
        name: version for name, (version, _) in MEMORIES.items()
    }
    assert {each["state"] for each in reply.json()} == {"READY"}


@pytest.mark.parametrize("path", ["/v2/docs", "/v2/models/memory/docs"])
def test_mlservers_docs_answer(mlserver, path):
    page = get(mlserver, path)
    specification = get(mlserver, f"{path}/dataplane.json")

    assert page.status_code == specification.status_code == 200
    assert "swagger-ui" in page.text
    assert any(route.endswith("/infer") for route in specification.json()["paths"])


# --- Streams -----------------------------------------------------------------------------


def events(reply: requests.Response) -> list[dict[str, object]]:
    """The documents of a stream of server-sent events."""
    blocks = reply.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def posted(mlserver: MLServer, route: str, request: object) -> requests.Response:
    url = f"{mlserver.url}/v2/models/memory/{route}"
    return requests.post(url, json=request, timeout=30)


def test_generate_answers_as_infer_does(mlserver):
    memory_id = new_id()

    added = posted(mlserver, "generate", append_request(memory_id, "hello", id="42"))
    read = posted(mlserver, "infer", read_request(memory_id, id="42"))

    assert added.status_code == 200
    assert added.content == read.content


@pytest.mark.parametrize("route", ["infer_stream", "generate_stream"])
def test_a_stream_of_rest_is_the_one_reply_that_infer_has(mlserver, route):
    memory_id = new_id()

    reply = posted(mlserver, route, append_request(memory_id, "hello", id="42"))

    (document,) = events(reply)
    inferred = posted(mlserver, "infer", read_request(memory_id, id="42")).json()
    assert document["outputs"] == inferred["outputs"]
    assert document["id"] == "42"


@pytest.fixture
def streamed(mlserver):
    """What a stream of gRPC answers to some messages. MLServer's own form of it, not Triton's."""
    call = mlserver.channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )

    def answers(*messages: pb.ModelInferRequest) -> list[pb.ModelInferResponse]:
        return list(call(iter(messages), timeout=30))

    return answers


@pytest.mark.parametrize("raw", [False, True], ids=["contents", "raw"])
def test_a_stream_of_grpc_is_the_one_reply_that_infer_has(mlserver, streamed, raw):
    memory_id = new_id()

    (answer,) = streamed(
        infer_request(append_request(memory_id, "hello"), raw, model_name="memory")
    )

    read = GrpcDoor(mlserver).infer(read_request(memory_id))
    assert infer_response(answer)["outputs"] == read.document["outputs"]
    assert read.texts == ["hello"]


def test_each_request_of_a_stream_of_grpc_is_stored_and_answered(mlserver, streamed):
    memory_id = new_id()
    requests = [append_request(memory_id, str(n)) for n in range(3)]

    answers = streamed(*(infer_request(one, False, model_name="memory") for one in requests))

    assert [len(infer_response(answer)["outputs"][1]["data"]) for answer in answers] == [1, 2, 3]
    assert GrpcDoor(mlserver).infer(read_request(memory_id)).texts == ["0", "1", "2"]


def test_what_a_stream_refuses_is_not_written(mlserver, service, streamed):
    refused = document(tensor("memory_id", [new_id()]), tensor("role", [PRIVATE]))
    before = stored_counts(service)

    in_rest = posted(mlserver, "infer_stream", refused)
    with pytest.raises(grpc.RpcError) as in_grpc:
        streamed(infer_request(refused, False, model_name="memory"))

    assert (in_rest.status_code, in_rest.text) == (500, "Internal Server Error")  # MLServer's
    assert in_grpc.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert in_grpc.value.details() == "tensor 'content' is missing, but 'role' was sent"
    assert stored_counts(service) == before
    assert PRIVATE not in mlserver.log.read_text()


# --- Metrics -----------------------------------------------------------------------------


def samples(mlserver: MLServer) -> Samples:
    """The value of each sample with a model, by its name, its model and its version.

    Behind the name stands the reason, where there is one.
    """
    text = requests.get(f"http://127.0.0.1:{mlserver.metrics_port}/metrics", timeout=30).text
    return {
        (
            f"{sample.name} {sample.labels.get('reason', '')}".strip(),
            sample.labels["model"],
            sample.labels["version"],
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "model" in sample.labels and "le" not in sample.labels
    }


def moved(before: Samples, after: Samples) -> Samples:
    """By how much each has grown, but for what grows with time."""
    return {
        key: value - before.get(key, 0)
        for key, value in after.items()
        if not key[0].endswith(("_created", "_sum", "duration_count"))
        and value != before.get(key, 0)
    }


@at(*MLSERVER_DOORS)
def test_the_metrics_tell_what_was_stored_and_how_large_windows_are(door, mlserver):
    memory_id = new_id()
    asked = "None" if isinstance(door, RestDoor) else ""  # what MLServer calls no version
    before = samples(mlserver)

    door.infer(append_request(memory_id, "a", "b"))
    door.infer(append_several_request(memory_id, ["user"] * 3, content=[["c"], ["d"], ["e"]]))
    reply = door.infer(read_request(memory_id))

    after = samples(mlserver)
    assert moved(before, after) == {
        ("model_infer_request_success_total", "memory", asked): 3,
        ("memory_request_seconds_count", "memory", ""): 3,
        ("memory_bytes_stored_total", "memory", ""): sum(map(len, reply.history)),
        ("memory_messages_stored_total", "memory", ""): 4,
        ("memory_window_messages_count", "memory", ""): 3,
        ("memory_database_seconds_count", "memory", ""): 3,
    }
    windows = ("memory_window_messages_sum", "memory", "")
    assert after[windows] - before.get(windows, 0) == 1 + 4 + 4
    seconds = ("memory_database_seconds_sum", "memory", "")
    assert after[seconds] > before.get(seconds, 0)
    assert ("memory_database_retries_total", "memory", "") in after


@at(*MLSERVER_DOORS)
def test_the_metrics_have_a_memorys_own_version(door, mlserver):
    asked = "None" if isinstance(door, RestDoor) else ""
    before = samples(mlserver)

    reply = door.infer(append_request(new_id(), "a"), "versioned")
    door.infer(append_request(new_id(), "a"), "versioned/versions/3")

    assert moved(before, samples(mlserver)) == {
        ("memory_request_seconds_count", "versioned", "3"): 2,
        ("memory_bytes_stored_total", "versioned", "3"): 2 * len(reply.history[0]),
        ("model_infer_request_success_total", "versioned", asked): 1,
        ("model_infer_request_success_total", "versioned", "3"): 1,
        ("memory_messages_stored_total", "versioned", "3"): 2,
        ("memory_window_messages_count", "versioned", "3"): 2,
        ("memory_database_seconds_count", "versioned", "3"): 2,
    }


@at(*MLSERVER_DOORS)
def test_what_is_refused_counts_as_a_failure_and_as_nothing_stored(door, mlserver):
    asked = "None" if isinstance(door, RestDoor) else ""
    before = samples(mlserver)

    door.infer(document(tensor("memory_id", [new_id()]), tensor("role", ["user"])))

    assert moved(before, samples(mlserver)) == {
        ("model_infer_request_failure_total", "memory", asked): 1,
        ("memory_requests_refused_total bad_request", "memory", ""): 1,
        ("memory_request_seconds_count", "memory", ""): 1,
    }


# --- The log -----------------------------------------------------------------------------


def test_the_log_says_once_who_may_come(mlserver):
    log = mlserver.log.read_text()
    assert log.count("Inference by MLServer asks for no API key: whoever comes reads and ") == 1


RECORD = re.compile(r"^\S+ \S+ \[(\S+)\] (\w+) - (.*)$", re.MULTILINE)


@pytest.fixture
def records(mlserver) -> Callable[[], list[tuple[str, str, str]]]:
    """What came into the log since the test began: the logger, the level, and the text."""
    begin = mlserver.log.stat().st_size

    def read() -> list[tuple[str, str, str]]:
        return RECORD.findall(mlserver.log.read_bytes()[begin:].decode())

    return read


@at(*MLSERVER_DOORS)
def test_what_is_answered_or_refused_is_one_line_of_ours_in_the_log(door, records):
    door.infer(append_request(new_id(), PRIVATE))
    door.infer(document(tensor("memory_id", [new_id()]), tensor("role", [PRIVATE])))

    (answered, refused) = records()
    assert {each[:2] for each in (answered, refused)} == {("convstore.request_log][memory", "INFO")}
    assert " status=200 " in answered[2]
    assert " status=422 " in refused[2]
    assert "error=\"tensor 'content' is missing, but 'role' was sent\"" in refused[2]
    assert PRIVATE not in answered[2] + refused[2]


@at(*MLSERVER_DOORS)
def test_a_database_that_is_down_is_one_record_of_ours(door, records):
    door.infer(append_request(new_id(), PRIVATE), "down")

    ((who, level, what), line) = records()
    assert " status=503 " in line[2]
    assert (who, level) == ("memory_api.errors][down", "WARNING")
    assert what.startswith("model down: the database cannot be reached: ")
    assert PRIVATE not in what
    assert "secret" not in what
