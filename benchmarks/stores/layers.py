"""What MLServer's door calls, in process: the runtime without MLServer, and the contract alone."""

from __future__ import annotations

from typing import Any

import mlserver_memory  # noqa: F401 - sets Django up, as MLServer does

# isort: split
from mlserver import ModelSettings
from mlserver.types import InferenceRequest

from api_keys.caller import ANYBODY
from benchmarks.stores import ours
from benchmarks.stores.http import V2Session
from convstore.store import ConversationStore
from memory_api import contract
from memory_api.memory import Memory
from mlserver_bridge.runtime import ConversationalMemory


class ContractSession(V2Session):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.store = ours.Session(memory.store)

    def _infer(self, window: int, **tensors: str) -> Any:
        return self.outputs(
            {
                "parameters": {"window_size": window},
                "inputs": [
                    {"name": name, "shape": [1], "datatype": "BYTES", "data": [text]}
                    for name, text in tensors.items()
                ],
            }
        )

    def outputs(self, document: dict[str, Any]) -> Any:
        return contract.infer(self.memory, document).document["outputs"]

    def elements(self, answer: Any) -> list[str]:
        history: list[str] = next(each["data"] for each in answer if each["name"] == "history")
        return history

    def close(self) -> None:
        self.store.close()


class RuntimeSession(ContractSession):
    """From MLServer's request to its response, in the thread that works for a request."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        settings = ModelSettings(name=memory.name, implementation=ConversationalMemory)
        self.runtime = ConversationalMemory(settings)
        self.runtime.memory, self.runtime.has_tables = memory, True

    def outputs(self, document: dict[str, Any]) -> Any:
        payload = InferenceRequest.model_validate(document)
        return self.runtime._infer(payload, contract.NO_HEADERS, ANYBODY).outputs

    def elements(self, answer: Any) -> list[str]:
        history: list[str] = next(each.data.root for each in answer if each.name == "history")
        return history


class ContractStore(ours.Store):
    session_class = ContractSession

    def __init__(self, url: str) -> None:
        super().__init__(url)
        names = ("role", "content", "type")
        store = ConversationStore(self.using)
        self.memory = Memory(name="memory", window_size=50, tensor_names=names, store=store)

    def session(self) -> Any:
        return self.session_class(self.memory)


class RuntimeStore(ContractStore):
    session_class = RuntimeSession
