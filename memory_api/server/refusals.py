"""What a client is told when its request reaches no view, and what is noted of what it is sent."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import errors, message

from convstore.request_log import REQUEST_ID, RequestRecord, request_id_for
from memory_api import http_metrics
from memory_api.errors import BadRequest, RequestError, TooLarge, quote
from memory_api.http_errors import RETRY_AFTER_SECONDS

STATUSES: dict[type[Exception], int] = {
    TooLarge: 413,
    BadRequest: 400,
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    errors.UnsupportedTransferCoding: 501,
    errors.ForbiddenProxyRequest: 403,
    errors.ParseException: 400,
}

LINE_TOO_LONG = "the request line is over the limit of {} bytes"
HEADERS_TOO_LARGE = (
    "there are too many headers, or one is too long; a request may have {} headers, each of at"
    " most {} bytes with its name"
)
HEAD_LATE = "the request line and headers did not arrive within {} seconds"
BODY_LATE = (
    "the body arrived too slowly; send at least {} bytes per second, and all of it within {}"
    " seconds"
)
CUT_SHORT = "the client closed the connection before the request was complete"
TOO_MANY_CONNECTIONS = "too many connections are open; try again"
TOO_MANY_BYTES = "unfinished requests and replies take too much memory; try again"
OVERLOADED = "more requests arrive than can be served; try again"
TOO_MANY_STREAMS = "too many large replies are being sent; try again when one has ended"
FAILED = "the server failed; its log has the details"
NOT_TAKEN = "the client did not take all of its reply"
# What refusals are counted as.
REASONS = {
    CUT_SHORT: "cut_short",
    TOO_MANY_CONNECTIONS: "too_many_connections",
    TOO_MANY_BYTES: "too_many_bytes",
    OVERLOADED: "overloaded",
    TOO_MANY_STREAMS: "too_many_streams",
    FAILED: "fault",
}
REASON_OF_STATUS = {408: "too_slow", 413: "too_large"}
OTHER_REASON = "malformed"


def refusal(error: Exception, cfg: Any) -> tuple[int, str]:
    """The status and the sentence for what was raised while a request came in, within the limits
    of gunicorn's `cfg`."""
    status = next(STATUSES[base] for base in type(error).__mro__ if base in STATUSES)
    if isinstance(error, RequestError):
        return status, str(error)
    if isinstance(error, errors.LimitRequestLine):
        return status, LINE_TOO_LONG.format(min(cfg.limit_request_line, message.MAX_REQUEST_LINE))
    if isinstance(error, errors.LimitRequestHeaders):
        return status, HEADERS_TOO_LARGE.format(*_header_limits(cfg))
    return status, f"the server does not accept this request: {quote(str(error))}"


def _header_limits(cfg: Any) -> tuple[int, int]:
    """How many headers, and the bytes of each, as gunicorn's parser takes its settings."""
    count = min(cfg.limit_request_fields or message.MAX_HEADERS, message.MAX_HEADERS)
    return count, cfg.limit_request_field_size or message.DEFAULT_MAX_HEADERFIELD_SIZE


def note_refusal(client: Any, request_id: str, status: int, sentence: str) -> None:
    """Count a request that reaches no view, and write its line in the log."""
    reason = REASONS.get(sentence) or REASON_OF_STATUS.get(status, OTHER_REASON)
    http_metrics.refusals_of(status, reason).inc()
    RequestRecord("http", request_id, _host(client), status=status, error=sentence).write()


def note_cut(client: Any, request_id: str | None, since: float) -> None:
    """Count a reply that was not taken, and write a line beside the one of its request."""
    http_metrics.replies_cut.inc()
    request_id = request_id_for(request_id)
    RequestRecord("http", request_id, _host(client), begun=since, error=NOT_TAKEN).write()


def _host(client: Any) -> str | None:
    return client[0] if isinstance(client, tuple) else None  # a Unix socket's has no address


def error_reply(status: int, sentence: str, request_id: str, *, closes: bool = True) -> bytes:
    """A whole reply, head and body."""
    head, body = _error_reply(status, sentence, closes, int(time.time()))
    return head + f"{REQUEST_ID}: {request_id}\r\n\r\n".encode("latin-1") + body


@lru_cache(16)  # in overload, the same one is sent many times
def _error_reply(status: int, sentence: str, closes: bool, second: int) -> tuple[bytes, bytes]:
    body = json.dumps({"error": sentence}).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Date: {util.http_date(second)}",
        f"Connection: {'close' if closes else 'keep-alive'}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        lines.append(f"Retry-After: {RETRY_AFTER_SECONDS}")
    return "\r\n".join([*lines, ""]).encode("latin-1"), body
