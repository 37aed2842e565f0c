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
from tests.length import MINUTES, times
from tests.soak.checker import Outage
from tests.soak.databases import made_on, processes, restart, serving
from tests.soak.load import CLIENTS, CUT, UNAVAILABLE, Load, Roaming
from tests.soak.outages import MESSAGES_BETWEEN, assert_all_kept, checked
from tests.soak.test_kills import kill_a_worker
from tests.soak.turns import (
    Hit,
    assert_explained,
    each_minute,
    hit_in_turns,
    migrations_of,
    restart_of,
    write_verdict,
)

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
        pair = Pair(first, second)
        make_synchronous(first)
        made_on(first)
        with reached(way, first, second) as url, serving(url, folder) as service:
            with Load(service.url) as load:
                load.more(MESSAGES_BETWEEN)
                before = processes(service)
                outages: list[Outage] = []
                for change in itertools.islice(itertools.cycle(changes), CHANGES):
                    if outages:
                        pair.make_whole()
                    load.more(MESSAGES_BETWEEN)
                    outages.append(pair.change(change, load.wait_for_a_failure))
                    load.more(MESSAGES_BETWEEN)
            assert_all_kept(url, load, outages, {UNAVAILABLE}, NOTICED_WITHIN[way])
            assert processes(service) == before


@pytest.mark.soak_only
@pytest.mark.timeout(600 + MINUTES * 120)
def test_two_services_lose_nothing_while_something_is_hit_every_minute(folder):
    with Postgres() as first, Postgres(primary=first) as second:
        make_synchronous(first)
        made_on(first)
        with (
            reached("hosts", first, second) as url,
            serving(url, folder) as one,
            serving(url, folder) as other,
        ):
            pair = Pair(first, second)
            with Roaming(one.url, other.url) as load:
                load.more(MESSAGES_BETWEEN)
                before = processes(one)
                migration = migrations_of(one)
                hits = [
                    Hit("switchover", lambda: pair.change(switch_over), repair=pair.make_whole),
                    migration,
                    Hit("worker killed", lambda: kill_a_worker(other), (CUT,)),
                    Hit(
                        "primary killed",
                        lambda: pair.change(fail_over, load.wait_for_a_failure),
                        repair=pair.make_whole,
                    ),
                    migration,
                    restart_of(other),
                    Hit("standby restarted", lambda: restart(pair.standby)),
                ]
                turns = hit_in_turns(load, hits, [one, other], each_minute(hits))
            report = checked(url, load)
            write_verdict(report, load, turns)
            assert not any(report.wrong.values()), str(report)
            assert_explained(load, turns)
            assert processes(one) == before


class Pair:
    """A primary and its synchronous standby, which change their roles."""

    def __init__(self, primary: Postgres, standby: Postgres) -> None:
        self.primary, self.standby = primary, standby

    def change(self, change: Change, meanwhile: Meanwhile = lambda: None) -> Outage:
        """The former primary is no standby yet."""
        outage = change(self.primary, self.standby, meanwhile)
        self.primary, self.standby = self.standby, self.primary
        return outage

    def make_whole(self) -> None:
        """Make the former primary the standby of the new one."""
        self.standby.stop()
        self.standby.follow(self.primary)
        make_synchronous(self.primary)


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
