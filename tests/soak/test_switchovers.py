"""A standby of PostgreSQL becomes the primary, under load, while the former primary lives on.

The former primary takes no writes any more, but keeps the connections that it has, as one
that is demoted without a restart, or behind a name that moved. The service has to leave them
by itself, in the same processes, and nothing that was acknowledged is lost: commits are
synchronous.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest

from testing.postgres import Postgres
from testing.service import Service
from tests.length import times
from tests.soak.checker import Outage
from tests.soak.databases import made_on, serving
from tests.soak.load import UNAVAILABLE, Load
from tests.soak.outages import MESSAGES_BETWEEN, assert_all_kept

pytestmark = [pytest.mark.soak, pytest.mark.needs("postgresql")]

SWITCHOVERS = times(1, soak=20)


def test_after_each_switchover_the_service_finds_the_primary_by_itself(folder):
    with Postgres() as first, Postgres(primary=first) as second:
        primary, standby = first, second
        primary.set("synchronous_standby_names = '*'")
        made_on(primary)
        url = (
            f"postgresql://admin@/crashes?host=127.0.0.1:{first.port}&host=127.0.0.1:{second.port}"
            "&target_session_attrs=read-write"
        )
        with serving(url, folder) as service:
            before = processes(service)
            with Load(service.url) as load:
                switchovers = []
                for _ in range(SWITCHOVERS):
                    load.more(MESSAGES_BETWEEN)
                    switchovers.append(switch_over(primary, standby, load.wait_for_a_failure))
                    primary, standby = standby, primary
                    load.more(MESSAGES_BETWEEN)
                    standby.stop()
                    standby.follow(primary)
                    primary.set("synchronous_standby_names = '*'")
                load.more(MESSAGES_BETWEEN)
            assert_all_kept(url, load, switchovers, {UNAVAILABLE})
            assert processes(service) == before


def switch_over(primary: Postgres, standby: Postgres, meanwhile: Callable[[], None]) -> Outage:
    """Let the primary take no writes, and promote the standby when it has all of them."""
    down = time.monotonic()
    primary.set("default_transaction_read_only = on")
    meanwhile()
    ((written,),) = primary.execute("SELECT pg_current_wal_lsn()::text")
    while standby.execute(f"SELECT pg_last_wal_replay_lsn() < '{written}'::pg_lsn") != [(False,)]:
        time.sleep(0.01)
    standby.set("synchronous_standby_names = ''")
    standby.execute("SELECT pg_promote()")
    return Outage(down, time.monotonic())


def processes(service: Service) -> set[int]:
    children = psutil.Process(service.process.pid).children(recursive=True)
    return {process.pid for process in children}
