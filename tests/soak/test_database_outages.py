"""A database server that is killed, or restarted every few seconds, under load.

Every acknowledged message is there exactly once and in order; while the server is away the
service answers 503, and once it is back 200, without help.
"""

from __future__ import annotations

import pytest

from tests.length import times
from tests.soak.databases import (
    KINDS_WITH_A_SERVER,
    SERVERS,
    kill,
    made_on,
    restart,
    serving,
    short_on,
)
from tests.soak.load import UNAVAILABLE, Load
from tests.soak.outages import assert_all_kept, outages

pytestmark = pytest.mark.soak

KILLS = times(3, soak=30)
RESTARTS = times(2, soak=6)
SECONDS_BETWEEN_RESTARTS = 2


@pytest.mark.parametrize("kind", short_on("postgresql", of=KINDS_WITH_A_SERVER))
def test_a_database_that_is_killed_again_and_again_keeps_every_acknowledged_message(kind, folder):
    with SERVERS[kind]() as server:
        url = made_on(server)
        with serving(url, folder) as service:
            with Load(service.url) as load:
                kills = outages(load, KILLS - 1, lambda: kill(server))
                kills += outages(load, 1, lambda: kill(server, load.wait_for_a_failure))
            assert_all_kept(url, load, kills, {UNAVAILABLE})


@pytest.mark.parametrize("kind", short_on("mariadb", of=KINDS_WITH_A_SERVER))
def test_a_database_that_is_restarted_every_few_seconds_keeps_every_acknowledged_message(
    kind, folder
):
    with SERVERS[kind]() as server:
        url = made_on(server)
        with serving(url, folder) as service:
            with Load(service.url) as load:
                restarts = outages(
                    load, RESTARTS - 1, lambda: restart(server), SECONDS_BETWEEN_RESTARTS
                )
                restarts += outages(load, 1, lambda: restart(server, load.wait_for_a_failure))
            assert_all_kept(url, load, restarts, {UNAVAILABLE})
