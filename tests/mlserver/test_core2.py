"""The runtime as Seldon Core 2 uses it: loaded, asked, reloaded and unloaded by gRPC alone.

Seldon's agent answers a REST reply of 400 or 404, and gRPC's NOT_FOUND and UNAVAILABLE, with
a reload and the same request once more, so a loaded memory must never answer with those.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy
import pytest
import requests
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.grpc import service_pb2 as pb

from testing.bodies import append_request, document, new_id, read_request, tensor
from testing.processes import ROOT
from testing.service import NOWHERE
from tests.mlserver.core2 import (
    IMPLEMENTATION,
    Core2Server,
    body,
    memory,
    request,
    saying,
    tensors_of,
)
from tests.soak.checker import WINDOW
from tests.soak.mlserver_load import BothDoors
from tests.soak.outages import checked

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.one_database]

MOST_PARTS = 50
CLIENTS = ROOT / ".venv-clients" / "bin"
# What makes Seldon's agent reload a model and ask again.
ASKED_AGAIN = {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}


@pytest.fixture(scope="module")
def core2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core2Server]:
    """One server for all of these tests; each loads models of its own."""
    folder = tmp_path_factory.mktemp("core2")
    with Core2Server(folder, MAX_PARTS=str(MOST_PARTS)) as core2:
        yield core2


@pytest.fixture(scope="module")
def url(database_kind: str, new_database: Callable[[str], str]) -> str:
    return new_database(database_kind)


@pytest.fixture
def load(core2: Core2Server) -> Iterator[Callable[..., str]]:
    """Have the agent put and load a model; the test's end unloads it."""
    names = []

    def loaded(artifact: dict[str, Any], version: int = 1, **strings: str) -> str:
        name = core2.agent.loaded(artifact, version, **strings)
        names.append(name)
        return name

    yield loaded
    for name in names:
        if core2.state(name) == "READY":
            core2.agent.unload(name)
        core2.agent.remove(name)


@pytest.fixture(autouse=True)
def _only_read(core2: Core2Server) -> Iterator[None]:
    """Nothing but the agent's files is in the folder of the models, which is read-only."""
    yield
    assert set(core2.agent.folder.rglob("*")) == core2.agent.written


def history(core2: Core2Server, model: str, memory_id: str) -> list[str]:
    asked = request(model, {"memory_id": [memory_id]}, window_size=1000)
    return tensors_of(core2.infer(asked))["history"]


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    return error.code(), error.details()


# --- Load, infer, reload, unload ---------------------------------------------------------


def test_a_server_without_models_is_live_and_has_an_empty_index(tmp_path):
    with Core2Server(tmp_path) as core2:
        assert core2.grpc.ServerLive(pb.ServerLiveRequest(), timeout=10).live
        assert core2.grpc.ServerReady(pb.ServerReadyRequest(), timeout=10).ready
        assert not core2.grpc.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=10).models
        asked = request("psql-memory_1", {"memory_id": ["x"]})
        assert refusal(lambda: core2.infer(asked))[0] == grpc.StatusCode.NOT_FOUND
        missing = refusal(lambda: core2.agent.load("psql-memory_1"))
        assert missing[0] == grpc.StatusCode.NOT_FOUND


def test_a_memory_is_loaded_asked_reloaded_and_unloaded(core2, url):
    name = core2.agent.put(
        memory("psql-memory", url), infer_uri="http://x", ssl_verify_path="", database="sql"
    )
    try:
        assert name == "psql-memory_1"
        assert core2.state(name) == "UNAVAILABLE"
        core2.agent.load(name)
        assert core2.state(name) == "READY"
        memory_id = new_id()
        first = tensors_of(core2.infer(request(name, saying(memory_id, "Hi"))))
        assert first == {"memory_id": [memory_id], "history": [body("Hi")]}
        core2.agent.load(name)
        assert core2.state(name) == "READY"
        second = tensors_of(core2.infer(request(name, saying(memory_id, "again"))))
        assert second["history"] == [body("Hi"), body("again")]
        core2.agent.unload(name)
        assert core2.state(name) == "UNAVAILABLE"
        asked = request(name, {"memory_id": [memory_id]})
        assert refusal(lambda: core2.infer(asked))[0] == grpc.StatusCode.NOT_FOUND
        assert refusal(lambda: core2.agent.unload(name))[0] == grpc.StatusCode.NOT_FOUND
        core2.agent.load(name)
        assert history(core2, name, memory_id) == second["history"]
        core2.agent.unload(name)
    finally:
        core2.agent.remove(name)


@pytest.mark.parametrize("raw", [False, True], ids=["contents", "raw contents"])
def test_a_step_of_a_pipeline_is_answered_in_the_form_that_it_asked_in(core2, load, url, raw):
    name = load(memory("psql-memory", url))
    memory_id = new_id()
    reply = core2.infer(request(name, saying(memory_id, "Hé 👋🏽"), raw=raw), new_id())
    assert (reply.model_name, reply.model_version, reply.id) == (name, "1", "")
    assert [output.name for output in reply.outputs] == ["memory_id", "history"]
    # Without it the pipeline's gateway would send base64.
    assert {out.parameters["content_type"].string_param for out in reply.outputs} == {"str"}
    assert len(reply.raw_output_contents) == (2 if raw else 0)
    assert not any(output.contents.bytes_contents for output in reply.outputs) or not raw
    assert tensors_of(reply) == {"memory_id": [memory_id], "history": [body("Hé 👋🏽")]}


@pytest.mark.parametrize("raw", [False, True], ids=["contents", "raw contents"])
def test_the_tensors_of_an_llm_that_a_memory_does_not_keep_are_passed_over(core2, load, url, raw):
    name = load(memory("psql-memory", url, tensor_names=["role", "content", "type"]))
    memory_id = new_id()
    said_by_an_llm = {
        **saying(memory_id, "It is 20 degrees.", "assistant"),
        "output_all": ['{"choices": [{"message": {}}]}'],
        "get_temperature": ['{"city": "Rome"}'],
        "tool_calls": ['{"id": "1", "type": "function"}'],
    }
    reply = core2.infer(request(name, said_by_an_llm, raw=raw))
    assert tensors_of(reply)["history"] == [body("It is 20 degrees.", "assistant")]


def test_a_reply_can_be_the_next_steps_request(core2, load, url):
    """Seldon takes a step's outputs for the next one's inputs as they are."""
    first, second = load(memory("first", url)), load(memory("second", url))
    memory_id = new_id()
    reply = core2.infer(request(first, saying(memory_id, "Hi")))
    asked = pb.ModelInferRequest(model_name=second, id=reply.id)
    for output in reply.outputs:
        asked.inputs.add().MergeFromString(output.SerializeToString())
    assert tensors_of(core2.infer(asked)) == tensors_of(reply)


def test_two_memories_with_databases_of_their_own_keep_their_conversations_apart(
    core2, load, url, database_kind, new_database
):
    ours = load(memory("ours", url))
    theirs = load(memory("theirs", new_database(database_kind)))
    memory_id = new_id()
    core2.infer(request(ours, saying(memory_id, "ours")))
    core2.infer(request(theirs, saying(memory_id, "theirs")))
    assert history(core2, ours, memory_id) == [body("ours")]
    assert history(core2, theirs, memory_id) == [body("theirs")]


def test_two_memories_over_one_database_share_their_conversations(core2, load, url):
    first, second = load(memory("memory-1", url)), load(memory("memory-2", url))
    memory_id = new_id()
    core2.infer(request(first, saying(memory_id, "question")))
    reply = core2.infer(request(second, saying(memory_id, "answer", "assistant")))
    assert tensors_of(reply)["history"] == [body("question"), body("answer", "assistant")]
    core2.agent.unload(first)
    assert history(core2, second, memory_id) == tensors_of(reply)["history"]


def test_a_new_version_takes_over_from_the_old_one_under_traffic(
    core2, load, database_kind, new_database
):
    url = new_database(database_kind)
    artifact = memory("rolled", url, window_size=WINDOW)
    route = [load(artifact)]
    with BothDoors(core2, core2.grpc_port, lambda: route[0]) as clients:
        clients.more(100)
        for version in (2, 3):
            old, new = route[0], load(artifact, version)
            clients.more(50)
            assert core2.state(old) == core2.state(new) == "READY"
            route[0] = new
            time.sleep(0.5)  # the gateways let what is under way come to its end
            core2.agent.unload(old)
            clients.more(50)
    report = checked(url, clients)
    assert not any(report.wrong.values()), str(report)
    assert not clients.failed, clients.failed[:5]
    assert report.acknowledged >= 300


def test_a_request_that_is_delivered_again_to_the_next_version_is_stored_once(core2, load, url):
    artifact = memory("once", url, idempotency="request_id")
    old, new = load(artifact), load(artifact, 2)
    memory_id, request_id = new_id(), new_id()
    first = core2.infer(request(old, saying(memory_id, "Hi")), request_id)
    core2.agent.unload(old)
    again = core2.infer(request(new, saying(memory_id, "Hi")), request_id)
    assert tensors_of(again) == tensors_of(first)
    assert history(core2, new, memory_id) == [body("Hi")]


# --- What is wrong in a file -------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "a field that there is not": (
        {"windows": 5},
        {},
        "parameters.extra.config.windows is not a field; the fields are url",
    ),
    "a window of nothing": (
        {"window_size": 0},
        {},
        "parameters.extra.config.window_size is 0; it must be an integer from 1 to 2147483647",
    ),
    "a kind of database that there is not, out of spec.parameters": (
        {},
        {"database": "redis"},
        "parameters.extra.database is 'redis'; it must be 'filesys' or 'sql'",
    ),
    "a URL that is none": (
        {"url": "postgres:5432"},
        {},
        "parameters.extra.config: the database URL is not of the form",
    ),
    "an option that there is not": (
        {"connection_options": {"poolsize": 3}},
        {},
        "parameters.extra.config: connection_options.poolsize",
    ),
    "a config that is not an object, out of spec.parameters": (
        {},
        {"config": "url"},
        "parameters.extra.config is a string; it must be an object",
    ),
    "an idempotency that there is not": (
        {"idempotency": "id"},
        {},
        "parameters.extra.config.idempotency is 'id'; it must be 'request_id' or null",
    ),
}


@pytest.mark.parametrize(("config", "strings", "sentence"), WRONG.values(), ids=WRONG)
def test_a_file_that_is_wrong_is_refused_by_name_and_the_fixed_one_loads(
    core2, load, url, config, strings, sentence
):
    other = load(memory("other", url))
    memory_id = new_id()
    core2.infer(request(other, saying(memory_id, "Hi")))
    right = memory("wrong", url)
    name = core2.agent.put(memory("wrong", **{"url": url, **config}), **strings)
    code, details = refusal(lambda: core2.agent.load(name))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert details.startswith(f"model wrong_1: {sentence}"), details
    assert core2.grpc.ServerLive(pb.ServerLiveRequest(), timeout=10).live
    assert core2.grpc.ServerReady(pb.ServerReadyRequest(), timeout=10).ready
    assert core2.state(name) == "UNAVAILABLE"
    assert history(core2, other, memory_id) == [body("Hi")]
    assert load(right) == name
    assert history(core2, name, memory_id) == [body("Hi")]


def test_a_password_in_a_file_that_is_wrong_is_never_repeated(core2, url):
    secret = "hunter2"
    configs: list[dict[str, Any]] = [
        {"url": f"postgresql://user:{secret}@/db?nothing=1"},
        {"url": url, "connection_options": {"connect_args": [secret]}},
        {"url": [secret]},
    ]
    for config in configs:
        name = core2.agent.put(memory("secret", **config))
        _, details = refusal(lambda name=name: core2.agent.load(name))  # type: ignore[misc]
        assert "config" in details
        assert secret not in details
        core2.agent.remove(name)
    half = '{"url": "postgresql://user@/db", "password": "' + secret
    name = core2.agent.put(memory("secret", url), config=half)
    code, details = refusal(lambda: core2.agent.load(name))
    core2.agent.remove(name)
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert secret not in details
    assert secret not in core2.log.read_text()


def test_a_reload_with_a_file_that_is_wrong_leaves_the_old_memory_in_its_place(core2, load, url):
    name = load(memory("kept", url))
    memory_id = new_id()
    core2.infer(request(name, saying(memory_id, "before")))
    core2.agent.put(memory("kept", url, window_size="many"))
    code, details = refusal(lambda: core2.agent.load(name))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    assert "parameters.extra.config.window_size is 'many'; it must be an integer" in details
    assert core2.state(name) == "READY"
    core2.infer(request(name, saying(memory_id, "after")))
    assert history(core2, name, memory_id) == [body("before"), body("after")]


def test_what_a_model_has_in_its_spec_comes_as_strings_and_is_taken(core2, load, url):
    bare = {
        "name": "stringed",
        "implementation": IMPLEMENTATION,
        "inputs": [
            {"name": "role", "shape": [-1], "datatype": "BYTES", "parameters": {"tags": ["x"]}}
        ],
        "max_batch_size": 8,
        "cache_enabled": True,
    }
    config = json.dumps({"url": url, "window_size": 2})
    name = load(bare, database="sql", config=config, prompt_utils="null")
    memory_id = new_id()
    for text in ("1", "2", "3"):
        reply = core2.infer(request(name, saying(memory_id, text)))
    assert tensors_of(reply)["history"] == [body("2"), body("3")]


# --- Requests that are not right ---------------------------------------------------------


def bad_tensors(memory_id: str) -> dict[str, tuple[dict[str, list[str]], str]]:
    """Tensors that no memory takes, each with what its refusal says."""
    one = {"memory_id": [memory_id]}
    hi = saying(memory_id, "Hi")
    return {
        "nothing": ({}, "tensor 'memory_id' is missing"),
        "no memory_id": ({"role": ["user"]}, "tensor 'memory_id' is missing"),
        "two memory_ids": ({**hi, "memory_id": ["a", "b"]}, "has 2 elements; it must have 1"),
        "an empty memory_id": ({"memory_id": [""]}, "has 0 characters, counted as in UTF-16"),
        "a long memory_id": ({"memory_id": ["x" * 511]}, "'memory_id' has 511 characters"),
        "a NUL in a memory_id": ({"memory_id": ["a\0"]}, "contains a NUL"),
        "no content": ({**one, "role": ["user"]}, "tensor 'content' is missing"),
        "no role": ({**one, "content": ["Hi"], "type": ["text"]}, "tensor 'role' is missing"),
        "an empty role": ({**hi, "role": []}, "tensor 'role' has 0 elements"),
        "two types": ({**hi, "type": ["text", "text"]}, "tensor 'type' has 2 elements"),
        "too many parts": (
            {**one, "role": ["user"], "content": ["x"] * (MOST_PARTS + 1)},
            f"the request has {MOST_PARTS + 1} parts; the limit is {MOST_PARTS}",
        ),
        "messages that are no lists": (
            {**hi, "role": ["user", "user"], "content": ["a", "b"], "type": ["", ""]},
            "of tensor 'content'",
        ),
    }


@pytest.mark.parametrize("raw", [False, True], ids=["contents", "raw contents"])
def test_no_request_over_grpc_makes_the_agent_reload_the_memory(core2, load, url, raw):
    name = load(memory("strict", url))
    memory_id = new_id()
    failures = {}
    for what, (tensors, sentence) in bad_tensors(memory_id).items():
        asked = request(name, tensors, raw=raw)
        failures[what] = (refusal(lambda asked=asked: core2.infer(asked)), sentence)  # type: ignore[misc]
    for what, (changed, sentence) in bad_messages(name, memory_id).items():
        failures[what] = (
            refusal(lambda changed=changed: core2.infer(changed)),  # type: ignore[misc]
            sentence,
        )
    assert len(failures) >= 12
    for what, ((code, details), sentence) in failures.items():
        assert code not in ASKED_AGAIN, what
        assert code == grpc.StatusCode.FAILED_PRECONDITION, (what, code, details)
        assert sentence in details, (what, details)
    assert history(core2, name, memory_id) == []


def bad_messages(name: str, memory_id: str) -> dict[str, tuple[pb.ModelInferRequest, str]]:
    """The same, in ways that only gRPC has."""
    hi = saying(memory_id, "Hi")
    number, unasked, size, text, broken, newline = (request(name, hi) for _ in range(6))
    number.inputs[1].datatype = "INT64"
    number.inputs[1].ClearField("contents")
    number.inputs[1].contents.int64_contents.append(1)
    unasked.outputs.add(name="nothing")
    size.parameters["window_size"].int64_param = 0
    text.parameters["window_size"].string_param = "5"
    broken.inputs[2].contents.bytes_contents[0] = b"\xff\xfe"
    newline.id = "one\ntwo"
    return {
        "a number for a role": (number, "'role'"),
        "an output that there is not": (unasked, 'there is no output "nothing"'),
        "a window of nothing": (size, "it must be an integer from 1"),
        "a window size as text": (text, "it must be an integer from 1"),
        "bytes that are no text": (broken, "UTF-8"),
        "an id that no header holds": (newline, "'id' must be printable ASCII"),
    }


def test_no_request_over_rest_makes_the_agent_reload_the_memory(core2, load, url):
    name = load(memory("strict", url))
    memory_id = new_id()
    hi = append_request(memory_id, "Hi")
    bodies: dict[str, Any] = {
        what: document(*(tensor(key, values) for key, values in tensors.items()))
        for what, (tensors, _) in bad_tensors(memory_id).items()
    }
    bodies |= {
        "no inputs at all": {},
        "an output that there is not": {**hi, "outputs": [{"name": "nothing"}]},
        "a window of nothing": {**hi, "parameters": {"window_size": 0}},
        "a window size as text": {**hi, "parameters": {"window_size": "5"}},
        "an id that no header holds": {**hi, "id": "one\ntwo"},
        "an id that is a number": {**hi, "id": 1},
        "a datatype that there is not": document(tensor("memory_id", ["x"], datatype="TEXT")),
        "a number for a text": document(tensor("memory_id", [1])),
        "no data": document({"name": "memory_id", "shape": [1], "datatype": "BYTES"}),
        "not an object": [1],
        "a string": "Hi",
        "null": None,
    }
    sent = {what: json.dumps(each).encode() for what, each in bodies.items()}
    sent |= {
        "nothing": b"",
        "half a document": json.dumps(hi).encode()[:40],
        "bytes that are no text": b'{"inputs": "\xff"}',
        "a lone surrogate": json.dumps(append_request(memory_id, "x"))
        .replace('"x"', '"\\ud800"')
        .encode(),
    }
    for what, each in sent.items():
        reply = posted(core2, name, each, {"Content-Type": "application/json"})
        assert reply.status_code == 422, (what, reply.status_code, reply.text)
    for kind in ("text/plain", "application/octet-stream"):
        reply = posted(core2, name, json.dumps(hi).encode(), {"Content-Type": kind})
        assert reply.status_code == 422, (kind, reply.text)
    assert history(core2, name, memory_id) == []


def posted(
    core2: Core2Server, name: str, sent: bytes, headers: dict[str, str]
) -> requests.Response:
    url = f"{core2.url}/v2/models/{name}/infer"
    return requests.post(url, data=sent, headers=headers, timeout=30)


def test_a_memory_whose_database_is_away_is_unavailable_also_after_the_agents_reload(core2, load):
    name = load(memory("away", NOWHERE))
    asked = request(name, saying(new_id(), "Hi"))
    for _ in range(2):
        code, details = refusal(lambda: core2.infer(asked))
        assert (code, details) == (grpc.StatusCode.UNAVAILABLE, "the database cannot be reached")
        core2.agent.load(name)  # which the agent does before it asks again
    sent = json.dumps(append_request(new_id(), "Hi")).encode()
    reply = posted(core2, name, sent, {"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()) == (503, {"error": "the database cannot be reached"})


def test_a_request_that_was_zipped_is_read(core2, load, url):
    name = load(memory("zipped", url))
    memory_id = new_id()
    sent = gzip.compress(json.dumps(append_request(memory_id, "Hi")).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert posted(core2, name, sent, headers).status_code == 200
    assert history(core2, name, memory_id) == [body("Hi")]


def test_a_message_of_33_mb_goes_in_and_comes_back(core2, load, url):
    name = load(memory("large", url))
    memory_id, text = new_id(), "x" * 33_000_000
    channel, service = core2.connected()
    reply = service.ModelInfer(request(name, saying(memory_id, text)), timeout=60)
    assert tensors_of(reply)["history"] == [body(text)]
    channel.close()


# --- Other people's clients --------------------------------------------------------------


def test_mlserver_infer(core2, load, url, tmp_path):
    name = load(memory("cli", url))
    memory_id = new_id()
    sent, received = tmp_path / "requests.jsonl", tmp_path / "replies.jsonl"
    asked = [
        append_request(memory_id, "Hi"),
        append_request(memory_id, "Hello", role="assistant"),
        read_request(memory_id),
    ]
    sent.write_text("".join(json.dumps(each) + "\n" for each in asked))
    host = core2.url.removeprefix("http://")
    where = ("--url", host, "--model-name", name, "--workers", "1", "--retries", "1")
    files = ("--input-data-path", sent, "--output-data-path", received)
    subprocess.run(
        [ROOT / ".venv-mlserver" / "bin" / "mlserver", "infer", *where, *files],
        capture_output=True,
        timeout=120,
        check=True,
    )
    replies = [json.loads(line) for line in received.read_bytes().splitlines()]
    assert [reply["parameters"]["batch_index"] for reply in replies] == [0, 1, 2]
    # It keeps as many rows of an output as the request has, here the first one.
    assert [reply["outputs"][1]["data"] for reply in replies] == [[body("Hi")]] * 3
    assert history(core2, name, memory_id) == [body("Hi"), body("Hello", "assistant")]


@pytest.mark.needs("clients")
def test_tritonclient_over_http_in_json(core2, load, url):
    """MLServer's REST knows no binary data."""
    name = load(memory("triton", url))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import triton\n"
        "client = triton.InferenceServerClient(sys.argv[2])\n"
        "assert client.is_server_live() and client.is_model_ready(sys.argv[3])\n"
        "triton.conversation(client, sys.argv[3], 'JSON')\n"
    )
    scripts = ROOT / "tests" / "acceptance" / "clients"
    host = core2.url.removeprefix("http://")
    done = subprocess.run(
        [CLIENTS / "python", "-c", code, scripts, host, name],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_tritonclient_over_grpc(core2, load, url):
    name = load(memory("triton", url))
    memory_id = new_id()
    with InferenceServerClient(f"127.0.0.1:{core2.grpc_port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(name, "1")
        metadata = client.get_model_metadata(name)
        assert (metadata.name, list(metadata.versions)) == (name, ["1"])
        assert [each.name for each in metadata.outputs] == ["memory_id", "history"]
        for texts in (["Hi"], ["Hi", "Hé 👋🏽"]):
            inputs = []
            for key, values in saying(memory_id, texts[-1]).items():
                made = InferInput(key, [1, 1], "BYTES")
                made.set_data_from_numpy(
                    numpy.array([[value.encode()] for value in values], dtype=numpy.object_)
                )
                inputs.append(made)
            result = client.infer(name, inputs, request_id="an id", headers={"x-request-id": "1"})
            assert result.get_response().id == "an id"
            assert result.as_numpy("memory_id").tolist() == [[memory_id.encode()]]
            received = [element.decode() for element in result.as_numpy("history").reshape(-1)]
            assert received == [body(text) for text in texts]


# --- At once -----------------------------------------------------------------------------


def test_many_models_are_loaded_and_unloaded_at_once_beside_one_that_is_asked(
    core2, load, url, database_kind, new_database
):
    """The agent loads what is scheduled to it without waiting for the one before."""
    asked = load(memory("asked", url))
    urls = [url, new_database(database_kind)]
    artifacts = [
        memory(f"many-{n}", urls[n % 2], **({"window_size": 0} if n == 3 else {})) for n in range(8)
    ]
    names = [core2.agent.put(artifact) for artifact in artifacts]
    wrong = names.pop(3)
    memory_id = new_id()
    failures: list[object] = []

    def go(call: Callable[[str], None], name: str) -> None:
        try:
            call(name)
        except grpc.RpcError as error:
            failures.append((name, error))

    try:
        for _ in range(3):
            for call in (core2.agent.load, core2.agent.unload):
                threads = [threading.Thread(target=go, args=(call, name)) for name in names]
                for thread in threads:
                    thread.start()
                core2.infer(request(asked, saying(memory_id, "meanwhile")))
                assert refusal(lambda: core2.agent.load(wrong))[0] == (
                    grpc.StatusCode.FAILED_PRECONDITION
                )
                for thread in threads:
                    thread.join(30)
                assert not failures
                state = "READY" if call == core2.agent.load else "UNAVAILABLE"
                assert {core2.state(name) for name in names} == {state}
        assert history(core2, asked, memory_id) == [body("meanwhile")] * 6
    finally:
        for name in (*names, wrong):
            core2.agent.remove(name)
