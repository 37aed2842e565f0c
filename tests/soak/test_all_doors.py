"""Writers through all doors at once: nothing lost, nothing twice, in order, each window exact.

Half of what they write goes to one conversation, the other half to one of several.
"""

from __future__ import annotations

import pytest

from testing.mlserver import MLServer
from tests.soak.all_doors import DOORS, AllDoors
from tests.soak.checker import unexplained
from tests.soak.databases import KINDS, database, serving
from tests.soak.outages import checked

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.soak_only]

# So many are acknowledged at the slowest door, at least.
AT_EACH_DOOR = 500
STEP = 100


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("writers", [8, 32])
@pytest.mark.parametrize("kind", KINDS)
def test_writers_through_all_doors_lose_double_and_disorder_nothing(
    kind, writers, folder, tmp_path
):
    models, mlserver = folder / "models", tmp_path / "mlserver"
    mlserver.mkdir()
    with (
        database(kind, tmp_path) as url,
        serving(url, folder) as service,
        MLServer(mlserver, models, DATABASE_URL=url) as other,
    ):
        with AllDoors(service, other, url, writers) as load:
            while min(map(load.acknowledged_at, DOORS)) < AT_EACH_DOOR:
                load.more(STEP)
        report = checked(url, load)
    assert not any(report.wrong.values()), str(report)
    assert not unexplained(load.failed, [], ())
