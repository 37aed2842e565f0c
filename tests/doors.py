"""Ways in to a memory, one class a door; the tests of the contract know no other.

A test that asks for the fixture `door` runs at each of DOORS. What a protocol cannot say,
or says otherwise, is for `at` some of them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
import pytest
import requests
from tritonclient.grpc import service_pb2 as pb

from convstore.database.url import database_alias
from convstore.models import Conversation, Message
from testing.bodies import flat_elements, pack_elements, unpack_elements
from testing.mlserver import MLServer
from testing.processes import Process

JSON_DOORS = ("http", "rest")
GRPC_DOORS = ("grpc", "grpc-raw")
MLSERVER_DOORS = ("rest", *GRPC_DOORS)
DOORS = ("http", *MLSERVER_DOORS)


def at(*doors: str) -> pytest.MarkDecorator:
    """The test's `door` is each of these, and no other."""
    return pytest.mark.parametrize("door", doors, indirect=True)


@dataclass(frozen=True)
class Reply:
    """What came back: a status of the HTTP door, a document, and the bytes it was read from."""

    status: int
    document: dict[str, Any]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bool = False  # whether gRPC's tensors came behind the message

    @property
    def history(self) -> list[str]:
        (output,) = [out for out in self.document["outputs"] if out["name"] == "history"]
        assert output["shape"] == [len(output["data"]), 1]
        data: list[str] = output["data"]
        return data

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(element) for element in self.history]

    @property
    def texts(self) -> list[str]:
        """The value of each message's only part."""
        return [part["value"] for message in self.messages for part in message["content"]]


class HttpDoor:
    """The Django service over HTTP."""

    bad_request = 400
    too_large = 413

    def __init__(self, service: Process) -> None:
        self.service = service
        self.session = requests.Session()

    def infer(self, document: object, memory: str = "memory", **headers: str) -> Reply:
        return self.send(json.dumps(document).encode(), memory, **headers)

    def send(self, body: Any, memory: str = "memory", **headers: str) -> Reply:
        """Any body at all, as it is, to a memory."""
        url = f"{self.service.url}/v2/models/{memory}/infer"
        reply = self.session.post(url, data=body, headers=headers, timeout=60)
        return Reply(reply.status_code, reply.json(), reply.content, reply.headers)


class RestDoor(HttpDoor):
    """MLServer's REST, which reads a body as JSON only where a header says that it is."""

    bad_request = 422
    too_large = 422

    def send(self, body: Any, memory: str = "memory", **headers: str) -> Reply:
        return super().send(body, memory, **{"Content-Type": "application/json", **headers})


class GrpcDoor:
    """MLServer's gRPC, the elements of tensors as `bytes_contents`, or `raw` behind them."""

    bad_request = 422
    too_large = 422
    statuses: ClassVar = {
        grpc.StatusCode.OK: 200,
        grpc.StatusCode.FAILED_PRECONDITION: 422,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.INTERNAL: 500,
        grpc.StatusCode.UNAUTHENTICATED: 401,
        grpc.StatusCode.PERMISSION_DENIED: 403,
        grpc.StatusCode.RESOURCE_EXHAUSTED: 500,  # where MLServer's words are too many for gRPC
        grpc.StatusCode.UNAVAILABLE: 503,
    }

    def __init__(self, service: MLServer, *, raw: bool = False) -> None:
        self.service = service
        self.raw = raw

    def infer(self, document: dict[str, Any], memory: str = "memory", **metadata: str) -> Reply:
        name, _, version = memory.partition("/versions/")
        request = infer_request(document, self.raw, model_name=name, model_version=version)
        reply = self.send(request, **metadata)
        assert reply.status != 200 or reply.raw == self.raw
        return reply

    def send(self, request: pb.ModelInferRequest, *more: tuple[str, str], **metadata: str) -> Reply:
        """Any message at all, as it is; `more` is metadata that may have a name twice."""
        try:
            response = self.service.grpc.ModelInfer(
                request, timeout=60, metadata=(*more, *metadata.items())
            )
        except grpc.RpcError as error:
            return Reply(self.statuses[error.code()], {"error": error.details()})
        raw = bool(response.raw_output_contents)
        return Reply(200, infer_response(response), raw=raw)


Door = HttpDoor | GrpcDoor


def open_door(name: str, service: Process, mlserver: Callable[[], MLServer]) -> Door:
    """The door of this name, out of DOORS; `mlserver` starts it, where it is wanted."""
    if name == "http":
        return HttpDoor(service)
    if name == "rest":
        return RestDoor(mlserver())
    return GrpcDoor(mlserver(), raw=name == "grpc-raw")


NUMBERS = {"INT64": ("int64_contents", "q"), "FP32": ("fp32_contents", "f")}


def infer_request(document: dict[str, Any], raw: bool, **fields: str) -> pb.ModelInferRequest:
    """A V2 document as gRPC's message, whose tensors are flat, and of one type each."""
    request = pb.ModelInferRequest(id=document.get("id") or "", **fields)
    set_parameters(request.parameters, document.get("parameters"))
    for tensor in document["inputs"]:
        sent = request.inputs.add(
            name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
        )
        set_parameters(sent.parameters, tensor.get("parameters"))
        elements = flat_elements(tensor["data"])
        contents, code = "bytes_contents", ""
        if any(isinstance(element, int | float) for element in elements):
            contents, code = NUMBERS.get(sent.datatype, NUMBERS["INT64"])
        else:
            elements = [_encode(element) for element in elements]
        if raw:
            numbers = struct.pack(f"<{len(elements)}{code}", *elements) if code else b""
            request.raw_input_contents.append(numbers or pack_elements(*elements))
        else:
            getattr(sent.contents, contents).extend(elements)
    for output in document.get("outputs") or ():
        set_parameters(
            request.outputs.add(name=output["name"]).parameters, output.get("parameters")
        )
    return request


def _encode(element: str | bytes) -> bytes:
    return element if isinstance(element, bytes) else element.encode()


def set_parameters(to: Any, parameters: dict[str, Any] | None) -> None:
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param"}
    for name, value in (parameters or {}).items():
        if value is None:  # a parameter that has no value
            to[name].SetInParent()
        else:
            setattr(to[name], kinds[type(value)], value)


def infer_response(response: pb.ModelInferResponse) -> dict[str, Any]:
    """gRPC's message as the V2 document that REST would have sent."""
    version = {"model_version": response.model_version} if response.model_version else {}
    outputs = []
    for n, output in enumerate(response.outputs):
        elements = output.contents.bytes_contents
        if response.raw_output_contents:
            elements = unpack_elements(response.raw_output_contents[n])
        outputs.append(
            {
                "name": output.name,
                "shape": list(output.shape),
                "datatype": output.datatype,
                "parameters": {key: value.string_param for key, value in output.parameters.items()},
                "data": [element.decode() for element in elements],
            }
        )
    return {
        "model_name": response.model_name,
        **version,
        "id": response.id,
        "parameters": {
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in response.parameters.items()
        },
        "outputs": outputs,
    }


def stored_counts(service: Process) -> tuple[int, int]:
    """How many conversations and messages a service's database holds, asked past every door."""
    alias = database_alias(service.environment["DATABASE_URL"])
    return Conversation.objects.using(alias).count(), Message.objects.using(alias).count()
