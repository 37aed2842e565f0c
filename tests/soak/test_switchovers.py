"""A standby of PostgreSQL becomes the primary, under load, again and again.

After a switchover, the former primary takes no writes any more, but keeps the connections that
it has, as one that is demoted without a restart, or behind a name that moved. After a failover,
it is dead. The service has to find the new one by itself, in the same processes, and nothing
that was acknowledged is lost: commits are synchronous.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from testing.haproxy import HaProxy
from testing.pgbouncer import PgBouncer
from testing.postgres import Postgres
from testing.standby import catch_up
from tests.docs.pages import ROOT, blocks
from tests.length import times
from tests.soak.checker import Outage
from tests.soak.databases import made_on, processes, serving
from tests.soak.load import CLIENTS, UNAVAILABLE, Load
from tests.soak.outages import MESSAGES_BETWEEN, assert_all_kept

pytestmark = [pytest.mark.soak, pytest.mark.needs("postgresql")]

PAGE = ROOT / "docs/howto/postgresql-and-mysql.md"
CHANGES = times(1, soak=20)
# HAProxy asks twice a second who takes writes, and pgbouncer connects to it once a second.
NOTICED_WITHIN = {"hosts": 0.0, "haproxy": 2.0, "pgbouncer": 3.0}

Meanwhile = Callable[[], None]
Change = Callable[[Postgres, Postgres, Meanwhile], Outage]


def switch_over(primary: Postgres, standby: Postgres, meanwhile: Meanwhile) -> Outage:
    """Let the primary take no writes, and promote the standby when it has all of them."""
    down = time.monotonic()
    primary.set("default_transaction_read_only = on")
    meanwhile()
    catch_up(primary, standby)
    promote(standby)
    return Outage(down, time.monotonic())


def fail_over(primary: Postgres, standby: Postgres, meanwhile: Meanwhile) -> Outage:
    """Kill the primary, and promote the standby, which has all that was acknowledged."""
    down = time.monotonic()
    primary.kill()
    meanwhile()
    promote(standby)
    return Outage(down, time.monotonic())


def promote(standby: Postgres) -> None:
    standby.set("synchronous_standby_names = ''")
    standby.execute("SELECT pg_promote()")


WAYS = [
    pytest.param("hosts", [switch_over, fail_over], id="hosts"),
    pytest.param(
        "haproxy",
        [switch_over, fail_over],
        id="haproxy",
        marks=[pytest.mark.soak_only, pytest.mark.needs("haproxy")],
    ),
    pytest.param(
        "pgbouncer",
        [fail_over, switch_over],
        id="pgbouncer",
        marks=pytest.mark.needs("haproxy", "pgbouncer"),
    ),
]


@pytest.mark.parametrize(("way", "changes"), WAYS)
def test_after_each_change_of_the_primary_the_service_finds_it_by_itself(way, changes, folder):
    with Postgres() as first, Postgres(primary=first) as second:
        primary, standby = first, second
        make_synchronous(primary)
        made_on(primary)
        with reached(way, first, second) as url, serving(url, folder) as service:
            with Load(service.url) as load:
                load.more(MESSAGES_BETWEEN)
                before = processes(service)
                outages = []
                for change in itertools.islice(itertools.cycle(changes), CHANGES):
                    load.more(MESSAGES_BETWEEN)
                    outages.append(change(primary, standby, load.wait_for_a_failure))
                    primary, standby = standby, primary
                    load.more(MESSAGES_BETWEEN)
                    standby.stop()
                    standby.follow(primary)
                    make_synchronous(primary)
                load.more(MESSAGES_BETWEEN)
            assert_all_kept(url, load, outages, {UNAVAILABLE}, NOTICED_WITHIN[way])
            assert processes(service) == before


@contextmanager
def reached(way: str, first: Postgres, second: Postgres) -> Iterator[str]:
    """The URL by which the service reaches the one of two servers that takes writes."""
    if way == "hosts":
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (first, second))
        yield f"postgresql://admin@/crashes?{hosts}&target_session_attrs=read-write"
        return
    with proxy(first, second) as haproxy:
        if way == "haproxy":
            yield haproxy.url("crashes")
            return
        with PgBouncer(haproxy, size=CLIENTS) as pooler:
            yield pooler.url("crashes")


def proxy(first: Postgres, second: Postgres) -> HaProxy:
    """HAProxy with the configuration of the docs, which has a user of its own."""
    block, _ = [block for block in blocks(PAGE) if block.language == "haproxy"]
    first.execute("CREATE ROLE haproxy LOGIN")
    servers = {
        "10.0.0.1:5432": f"127.0.0.1:{first.port}",
        "10.0.0.2:5432": f"127.0.0.1:{second.port}",
    }
    return HaProxy(block.text, "127.0.0.1:5000", servers)


def make_synchronous(primary: Postgres) -> None:
    """Let commits wait for the standby, from when this returns."""
    primary.set("synchronous_standby_names = '*'")
    while primary.execute("SELECT sync_state FROM pg_stat_replication") != [("sync",)]:
        time.sleep(0.01)
