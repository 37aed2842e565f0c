"""The HTTP door: one view a route. Views translate; the contract decides."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.request import Request

from api_keys.caller import ANYBODY
from api_keys.doors import HTTP, caller_at
from convstore import __version__
from convstore.request_log import current_record
from memory_api import contract, documents, http_metrics, parsers, v2
from memory_api.collected_metrics import render
from memory_api.contract import Answer
from memory_api.door_view import DoorView
from memory_api.errors import MemoryUnavailable, UnknownMemory
from memory_api.idempotency import Delivery
from memory_api.memories import find_memory, memories, repository
from memory_api.memory import Memory, UnavailableMemory
from memory_api.metrics import count_refused, metrics_of, unknown_models
from memory_api.openapi import (
    describe_index,
    describe_inference,
    describe_metrics,
    describe_route,
)
from memory_api.readiness import ReadinessProbe, reason_not_ready
from memory_api.responses import json_response, whole_response
from memory_api.state_metrics import StateCollector

readiness_probe = ReadinessProbe()
KEY_STATUSES = (401, 403, 429)


class V2View(DoorView):
    # Where the door asks for API keys, these routes do; probes and Prometheus have none.
    is_for_callers = False
    caller = ANYBODY
    parser_classes = (parsers.V2Parser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Only who asks: there is one format and one version."""
        if self.is_for_callers:
            self.caller = caller_at(HTTP, request._request.META.get("HTTP_AUTHORIZATION"))
            if name := kwargs.get("name"):
                self.caller.require_memory(name)


class Home(V2View):
    """Redirects a browser that opens the service's address to the docs."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponseRedirect(reverse("/v2/docs"))


class Docs(SpectacularSwaggerSplitView):
    http_method_names = V2View.http_method_names


class OpenApi(SpectacularJSONAPIView):
    http_method_names = V2View.http_method_names


class Server(V2View):
    @describe_route("ServerMetadata", "Get the server's name, version and extensions")
    def get(self, request: Request) -> HttpResponse:
        # Not model_repository, of which there is the index only: whoever reaches the port could
        # unload a memory.
        extensions = ["binary_tensor_data"]
        return json_response(
            {"name": "convstore", "version": __version__, "extensions": extensions}
        )


class Live(V2View):
    @describe_route("Live", "Check that the server is running")
    def get(self, request: Request) -> HttpResponse:
        return json_response({"live": True})


class Ready(V2View):
    @describe_route("Ready", "Check that at least one memory can serve", or_503=True)
    def get(self, request: Request) -> HttpResponse:
        ready = readiness_probe.is_ready(memories())
        return json_response({"ready": ready}, 200 if ready else 503)


class ModelReady(V2View):
    @describe_route("ModelReady", "Check that a memory can serve", 404, or_503=True)
    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        try:
            reason = reason_not_ready(find_memory(name, version))
        except MemoryUnavailable as error:
            reason = str(error)
        if reason:
            current_record().error = reason
            return json_response({"name": name, "ready": False, "error": reason}, 503)
        return json_response({"name": name, "ready": True})


class ModelMetadata(V2View):
    is_for_callers = True

    @describe_route("ModelMetadata", "Get a memory's metadata and tensors", *KEY_STATUSES, 404, 503)
    def get(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        return json_response(contract.metadata(find_memory(name, version)))


class Infer(V2View):
    is_for_callers = True

    @describe_inference
    def post(self, request: Request, name: str, version: str | None = None) -> HttpResponse:
        try:
            memory = find_memory(name, version)
        except UnknownMemory:
            unknown_models.inc()
            raise
        measured = http_metrics.infer_metrics_of(*memory.labels)
        try:
            with measured.duration.time(), measured.failure.count_exceptions():
                answer = contract.infer(memory, request.data, _delivery(request), self.caller)
                response = inference_response(answer)
        except Exception as error:
            count_refused(memory.labels, error)
            raise
        finally:
            metrics_of(*memory.labels).observe_request()
        measured.success.inc()
        return response


def inference_response(answer: Answer) -> HttpResponse:
    """JSON, or JSON followed by binary tensors if the client requested that."""
    if not answer.binary:
        return json_response(answer.document)
    body, length = documents.write_binary(answer.document, answer.binary)
    return whole_response(
        body, "application/octet-stream", headers={documents.HEADER_LENGTH: str(length)}
    )


def _delivery(request: Request) -> Delivery:
    # Django's `headers` would make a dictionary of them.
    meta = request.META
    names = [key[5:].replace("_", "-") for key in meta if key.startswith("HTTP_")]
    # So would DRF's `query_params` of the query, which is hardly ever there.
    query = QueryDict(meta["QUERY_STRING"]).keys() if meta.get("QUERY_STRING") else ()
    return Delivery(meta.get("HTTP_X_REQUEST_ID"), meta.get("HTTP_IDEMPOTENCY_KEY"), names, query)


class RepositoryIndex(V2View):
    is_for_callers = True

    @describe_index
    def post(self, request: Request) -> HttpResponse:
        only_ready = v2.parse_index_request(request.data)
        entries = [each for each in repository().entries if self.caller.may_use(each.name)]
        index = [_index_entry(entry) for entry in entries]
        return json_response([each for each in index if not only_ready or not each["reason"]])


def _index_entry(entry: Memory | UnavailableMemory) -> dict[str, str]:
    version = {} if entry.version is None else {"version": entry.version}
    reason = entry.reason if isinstance(entry, UnavailableMemory) else reason_not_ready(entry)
    state = "UNAVAILABLE" if reason else "READY"
    return {"name": entry.name, **version, "state": state, "reason": reason}


class Metrics(V2View):
    @describe_metrics
    def get(self, request: Request) -> HttpResponse:
        state = StateCollector(memories(), readiness_probe.is_up)
        return whole_response(render(state), CONTENT_TYPE_LATEST)
