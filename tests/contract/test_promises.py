"""Every tensor, parameter and header of the reference is done, or refused: one probe for each row.

The rows are read from the page, so a new row without a probe fails, and so does a probe without
a row.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import requests
from django.test import Client, override_settings

from testing.bodies import (
    append_request,
    append_several_request,
    binary_body,
    binary_tensor,
    document,
    new_id,
    pack_elements,
    read_request,
    tensor,
)
from tests.doors import HttpDoor, Reply, at
from tests.promises import Probes, Promise

CALL = '{"id": "c", "n": 1.10}'

probe = Probes("docs/reference/http-api.md", "Tensors", "Parameters", "Headers")


def test_there_is_a_row_for_each_probe() -> None:
    assert set(probe.of) == set(probe.promises())


@at("http")
@pytest.mark.parametrize("promise", list(probe.promises()), ids=": ".join)
def test_each_row_is_done_or_refused(door: HttpDoor, promise: Promise) -> None:
    probe.send(promise, door)


def with_tensor(request: dict[str, Any], name: str, data: list[Any]) -> dict[str, Any]:
    return {**request, "inputs": [*request["inputs"], tensor(name, data)]}


def without(request: dict[str, Any], name: str) -> dict[str, Any]:
    return {**request, "inputs": [each for each in request["inputs"] if each["name"] != name]}


def refused(reply: Reply, *says: str) -> None:
    assert reply.status == 400
    for each in says:
        assert each in reply.document["error"]


# --- Tensors -----------------------------------------------------------------------------


@probe("Tensors", "memory_id")
def memory_id(door: HttpDoor) -> None:
    talk = new_id()
    door.infer(append_request(talk, "x"))
    assert door.infer(read_request(talk)).texts == ["x"]
    assert door.infer(read_request(talk + " ")).texts == []
    refused(door.infer(without(append_request(talk, "x"), "memory_id")), "'memory_id' is missing")
    refused(door.infer(read_request("x" * 511)), "511", "510")


@probe("Tensors", "role")
def role(door: HttpDoor) -> None:
    assert door.infer(append_request(new_id(), "x", role="tool")).messages[0]["role"] == "tool"
    two = append_several_request(new_id(), ["user", "tool"], content=[["x"], ["y"]])
    assert [each["role"] for each in door.infer(two).messages] == ["user", "tool"]
    refused(door.infer(without(append_request(new_id(), "x"), "role")), "'role' is missing")


@probe("Tensors", "content")
def content(door: HttpDoor) -> None:
    assert door.infer(append_request(new_id(), "x", "y")).texts == ["x", "y"]
    refused(door.infer(without(append_request(new_id(), "x"), "content")), "'content' is missing")
    call = with_tensor(without(append_request(new_id(), "x"), "content"), "tool_calls", [CALL])
    assert door.infer(call, "default").texts == [""]


@probe("Tensors", "type")
def part_type(door: HttpDoor) -> None:
    request = with_tensor(without(append_request(new_id(), "x"), "type"), "type", ["image_url"])
    assert door.infer(request).messages[0]["content"] == [{"type": "image_url", "value": "x"}]
    request = without(append_request(new_id(), "x"), "type")
    assert door.infer(request).messages[0]["content"] == [{"type": "text", "value": "x"}]


@probe("Tensors", "tool_calls")
def tool_calls(door: HttpDoor) -> None:
    request = with_tensor(append_request(new_id(), ""), "tool_calls", [CALL])
    assert door.infer(request, "default").history[0].endswith(f', "tool_calls": [{CALL}]}}')
    refused(door.infer(request), "config.tensor_names")
    refused(
        door.infer(with_tensor(append_request(new_id(), ""), "tool_calls", ["no"]), "default"),
        "not JSON",
    )


@probe("Tensors", "tool_call_id")
def tool_call_id(door: HttpDoor) -> None:
    request = with_tensor(append_request(new_id(), "12"), "tool_call_id", ["c"])
    assert door.infer(request, "default").messages[0]["tool_call_id"] == "c"
    two = with_tensor(append_request(new_id(), "12"), "tool_call_id", ["c", "d"])
    refused(door.infer(two, "default"), "at most 1")


@probe("Tensors", "name")
@probe("Tensors", "refusal")
def texts(door: HttpDoor) -> None:
    request = with_tensor(append_request(new_id(), "x"), "name", ["Ann"])
    request = with_tensor(request, "refusal", ["no"])
    message = door.infer(request, "default").messages[0]
    assert (message["name"], message["refusal"]) == (["Ann"], ["no"])


@probe("Tensors", "tokens")
def tokens(door: HttpDoor) -> None:
    request = append_request(new_id(), "x", parameters={"window_tokens": 10})
    request["inputs"].append(tensor("tokens", [7], datatype="INT64"))
    reply = door.infer(request, "default")
    assert list(reply.messages[0]) == ["role", "content"]
    assert door.infer(request, "default").texts == ["x"]  # for 7 + 7 are more than 10
    refused(door.infer(with_tensor(asked(), "tokens", ["7"])), "it must be INT64")


@probe("Tensors", "others that the memory names")
def named_by_the_memory(door: HttpDoor) -> None:
    request = with_tensor(append_request(new_id(), "x"), "audio", ["a", {"id": 1}])
    assert door.infer(request, "openai").messages[0]["audio"] == ["a", '{"id": 1}']


@probe("Tensors", "any other")
def other_tensors(door: HttpDoor) -> None:
    request = with_tensor(append_request(new_id(), "x"), "output_all", [None])
    assert list(door.infer(request, "default").messages[0]) == ["role", "content"]
    refused(door.infer(with_tensor(append_request(new_id(), "x"), "Role", ["x"])), "did you mean")


# --- Parameters --------------------------------------------------------------------------


def asked(**parameters: Any) -> dict[str, Any]:
    return append_request(new_id(), "x", parameters=parameters)


@probe("Parameters", "window_size")
def window_size(door: HttpDoor) -> None:
    talk = new_id()
    for text in ("a", "b", "c"):
        reply = door.infer(append_request(talk, text, parameters={"window_size": 2}))
    assert reply.texts == ["b", "c"]
    refused(door.infer(asked(window_size=0)), "'window_size' is 0")


@probe("Parameters", "window_unit")
def window_unit(door: HttpDoor) -> None:
    talk = new_id()
    call = with_tensor(append_request(talk, "", role="assistant"), "tool_calls", [CALL])
    assert door.infer(call, "default").status == 200
    answer = append_request(
        talk, "12", role="tool", parameters={"window_size": 1, "window_unit": "tool_pair"}
    )
    answer = with_tensor(answer, "tool_call_id", [json.loads(CALL)["id"]])
    assert door.infer(answer, "default").texts == ["", "12"]
    refused(door.infer(asked(window_unit="pair")), "'message' or 'tool_pair'")
    refused(door.infer(asked(window_unit="tool_pair")), "config.tensor_names")


@probe("Parameters", "window_tokens")
def window_tokens(door: HttpDoor) -> None:
    talk = new_id()
    for text in ("a", "b"):
        reply = door.infer(append_request(talk, text, parameters={"window_tokens": 1}))
    assert reply.texts == ["b"]
    refused(door.infer(asked(window_tokens=0)), "'window_tokens' is 0")


@probe("Parameters", "expected_position")
def expected_position(door: HttpDoor) -> None:
    request = asked(expected_position=0)
    assert door.infer(request).status == 200
    reply = door.infer(request)
    assert reply.status == 409
    assert "highest position is 1" in reply.document["error"]
    assert door.infer(read_request(request["inputs"][0]["data"][0])).texts == ["x"]
    refused(door.infer(read_request("x", parameters={"expected_position": 1})), "without a message")


@probe("Parameters", "memory_parameters")
def memory_parameters(door: HttpDoor) -> None:
    talk = new_id()
    for text in ("a", "b"):
        older = {"memory_parameters": {"window_size": 1}}
        reply = door.infer(append_request(talk, text, parameters=older))
    assert reply.texts == ["b"]
    refused(door.infer(asked(memory_parameters=1)), "it must be an object")
    for name in ("foo", "window_items", "idempotency_key"):
        refused(door.infer(asked(memory_parameters={name: 1})), f"{name}")
    both = asked(memory_parameters={"window_size": 0}, window_size=1)
    refused(door.infer(both), "'memory_parameters.window_size' is 0")


@probe("Parameters", "idempotency_key")
def idempotency_key(door: HttpDoor) -> None:
    request = asked(idempotency_key=new_id())
    assert door.infer(request).body == door.infer(request).body
    other = {**append_request("", "y"), "parameters": request["parameters"]}
    other["inputs"][0] = request["inputs"][0]
    assert door.infer(other).status == 422
    refused(door.infer(asked(idempotency_key="")), "it must have 1 to 255")


@probe("Parameters", "positions")
def positions(door: HttpDoor) -> None:
    reply = door.infer(asked(positions=True))
    assert reply.document["parameters"] == {"first_position": 1, "last_position": 1}
    refused(door.infer(asked(positions=1)), "it must be true or false")


@probe("Parameters", "stale")
def stale(door: HttpDoor) -> None:
    talk = new_id()
    assert door.infer(append_request(talk, "x", parameters={"stale": True})).texts == ["x"]
    for memory in ("memory", "alone"):
        for value in (True, False, None):
            reply = door.infer(read_request(talk, parameters={"stale": value}), memory)
            assert reply.texts == ["x"]
    refused(door.infer(read_request(talk, parameters={"stale": "yes"})), "it must be true or false")


@probe("Parameters", "binary_data_output")
def binary_data_output(door: HttpDoor) -> None:
    body = json.dumps(asked(binary_data_output=True)).encode()
    reply = posted(door, body)
    length = int(reply.headers["Inference-Header-Content-Length"])
    assert b'"binary_data_size"' in reply.content[:length]


@probe("Parameters", "binary_data")
def binary_data(door: HttpDoor) -> None:
    outputs = [{"name": "history", "parameters": {"binary_data": True}}]
    reply = posted(door, json.dumps({**asked(), "outputs": outputs}).encode())
    assert b'"value": "x"' in reply.content[int(reply.headers["Inference-Header-Content-Length"]) :]
    outputs = [{"name": "history", "parameters": {"binary_data": 1}}]
    refused(door.infer({**asked(), "outputs": outputs}), "it must be true or false")


@probe("Parameters", "binary_data_size")
@probe("Headers", "Inference-Header-Content-Length")
def binary_data_size(door: HttpDoor) -> None:
    blob = pack_elements(b"x")
    request = without(append_request(new_id(), "y"), "content")
    request["inputs"].append(binary_tensor("content", len(blob)))
    body, headers = binary_body(request, blob)
    assert door.send(body, **headers).texts == ["x"]
    body, headers = binary_body(request, blob + b"more")
    refused(door.send(body, **headers), "follow the last binary tensor")


@probe("Parameters", "any other")
def other_parameters(door: HttpDoor) -> None:
    assert door.infer(asked(temperature=0.5)).texts == ["x"]
    refused(door.infer(asked(windowSize=2)), "did you mean 'window_size'?")


@probe("Parameters", "of a tensor or an output, any other")
def other_parameters_of_tensors(door: HttpDoor) -> None:
    request = asked()
    request["inputs"][0]["parameters"] = {"content_type": "str", "level": 1}
    assert door.infer(request).texts == ["x"]
    for name in ("idempotency_key", "window_size"):
        request["inputs"][0]["parameters"] = {name: 1}
        refused(door.infer(request), f"'{name}' is in 'parameters' of \"memory_id\"")
        outputs = [{"name": "history", "parameters": {name: 1}}]
        refused(door.infer({**asked(), "outputs": outputs}), f"'{name}' is in 'parameters'")


@probe("Parameters", "in the query of the URL")
def in_the_query(door: HttpDoor) -> None:
    url = f"{door.service.url}/v2/models/memory/infer"
    reply = requests.post(f"{url}?window_size=1", json=asked(), timeout=60)
    assert reply.status_code == 400
    assert "in the query of the URL" in reply.json()["error"]
    assert requests.post(f"{url}?trace=1", json=asked(), timeout=60).ok


@probe("Parameters", "a field of model-settings.json")
def settings_fields(door: HttpDoor) -> None:
    for name in ("window_items", "idempotency", "tensor_names", "stale_reads", "read_url"):
        refused(door.infer(asked(**{name: "all"})), f"'{name}' is a field of model-settings.json")
    assert door.infer(asked(path="/a", url="b", model_type="c")).texts == ["x"]


# --- Headers -----------------------------------------------------------------------------


def posted(door: HttpDoor, body: Any, memory: str = "memory", **headers: str) -> requests.Response:
    url = f"{door.service.url}/v2/models/{memory}/infer"
    return requests.post(url, data=body, headers=headers, timeout=60)


@probe("Headers", "Content-Type")
def content_type(door: HttpDoor) -> None:
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        assert posted(door, json.dumps(asked()), **{"Content-Type": kind}).status_code == 200


@probe("Headers", "Content-Encoding")
def content_encoding(door: HttpDoor) -> None:
    body = gzip.compress(json.dumps(asked()).encode())
    assert posted(door, body, **{"Content-Encoding": "gzip"}).status_code == 200
    refused(door.send(body, **{"Content-Encoding": "br"}), "use gzip or deflate")


@probe("Headers", "Transfer-Encoding: chunked")
def chunked(door: HttpDoor) -> None:
    assert posted(door, iter([json.dumps(asked()).encode()])).json()["outputs"]


@probe("Headers", "Accept-Encoding: gzip")
def accept_encoding(door: HttpDoor) -> None:
    body = json.dumps(append_request(new_id(), "x" * 10_000)).encode()
    assert posted(door, body, **{"Accept-Encoding": "gzip"}).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in posted(door, body, **{"Accept-Encoding": ""}).headers


@probe("Headers", "X-Request-Id")
def x_request_id(door: HttpDoor) -> None:
    request, rid = asked(), {"X-Request-Id": new_id()}
    for _ in range(2):
        reply = door.infer(request, "once", **rid)
    assert reply.texts == ["x"]


@probe("Headers", "Idempotency-Key")
def idempotency_header(door: HttpDoor) -> None:
    request, header = asked(), {"Idempotency-Key": new_id()}
    assert door.infer(request, **header).body == door.infer(request, **header).body
    refused(door.infer(asked(idempotency_key="a"), **{"Idempotency-Key": "b"}), "differ")


@probe("Headers", "nearly Idempotency-Key")
def misspelt_header(door: HttpDoor) -> None:
    refused(door.infer(asked(), **{"X-Idempotency-Key": "k"}), "did you mean 'Idempotency-Key'?")
    refused(door.infer(asked(), Idempotency_Key="k"), "did you mean 'Idempotency-Key'?")
    refused(door.infer(asked(), **{"X-Idempotence-Key": "k"}), "did you mean 'Idempotency-Key'?")


@probe("Headers", "nearly another of these")
def other_misspelt_headers(door: HttpDoor) -> None:
    for name, meant in (
        ("Content-Encodng", "Content-Encoding"),
        ("Inference-Header-Content-Lenght", "Inference-Header-Content-Length"),
    ):
        refused(door.infer(asked(), **{name: "1"}), f"did you mean '{meant}'?")


@probe("Headers", "If-Match")
@probe("Headers", "If-None-Match")
@probe("Headers", "If-Modified-Since")
@probe("Headers", "If-Unmodified-Since")
def preconditions(door: HttpDoor) -> None:
    talk = new_id()
    for name in ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"):
        reply = door.infer(append_request(talk, "x"), **{name: "*"})
        refused(reply, f"header '{name.lower()}' is not supported here")
    assert door.infer(read_request(talk)).texts == []


def guarded_index(**headers: str) -> Any:
    """The repository's index where the door asks for API keys; here, no key is right."""
    with override_settings(REQUIRE_API_KEYS=frozenset({"http"})):
        return Client().post("/v2/repository/index", {}, "application/json", headers=headers)


@probe("Headers", "Authorization")
def authorization(door: HttpDoor) -> None:
    assert door.infer(asked(), Authorization="Bearer of news").texts == ["x"]
    reply = guarded_index(Authorization="Bearer of news")
    assert reply.status_code == 401
    assert "this request needs a valid API key" in reply.json()["error"]


@probe("Headers", "WWW-Authenticate")
def www_authenticate(door: HttpDoor) -> None:
    assert guarded_index().headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in door.infer(asked()).headers


@probe("Headers", "any other")
def other_headers(door: HttpDoor) -> None:
    assert door.infer(asked(), **{"X-Tenant": "a", "Idempotent": "yes"}).texts == ["x"]


@probe("Headers", "Retry-After")
def retry_after(door: HttpDoor) -> None:
    reply = door.infer(document(tensor("memory_id", ["x"])), "down")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
