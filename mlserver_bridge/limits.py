"""What MLServer reads of a request to a memory: no more, and no less, than the HTTP door would.

MLServer 1.7 has no limit on a REST body, on what it becomes when it is decompressed, or on what
is in it, and asks a runtime only after it has built all of it. So two classes by which it reads
requests are replaced here. Requests to its other models are read as ever.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from mlserver.errors import MLServerError
from mlserver.grpc import servicers
from mlserver.grpc.converters import ModelInferRequestConverter
from mlserver.grpc.utils import to_headers
from mlserver.rest import app
from mlserver.rest.requests import Request
from mlserver.types import InferenceRequest
from pydantic import ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from convstore import tracing
from convstore.errors import Unavailable
from convstore.request_log import REQUEST_ID, RequestRecord, begin_record
from memory_api import bodies
from memory_api.budget import Share
from memory_api.errors import BadRequest, RequestError, TooLarge
from memory_api.json_text import refuse_excess, refuse_repeats
from memory_api.limits import BYTES_OF_A_VALUE
from memory_api.metrics import count_refused
from memory_api.request_names import refuse_fields, refuse_query
from memory_api.v2 import unknown_fields
from mlserver_bridge.request_lines import memories, one_line
from mlserver_bridge.rest_replies import RECORD
from mlserver_bridge.unknown_models import has_model, unknown_model

STATUS = 422  # as of all refusals at MLServer's doors
MALFORMED_PARAMETERS = (
    "'parameters' has a 'content_type' that is no string, or 'headers' that are no object; leave"
    " both out"
)
# The headers that a memory reads of each delivery of a request.
OF_DELIVERY = ("authorization", "idempotency-key", "x-request-id")


def limit_requests(name: str, labels: tuple[str, str]) -> None:
    """Limit the requests to the memory `name`, which has these labels, from now on."""
    memories[name] = labels
    app.Request = LimitedRequest
    servicers.ModelInferRequestConverter = LimitedConverter
    servicers.to_headers = all_headers


# --- REST --------------------------------------------------------------------------------


class BodyRefused(MLServerError, HTTPException):
    """FastAPI passes an HTTPException on; MLServer answers its own errors in their form."""

    def __init__(self, sentence: str, status: int) -> None:
        HTTPException.__init__(self, status, sentence)

    def __str__(self) -> str:
        return str(self.detail)


class LimitedRequest(Request):
    """It has its share of the budget for as long as MLServer keeps it, which is until its reply."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._share = Share()
        weakref.finalize(self, self._share.give_back)

    @property
    def headers(self) -> Headers:
        """MLServer would take the first value of a header that was sent twice."""
        if not hasattr(self, "_headers"):
            self._headers = _join_repeated(super().headers)
        return self._headers

    async def body(self) -> bytes:
        name = self.path_params.get("model_name")
        if not hasattr(self, "_body") and name in memories:
            record = self._begin_record()
            with _refusals(name):
                if self.url.query:
                    refuse_query(self.query_params.keys())
                received = await self._receive_body(settings.MAX_BODY_BYTES)
                record.bytes_in = len(received)
                self._body = self._decompress(received)
                values = refuse_excess(self._body, "the body", settings.MAX_VALUES)
                self._share.take(BYTES_OF_A_VALUE * values)
        elif name and not hasattr(self, "_body"):
            self._refuse_unknown(name)
        body: bytes = await super().body()
        return body

    async def json(self) -> Any:
        """MLServer drops the fields that it does not know, and of two with one name the first."""
        name = self.path_params.get("model_name")
        if name in memories:
            body = await self.body()
            with _refusals(name):
                refuse_repeats(body, "the body")
        document = await super().json()
        if name in memories and isinstance(document, dict):
            with _refusals(name):
                if unknown := unknown_fields(document):
                    refuse_fields(unknown)
                _refuse_malformed(document.get("parameters"))
        return document

    def _refuse_unknown(self, name: str) -> None:
        """MLServer would read and build all of its body first."""
        data_plane = getattr(self.scope["endpoint"].__self__, "_data_plane", None)
        if data_plane and not has_model(data_plane, name):
            self._begin_record()
            error = unknown_model(name, self.path_params.get("model_version"))
            raise BodyRefused(str(error), error.status_code)

    def _begin_record(self) -> RequestRecord:
        record = self.scope[RECORD] = begin_record("rest", self.headers.get(REQUEST_ID))
        record.client, record.method = self.client and self.client.host, self.method
        name = self.path_params["model_name"]
        record.memory = name if name in memories else None
        if tracing.is_on():
            tracing.begin_span(record, self.headers)
        return record

    async def _receive_body(self, limit: int) -> bytes:
        pieces, size = [], int(self.headers.get("Content-Length", 0))
        if size <= limit:
            size = 0
            async for piece in self.stream():
                pieces.append(piece)
                size += len(piece)
                self._share.take(len(piece))
                if size > limit:
                    break
        if size > limit:
            raise TooLarge(f"the body is over the limit of {limit} bytes")
        return b"".join(pieces)

    def _decompress(self, body: bytes) -> bytes:
        is_gzip = "gzip" in self.headers.getlist("Content-Encoding")  # as MLServer has it
        coding = "gzip" if is_gzip else "identity"
        return bodies.decompress(body, coding, settings.MAX_BODY_BYTES, self._share.take)


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """What refuses a request to a memory is raised as MLServer answers it, counted and logged."""
    try:
        yield
    except (RequestError, Unavailable) as error:
        count_refused(memories[name], error)
        status = 503 if isinstance(error, Unavailable) else STATUS
        with one_line(name):
            raise BodyRefused(str(error), status) from None


def _refuse_malformed(parameters: object) -> None:
    """MLServer's own refusal of these two would show what the client sent."""
    if isinstance(parameters, dict) and (
        not isinstance(parameters.get("headers"), dict | None)
        or not isinstance(parameters.get("content_type"), str | None)
    ):
        raise BadRequest(MALFORMED_PARAMETERS)


def _join_repeated(headers: Headers) -> Headers:
    """The headers, those of OF_DELIVERY once each, with commas between its values."""
    values = {name: headers.getlist(name) for name in OF_DELIVERY}
    if all(len(each) < 2 for each in values.values()):
        return headers
    others = [(name, value) for name, value in headers.raw if name.decode("latin-1") not in values]
    once = [(name.encode(), ",".join(each).encode("latin-1")) for name, each in values.items()]
    return Headers(raw=[*others, *(pair for pair in once if pair[1])])


# --- gRPC --------------------------------------------------------------------------------


def all_headers(context: Any) -> dict[str, str]:
    """gRPC's metadata. MLServer would take the last value of what was sent twice."""
    headers: dict[str, str] = to_headers(context)
    for name in OF_DELIVERY:
        values = [each.value for each in context.invocation_metadata() if each.key == name]
        if len(values) > 1:
            headers[name] = ",".join(values)
    return headers


class LimitedConverter(ModelInferRequestConverter):
    """gRPC has parsed the message by then; each tensor and element becomes larger in Python."""

    @classmethod
    def to_types(cls, message: Any) -> InferenceRequest:
        if message.model_name in memories:
            try:
                _refuse_large(message)
            except TooLarge as error:
                count_refused(memories[message.model_name], error)
                raise MLServerError(str(error), STATUS) from None
        try:
            return super().to_types(message)
        except ValidationError:  # its text has what the client sent
            if message.model_name not in memories:
                raise
            refusal = BadRequest(MALFORMED_PARAMETERS)
            count_refused(memories[message.model_name], refusal)
            raise MLServerError(str(refusal), STATUS) from None


def _refuse_large(message: Any) -> None:
    for name in ("inputs", "outputs"):
        count = len(getattr(message, name))
        if count > settings.MAX_TENSORS:
            raise TooLarge(f"'{name}' has {count} tensors; the limit is {settings.MAX_TENSORS}")
    values = len(message.parameters)
    for tensor in [*message.inputs, *message.outputs]:
        values += len(tensor.parameters)
    for tensor in message.inputs:
        values += len(tensor.shape)
        values += sum(len(elements) for _, elements in tensor.contents.ListFields())
    for raw in message.raw_input_contents:
        values += _element_count(raw, settings.MAX_VALUES)
    if values > settings.MAX_VALUES:
        raise TooLarge(
            f"the tensors have more elements than the limit of {settings.MAX_VALUES} together"
        )


def _element_count(raw: bytes, most: int) -> int:
    """How many elements a raw BYTES tensor has; no less than `most` if they are more."""
    count = at = 0
    while at < len(raw) and count <= most:
        at += 4 + int.from_bytes(raw[at : at + 4], "little")
        count += 1
    return count
