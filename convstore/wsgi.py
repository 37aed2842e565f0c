"""The entry point of WSGI servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any
from uuid import UUID

import django
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.http.request import split_domain_port, validate_host
from django.urls import get_resolver

from convstore import tracing
from convstore.client_address import client_address
from convstore.path_prefix import path_below_prefix
from convstore.request_log import (
    ASKED_OFTEN,
    REQUEST_ID,
    RequestRecord,
    begin_record,
    end_record,
)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")

# What programs ask for: requests to memories most of all. The pages under the last are for people.
API_PATHS, METRICS_PATH, DOCS_PATH = ("v1", "v2", "memories"), "/metrics", "/v2/docs"
STATIC_ROUTE = "/admin-static/"


def is_for_programs(path: str) -> bool:
    is_api = path[1:].partition("/")[0] in API_PATHS
    return (is_api and not path.startswith(DOCS_PATH)) or path.rstrip("/") == METRICS_PATH


class Handler(WSGIHandler):
    """Django. It sends back each request's id, and writes its line in the log."""

    def get_response(self, request: HttpRequest) -> Any:
        record = begin_record("http", request.META.get("HTTP_X_REQUEST_ID"))
        note_waiting(record, request.META.get("gunicorn.socket"))
        if tracing.is_on() and not request.path_info.startswith(tuple(ASKED_OFTEN)):
            tracing.begin_span(record, headers_of(request))
        response = super().get_response(request)
        response.headers[REQUEST_ID] = record.request_id
        note_request(record, request)
        record.status = response.status_code
        content: Any = response
        if response.streaming:
            content.streaming_content = count_bytes(record, content.streaming_content)
        else:
            record.bytes_out = 0 if request.method == "HEAD" else len(content.content)
            record.write()
        end_record()
        return response


def note_waiting(record: RequestRecord, reply: Any) -> None:
    """Our worker tells since when a request is whole; it waited for a thread from then on."""
    if since := getattr(reply, "since", 0.0):
        record.queue_seconds = record.begun - since
        record.begun = since
        reply.request_id = record.request_id  # for what the worker logs of it


def headers_of(request: HttpRequest) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def note_request(record: RequestRecord, request: HttpRequest) -> None:
    meta, match = request.META, request.resolver_match
    record.client = client_address(meta, settings.TRUSTED_PROXIES) or None
    record.method = request.method
    if "HTTP_TRANSFER_ENCODING" not in meta:
        record.bytes_in = int(meta.get("CONTENT_LENGTH") or 0)
    if match:
        # Never the path itself: that of the admin has what people look for.
        name = match.url_name or ""
        record.route = name if name.startswith("/") else f"/{match.route}"
        keys = [value for value in match.kwargs.values() if isinstance(value, UUID)]
        record.conversation = keys[0] if keys else record.conversation
    elif request.path_info.startswith(STATIC_ROUTE):
        record.route = STATIC_ROUTE


def count_bytes(record: RequestRecord, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces of a stream. The line is written at its end."""
    record.bytes_out, record.error = 0, "the reply ended before it was complete"
    try:
        for piece in pieces:
            record.bytes_out += len(piece)
            yield piece
        record.error = None
    finally:
        record.write()


class V2Handler(Handler):
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


def import_rest_framework() -> None:
    """Import DRF without psycopg and requests. DRF imports both wherever they are installed, for
    serializers and a client that are not used here. On SQLite they would be a fifth of a
    worker's memory, and a sixth of the time of a start."""
    left_out = [name for name in ("django.contrib.postgres", "requests") if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(left_out))
    try:
        import_module("rest_framework.compat")
    finally:
        for name in left_out:
            del modules[name]


django.setup(set_prefix=False)
import_rest_framework()
django_application = Handler()
v2_application = V2Handler()
# Django imports the views with the first request; a worker's first client would wait for it.
get_resolver().url_patterns  # noqa: B018


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django's application. It also reads chunked bodies, and sends none where HTTP allows none.

    Chunked bodies come without a length, so Django would see them empty. Where the server marks
    their end itself (`wsgi.input_terminated`), any length that is long enough will do.
    """
    environ["PATH_INFO"] = path_below_prefix(environ["PATH_INFO"])
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
