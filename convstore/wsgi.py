"""The entry point of WSGI servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")

# Requests to memories: most of all requests, and all that programs send often.
MODELS_PATH = "/v2/models/"


class ModelsHandler(WSGIHandler):
    """Django without middleware, which is there for browsers and takes as long as the view."""

    def load_middleware(self, is_async: bool = False) -> None:
        handler: Any = self  # whose attributes have no types
        handler._view_middleware = []
        handler._template_response_middleware = []
        handler._exception_middleware = []
        handler._middleware_chain = convert_exception_to_response(handler._get_response)

    def resolve_request(self, request: HttpRequest) -> Any:
        request.get_host()  # raises DisallowedHost; otherwise CommonMiddleware does this
        return super().resolve_request(request)


django_application = get_wsgi_application()
models_application = ModelsHandler()
# Django imports the views with the first request; a worker's first client would wait for it.
get_resolver().url_patterns  # noqa: B018


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django's application. It also reads chunked bodies, and sends none where HTTP allows none.

    Chunked bodies come without a length, so Django would see them empty. Where the server marks
    their end itself (`wsgi.input_terminated`), any length that is long enough will do.
    """
    if environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
    to_a_memory = environ["PATH_INFO"].startswith(MODELS_PATH)
    handler = models_application if to_a_memory else django_application
    response = handler(environ, start_response)
    if environ["REQUEST_METHOD"] != "HEAD" and getattr(response, "status_code", 200) != 304:
        return response
    # Django leaves it to the server to drop the body, and gunicorn logs a warning when it does.
    # To a 304, the compression of files adds a body: the compressed form of nothing.
    response.close()
    return []
