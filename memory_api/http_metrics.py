"""What Prometheus sees of the HTTP door itself, under the names that MLServer uses.

`memory_api.gunicorn` gives the worker processes a folder to add up in.
"""

from __future__ import annotations

import os
from functools import cache

from django.contrib.admindocs.views import simplify_regex
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Summary, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

infer_success = Counter(
    "model_infer_request_success", "Inference requests answered", ["model", "version"]
)
infer_failure = Counter(
    "model_infer_request_failure", "Inference requests refused or failed", ["model", "version"]
)
infer_duration = Summary(
    "model_infer_request_duration", "Seconds per inference request", ["model", "version"]
)
http_requests = Counter(
    "rest_server_requests", "Requests by route and status", ["method", "path", "status_code"]
)


def count(method: str | None, route: str, status: int) -> None:
    """Count a request under its route's template, such as /v2/models/<name>/infer."""
    http_requests.labels(method, template(route), status).inc()


template = cache(simplify_regex)


def exposition() -> bytes:
    """Every metric, of all worker processes, in Prometheus's text format."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry)
