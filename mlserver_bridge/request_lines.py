"""The log at MLServer's door: a line for each request to a memory, in the place of MLServer's own.

MLServer 1.7 logs a traceback for each mistake of a client, as the client spelled it. Here is also
what sends a request's id back over gRPC, which MLServer does not do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from mlserver.errors import MLServerError
from mlserver.grpc.servicers import InferenceServicer
from mlserver.types import InferenceRequest, InferenceResponse, Parameters

from convstore import tracing
from convstore.log_format import LineFormatter, safe_message
from convstore.request_log import (
    REQUEST_ID,
    RequestRecord,
    begin_record,
    current_record,
    is_written,
)
from mlserver_bridge.unknown_models import has_model, refuse_unknown_models, unknown_model

# The labels of each memory, by its name. Requests to MLServer's other models are logged as ever.
memories: dict[str, tuple[str, str]] = {}

insert_headers = InferenceServicer._InsertHeaders


def write_request_lines() -> None:
    """From now on, have MLServer's doors begin a record for each request to a memory."""
    InferenceServicer._InsertHeaders = _insert_headers
    refuse_unknown_models()
    logging.getLogger("uvicorn.access").addFilter(_is_no_request_of_ours)
    for handler in logging.getLogger("mlserver").handlers:
        handler.addFilter(make_safe)


# --- The record of a request -------------------------------------------------------------


@contextmanager
def one_line(memory: str) -> Iterator[RequestRecord]:
    """The record of a request to a memory, whose line is written at the end."""
    record = current_record()
    if not record.door:
        record = begin_record("mlserver", None)
    record.memory = memory
    try:
        yield record
        record.status = 200
    except MLServerError as error:
        record.status, record.error = error.status_code, str(error)
        raise
    finally:
        record.write()


def _insert_headers(self: Any, request: Any, context: Any) -> InferenceRequest:
    """What gRPC calls first, for each message of a stream, too."""
    name, is_ours = request.model_name, request.model_name in memories
    if not is_ours and has_model(self._data_plane, name):
        payload: InferenceRequest = insert_headers(self, request, context)
        return payload
    sent = dict(context.invocation_metadata())
    record = begin_record("grpc", sent.get(REQUEST_ID.lower()))
    record.client = unquote(context.peer()).partition(":")[2].rpartition(":")[0]
    record.memory, record.bytes_in = name if is_ours else None, request.ByteSize()
    if tracing.is_on():
        tracing.begin_span(record, sent)
    id_sent_back = ((REQUEST_ID.lower(), record.request_id),)
    if not is_ours:
        context.set_trailing_metadata(id_sent_back)
        raise unknown_model(name, request.model_version)
    # MLServer would take what is there for sent by the client.
    context.set_trailing_metadata(())
    try:
        payload = insert_headers(self, request, context)
    except MLServerError:
        with one_line(name):
            raise
    finally:
        context.set_trailing_metadata(id_sent_back)
    return payload


def send_id_back(response: InferenceResponse, record: RequestRecord) -> None:
    """MLServer sends these as headers, or as gRPC's trailing metadata."""
    response.parameters = response.parameters or Parameters()
    response.parameters.headers = {REQUEST_ID: record.request_id}


# --- MLServer's own lines ----------------------------------------------------------------


def _is_no_request_of_ours(record: logging.LogRecord) -> bool:
    return not (current_record().door and is_written())


def make_safe(record: logging.LogRecord) -> bool:
    """Escape what clients sent; whether the line is to be written, since no line of ours has it."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, MLServerError):
        if current_record().error == str(error) and is_written():
            return False
        record.exc_info = None
        if error.status_code < 500:
            record.levelno, record.levelname = logging.INFO, "INFO"
    if not hasattr(record, "is_safe"):
        record.is_safe = True
        record.msg, record.args = safe_message(record), None
        if record.exc_info:
            record.exc_text = LineFormatter().formatException(record.exc_info)
    return True
