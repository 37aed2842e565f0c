"""Patroni makes another server the primary, under load: when it is asked to, and after a death.

The primary's machine dies with everything on it, or Patroni alone dies and its PostgreSQL lives
on; Patroni on the other machine notices, and the service has to find the new primary by itself.
Nothing that was acknowledged is lost.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from testing.haproxy import HaProxy
from testing.patroni import Node, PatroniCluster
from testing.pgbouncer import PgBouncer
from tests.docs.pages import ROOT, blocks
from tests.soak.checker import Outage
from tests.soak.databases import processes, serving
from tests.soak.load import CLIENTS, UNAVAILABLE, Load
from tests.soak.outages import MESSAGES_BETWEEN, assert_all_kept

pytestmark = [
    # On a busy machine, a lease may end by itself: then requests fail at other times, too.
    pytest.mark.soak_only,
    pytest.mark.needs("patroni", "postgresql-debian"),
    pytest.mark.timeout(1200),
]

PAGE = ROOT / "docs/howto/postgresql-and-mysql.md"
CHANGES = 12
# Patroni says that a server is the primary before it takes writes. HAProxy asks twice a second,
# and pgbouncer connects to it once a second.
NOTICED_WITHIN = {"hosts": 3.0, "haproxy": 3.0, "pgbouncer": 4.0}
WAYS = [
    pytest.param("hosts", Node.kill, id="hosts"),
    pytest.param("haproxy", Node.kill_patroni, id="haproxy", marks=pytest.mark.needs("haproxy")),
    pytest.param(
        "pgbouncer",
        Node.kill_patroni,
        id="pgbouncer",
        marks=pytest.mark.needs("haproxy", "pgbouncer"),
    ),
]


@pytest.mark.parametrize(("way", "kill"), WAYS)
def test_after_each_change_of_the_leader_the_service_finds_it_by_itself(way, kill, folder):
    (settings,) = [block for block in blocks(PAGE) if block.language == "yaml"]
    with PatroniCluster(yaml.safe_load(settings.text)) as cluster:
        cluster.primary().execute("CREATE DATABASE crashes")
        changes = [cluster.switch_over, lambda: cluster.fail_over(kill)]
        with reached(way, cluster) as url, serving(url, folder) as service:
            with Load(service.url) as load:
                load.more(MESSAGES_BETWEEN)
                before = processes(service)
                outages = []
                for change in itertools.islice(itertools.cycle(changes), CHANGES):
                    cluster.make_whole()
                    load.more(MESSAGES_BETWEEN)
                    down = time.monotonic()
                    change()
                    outages.append(Outage(down, time.monotonic()))
                    load.more(MESSAGES_BETWEEN)
            assert_all_kept(url, load, outages, {UNAVAILABLE}, NOTICED_WITHIN[way])
            assert processes(service) == before


@contextmanager
def reached(way: str, cluster: PatroniCluster) -> Iterator[str]:
    """The URL by which the service reaches the primary."""
    if way == "hosts":
        yield cluster.url("crashes")
        return
    with proxy(cluster) as haproxy:
        if way == "haproxy":
            yield haproxy.url("crashes")
            return
        with PgBouncer(haproxy, size=CLIENTS) as pooler:
            yield pooler.url("crashes")


def proxy(cluster: PatroniCluster) -> HaProxy:
    """HAProxy with the configuration of the docs, which asks Patroni."""
    first, second = [block.text for block in blocks(PAGE) if block.language == "haproxy"]
    defaults, _, _ = first.partition("listen ")
    servers = {
        f"10.0.0.{n}:5432 check port 8008": f"127.0.0.1:{node.port} check port {node.rest_port}"
        for n, node in enumerate(cluster.nodes, 1)
    }
    return HaProxy(defaults + second, "127.0.0.1:5000", servers)
