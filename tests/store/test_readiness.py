"""Whether memories can serve, asked in this process."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections

from convstore.database.url import database_alias
from convstore.store import ConversationStore
from memory_api.memory import Memory
from memory_api.readiness import PROBE_SECONDS, ReadinessProbe
from testing.service import NOWHERE


@pytest.fixture
def probe() -> Iterator[ReadinessProbe]:
    probe = ReadinessProbe()
    yield probe
    probe.stop()


def memory(name: str, alias: str) -> Memory:
    return Memory(name=name, store=ConversationStore(alias))


def test_the_service_is_ready_while_one_database_is(database, probe, caplog):
    up, down = memory("up", database), memory("down", database_alias(NOWHERE))

    assert probe.is_ready([down, up])
    assert not probe.is_ready([down])
    assert not probe.is_ready([])
    assert "memory down is not ready: the database cannot be reached: " in caplog.text


def test_a_database_that_stays_down_is_logged_once(probe, caplog):
    down = [memory("down", database_alias(NOWHERE))]

    assert not probe.is_ready(down)
    time.sleep(PROBE_SECONDS * 2.5)
    assert not probe.is_ready(down)

    assert caplog.text.count("memory down is not ready") == 1


def test_a_database_that_never_answers_delays_nobody(database, probe):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/nothing"
        silent, up = memory("silent", database_alias(url)), memory("up", database)

        assert probe.is_ready([up, silent])
        assert not probe.is_ready([silent])


def test_a_database_that_takes_no_writes_is_not_ready_until_it_does(postgresql, probe, caplog):
    """Sessions that begin while it is read-only stay so, also when it takes writes again."""
    postgresql.execute("CREATE DATABASE standby")
    alias = database_alias(postgresql.url("standby"))
    call_command("migrate", "convstore", database=alias, verbosity=0)
    connections[alias].close()
    postgresql.execute("ALTER DATABASE standby SET default_transaction_read_only = on")
    standby = [memory("standby", alias)]

    assert not probe.is_ready(standby)

    postgresql.execute("ALTER DATABASE standby RESET default_transaction_read_only")
    deadline = time.monotonic() + 60
    while not probe.is_ready(standby):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    probe.stop()
    assert "memory standby is not ready: the database's server takes no writes" in caplog.text
