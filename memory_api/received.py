"""What an HTTP request brings: the bytes of its body, read and decompressed within the limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from memory_api import bodies
from memory_api.bodies import Take
from memory_api.errors import BadRequest, TooLarge


class BodyParser(BaseParser):
    """The parser of a door: `document_of` makes what its views get of a body."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The document. The view has a `share`, from which what the body takes is taken."""
        context = parser_context or {}
        # Django's `headers` would look at every header to make a dictionary of them.
        meta, take = context["request"].META, context["view"].share.take
        return self.document_of(_read_body(stream, meta, take), meta, take)

    def document_of(self, body: bytes, meta: Mapping[str, Any], take: Take) -> Any:
        """What is in the body of a request with these headers; `take` counts what it takes."""
        raise NotImplementedError


def _read_body(stream: IO[Any], meta: Mapping[str, Any], take: Take) -> bytes:
    """The body of a request, decompressed."""
    limit = settings.MAX_BODY_BYTES
    chunked = "HTTP_TRANSFER_ENCODING" in meta
    length = 0 if chunked else int(meta.get("CONTENT_LENGTH") or 0)
    take(min(length, limit))
    body = _read(stream, length, limit)
    if chunked:
        take(len(body))
    return bodies.decompress(body, meta.get("HTTP_CONTENT_ENCODING", ""), limit, take)


def _read(stream: IO[Any], length: int, limit: int) -> bytes:
    """The whole body. `length` is its Content-Length, 0 if it has none."""
    too_large = TooLarge(f"the body is over the limit of {limit} bytes")
    if length > limit:
        raise too_large
    try:
        body: bytes = stream.read(limit + 1)
    except Exception:  # each server has its own errors for malformed chunks
        raise BadRequest("the body is malformed or ended before it was complete") from None
    if len(body) > limit:
        raise too_large
    # A client that disconnects leaves a shorter body, which may be valid JSON.
    if len(body) < length:
        raise BadRequest(f"the body has {len(body)} bytes, but Content-Length is {length}")
    return body


class SingleFormat(BaseContentNegotiation):
    """Ignores Content-Type and Accept: each door has one format."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> Any:
        return renderers[0], renderers[0].media_type
