"""The checker is checked: where a database forgets what it confirmed, losses are found."""

from __future__ import annotations

import pytest

from tests.soak.databases import (
    KINDS_WITH_A_SERVER,
    SERVERS,
    kill,
    made_on,
    restart,
    serving,
    short_on,
)
from tests.soak.load import Load
from tests.soak.outages import checked, outages

# With these a commit is confirmed before the server has written it down, which PostgreSQL's
# own writer would do within a fifth of a second, and MariaDB does once a second.
FORGETFUL = {
    "postgresql": ["synchronous_commit=off", "wal_writer_delay=10s"],
    "mariadb": ["innodb-flush-log-at-trx-commit=0"],
}
KILLS = 3

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("kind", short_on("postgresql", of=KINDS_WITH_A_SERVER))
def test_what_a_forgetful_database_loses_when_it_is_killed_is_found(kind, folder):
    with SERVERS[kind](*FORGETFUL[kind]) as server:
        url = made_on(server)
        with serving(url, folder) as service:
            restart(server)  # so that its tables are written down
            with Load(service.url) as load:
                outages(load, KILLS, lambda: kill(server))
            report = checked(url, load)
    assert 0 < len(report.lost) < report.acknowledged, str(report)
