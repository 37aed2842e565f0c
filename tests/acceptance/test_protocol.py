"""Live requests and replies against the protocol's own schemas, as MLServer ships them.

They are read where MLServer is installed, in `.venv-clients`. OpenAPI 3.0 builds on JSON
Schema's draft 4. The schemas use no `nullable`, and one type that JSON does not have, `bytes`.
"""

from __future__ import annotations

import copy
import json
import runpy
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.jsonschema import DRAFT4

from memory_api.memory import DEFAULT_TENSOR_NAMES
from testing.bodies import append_request, document, new_id, read_request, tensor
from testing.processes import ROOT
from testing.service import MEMORIES

pytestmark = [pytest.mark.one_database, pytest.mark.needs("mlserver")]

FUNCTIONS = runpy.run_path(str(Path(__file__).parent / "seldon_examples" / "functions.txt"))
SCHEMAS = ".venv-mlserver/lib/python3*/site-packages/mlserver/rest/openapi"

Validator = extend(
    Draft4Validator,
    type_checker=Draft4Validator.TYPE_CHECKER.redefine(
        "bytes", lambda _, value: isinstance(value, bytes)
    ),
)


@cache
def schemas() -> Registry[Any]:
    """The schemas' files, as oip:dataplane and oip:model_repository."""
    files = {path.stem: path for path in ROOT.glob(f"{SCHEMAS}/*.json")}
    assert files.keys() == {"dataplane", "model_repository"}, "make test installs mlserver"
    return Registry().with_resources(
        (f"oip:{name}", DRAFT4.create_resource(json.loads(path.read_bytes())))
        for name, path in files.items()
    )


def validate(value: object, component: str) -> None:
    """Raise ValidationError unless the value is what the component, file#name, says."""
    file, _, name = component.partition("#")
    reference = {"$ref": f"oip:{file}#/components/schemas/{name}"}
    Validator(reference, registry=schemas()).validate(value)


RESPONSE = "dataplane#InferenceResponse"
REQUEST = "dataplane#InferenceRequest"
ERROR = "dataplane#InferenceErrorResponse"


@pytest.fixture
def infer(service):
    """Send an inference request to a memory; the reply."""

    def send(body: object, memory: str = "memory") -> requests.Response:
        return requests.post(f"{service.url}/v2/models/{memory}/infer", json=body, timeout=30)

    return send


def answered(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def assert_error(response: requests.Response, status: int, component: str = ERROR) -> None:
    """The schema does not require `error`; we do, and nothing beside it."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"error"}
    assert response.json()["error"]
    validate(response.json(), component)


# --- The checks themselves ---------------------------------------------------------------


MISSING = "missing"


def spoiled(document: Any, path: str, value: object) -> Any:
    """A copy with another value at the path, or without the field there."""
    wrong = inner = copy.deepcopy(document)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
    for step in steps:
        inner = inner[step]
    inner[last] = value
    if value == MISSING:
        del inner[last]
    assert wrong != document
    return wrong


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model_name", MISSING),
        ("outputs", MISSING),
        ("model_version", None),
        ("id", 1),
        ("parameters", None),
        ("outputs.0.datatype", "STRING"),
        ("outputs.0.shape", ["1"]),
        ("outputs.1.data", "one"),
        ("outputs.1.data", None),
        ("outputs.1.data", MISSING),
    ],
)
def test_the_schema_refuses_a_reply_that_is_wrong(infer, path, value):
    reply = answered(infer(append_request(new_id(), "Hi")))
    validate(reply, RESPONSE)
    with pytest.raises(ValidationError):
        validate(spoiled(reply, path, value), RESPONSE)


# --- Inference ---------------------------------------------------------------------------


def test_a_reply_without_a_version(infer):
    reply = answered(infer(append_request(new_id(), "Hi", "there")))
    assert "model_version" not in reply
    validate(reply, RESPONSE)


@pytest.mark.parametrize("path", ["versioned", "versioned/versions/3"])
def test_a_reply_with_a_version(infer, path):
    reply = answered(infer(append_request(new_id(), "Hi"), path))
    assert reply["model_version"] == "3"
    validate(reply, RESPONSE)


@pytest.mark.parametrize("request_id", ["mine", "", None])
def test_a_reply_to_a_request_with_an_id(infer, request_id):
    reply = answered(infer(read_request(new_id(), id=request_id)))
    if request_id is None:
        assert uuid.UUID(reply["id"]).version == 4
    else:
        assert reply["id"] == request_id
    validate(reply, RESPONSE)


def test_a_reply_with_an_empty_history(infer):
    reply = answered(infer(read_request(new_id())))
    assert reply["outputs"][1]["data"] == []
    validate(reply, RESPONSE)


@pytest.mark.parametrize(
    "names", [["history"], ["memory_id"], ["history", "memory_id"], ["memory_id", "history"]]
)
def test_a_reply_with_the_outputs_that_were_asked_for(infer, names):
    outputs = [{"name": name} for name in names]
    reply = answered(infer(append_request(new_id(), "Hi", outputs=outputs)))
    assert [output["name"] for output in reply["outputs"]] == names
    validate(reply, RESPONSE)


def test_the_shape_of_every_output_is_the_shape_of_its_data(infer):
    memory_id = new_id()
    infer(append_request(memory_id, "Hi"))
    reply = answered(infer(append_request(memory_id, "there")))
    assert [(output["shape"], len(output["data"])) for output in reply["outputs"]] == [
        ([1, 1], 1),
        ([2, 1], 2),
    ]


@pytest.mark.parametrize("function", ["send_inference_request", "get_inference_request"])
def test_seldons_requests_and_their_replies(service, function):
    arguments = {
        "send_inference_request": {"role": ["user"], "content": ["1", "2"], "type": ["text"] * 2},
        "get_inference_request": {},
    }
    endpoint = f"{service.url}/v2/models/memory/infer"
    response = FUNCTIONS[function](memory_id=new_id(), endpoint=endpoint, **arguments[function])
    validate(json.loads(response.request.body), REQUEST)
    validate(answered(response), RESPONSE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("inputs", MISSING),
        ("inputs", {}),
        ("inputs.0", "memory_id"),
        ("inputs.0.name", 1),
        ("inputs.0.name", MISSING),
        ("inputs.0.shape", "1"),
        ("inputs.0.shape", ["1"]),
        ("inputs.0.shape", MISSING),
        ("inputs.0.datatype", "STRING"),
        ("inputs.0.datatype", MISSING),
        ("inputs.0.data", MISSING),
        ("inputs.0.parameters", []),
        ("id", 1),
        ("outputs", [{}]),
        ("parameters", "none"),
    ],
)
def test_a_request_that_the_schema_refuses_is_refused(infer, path, value):
    request = spoiled(read_request(new_id()), path, value)
    with pytest.raises(ValidationError):
        validate(request, REQUEST)
    assert_error(infer(request), 400)


# --- Errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        [],
        document(tensor("role", ["user"])),
        document(tensor("memory_id", ["a", "b"])),
        document(tensor("memory_id", ["a"]), tensor("role", ["user"])),
        read_request("a", outputs=[{"name": "nope"}]),
        read_request("a", parameters={"window_size": "many"}),
    ],
    ids=["a list", "no memory_id", "two memory_ids", "no content", "unknown output", "no number"],
)
def test_a_request_that_is_refused(infer, body):
    assert_error(infer(body), 400)


def test_a_request_to_an_unknown_memory_or_version(infer):
    assert_error(infer(read_request("a"), "nope"), 404)
    assert_error(infer(read_request("a"), "versioned/versions/4"), 404)


def test_a_request_to_a_memory_whose_database_is_down(infer):
    response = infer(read_request("a"), "down")
    assert_error(response, 503)
    assert int(response.headers["Retry-After"]) > 0


# --- Metadata and repository -------------------------------------------------------------


def test_the_servers_metadata(service):
    response = requests.get(f"{service.url}/v2", timeout=30)
    validate(answered(response), "dataplane#MetadataServerResponse")


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_memorys_metadata(service, memory):
    version, config = MEMORIES[memory]
    reply = answered(requests.get(f"{service.url}/v2/models/{memory}", timeout=30))
    validate(reply, "dataplane#MetadataModelResponse")
    assert reply["versions"] == ([version] if version else [])
    names = config.get("tensor_names", DEFAULT_TENSOR_NAMES)
    assert [tensor["name"] for tensor in reply["inputs"]] == ["memory_id", *names]
    assert [tensor["name"] for tensor in reply["outputs"]] == ["memory_id", "history"]


def test_metadata_of_an_unknown_memory(service):
    response = requests.get(f"{service.url}/v2/models/nope", timeout=30)
    assert_error(response, 404, "dataplane#MetadataModelErrorResponse")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}'])
def test_the_repository_index(service, body):
    if body:
        validate(json.loads(body), "model_repository#RepositoryIndexRequest")
    reply = requests.post(f"{service.url}/v2/repository/index", data=body, timeout=30)
    validate(answered(reply), "model_repository#RepositoryIndexResponse")
