"""Ways in to a memory, one class a door; the tests of the contract know no other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
import requests
from tritonclient.grpc import service_pb2 as pb

from convstore.databases import connect
from convstore.models import Conversation, Message
from tests.bodies import flat, packed, unpacked
from tests.mlserver import MLServer
from tests.service import Process


@dataclass(frozen=True)
class Reply:
    """What came back: a status of the HTTP door, a document, and the bytes it was read from."""

    status: int
    document: dict[str, Any]
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

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

    def send(self, body: Any, memory: str = "memory", **headers: str) -> Reply:
        return super().send(body, memory, **{"Content-Type": "application/json", **headers})


class GrpcDoor:
    """MLServer's gRPC, the elements of tensors as `bytes_contents`, or `raw` behind them."""

    bad_request = 422
    statuses: ClassVar = {
        grpc.StatusCode.OK: 200,
        grpc.StatusCode.FAILED_PRECONDITION: 422,
        grpc.StatusCode.NOT_FOUND: 404,
        grpc.StatusCode.INTERNAL: 500,
        grpc.StatusCode.UNKNOWN: 503,  # MLServer has no code for it
    }

    def __init__(self, service: MLServer, *, raw: bool = False) -> None:
        self.service = service
        self.raw = raw

    def infer(self, document: dict[str, Any], memory: str = "memory", **metadata: str) -> Reply:
        name, _, version = memory.partition("/versions/")
        request = infer_request(document, self.raw, model_name=name, model_version=version)
        try:
            response = self.service.grpc.ModelInfer(
                request, timeout=60, metadata=tuple(metadata.items())
            )
        except grpc.RpcError as error:
            return Reply(self.statuses[error.code()], {"error": error.details()})
        assert bool(response.raw_output_contents) == self.raw
        return Reply(200, infer_response(response))


def infer_request(document: dict[str, Any], raw: bool, **fields: str) -> pb.ModelInferRequest:
    """A V2 document as gRPC's message; its tensors must be of text."""
    request = pb.ModelInferRequest(id=document.get("id") or "", **fields)
    set_parameters(request.parameters, document.get("parameters"))
    for tensor in document["inputs"]:
        elements = [element.encode() for element in flat(tensor["data"])]
        sent = request.inputs.add(
            name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"]
        )
        set_parameters(sent.parameters, tensor.get("parameters"))
        if raw:
            request.raw_input_contents.append(packed(*elements))
        else:
            sent.contents.bytes_contents.extend(elements)
    for output in document.get("outputs") or ():
        set_parameters(
            request.outputs.add(name=output["name"]).parameters, output.get("parameters")
        )
    return request


def set_parameters(to: Any, parameters: dict[str, Any] | None) -> None:
    kinds = {bool: "bool_param", int: "int64_param", str: "string_param"}
    for name, value in (parameters or {}).items():
        setattr(to[name], kinds[type(value)], value)


def infer_response(response: pb.ModelInferResponse) -> dict[str, Any]:
    """gRPC's message as the V2 document that REST would have sent."""
    version = {"model_version": response.model_version} if response.model_version else {}
    outputs = []
    for n, output in enumerate(response.outputs):
        elements = output.contents.bytes_contents
        if response.raw_output_contents:
            elements = unpacked(response.raw_output_contents[n])
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
        "parameters": dict(response.parameters),
        "outputs": outputs,
    }


def stored(service: Process) -> tuple[int, int]:
    """How many conversations and messages a service's database holds, asked past every door."""
    alias = connect(service.environment["DATABASE_URL"])
    return Conversation.objects.using(alias).count(), Message.objects.using(alias).count()
