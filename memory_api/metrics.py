"""Prometheus metrics of the memories, the same at every door."""

from __future__ import annotations

import re
import time
from functools import cache
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from api_keys.errors import NotAllowed, NoValidKey, TooManyRequests
from convstore.errors import (
    IdentityClash,
    MessageTooLarge,
    RequestKeyReused,
    Unavailable,
    WindowTooLarge,
    WrongPosition,
)
from convstore.request_log import current_record
from memory_api.errors import BadRequest, TooLarge

LABELS = ("model", "version")
# What a refusal is counted as: its own class, or the nearest of its bases.
REASONS = frozenset(
    {
        BadRequest,
        IdentityClash,
        MessageTooLarge,
        NoValidKey,
        NotAllowed,
        RequestKeyReused,
        TooLarge,
        TooManyRequests,
        Unavailable,
        WindowTooLarge,
        WrongPosition,
    }
)

# Up to DATABASE_TIMEOUT and QUEUE_TIMEOUT together, by default.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

request_seconds = Histogram(
    "memory_request_seconds",
    "Seconds from a whole inference request to its reply, waiting for a thread included",
    LABELS,
    buckets=SECONDS,
)
requests_refused = Counter(
    "memory_requests_refused",
    "Inference requests that were refused or failed, by reason",
    (*LABELS, "reason"),
)
messages_stored = Counter("memory_messages_stored", "Messages stored", LABELS)
bytes_stored = Counter(
    "memory_bytes_stored", "Bytes of the messages stored, as JSON in UTF-8", LABELS
)
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
    buckets=SECONDS,
)
database_retries = Counter(
    "memory_database_retries", "Transactions that were retried after a fault", LABELS
)
standby_reads = Counter("memory_standby_reads", "Requests that a standby answered", LABELS)
tensors_left_out = Counter(
    "memory_tensors_left_out",
    "Requests with a tensor of OpenAI's format that the memory's tensor_names leave out",
    LABELS,
)
# Without the name, which a client chose.
unknown_models = Counter(
    "memory_unknown_models", "Inference requests for a name or version that there is not"
)
unknown_tensors = Counter(
    "memory_unknown_tensors", "Requests with tensors that nobody reads", LABELS
)
unknown_parameters = Counter(
    "memory_unknown_parameters", "Requests with parameters that nobody reads", LABELS
)


class MemoryMetrics(NamedTuple):
    """The metrics of one memory."""

    request_seconds: Histogram
    messages_stored: Counter
    bytes_stored: Counter
    window_messages: Histogram
    database_seconds: Histogram
    database_retries: Counter
    standby_reads: Counter
    tensors_left_out: Counter
    unknown_tensors: Counter
    unknown_parameters: Counter

    def observe_request(self) -> None:
        """The request that is served here is about to be answered."""
        self.request_seconds.observe(time.monotonic() - current_record().begun)

    def observe_database(self, seconds: float, retries: int) -> None:
        """What a memory's store calls after each call to its database."""
        current_record().add_database_call(seconds, retries)
        self.database_seconds.observe(seconds)
        if retries:
            self.database_retries.inc(retries)


@cache  # looking for the labels takes longer than counting
def metrics_of(model: str, version: str) -> MemoryMetrics:
    labels = (model, version)
    for reason in (*REASONS, Exception):
        # The first refusal is a change from 0, which Prometheus sees only if the 0 was there.
        requests_refused.labels(*labels, reason_of(reason))
    return MemoryMetrics(
        request_seconds.labels(*labels),
        messages_stored.labels(*labels),
        bytes_stored.labels(*labels),
        window_messages.labels(*labels),
        database_seconds.labels(*labels),
        database_retries.labels(*labels),
        standby_reads.labels(*labels),
        tensors_left_out.labels(*labels),
        unknown_tensors.labels(*labels),
        unknown_parameters.labels(*labels),
    )


def count_refused(labels: tuple[str, str], error: Exception) -> None:
    """Count a request of the memory with these labels by the reason of its refusal."""
    requests_refused.labels(*labels, reason_of(type(error))).inc()


def reason_of(kind: type[Exception]) -> str:
    """The reason as a label: request_key_reused for RequestKeyReused, fault for a bug."""
    name = next((base.__name__ for base in kind.__mro__ if base in REASONS), "Fault")
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
