"""The metrics of all worker processes, and the page that shows them.

With several worker processes, gunicorn's settings give them a folder in which their metrics
add up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from memory_api.metric_files import METRICS_FOLDER, unmerged_metrics


def collect_metrics() -> list[Metric]:
    """The metrics of all worker processes."""
    with _registry() as registry:
        return list(registry.collect())


def render(state: Collector) -> bytes:
    """The metrics of all worker processes, in Prometheus' text format, and those of `state`."""
    looked_up = CollectorRegistry()
    looked_up.register(state)
    with _registry() as registry:
        return generate_latest(registry) + generate_latest(looked_up)


@contextmanager
def _registry() -> Iterator[CollectorRegistry]:
    """This process's metrics; where several processes share a folder, those of all."""
    if not os.environ.get(METRICS_FOLDER):
        yield REGISTRY
        return
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    with unmerged_metrics():
        yield registry
