"""kill -9 of the server and of a worker, again and again, under load.

Every acknowledged message is there exactly once and in order, and each reply was a slice
of the history. A kill leaves what the system has in memory as it is: this shows what a
crash of programs does, not what a power cut does to a disk.
"""

from __future__ import annotations

import signal
import time

import psutil
import pytest

from testing.service import Service
from tests.length import times
from tests.soak.databases import database, serving, short_on
from tests.soak.load import CUT, REFUSED, Load
from tests.soak.outages import assert_all_kept, outages

pytestmark = pytest.mark.soak

KILLS = times(3, soak=30)
WORKER_SECONDS = 30


@pytest.mark.parametrize("kind", short_on("postgresql"))
def test_a_server_that_is_killed_again_and_again_keeps_what_it_acknowledged(kind, folder, tmp_path):
    with database(kind, tmp_path) as url, serving(url, folder) as service:
        with Load(service.url) as load:
            kills = outages(load, KILLS, lambda: kill_the_server(service))
        assert_all_kept(url, load, kills, {REFUSED, CUT})


@pytest.mark.parametrize("kind", short_on("sqlite"))
def test_a_worker_that_is_killed_again_and_again_keeps_what_it_acknowledged(kind, folder, tmp_path):
    with database(kind, tmp_path) as url, serving(url, folder) as service:
        with Load(service.url) as load:
            kills = outages(load, KILLS, lambda: kill_a_worker(service))
        assert_all_kept(url, load, kills, {CUT})


def kill_the_server(service: Service) -> None:
    """gunicorn and its workers at once; then `make serve` again."""
    service.signal(signal.SIGKILL)
    service.process.wait()
    service.__enter__()


def kill_a_worker(service: Service) -> None:
    """The one with more clients; until gunicorn has another in its place."""
    (gunicorn,) = psutil.Process(service.process.pid).children()
    workers = gunicorn.children()
    victim = max(workers, key=lambda worker: clients_of(worker, service))
    assert clients_of(victim, service) > 0
    victim.kill()
    deadline = time.monotonic() + WORKER_SECONDS
    while victim in (now := gunicorn.children()) or len(now) < len(workers):
        assert time.monotonic() < deadline, "gunicorn started no other worker"
        time.sleep(0.005)


def clients_of(worker: psutil.Process, service: Service) -> int:
    """How many connections of clients a worker has."""
    ends = worker.net_connections("tcp")
    return sum(end.laddr.port == service.port and bool(end.raddr) for end in ends)
