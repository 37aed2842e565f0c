"""Whether memories can serve, asked in this process."""

from __future__ import annotations

from convstore.database.url import database_alias
from convstore.store import ConversationStore
from memory_api.memory import Memory
from memory_api.readiness import ReadinessProbe
from testing.service import NOWHERE


def test_the_service_is_ready_while_one_database_is(database, caplog):
    up = Memory(name="up", store=ConversationStore(database))
    down = Memory(name="down", store=ConversationStore(database_alias(NOWHERE)))
    probe = ReadinessProbe()

    assert probe.is_ready([down, up])
    assert not probe.is_ready([down])
    assert probe.is_ready([])
    assert "memory down is not ready: the database cannot be reached: " in caplog.text


def test_the_database_that_was_ready_last_is_asked_first(database, caplog):
    """One that is down may take seconds to say so, on each probe."""
    up = Memory(name="up", store=ConversationStore(database))
    down = Memory(name="down", store=ConversationStore(database_alias(NOWHERE)))
    probe = ReadinessProbe()

    assert [probe.is_ready([down, up]) for _ in range(3)] == [True] * 3

    assert caplog.text.count("memory down is not ready") == 1
