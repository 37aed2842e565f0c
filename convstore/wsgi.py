"""The entry point of WSGI servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")

# What programs ask for: requests to memories most of all. The pages under the last are for people.
V2_PATHS, METRICS_PATH, DOCS_PATH = ("/v2", "/v2/"), "/metrics", "/v2/docs"


def is_for_programs(path: str) -> bool:
    is_v2 = path == V2_PATHS[0] or path.startswith(V2_PATHS[1])
    return (is_v2 and not path.startswith(DOCS_PATH)) or path.rstrip("/") == METRICS_PATH


class V2Handler(WSGIHandler):
    """Django without middleware, which is there for browsers and takes as long as the view."""

    def load_middleware(self, is_async: bool = False) -> None:
        handler: Any = self  # whose attributes have no types
        handler._view_middleware = []
        handler._template_response_middleware = []
        handler._exception_middleware = []
        handler._middleware_chain = convert_exception_to_response(handler._get_response)

    def resolve_request(self, request: HttpRequest) -> Any:
        check_host(request)
        return super().resolve_request(request)


def check_host(request: Any) -> None:
    """As Django's CommonMiddleware does, but allow `_`, as names of services and containers do."""
    host = request._get_raw_host().lower()
    domain, _ = split_domain_port(host.replace("_", "-"))
    if not domain or not validate_host(host[: len(domain)], settings.ALLOWED_HOSTS):
        raise DisallowedHost("the Host header is malformed, or not in ALLOWED_HOSTS")


django_application = get_wsgi_application()
v2_application = V2Handler()
# Django imports the views with the first request; a worker's first client would wait for it.
get_resolver().url_patterns  # noqa: B018


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django's application. It also reads chunked bodies, and sends none where HTTP allows none.

    Chunked bodies come without a length, so Django would see them empty. Where the server marks
    their end itself (`wsgi.input_terminated`), any length that is long enough will do.
    """
    if environ.get("HTTP_TRANSFER_ENCODING") and environ.get("wsgi.input_terminated"):
        environ["CONTENT_LENGTH"] = str(sys.maxsize)
    handler = v2_application if is_for_programs(environ["PATH_INFO"]) else django_application
    response = handler(environ, start_response)
    if environ["REQUEST_METHOD"] != "HEAD" and getattr(response, "status_code", 200) != 304:
        return response
    # Django leaves it to the server to drop the body, and gunicorn logs a warning when it does.
    # To a 304, the compression of files adds a body: the compressed form of nothing.
    response.close()
    return []
