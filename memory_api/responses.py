"""Replies over HTTP: from a document to a response."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware

from memory_api import bodies

# What Django's middleware adds for browsers; requests to memories do not go through it.
SAFE = {"X-Content-Type-Options": "nosniff"}
gzip_middleware = GZipMiddleware(lambda request: HttpResponse())


def json_response(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    return whole_response(bodies.write(document), "application/json", status, headers)


def whole_response(
    body: bytes, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """A response that has all headers by itself: no middleware adds any."""
    more = {"Content-Type": content_type, "Content-Length": str(len(body))}
    return HttpResponse(body, status=status, headers={**(headers or {}), **more, **SAFE})


def compress(request: HttpRequest, response: HttpResponse) -> None:
    """Compress the content of a response, if the client accepts that and it gets shorter."""
    if "HTTP_ACCEPT_ENCODING" in request.META:
        gzip_middleware.process_response(request, response)
