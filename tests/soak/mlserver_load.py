"""Clients that write without pause through MLServer's REST and gRPC, half of them each."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

import grpc
from tritonclient.grpc import service_pb2_grpc

from testing.bodies import append_request
from testing.processes import Process
from tests.mlserver.core2 import called, request, saying, tensors_of
from tests.soak.checker import WINDOW, Acknowledged, Failed, Text
from tests.soak.load import ANSWER_SECONDS, ASKED, CUT, UNAVAILABLE, Load, Writer, way

UNKNOWN_MODEL = "404"
NOT_LOADED_YET = "400"
# MLServer's own ways, in which our code has no part: a worker that is not there, and gRPC's
# answer to what comes when the server has begun to end.
NO_WORKER = {"500", "500 b'Internal Server Error'"}
CANCELLED = "cancelled"
# Every code that the door may answer with has one name here, REST's.
CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: NOT_LOADED_YET,
    grpc.StatusCode.NOT_FOUND: UNKNOWN_MODEL,
    grpc.StatusCode.FAILED_PRECONDITION: "422",
    grpc.StatusCode.INTERNAL: "500",
    grpc.StatusCode.CANCELLED: CANCELLED,
}


class BothDoors(Load):
    """A Load whose clients go in turns through REST and gRPC, to the model that `model` names."""

    def __init__(self, server: Process, grpc_port: int, model: Callable[[], str]) -> None:
        super().__init__(server.url)
        self.grpc_address = f"127.0.0.1:{grpc_port}"
        self.model = model

    def client(self, number: int) -> Writer:
        if number % 2:
            return GrpcClient(self.grpc_address, self.model)
        return RestClient(self.address, self.model)


class RestClient:
    """Says one text at a time, and none again. http.client never repeats a request."""

    def __init__(self, address: str, model: Callable[[], str]) -> None:
        self._connection = HTTPConnection(address, timeout=ANSWER_SECONDS)
        self._model = model
        self._opened = 0.0

    def close(self) -> None:
        self._connection.close()

    def say(self, text: Text) -> Acknowledged | Failed:
        if self._connection.sock is None:
            self._opened = time.monotonic()
        sent = time.monotonic()
        try:
            status, answer = self._post(text)
        except (OSError, HTTPException) as error:
            self.close()
            # What cut the connection may have done so when nobody was looking.
            return Failed(text, way(error), self._opened, time.monotonic())
        if status == 200:
            (history,) = [out for out in json.loads(answer)["outputs"] if out["name"] == "history"]
            return acknowledge(text, history["data"])
        how = str(status) if said_in_a_sentence(answer) else f"{status} {answer!r}"
        return Failed(text, how, sent, time.monotonic())

    def _post(self, text: Text) -> tuple[int, bytes]:
        sent = json.dumps(append_request(text.memory_id, text.value, parameters=ASKED)).encode()
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", f"/v2/models/{self._model()}/infer", sent, headers)
        response = self._connection.getresponse()
        return response.status, response.read()


def said_in_a_sentence(answer: bytes) -> bool:
    try:
        return isinstance(json.loads(answer)["error"], str)
    except (ValueError, KeyError):
        return False


class GrpcClient:
    """The same over gRPC, which must not repeat anything by itself."""

    def __init__(self, address: str, model: Callable[[], str]) -> None:
        self._address = address
        self._model = model
        self._connect()

    def _connect(self) -> None:
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(self._address, options=options)
        self._service = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def say(self, text: Text) -> Acknowledged | Failed:
        sent = time.monotonic()
        asked = request(self._model(), saying(text.memory_id, text.value), window_size=WINDOW)
        try:
            response = self._service.ModelInfer(
                asked, timeout=ANSWER_SECONDS, metadata=called(f"{text.client}-{text.number}")
            )
        except grpc.RpcError as error:
            return Failed(text, self._way(error), sent, time.monotonic())
        return acknowledge(text, tensors_of(response)["history"])

    def _way(self, error: grpc.RpcError) -> str:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            return CODES.get(error.code(), repr(error))
        if (error.details() or "").startswith("the database"):  # the memory's own sentence
            return UNAVAILABLE
        # A channel would wait longer and longer before it connects again; a new one does not.
        self.close()
        self._connect()
        return CUT  # or refused: gRPC has one code for both


def acknowledge(text: Text, history: list[str]) -> Acknowledged:
    return Acknowledged(text, tuple(map(sys.intern, history)), time.monotonic())
