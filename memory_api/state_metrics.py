"""Metrics that are looked up when Prometheus asks: the build, and which databases are up."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from convstore import __version__
from memory_api.memory import Memory
from memory_api.metrics import LABELS


class StateCollector(Collector):
    """`is_up` says whether a memory's database answers and has its tables."""

    def __init__(self, memories: Iterable[Memory], is_up: Callable[[Memory], bool]) -> None:
        self._memories, self._is_up = memories, is_up

    def collect(self) -> Iterator[GaugeMetricFamily]:
        build = GaugeMetricFamily(
            "convstore_build_info",
            "1, with the versions of convstore and Python",
            labels=("version", "python"),
        )
        build.add_metric((__version__, platform.python_version()), 1)
        yield build
        up = GaugeMetricFamily(
            "memory_database_up",
            "1 if the memory's database answers and has its tables, else 0",
            labels=LABELS,
        )
        for memory in self._memories:
            up.add_metric(memory.labels, self._is_up(memory))
        yield up
