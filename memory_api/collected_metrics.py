"""The metrics of all worker processes, and the page that shows them.

With several worker processes, gunicorn's settings give them a folder in which their metrics
add up.
"""

from __future__ import annotations

import os

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from memory_api.metric_files import METRICS_FOLDER, unmerged_metrics


def collected() -> list[Metric]:
    """The metrics of all worker processes."""
    if not os.environ.get(METRICS_FOLDER):
        return list(REGISTRY.collect())
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    with unmerged_metrics():
        return list(registry.collect())


def render(state: Collector) -> bytes:
    """The metrics of all worker processes, in Prometheus' text format, and those of `state`."""
    looked_up = CollectorRegistry()
    looked_up.register(state)
    if not os.environ.get(METRICS_FOLDER):
        return generate_latest(REGISTRY) + generate_latest(looked_up)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    with unmerged_metrics():
        return generate_latest(registry) + generate_latest(looked_up)
