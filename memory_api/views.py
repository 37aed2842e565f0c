"""The HTTP door: one view a route. Translates, decides nothing."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.views import APIView

from convstore import __version__
from convstore.errors import MessageTooLarge, Unavailable
from memory_api import contract, http_metrics, parsers
from memory_api.errors import BadRequest, TooLarge, UnknownMemory, unexpected
from memory_api.memories import Memory, memories, named
from memory_api.openapi import answers, exposes, infers
from memory_api.parsers import reply

logger = logging.getLogger(__name__)

STATUSES: dict[type[Exception], int] = {
    BadRequest: 400,
    UnknownMemory: 404,
    TooLarge: 413,
    MessageTooLarge: 413,
}
RETRY_AFTER_SECONDS = 1


class V2View(APIView):
    """What all routes share: one form in, one form out, `{"error": ...}` for every failure."""

    authentication_classes = ()
    permission_classes = ()
    parser_classes = (parsers.V2Parser,)
    content_negotiation_class = parsers.AnyContent
    http_method_names = ("get", "post", "head")

    def finalize_response(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, *args, **kwargs)
        route = getattr(request.resolver_match, "route", "")
        http_metrics.count(request.method, route, response.status_code)
        if request.method == "HEAD":  # as long as the answer to GET, and not sent
            response.headers["Content-Length"] = str(len(response.content))
            response.content = b""
        return response


def error_response(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """The one place where a failure gets its status and its `{"error": sentence}`."""
    if isinstance(error, Unavailable):
        logger.warning("%s: %s", error, error.__cause__)
        return reply({"error": str(error)}, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    if type(error) in STATUSES:
        return reply({"error": str(error)}, STATUSES[type(error)])
    if isinstance(error, APIException):
        return reply({"error": str(error.detail)}, error.status_code)
    return reply({"error": _unexpected(context["request"], error)}, 500)


def _unexpected(request: HttpRequest | Request, error: BaseException | None) -> str:
    return unexpected(request.headers.get("X-Request-Id", ""), request.path, error)


class Home(V2View):
    """A browser that comes to the service's address is shown the docs."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponseRedirect("/v2/docs")


class Docs(SpectacularSwaggerSplitView):
    http_method_names = V2View.http_method_names


class OpenApi(SpectacularJSONAPIView):
    http_method_names = V2View.http_method_names


class Server(V2View):
    @answers("ServerMetadata", "What this server is")
    def get(self, request: Request) -> HttpResponse:
        extensions = ["binary_tensor_data", "model_repository"]
        return reply({"name": "convstore", "version": __version__, "extensions": extensions})


class Live(V2View):
    @answers("Live", "Whether the server runs")
    def get(self, request: Request) -> HttpResponse:
        return reply({"live": True})


class Ready(V2View):
    """Ready while a memory can serve: one whose database is down does not take the others along."""

    served_last: ClassVar[str] = ""  # the database that was found ready the last time

    @answers("Ready", "Whether a memory can serve", or_503=True)
    def get(self, request: Request) -> HttpResponse:
        # One memory of each database, and first of the one that is likeliest to answer: one
        # that is down takes its time to say so.
        by_database = {memory.store.using: memory for memory in memories()}
        order = sorted(by_database, key=lambda using: using != Ready.served_last)
        found = next((using for using in order if is_ready(by_database[using])), None)
        Ready.served_last = found or ""
        ready = found is not None or not by_database
        return reply({"ready": ready}, 200 if ready else 503)


class ModelReady(V2View):
    @answers("ModelReady", "Whether this memory can serve", 404, or_503=True)
    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        ready = is_ready(named(name, version))
        return reply({"name": name, "ready": ready}, 200 if ready else 503)


class ModelMetadata(V2View):
    @answers("ModelMetadata", "A memory and its tensors", 404)
    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        return reply(contract.metadata(named(name, version)))


class Infer(V2View):
    @infers
    def post(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        memory = named(name, version)
        with (
            http_metrics.infer_duration.labels(*memory.labels).time(),
            http_metrics.infer_failure.labels(*memory.labels).count_exceptions(),
        ):
            answer = contract.infer(memory, request.data, request.headers.get("X-Request-Id"))
        http_metrics.infer_success.labels(*memory.labels).inc()
        return parsers.reply_to_inference(answer)


class RepositoryIndex(V2View):
    @answers("RepositoryIndex", "All memories")
    def post(self, request: Request) -> HttpResponse:
        return reply([_indexed(memory) for memory in memories()])


class Metrics(V2View):
    @exposes
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(http_metrics.exposition(), content_type=CONTENT_TYPE_LATEST)


def is_ready(memory: Memory) -> bool:
    """Whether the memory's database answers and has its tables."""
    try:
        memory.store.check()
    except Unavailable as error:
        logger.warning("memory %s is not ready: %s: %s", memory.name, error, error.__cause__)
        return False
    return True


def _indexed(memory: Memory) -> dict[str, str]:
    version = {} if memory.version is None else {"version": memory.version}
    state = "READY" if is_ready(memory) else "UNAVAILABLE"
    return {"name": memory.name, **version, "state": state, "reason": ""}


# --- Failures that reach no view ---------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return reply({"error": "the request is malformed"}, status=400)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return reply({"error": "there is no such route; see /v2/docs"}, status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    return reply({"error": _unexpected(request, None)}, status=500)
