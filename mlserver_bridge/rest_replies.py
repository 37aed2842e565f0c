"""What MLServer's REST lacks in its replies: the request's id, and a line for its own refusals.

MLServer 1.7 reads and checks a body before it asks a runtime, and says nothing of what it refuses.
"""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from mlserver.rest import errors as rest_errors
from mlserver.rest.responses import Response
from starlette.datastructures import Headers, MutableHeaders

from api_keys.errors import HEADERS
from convstore.request_log import REQUEST_ID, RequestRecord, current_record, request_id_for
from memory_api.errors import BadRequest
from memory_api.metrics import count_refused
from mlserver_bridge.request_lines import memories

# Where the record of a request to a memory is, in the scope of ASGI.
RECORD = "convstore.record"

call = FastAPI.__call__


def complete_replies() -> None:
    """From now on, send the id of its request with each reply."""
    FastAPI.__call__ = _call
    rest_errors.Response = FailureResponse


class FailureResponse(Response):
    """A failure of a request to a memory, with the headers of its status."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if current_record().door:
            self.headers.update(HEADERS.get(self.status_code, {}))


async def _call(self: Any, scope: Any, receive: Any, send: Any) -> None:
    refused: list[RequestRecord] = []

    async def send_completed(message: Any) -> None:
        if message["type"] == "http.response.start":
            record = scope.get(RECORD)
            if record and record.status is None and message["status"] >= 400:
                record.status = message["status"]
                refused.append(record)
            sent = ",".join(Headers(scope=scope).getlist(REQUEST_ID))
            request_id = record.request_id if record else request_id_for(sent)
            MutableHeaders(scope=message)[REQUEST_ID] = request_id
        elif refused:
            _note_refusal(refused.pop(), message.get("body", b""))
        await send(message)

    await call(self, scope, receive, send_completed if scope["type"] == "http" else send)


def _note_refusal(record: RequestRecord, body: bytes) -> None:
    """Count what MLServer refused before it asked the memory, and write its line."""
    if record.memory:
        count_refused(memories[record.memory], BadRequest())
    record.error = f"MLServer does not accept the body{_reason(body)}"
    record.write()


def _reason(body: bytes) -> str:
    """The first of FastAPI's reasons: its kind and its place, and not what was sent."""
    try:
        first = json.loads(body)["detail"][0]
        return f": {first['type']} at {'.'.join(map(str, first['loc']))}"
    except (ValueError, LookupError, TypeError):
        return ""
