"""Any store behind MLServer: the original service's stand-in, and a runtime that does nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.child import opened
from benchmarks.scenario import Session, TextMessage


class Runtime(MLModel):
    """STORE is a store's MODULE:CLASS, STORE_URL its URL."""

    async def load(self) -> bool:
        self.store = opened(os.environ["STORE"], os.environ["STORE_URL"])
        self.threads = ThreadPoolExecutor(8)
        self.local = threading.local()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensors = {each.name: StringCodec.decode_input(each)[0] for each in payload.inputs}
        window = payload.parameters.window_size
        loop = asyncio.get_running_loop()
        history = await loop.run_in_executor(self.threads, self.window, tensors, window)
        outputs = {"memory_id": [tensors["memory_id"]], "history": history}
        encoded = [StringCodec.encode_output(name, data) for name, data in outputs.items()]
        return InferenceResponse(model_name=self.name, outputs=encoded)

    def window(self, tensors: dict[str, str], window: int) -> list[str]:
        if not hasattr(self.local, "session"):
            self.local.session = self.store.session()
        session: Session = self.local.session
        if "role" in tensors:
            message = TextMessage(tensors["role"], tensors["type"], tensors["content"])
            answer = session.append(tensors["memory_id"], message, window)
        else:
            answer = session.read(tensors["memory_id"], window)
        return list(session.elements(answer))
