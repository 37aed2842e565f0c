"""ConversationalMemory: a memory as an MLServer runtime. It translates; the contract decides.

MLServer 1.7 is what calls it: github.com/SeldonIO/MLServer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.settings import ModelParameters, ModelSettings
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse
from mlserver.utils import extract_headers

from api_keys import errors as access
from api_keys.caller import ANYBODY, Caller
from api_keys.doors import MLSERVER, asks_for_keys, caller_at
from convstore.errors import (
    IdentityClash,
    MessageTooLarge,
    RequestKeyReused,
    Unavailable,
    WindowTooLarge,
    WrongPosition,
)
from memory_api import contract, v2
from memory_api.errors import (
    BadRequest,
    MemoryUnavailable,
    RequestError,
    SettingsError,
    log_failure,
    status_and_sentence,
    with_cause,
)
from memory_api.idempotency import Delivery
from memory_api.memory import Memory
from memory_api.metrics import count_refused, metrics_of
from memory_api.model_settings import memory_from_settings, read_model_settings
from memory_api.start_log import describe_memory, what_is_asked
from memory_api.tables import TablesNotReady, migrate_tables, require_tables
from mlserver_bridge.limits import limit_requests
from mlserver_bridge.mlserver_changes import MadeId, change_mlserver
from mlserver_bridge.request_lines import one_line, send_id_back, write_request_lines
from mlserver_bridge.rest_replies import complete_replies
from mlserver_bridge.threads import DatabaseThreads, threads_for

change_mlserver()
write_request_lines()
complete_replies()

# What the client did wrong is always 422: after 400 or 404, Seldon's agent reloads the model and
# sends the same request again.
STATUSES: Mapping[type[Exception], int] = {
    **access.STATUSES,
    RequestError: 422,
    SettingsError: 422,
    MemoryUnavailable: 503,
    MessageTooLarge: 422,
    WindowTooLarge: 422,
    WrongPosition: 422,
    RequestKeyReused: 422,
    IdentityClash: 500,
    Unavailable: 503,
}
# An id is sent back, in addition to the window.
MAX_ID_CHARACTERS = 8 * 1024
PARAMETERS = set(ModelParameters.model_fields)

NO_KEYS = (
    "REQUIRE_API_KEYS names mlserver, but there is no DATABASE_URL to find API keys in; set it to"
    " the database in which 'convstore keys create' makes them"
)

logger = logging.getLogger(__name__)


class ConversationalMemory(MLModel):
    """The memory that a model-settings.json describes."""

    memory: Memory
    threads: DatabaseThreads | None = None
    # Those in which API keys are looked up, where this door asks for them.
    key_threads: DatabaseThreads | None = None
    has_tables = False
    # Why there is no memory, if its settings are wrong.
    refusal = ""

    def __init__(self, settings: ModelSettings) -> None:
        """Turn off what MLServer does by its settings before it calls `load`.

        It would join requests of several conversations, answer from a cache and store nothing,
        and load the memory in a worker, whose failure at the start would end the whole server.
        """
        self.asked = settings
        off = {
            "max_batch_size": 0,
            "max_batch_time": 0.0,
            "cache_enabled": False,
            "parallel_workers": 0,
        }
        super().__init__(settings.model_copy(update=off))

    async def load(self) -> bool:
        """Read the settings, and make or migrate the tables. Raises MLServerError.

        A memory whose database cannot be reached is loaded all the same: requests are answered
        with 503, and the first one after the database came back makes the tables. So is any other
        while MLServer starts, since one that fails then ends the whole server.
        """
        where = f"model {self.name}"
        self._read_settings(where)
        if self.refusal:
            if not _is_starting():
                raise MLServerError(self.refusal, STATUSES[SettingsError])
            logger.error("%s", self.refusal)
            return True
        logger.info("%s", describe_memory(self.memory))
        say_what_is_asked()
        limit_requests(self.name, self.memory.labels)
        if asks_for_keys(MLSERVER):
            self.key_threads = threads_for(DEFAULT_DB_ALIAS)
        self.threads = threads_for(self.memory.store.using)
        try:
            await self.threads.run(self._prepare_tables)
        except TablesNotReady as error:
            if not _is_starting():
                raise MLServerError(
                    f"{where}: {with_cause(error)}", STATUSES[Unavailable]
                ) from None
            log_failure(where, error)
        except Unavailable as error:
            log_failure(where, error)
        return True

    def _read_settings(self, where: str) -> None:
        """Make the memory, or say why there is none."""
        try:
            self.memory = memory_from_settings(_settings_document(self.asked, where), where)
        except SettingsError as error:
            self.refusal = str(error)
        if asks_for_keys(MLSERVER) and not settings.IS_DATABASE_NAMED:
            self.refusal = NO_KEYS

    async def unload(self) -> bool:
        """Release the threads. Does nothing if the memory was not loaded."""
        self.threads = self.key_threads = (
            None  # they end when no other memory and no request uses them
        )
        return True

    async def metadata(self) -> MetadataModelResponse:
        self._require_memory()
        return MetadataModelResponse(**contract.metadata(self.memory))

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer an inference request. Raises MLServerError."""
        with one_line(self.name) as record:
            self._require_memory()
            if self.threads is None:
                raise MLServerError(f"model {self.name} is not loaded", 503)
            record.version = self.memory.version
            headers = _headers(payload)
            delivery = Delivery(
                headers.get("x-request-id", ""), headers.get("idempotency-key"), headers.keys()
            )
            try:
                caller = await self._caller(headers.get("authorization"))
                work = partial(self._infer, payload, delivery, caller)
                response = await self.threads.run(work)
            except Exception as error:
                count_refused(self.memory.labels, error)
                status, sentence = status_and_sentence(
                    error, STATUSES, where=f"model {self.name}", request_id=record.request_id
                )
                raise MLServerError(sentence, status) from None
            finally:
                metrics_of(*self.memory.labels).observe_request()
            payload.id = response.id  # which MLServer gives every response
            send_id_back(response, record)
            return response

    async def predict_stream(
        self, payloads: AsyncIterator[InferenceRequest]
    ) -> AsyncIterator[InferenceResponse]:
        """Answer each request of a stream. MLServer's own method answers only the first one."""
        async for payload in payloads:
            response = await self.predict(payload)
            # MLServer would send them in the document: a stream has one head for all replies.
            extract_headers(response)
            yield response

    def _require_memory(self) -> None:
        if self.refusal:
            raise MLServerError(self.refusal, STATUSES[MemoryUnavailable])

    async def _caller(self, authorization: str | None) -> Caller:
        """Who asks. Raises AccessError, and Unavailable."""
        if self.key_threads is None:
            return ANYBODY
        caller = await self.key_threads.run(partial(caller_at, MLSERVER, authorization))
        caller.require_memory(self.memory.name, self.memory.step)
        return caller

    def _infer(
        self, payload: InferenceRequest, delivery: Delivery, caller: Caller
    ) -> InferenceResponse:
        if not self.has_tables:
            self._prepare_tables()
        _check_id(payload.id)
        answer = contract.infer(self.memory, _document(payload), delivery, caller)
        return _response(answer.document, in_bytes=_is_in_bytes(payload))

    def _prepare_tables(self) -> None:
        prepare = migrate_tables if self.memory.auto_migrate else require_tables
        prepare(self.memory.store.using)
        self.has_tables = True


@cache
def say_what_is_asked() -> None:
    """Say once, and not for each memory, who may come."""
    logger.info("%s", what_is_asked(MLSERVER))


def _is_starting() -> bool:
    """Whether MLServer loads its whole repository, and nobody waits for this memory's answer.

    Then each model has a task of its own; later the task is that of a client's request.
    """
    task = asyncio.current_task()
    coroutine = task and task.get_coro()
    return getattr(coroutine, "__qualname__", "") == "MultiModelRegistry.load"


def _settings_document(settings: ModelSettings, where: str) -> dict[str, Any]:
    """The model-settings.json, with the values that MLServer took out of the environment.

    Only the file has fields that MLServer does not know. Raises SettingsError.
    """
    source = settings._source
    document = read_model_settings(Path(source), where) if source else {}
    parameters = settings.parameters
    known = {} if parameters is None else parameters.model_dump(include=PARAMETERS)
    given = document.get("parameters")
    return {
        **document,
        **settings.model_dump(by_alias=True, exclude={"parameters"}),
        "parameters": {**given, **known} if isinstance(given, dict) else known,
    }


def _headers(payload: InferenceRequest) -> dict[str, str]:
    """HTTP's headers or gRPC's metadata, which MLServer puts into the parameters."""
    return (payload.parameters and payload.parameters.headers) or {}


def _check_id(request_id: str | None) -> None:
    """Refuse an id that MLServer cannot send back in a header: it would fail after the COMMIT."""
    if not all(" " <= character <= "~" for character in request_id or ""):
        raise BadRequest("'id' must be printable ASCII, since MLServer sends it back in a header")
    if len(request_id or "") > MAX_ID_CHARACTERS:
        raise BadRequest(
            f"'id' has {len(request_id or '')} characters; the limit is {MAX_ID_CHARACTERS}"
        )


def _document(payload: InferenceRequest) -> dict[str, Any]:
    """MLServer's request as a V2 document. A request over gRPC was not validated by MLServer."""
    return {
        "id": None if isinstance(payload.id, MadeId) else payload.id,
        "parameters": payload.parameters and payload.parameters.model_dump(exclude={"headers"}),
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


def _is_in_bytes(payload: InferenceRequest) -> bool:
    """Whether texts came as bytes: over gRPC they do, over REST they are JSON's strings."""
    elements = [tensor.data.root for tensor in payload.inputs]
    return any(isinstance(each, list) and bytes in map(type, each) for each in elements)


def _response(document: v2.InferResponse, *, in_bytes: bool) -> InferenceResponse:
    """MLServer's response. It can send bytes over gRPC only, and writes strings as JSON faster."""
    outputs: list[Any] = list(document["outputs"])
    if in_bytes:
        outputs = [
            {**output, "data": [text.encode() for text in output["data"]]} for output in outputs
        ]
    return InferenceResponse(**{**document, "outputs": outputs})
