"""The memory of the workers stays what it is, however many requests they have served."""

from __future__ import annotations

import pytest

from testing.processes import process_group
from testing.service import Service
from tests.length import times
from tests.soak.databases import KINDS, database, serving
from tests.soak.load import Load

pytestmark = [pytest.mark.soak, pytest.mark.timeout(times(600, soak=7200))]

AT_ONCE = 100
# A million in all.
REQUESTS = times(5, soak=2_500)
# What Python's allocator keeps goes up and down by a few per cent.
TOLERANCE = 1.1


@pytest.mark.parametrize("kind", KINDS[:1])
def test_four_times_as_many_requests_take_no_more_memory(kind, folder, tmp_path):
    with (
        database(kind, tmp_path) as url,
        serving(url, folder) as service,
        Load(service.url) as load,
    ):
        for _ in range(REQUESTS):
            load.more(AT_ONCE)
        before = memory(service)
        for _ in range(3 * REQUESTS):
            load.more(AT_ONCE)
        assert memory(service) < TOLERANCE * before


def memory(service: Service) -> int:
    """The bytes in memory of all processes of the service."""
    return sum(process.memory_info().rss for process in process_group(service.process.pid))
