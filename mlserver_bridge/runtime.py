"""ConversationalMemory: a memory as an MLServer runtime. Translates, decides nothing.

What MLServer is, and what it does with a runtime: github.com/SeldonIO/MLServer, 1.7.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse

from convstore.errors import MessageTooLarge, Unavailable
from memory_api import contract, v2
from memory_api.errors import BadRequest, SettingsError, TooLarge, unexpected
from memory_api.memories import Memory, from_settings
from mlserver_bridge import tables
from mlserver_bridge.threads import Threads, threads_of

logger = logging.getLogger(__name__)

# A client's fault is 422: Seldon's agent answers 400 and 404 with a reload of the model and
# the same request once more.
STATUSES: dict[type[Exception], int] = {
    SettingsError: 422,
    BadRequest: 422,
    TooLarge: 422,
    MessageTooLarge: 422,
    Unavailable: 503,
    tables.NotMade: 503,
}


class ConversationalMemory(MLModel):
    """One memory, as its model-settings.json has it; `memory_api.contract` says what it answers."""

    memory: Memory
    threads: Threads | None = None
    has_tables = False

    async def load(self) -> bool:
        """Check the settings, and make or migrate the tables.

        Raises MLServerError where that cannot be done. A database that cannot be reached now
        does not keep the memory from being loaded: requests are answered with 503, and the
        first one after the database came back makes the tables.
        """
        try:
            self.memory = from_settings(_settings(self), f"model {self.name}")
        except SettingsError as error:
            raise MLServerError(str(error), 422) from None
        self.threads = threads_of(self.memory.store.using)
        try:
            await self.threads.run(self._make_tables)
        except tables.NotMade as error:
            reason = str(error.__cause__ or "").strip().partition("\n")[0]
            raise MLServerError(f"model {self.name}: {error}: {reason}".rstrip(": "), 503) from None
        except Unavailable as error:
            logger.warning("model %s: %s: %s", self.name, error, error.__cause__)
        return True

    async def unload(self) -> bool:
        """Let go of what this memory used. Harmless where it was not loaded."""
        self.threads = None  # which end when no other memory and no request holds them
        return True

    async def metadata(self) -> MetadataModelResponse:
        return MetadataModelResponse(**contract.metadata(self.memory))

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Raises MLServerError: 422 for the client's fault, 503, or 500."""
        if self.threads is None:
            raise MLServerError(f"model {self.name} is not loaded", 503)
        request_id = _headers(payload).get("x-request-id", "")
        try:
            return await self.threads.run(partial(self._answer, payload, request_id))
        except Exception as error:
            raise self._refusal(error, request_id) from None

    async def predict_stream(
        self, payloads: AsyncIterator[InferenceRequest]
    ) -> AsyncIterator[InferenceResponse]:
        """A reply to each request of a stream; MLServer's own answers the first one only."""
        async for payload in payloads:
            yield await self.predict(payload)

    def _answer(self, payload: InferenceRequest, request_id: str) -> InferenceResponse:
        if not self.has_tables:
            self._make_tables()
        _refuse_unsendable(payload.id)
        answer = contract.infer(self.memory, _request(payload), request_id)
        return _response(answer.document)

    def _make_tables(self) -> None:
        tables.make(self.memory)
        self.has_tables = True

    def _refusal(self, error: Exception, request_id: str) -> MLServerError:
        """The one place where a failure gets its status."""
        if type(error) not in STATUSES:
            return MLServerError(unexpected(request_id, f"model {self.name}", error), 500)
        if isinstance(error, Unavailable):
            logger.warning("model %s: %s: %s", self.name, error, error.__cause__)
        return MLServerError(str(error), STATUSES[type(error)])


def _settings(model: MLModel) -> dict[str, Any]:
    """The model-settings.json that MLServer read, as far as a memory asks for it."""
    parameters = model.settings.parameters
    return {
        "name": model.name,
        "parameters": parameters and {"version": parameters.version, "extra": parameters.extra},
    }


def _headers(payload: InferenceRequest) -> dict[str, str]:
    """HTTP's headers or gRPC's metadata, as MLServer hands them over."""
    return (payload.parameters and payload.parameters.headers) or {}


def _refuse_unsendable(request_id: str | None) -> None:
    """MLServer repeats the id in a header of its reply, and would fail once all is stored."""
    if not all(" " <= character <= "~" for character in request_id or ""):
        raise BadRequest("'id' must be printable ASCII, since MLServer sends it back in a header")


def _request(payload: InferenceRequest) -> dict[str, Any]:
    """MLServer's request as the V2 document that it was. At gRPC nobody has checked it."""
    return {
        "id": payload.id,
        "parameters": payload.parameters and payload.parameters.model_dump(),
        "inputs": [
            {
                "name": tensor.name,
                "shape": tensor.shape,
                "datatype": tensor.datatype,
                "parameters": tensor.parameters and tensor.parameters.model_dump(),
                "data": tensor.data.root,
            }
            for tensor in payload.inputs
        ],
        "outputs": [
            {
                "name": output.name,
                "parameters": output.parameters and output.parameters.model_dump(),
            }
            for output in payload.outputs or ()
        ],
    }


def _response(document: v2.InferResponse) -> InferenceResponse:
    """The answer as MLServer's, its strings as bytes, which both of its faces can send."""
    outputs = [
        {**output, "data": [text.encode() for text in output["data"]]}
        for output in document["outputs"]
    ]
    return InferenceResponse(**{**document, "outputs": outputs})
