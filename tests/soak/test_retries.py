"""Clients retry with the same keys while workers and databases are killed.

Nothing is stored twice, and every answer to a key is the same bytes: the window that ends in its
own message.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from testing.service import Service
from tests.length import times
from tests.soak.checker import Outage, unexplained, without_busy
from tests.soak.databases import (
    KINDS,
    SERVERS,
    kill,
    made_on,
    serving,
    short_on,
    stored,
)
from tests.soak.load import CUT, UNAVAILABLE
from tests.soak.retries import Retries, faults
from tests.soak.test_kills import kill_a_worker

pytestmark = pytest.mark.soak

RETRIES = times(300, soak=100_000)
HITS = times(2, soak=20)

Hits = Sequence[Callable[[], None]]


@contextmanager
def service_to_hit(kind: str, folder: Path, tmp_path: Path) -> Iterator[tuple[str, Service, Hits]]:
    """A database, the service on it, and what may be done to them in turns."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/retries.sqlite3"
        with serving(url, folder) as service:
            yield url, service, [lambda: kill_a_worker(service)]
        return
    with SERVERS[kind]() as server:
        url = made_on(server)
        with serving(url, folder) as service:
            yield url, service, [lambda: kill(server), lambda: kill_a_worker(service)]


@pytest.mark.timeout(times(600, soak=7200))
@pytest.mark.parametrize("kind", short_on("sqlite", "postgresql"))
def test_retries_through_kills_are_stored_once_and_answered_alike(kind, folder, tmp_path):
    with service_to_hit(kind, folder, tmp_path) as (url, service, hits):
        outages, between = [], RETRIES // (HITS + 1)
        with Retries(service.url) as retries:
            for _, hit in zip(range(HITS), itertools.cycle(hits), strict=False):
                retries.more(between)
                down = time.monotonic()
                hit()
                outages.append(Outage(down, time.monotonic()))
            retries.more(max(between, RETRIES - retries.retries))
        found = faults(retries, stored(url))
    assert not any(found.values()), {what: list(them)[:5] for what, them in found.items()}
    assert retries.retries >= RETRIES
    assert not unexplained(retries.failed, outages, {CUT, UNAVAILABLE})
    assert without_busy(retries.failed)  # or no hit met a request


@pytest.mark.parametrize("kind", KINDS[:1])
def test_where_no_key_is_sent_the_same_clients_store_twice(kind, folder, tmp_path):
    with service_to_hit(kind, folder, tmp_path) as (url, service, _):
        with Retries(service.url, with_keys=False) as retries:
            retries.more(50)
        found = faults(retries, stored(url))
    assert found["doubled"]
    assert found["answered in two ways"]
    assert not found["lost"]
