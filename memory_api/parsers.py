"""The HTTP door's bodies: from a request to a document.

Every Content-Type is read as JSON, since tritonclient and kserve send none, and curl sends
that of a form.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from memory_api import documents
from memory_api.errors import BadRequest, TooLarge

HEADER_LENGTH = f"HTTP_{documents.HEADER_LENGTH.replace('-', '_').upper()}"


def read_document(request: Request) -> object:
    """The document in a request's body, with its binary tensors. Raises BadRequest and TooLarge.

    Django REST framework would first look for a parser that the Content-Type names.
    """
    headers = request.META  # `request.headers` would make a dictionary of all of them
    limit = settings.MAX_BODY_BYTES
    chunked = "HTTP_TRANSFER_ENCODING" in headers
    length = 0 if chunked else int(headers.get("CONTENT_LENGTH") or 0)
    body = _read_body(request._request, length, limit)
    body = documents.decompress(body, headers.get("HTTP_CONTENT_ENCODING", ""), limit)
    return documents.read(body, headers.get(HEADER_LENGTH))


def _read_body(stream: HttpRequest, length: int, limit: int) -> bytes:
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
