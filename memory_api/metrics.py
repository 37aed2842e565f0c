"""Prometheus metrics of the memories, the same at every door."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from convstore.request_log import current_record

LABELS = ("model", "version")

messages_stored = Counter("memory_messages_stored", "Messages stored", LABELS)
window_messages = Histogram(
    "memory_window_messages",
    "Messages in the window of a reply",
    LABELS,
    buckets=(0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
database_seconds = Histogram(
    "memory_database_seconds",
    "Seconds of a call to the database, including failed attempts",
    LABELS,
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
database_retries = Counter(
    "memory_database_retries", "Transactions that were retried after a fault", LABELS
)
tensors_left_out = Counter(
    "memory_tensors_left_out",
    "Requests with a tensor of OpenAI's format that the memory's tensor_names leave out",
    LABELS,
)
unknown_tensors = Counter(
    "memory_unknown_tensors", "Requests with tensors that nobody reads", LABELS
)
unknown_parameters = Counter(
    "memory_unknown_parameters", "Requests with parameters that nobody reads", LABELS
)


class MemoryMetrics(NamedTuple):
    """The metrics of one memory."""

    messages_stored: Counter
    window_messages: Histogram
    database_seconds: Histogram
    database_retries: Counter
    tensors_left_out: Counter
    unknown_tensors: Counter
    unknown_parameters: Counter

    def observe_database(self, seconds: float, retries: int) -> None:
        """What a memory's store calls after each call to its database."""
        current_record().add_database_call(seconds, retries)
        self.database_seconds.observe(seconds)
        if retries:
            self.database_retries.inc(retries)


@cache  # looking for the labels takes longer than counting
def metrics_of(model: str, version: str) -> MemoryMetrics:
    labels = (model, version)
    return MemoryMetrics(
        messages_stored.labels(*labels),
        window_messages.labels(*labels),
        database_seconds.labels(*labels),
        database_retries.labels(*labels),
        tensors_left_out.labels(*labels),
        unknown_tensors.labels(*labels),
        unknown_parameters.labels(*labels),
    )
