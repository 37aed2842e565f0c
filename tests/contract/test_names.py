"""No name in a request is dropped in silence: it is read, or counted, or refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from memory_api.model_settings import CONFIG_FIELDS
from memory_api.request_names import OF_SETTINGS
from memory_api.request_names import PARAMETERS as PARAMETER_NAMES
from testing.bodies import append_request, append_several_request, document, new_id, tensor
from tests.doors import GRPC_DOORS, JSON_DOORS, HttpDoor, RestDoor, at
from tests.refusals import PRIVATE, refusal_sentence

CALL = '{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}'

# --- Nearly a name -----------------------------------------------------------------------

TENSORS = {
    "Role": "role",
    "ROLE": "role",
    "rol": "role",
    "roles": "role",
    "contents": "content",
    " content": "content",
    "contemt": "content",
    "tool-calls": "tool_calls",
    "toolCalls": "tool_calls",
    "tool_call": "tool_calls",
    "toolCallId": "tool_call_id",
    "memory-id": "memory_id",
    "memoryId": "memory_id",
    "refusals": "refusal",
    "Tokens": "tokens",
}
PARAMETERS = {
    "windowSize": "window_size",
    "window-size": "window_size",
    "window_sizes": "window_size",
    "Window_Size": "window_size",
    "idempotency-key": "idempotency_key",
    "IdempotencyKey": "idempotency_key",
    "position": "positions",
    "memory_parameter": "memory_parameters",
    "Stale": "stale",
}
# A letter away from one of ours, and yet words that pipelines may send.
OTHER_WORDS = ["scale", "stable", "stage", "state", "style"]


@pytest.mark.parametrize(("name", "ours"), TENSORS.items())
def test_a_tensor_that_is_nearly_ours_is_refused_with_the_name_that_is_meant(
    door, rows, name, ours
):
    request = append_request(new_id(), "hello")
    request["inputs"].append(tensor(name, [PRIVATE]))
    before = rows()

    reply = door.infer(request)

    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        f"there is no tensor {json.dumps(name)}; did you mean '{ours}'? If not, choose a name that"
        " differs more"
    )
    assert rows() == before


@pytest.mark.parametrize(("name", "ours"), PARAMETERS.items())
def test_a_parameter_that_is_nearly_ours_is_refused_with_the_name_that_is_meant(
    door, rows, name, ours
):
    before = rows()

    reply = door.infer(append_request(new_id(), "hello", parameters={name: PRIVATE}))

    assert reply.status == door.bad_request
    assert f"there is no parameter {json.dumps(name)}; did you mean '{ours}'?" in (
        refusal_sentence(reply)
    )
    assert rows() == before


def test_a_parameter_with_a_name_of_its_own_is_counted_though_it_is_like_one_of_ours(door):
    request = append_request(new_id(), "hello", parameters=dict.fromkeys(OTHER_WORDS, "x"))
    assert growth(door, request) == {"messages_stored": 1, "unknown_parameters": 1}


@at(*JSON_DOORS)
def test_a_parameter_in_the_older_form_is_refused_as_well(door):
    older = {"memory_parameters": {"window_sise": 2}}
    reply = door.infer(append_request(new_id(), "hello", parameters=older))
    assert reply.status == door.bad_request
    assert "did you mean 'window_size'?" in refusal_sentence(reply)


@at(*JSON_DOORS)
@pytest.mark.parametrize("name", ["idempotency_key", "expected_position", "positions", "stale"])
def test_a_parameter_that_the_older_form_does_not_have_is_refused_there(door, rows, name):
    before = rows()
    older = {"memory_parameters": {name: 1}}
    reply = door.infer(append_request(new_id(), "hello", parameters=older))
    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        f"'{name}' is in 'memory_parameters'; send it in 'parameters' of the request"
    )
    assert rows() == before
    unset = {"memory_parameters": {name: None}}
    assert door.infer(append_request(new_id(), "hello", parameters=unset)).status == 200


@at(*JSON_DOORS)
@pytest.mark.parametrize("name", ["foo", "window_items"])
def test_another_parameter_in_the_older_form_is_refused(door, rows, name):
    before = rows()
    older = {"memory_parameters": {name: PRIVATE, "window_size": 2}}
    reply = door.infer(append_request(new_id(), "hello", parameters=older))
    assert reply.status == door.bad_request
    assert refusal_sentence(reply).startswith(
        f"there is no parameter \"{name}\" in 'memory_parameters'; it has window_size,"
    )
    assert rows() == before


@pytest.mark.parametrize("name", sorted(OF_SETTINGS))
def test_a_field_of_the_settings_is_no_parameter(door, rows, name):
    before = rows()
    reply = door.infer(append_request(new_id(), "hello", parameters={name: PRIVATE}))
    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        f"'{name}' is a field of model-settings.json, and no parameter; set it there"
    )
    assert rows() == before


def test_each_field_of_the_settings_is_a_parameter_or_refused_or_a_word_of_others():
    fields = {field for fields in CONFIG_FIELDS.values() for field in fields}
    assert fields - set(PARAMETER_NAMES) - OF_SETTINGS == {"path", "url", "model_type"}
    assert fields > OF_SETTINGS


# --- In another place than a request's parameters ----------------------------------------

# MLServer drops the fields of a document that it does not know.
MISPLACED = {
    "idempotency_key": "'idempotency_key' is beside 'inputs'; send it in 'parameters'",
    "window_size": "'window_size' is beside 'inputs'; send it in 'parameters'",
    "parameter": "there is no field \"parameter\"; did you mean 'parameters'?",
    "paramters": "there is no field \"paramters\"; did you mean 'parameters'?",
    "Parameters": "there is no field \"Parameters\"; did you mean 'parameters'?",
    "output": "there is no field \"output\"; did you mean 'outputs'?",
    "Inputs": "there is no field \"Inputs\"; did you mean 'inputs'?",
    "ID": "there is no field \"ID\"; did you mean 'id'?",
    "Idempotency-Key": "there is no field \"Idempotency-Key\"; did you mean 'idempotency_key'?",
    "windowSize": "there is no field \"windowSize\"; did you mean 'window_size'?",
}


@at(*JSON_DOORS)
@pytest.mark.parametrize(("field", "says"), MISPLACED.items())
def test_a_field_of_the_document_that_would_lose_a_parameter_is_refused(door, rows, field, says):
    before = rows()
    request = append_request(new_id(), "hello")
    reply = door.infer({**request, field: {"idempotency_key": "k"}})
    assert reply.status == door.bad_request
    assert refusal_sentence(reply).startswith(says)
    assert rows() == before
    assert door.infer({**request, field: None, "timeout": 5, "state": 1}).status == 200


@pytest.mark.parametrize("of", ["inputs", "outputs"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("idempotency_key", "'idempotency_key' is in 'parameters' of \"memory_id\"; send it in"),
        ("window_size", "'window_size' is in 'parameters' of \"memory_id\"; send it in"),
        ("windowSize", "there is no parameter \"windowSize\"; did you mean 'window_size'?"),
    ],
)
def test_a_parameter_of_a_tensor_that_is_one_of_the_request_is_refused(door, rows, of, name, says):
    before = rows()
    request = append_request(new_id(), "hello", outputs=[{"name": "memory_id"}])
    request[of][0]["parameters"] = {name: 1}
    reply = door.infer(request)
    assert reply.status == door.bad_request
    assert refusal_sentence(reply).startswith(says)
    assert rows() == before
    request[of][0]["parameters"] = {name: None}
    assert door.infer(request).status == 200


@at(*JSON_DOORS)
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("idempotency_key=k", "'idempotency_key' is in the query of the URL; send it in"),
        ("x=1&window_size=1", "'window_size' is in the query of the URL; send it in"),
        ("Idempotency-Key=k", 'there is no parameter "Idempotency-Key"; did you mean'),
    ],
)
def test_a_parameter_in_the_query_is_refused(door, rows, query, says):
    before, request = rows(), append_request(new_id(), "hello")
    url = f"{door.service.url}/v2/models/memory/infer"
    reply = requests.post(f"{url}?{query}", json=request, timeout=60)
    assert reply.status_code == door.bad_request
    assert reply.json()["error"].startswith(says)
    assert rows() == before
    assert requests.post(f"{url}?timeout=1", json=request, timeout=60).status_code == 200


# --- Headers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"]
)
def test_a_precondition_is_refused_since_nobody_checks_it(door, rows, name):
    before = rows()
    reply = door.infer(append_request(new_id(), "hello"), **{name.lower(): "*"})
    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        f"header '{name.lower()}' is not supported here; send the request without it"
    )
    assert rows() == before


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("x-idempotency-key", "Idempotency-Key"),
        ("x-idempotence-key", "Idempotency-Key"),
        ("content-encodng", "Content-Encoding"),
        ("inference-header-content-lenght", "Inference-Header-Content-Length"),
    ],
)
def test_a_header_that_is_nearly_known_is_refused(door, rows, name, meant):
    before = rows()
    reply = door.infer(append_request(new_id(), "hello"), **{name: "1"})
    assert reply.status == door.bad_request
    assert f"did you mean '{meant}'?" in refusal_sentence(reply)
    assert rows() == before


@at("http")
@pytest.mark.parametrize("name", ["redy", "Ready", "repository_name"])
def test_another_field_of_the_index_is_refused(door, name):
    index = f"{door.service.url}/v2/repository/index"
    reply = requests.post(index, json={name: True}, timeout=60)
    assert reply.status_code == 400
    assert reply.json()["error"] == (f"there is no field \"{name}\" here; the only one is 'ready'")


@at("http")
def test_a_tensor_that_is_nearly_one_of_the_settings_is_refused(door):
    request = append_request(new_id(), "hello")
    request["inputs"].append(tensor("nmae", ["x"]))  # two letters
    request["inputs"].append(tensor("Name", ["x"]))
    assert "did you mean 'name'?" in refusal_sentence(door.infer(request, "tools"))


# --- Unknown, and counted ----------------------------------------------------------------


def counts(door: Any, memory: str = "memory") -> dict[str, float]:
    """The counters of a memory but that of bytes, by names without `memory_` and `_total`."""
    port = door.service.port if type(door) is HttpDoor else door.service.metrics_port
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    return {
        sample.name.removeprefix("memory_").removesuffix("_total"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels.get("model") == memory
        if sample.name.startswith("memory_") and "bytes" not in sample.name
    }


def growth(door: Any, request: dict[str, Any], memory: str = "memory") -> dict[str, float]:
    """Which counters a request moves, and by how much."""
    before = counts(door, memory)
    assert door.infer(request, memory).status == 200
    return {
        name: value - before.get(name, 0)
        for name, value in counts(door, memory).items()
        if value != before.get(name, 0)
    }


def test_unknown_tensors_and_parameters_are_allowed_and_each_request_is_counted(door):
    request = append_request(new_id(), "hello")
    assert growth(door, request) == {"messages_stored": 1}
    request["inputs"] += [tensor("output_all", ["x"]), tensor("logprobs", ["y"])]
    assert growth(door, request) == {"messages_stored": 1, "unknown_tensors": 1}
    request["inputs"][1]["parameters"] = {"level": "x"}
    assert growth(door, request) == {
        "messages_stored": 1,
        "unknown_tensors": 1,
        "unknown_parameters": 1,
    }
    request["parameters"] = {"temperature": "0.5", "max_tokens": 7}
    assert growth(door, request) == {
        "messages_stored": 1,
        "unknown_tensors": 1,
        "unknown_parameters": 1,
    }


def test_what_is_known_is_not_counted(door):
    request = append_request(
        new_id(),
        "hello",
        parameters={
            "window_size": 2,
            "idempotency_key": "k",
            "positions": True,
            "stale": True,
            "content_type": "x",
        },
    )
    request["inputs"].append(tensor("tokens", [7], datatype="INT64"))
    assert growth(door, request) == {"messages_stored": 1}


# --- Left out by a memory's own tensor_names ---------------------------------------------


def test_a_tensor_that_the_settings_leave_out_is_counted(door):
    request = append_request(new_id(), "hello", role="assistant")
    request["inputs"].append(tensor("tool_calls", [CALL]))
    assert growth(door, request) == {"messages_stored": 1, "tensors_left_out": 1}
    request["inputs"][-1] = tensor("tool_calls", [""])
    assert growth(door, request) == {"messages_stored": 1}
    typed = document(
        tensor("memory_id", [new_id()]), tensor("content", ["x"]), tensor("type", ["image_url"])
    )
    assert growth(door, typed, "contents") == {"messages_stored": 1, "tensors_left_out": 1}


@at("http", "grpc")
def test_the_first_one_is_logged_and_no_other(door):
    for name in ("refusal", "tool_calls"):
        request = append_request(new_id(), "hello", role="assistant")
        request["inputs"].append(tensor(name, ["no"]))
        assert door.infer(request).status == 200
    deadline = time.monotonic() + 30
    while (found := door.service.log.read_text().count("memory memory: a request has tensor")) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found == 1


EMPTIED: dict[str, dict[str, Any]] = {
    "an empty text": append_request("emptied", "", role="assistant"),
    "no text": append_request("emptied", role="assistant"),
    "no content": document(tensor("memory_id", ["emptied"]), tensor("role", ["assistant"])),
    "nothing": document(tensor("memory_id", ["emptied"])),
}
LEFT_OUT = {"tool_calls": [CALL], "refusal": ["no"], "tool_call_id": ["c"]}


@pytest.mark.parametrize("request_", EMPTIED.values(), ids=EMPTIED)
@pytest.mark.parametrize(("name", "data"), LEFT_OUT.items())
def test_a_message_that_would_be_empty_without_it_is_refused(door, rows, request_, name, data):
    before = rows()
    asked = {**request_, "inputs": [*request_["inputs"], tensor(name, data)]}

    reply = door.infer(asked)

    assert reply.status == door.bad_request
    assert refusal_sentence(reply) == (
        f"tensor '{name}' is all that a message has, but this memory does not keep it; add"
        f" '{name}' to config.tensor_names of the memory"
    )
    assert rows() == before
    if request_["inputs"][1:]:
        assert door.infer(asked, "default").status == 200


def test_of_several_messages_the_one_that_would_be_empty_counts(door, rows):
    full = append_several_request(
        new_id(), ["user", "assistant"], content=[[""], ["x"]], tool_calls=[[], [CALL]]
    )
    assert door.infer(full).status == 200
    before = rows()
    for empty in ([""], []):
        emptied = append_several_request(
            new_id(), ["user", "assistant"], content=[["x"], empty], tool_calls=[[], [CALL]]
        )
        assert "config.tensor_names" in refusal_sentence(door.infer(emptied))
    assert rows() == before


def test_by_default_tool_turns_and_refusals_are_kept(door):
    memory_id = new_id()
    call = append_request(memory_id, "", role="assistant")
    call["inputs"].append(tensor("tool_calls", [CALL]))
    answer = append_request(memory_id, "12", role="tool")
    answer["inputs"] += [tensor("tool_call_id", ["c"]), tensor("name", ["f"])]
    refused = document(
        tensor("memory_id", [memory_id]), tensor("role", ["assistant"]), tensor("refusal", ["no"])
    )
    for request in (call, answer, refused):
        reply = door.infer(request, "default")
    empty = [{"type": "text", "value": ""}]
    assert reply.messages == [
        {"role": "assistant", "content": empty, "tool_calls": [json.loads(CALL)]},
        {
            "role": "tool",
            "content": [{"type": "text", "value": "12"}],
            "tool_call_id": "c",
            "name": ["f"],
        },
        {"role": "assistant", "content": empty, "refusal": ["no"]},
    ]


# --- Nothing echoes headers --------------------------------------------------------------


@at("rest", *GRPC_DOORS)
def test_nothing_echoes_the_headers_that_mlserver_puts_into_the_parameters(door):
    secret = {"authorization": f"Bearer {PRIVATE.replace(' ', '-')}", "x-request-id": "r-1"}
    replies = [
        door.infer(append_request(new_id(), "x", parameters={"positions": True}), **secret),
        door.infer(append_request(new_id(), "x"), "tools", **secret),
        door.infer(document(tensor("role", ["x"])), **secret),
        door.infer(append_request(new_id(), "x", parameters={"windowsize": 1}), **secret),
        door.infer(append_request(new_id(), "x"), "nope", **secret),
    ]
    for reply in replies:
        assert "kestrel" not in str(reply.document) + str(reply.body) + str(reply.headers)
    assert "kestrel" not in door.service.log.read_text()
    assert isinstance(door, RestDoor) or replies[0].document["parameters"].keys() == {
        "first_position",
        "last_position",
    }


@at("rest", *GRPC_DOORS)
@pytest.mark.parametrize("parameters", [{"headers": PRIVATE}, {"content_type": 7}])
def test_malformed_parameters_of_mlserver_are_refused_and_not_shown(door, rows, parameters):
    before = rows()
    reply = door.infer(append_request(new_id(), "x", parameters=parameters))
    assert reply.status == door.bad_request
    assert refusal_sentence(reply).startswith("'parameters' has a 'content_type' that is no string")
    assert rows() == before


@at("rest")
def test_a_retry_in_a_stream_gets_the_same_bytes(door):
    url = f"{door.service.url}/v2/models/memory/infer_stream"
    request = append_request(new_id(), "x", parameters={"idempotency_key": "k"}, id="r")
    first, again = (requests.post(url, json=request, timeout=60).text for _ in range(2))
    assert first == again
    assert "x-request-id" not in first.lower()
