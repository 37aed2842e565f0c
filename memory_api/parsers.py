"""The HTTP door's bytes: a request's body to a document, an answer to a response.

Decides nothing. Every Content-Type is read as JSON, since tritonclient and kserve send
none, and curl sends a form's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.http import HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from memory_api import documents
from memory_api.contract import Answer
from memory_api.errors import BadRequest, TooLarge

HEADER_LENGTH = "Inference-Header-Content-Length"


class V2Parser(BaseParser):
    """A V2 document out of a body: gzip or deflate undone, binary tensors in their places."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        headers = (parser_context or {})["request"].headers
        limit = settings.MAX_BODY_BYTES
        chunked = "Transfer-Encoding" in headers
        length = 0 if chunked else int(headers.get("Content-Length", 0))
        body = _body(stream, length, limit)
        body = documents.inflate(body, headers.get("Content-Encoding", ""), limit)
        return documents.read(body, headers.get(HEADER_LENGTH))


def _body(stream: IO[Any], length: int, limit: int) -> bytes:
    """The whole body, of which at least `length` bytes were announced."""
    too_large = TooLarge(f"the body is over the limit of {limit} bytes")
    if length > limit:
        raise too_large
    try:
        body: bytes = stream.read(limit + 1)
    except Exception:  # each server has errors of its own for chunks that are none
        raise BadRequest("the body is malformed or ended before it was complete") from None
    if len(body) > limit:
        raise too_large
    # A client that went away leaves a shorter body, which may still be valid JSON.
    if len(body) < length:
        raise BadRequest(f"the body has {len(body)} bytes, but {length} were announced")
    return body


class AnyContent(BaseContentNegotiation):
    """V2 has one form: whatever the client says it sends or accepts, it is that."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        return renderers[0], renderers[0].media_type


def reply(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A document as a JSON response."""
    return HttpResponse(
        documents.write(document), content_type="application/json", status=status, headers=headers
    )


def reply_to_inference(answer: Answer) -> HttpResponse:
    """An answer as it was asked for: JSON, or JSON with binary tensors behind it."""
    if not answer.binary:
        return reply(answer.document)
    body, length = documents.write_binary(answer.document, answer.binary)
    return HttpResponse(
        body, content_type="application/octet-stream", headers={HEADER_LENGTH: str(length)}
    )
