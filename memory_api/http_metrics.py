"""Metrics of the HTTP door, under the names that MLServer uses: no process has both."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Summary

from memory_api.metric_files import share_metrics

share_metrics()

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
    "rest_server_requests",
    "HTTP requests by method, route and status",
    ["method", "path", "status_code"],
)
http_refusals = Counter(
    "rest_server_refusals",
    "HTTP requests that the server itself refused, before any route",
    ["status_code", "reason"],
)
replies_cut = Counter(
    "rest_server_replies_cut", "Replies that a client did not read, or read too slowly"
)
# Each worker sets its own twice a second. What is shown is the sum of those that live.
threads = Gauge("rest_server_threads", "Threads that serve requests", multiprocess_mode="livesum")
threads_busy = Gauge(
    "rest_server_threads_busy", "Threads that serve a request now", multiprocess_mode="livesum"
)
requests_waiting = Gauge(
    "rest_server_requests_waiting",
    "Whole requests that wait for a thread now",
    multiprocess_mode="livesum",
)
connections_open = Gauge(
    "rest_server_connections", "Connections of clients now", multiprocess_mode="livesum"
)
# Each worker sets its own once a second.
database_connections = Gauge(
    "rest_server_database_connections",
    "Connections to a database that threads hold now, with the name of its first memory",
    ["model", "version"],
    multiprocess_mode="livesum",
)


@cache
def refusals_of(status: int, reason: str) -> Counter:
    return http_refusals.labels(status, reason)


class InferMetrics(NamedTuple):
    """The metrics of one memory's inference requests."""

    success: Counter
    failure: Counter
    duration: Summary


@cache  # looking for the labels takes longer than counting
def infer_metrics_of(model: str, version: str) -> InferMetrics:
    labels = (model, version)
    return InferMetrics(
        infer_success.labels(*labels), infer_failure.labels(*labels), infer_duration.labels(*labels)
    )


@cache
def requests_of(method: str | None, route: str, status: int) -> Counter:
    """The counter of a route's requests; `route` is a template: /v2/models/<name>/infer."""
    return http_requests.labels(method, route, status)
