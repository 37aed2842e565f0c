"""How requests to memories went since the service started, and when the last backup was."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.conf import settings

from memory_api.collected_metrics import collect_metrics

# The reasons of refusals that are no fault of a client's.
FAILURES = {"fault", "identity_clash", "unavailable"}
# Of so many requests out of 100 the latency is shown.
PERCENT = 95


@dataclass(slots=True)
class Health:
    """The requests to one memory. `buckets` counts those that took up to so many seconds."""

    requests: int = 0
    refused: int = 0
    failed: int = 0
    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def latency(self) -> str:
        """How long PERCENT out of 100 requests took at most, as exactly as the metrics know."""
        enough = [
            bound
            for bound, number in self.buckets.items()
            if number >= self.requests * PERCENT / 100
        ]
        bound = min(enough, default=float("inf"))
        if bound == float("inf"):
            return f"more than {max((b for b in self.buckets if b != bound), default=0):g} s"
        return f"up to {bound:g} s" if bound >= 1 else f"up to {bound * 1000:g} ms"


def health_by_memory() -> Mapping[str, Health]:
    """For each memory that was asked, by its name."""
    found: dict[str, Health] = defaultdict(Health)
    for family in collect_metrics():
        for sample in family.samples:
            name = sample.labels.get("model", "")
            if sample.name == "memory_request_seconds_count" and sample.value:
                found[name].requests += int(sample.value)
            elif sample.name == "memory_request_seconds_bucket" and sample.value:
                found[name].buckets[float(sample.labels["le"])] += sample.value
            elif sample.name == "memory_requests_refused_total" and sample.value:
                if sample.labels["reason"] in FAILURES:
                    found[name].failed += int(sample.value)
                else:
                    found[name].refused += int(sample.value)
    return {name: each for name, each in found.items() if each.requests}


@dataclass(frozen=True, slots=True)
class Backup:
    """The last backup; None if the file that stands for it does not exist."""

    at: datetime | None


def last_backup() -> Backup | None:
    """When the file of BACKUP_STAMP was last written; None without that setting."""
    if not (path := getattr(settings, "BACKUP_STAMP", "")):
        return None
    try:
        return Backup(datetime.fromtimestamp(os.stat(path).st_mtime, UTC))
    except OSError:
        return Backup(None)
