"""Failures at the HTTP door: each reason's status, and `{"error": sentence}` for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException, MethodNotAllowed
from rest_framework.request import Request

from api_keys import errors as access
from convstore.errors import (
    IdentityClash,
    MessageTooLarge,
    RequestKeyReused,
    Unavailable,
    WindowTooLarge,
    WrongPosition,
)
from convstore.request_log import REQUEST_ID, current_record
from memory_api.errors import (
    BadRequest,
    MemoryUnavailable,
    TooLarge,
    UnknownMemory,
    log_unexpected_error,
    status_and_sentence,
)
from memory_api.responses import json_response

STATUSES: Mapping[type[Exception], int] = {
    **access.STATUSES,
    BadRequest: 400,
    UnknownMemory: 404,
    TooLarge: 413,
    MessageTooLarge: 413,
    WindowTooLarge: 413,
    WrongPosition: 409,
    RequestKeyReused: 422,
    # The request is right, and no retry helps: the fault is in the rows of the database.
    IdentityClash: 500,
    MemoryUnavailable: 503,
    Unavailable: 503,
}
RETRY_AFTER_SECONDS = 1


def error_response(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """The reply to a request for which a view raised `error`. Django REST framework calls this."""
    if isinstance(error, APIException):  # its own, such as 405
        wrong_method = isinstance(error, MethodNotAllowed)
        headers = {"Allow": ", ".join(context["view"].allowed_methods)} if wrong_method else None
        return error_reply(str(error.detail), error.status_code, headers)
    request = context["request"]
    status, sentence = status_and_sentence(
        error, STATUSES, where=_where(request), request_id=_request_id(request)
    )
    # Settings that are wrong stay so until somebody changes them and starts the service again.
    passes = isinstance(error, Unavailable)
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if passes else access.HEADERS.get(status)
    return error_reply(sentence, status, headers)


def error_reply(
    sentence: str, status: int, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    current_record().error = sentence
    return json_response({"error": sentence}, status, headers)


def _where(request: HttpRequest | Request) -> str:
    return f"{request.method} {request.path!r}"


def _request_id(request: HttpRequest | Request) -> str:
    return current_record().request_id or request.headers.get(REQUEST_ID, "")


# --- Failures that reach no view; Django calls these -------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_reply("the request is malformed", 400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_reply("there is no such route; see /v2/docs", 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return error_reply(log_fault(request), 500)


def log_fault(request: HttpRequest) -> str:
    """Log that the request failed; the sentence for its client says where in the log to look."""
    return log_unexpected_error(None, _where(request), _request_id(request))
