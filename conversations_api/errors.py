"""Failures at the Conversations door: OpenAI's envelope, and the status of each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from rest_framework.exceptions import APIException, MethodNotAllowed

from api_keys.errors import HEADERS
from convstore.errors import (
    Changed,
    ConversationExists,
    DuplicateItem,
    Unavailable,
    UnknownConversation,
)
from convstore.request_log import current_record
from memory_api.errors import status_and_sentence
from memory_api.http_errors import RETRY_AFTER_SECONDS
from memory_api.http_errors import STATUSES as V2_STATUSES
from memory_api.responses import json_response


class Refusal(Exception):
    """A reason with what OpenAI's envelope says beside the sentence."""

    def __init__(self, sentence: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.param, self.code = param, code


class InvalidField(Refusal):
    """A field of the document or of the query is missing or wrong."""


class NotFound(Refusal):
    """There is no such route, conversation or item."""


class NotLocal(Refusal):
    """There is no API key, and the request may come from elsewhere."""


STATUSES: Mapping[type[Exception], int] = {
    **V2_STATUSES,
    InvalidField: 400,
    DuplicateItem: 400,
    NotLocal: 403,
    NotFound: 404,
    UnknownConversation: 404,
    ConversationExists: 409,
    Changed: 412,
}
# OpenAI's SDKs ask again after these statuses by themselves; here that would not help.
RETRIED_IN_VAIN = (409, 412)


def error_response(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """The reply to a request for which a view raised `error`. Django REST framework calls this."""
    if isinstance(error, APIException):  # its own, such as 405
        wrong_method = isinstance(error, MethodNotAllowed)
        headers = {"Allow": ", ".join(context["view"].allowed_methods)} if wrong_method else {}
        return error_reply(str(error.detail), error.status_code, headers)
    request = context["request"]
    status, sentence = status_and_sentence(
        error,
        STATUSES,
        where=f"{request.method} {request.path!r}",
        request_id=current_record().request_id,
    )
    headers = dict(HEADERS.get(status, {}))
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status in RETRIED_IN_VAIN:
        headers["x-should-retry"] = "false"
    param, code = (error.param, error.code) if isinstance(error, Refusal) else (None, None)
    return error_reply(sentence, status, headers, param, code)


def error_reply(
    sentence: str,
    status: int,
    headers: Mapping[str, str],
    param: str | None = None,
    code: str | None = None,
) -> HttpResponse:
    current_record().error = sentence
    kind = "server_error" if status >= 500 else "invalid_request_error"
    document = {"error": {"message": sentence, "type": kind, "param": param, "code": code}}
    return json_response(document, status, headers)
