"""What the first page says of requests and backups."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from inspection.health import Health, health_by_memory, last_backup
from memory_api.errors import BadRequest
from memory_api.metrics import count_refused, metrics_of


def test_requests_are_counted_by_memory_and_by_who_is_to_blame():
    metrics = metrics_of("asked", "1")
    for seconds in [0.002] * 19 + [7.0]:
        metrics.request_seconds.observe(seconds)
    for error in (BadRequest("x"), RuntimeError()):
        count_refused(("asked", "1"), error)
    metrics_of("not asked", "1")
    found = health_by_memory()
    assert "not asked" not in found
    health = found["asked"]
    assert (health.requests, health.refused, health.failed) == (20, 1, 1)
    assert health.latency == "up to 2.5 ms"


def test_a_latency_is_said_as_exactly_as_the_metrics_know():
    assert Health(2, buckets={0.5: 1, 2.5: 2, float("inf"): 2}).latency == "up to 2.5 s"
    assert Health(2, buckets={10.0: 1, float("inf"): 2}).latency == "more than 10 s"


def test_the_last_backup_is_the_time_of_its_file(settings, tmp_path):
    settings.BACKUP_STAMP = ""
    assert last_backup() is None
    stamp = tmp_path / "stamp"
    settings.BACKUP_STAMP = str(stamp)
    missing = last_backup()
    assert missing
    assert missing.at is None
    stamp.touch()
    os.utime(stamp, (1_700_000_000, 1_700_000_000))
    found = last_backup()
    assert found
    assert found.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
