"""MLServer's gRPC door as a store."""

from __future__ import annotations

from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.stores import http


class Session(http.V2Session):
    def __init__(self, target: str) -> None:
        size = [
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        self.channel = grpc.insecure_channel(target, options=size)
        self.infer = service_pb2_grpc.GRPCInferenceServiceStub(self.channel).ModelInfer

    def _infer(self, window: int, **tensors: str) -> Any:
        request = service_pb2.ModelInferRequest(model_name="memory")
        request.parameters["window_size"].int64_param = window
        for name, text in tensors.items():
            tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
            tensor.contents.bytes_contents.append(text.encode())
        return self.infer(request)

    def elements(self, answer: service_pb2.ModelInferResponse) -> list[str]:
        history = next(each for each in answer.outputs if each.name == "history")
        return [element.decode() for element in history.contents.bytes_contents]

    def close(self) -> None:
        self.channel.close()


class Store(http.Store):
    def session(self) -> Any:
        return Session(self.url)
