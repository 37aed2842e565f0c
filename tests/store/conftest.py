"""The Conversations door in this process, over each database of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import conversations_api.views
from conversations_api.audit_log import Deletion
from convstore.models import ItemId, MetadataPair
from convstore.store import ConversationStore
from memory_api.memory import Memory
from tests.store.conversations_client import Client


@pytest.fixture
def deletions(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[tuple[Any, ...]]:
    """What the audit log was told: who, where, what; and None before, a failure or "" after.

    The admin's tables are not in every database of the tests.
    """
    entries: list[tuple[Any, ...]] = []

    def record(deletion: Deletion, failure: str | None = None) -> None:
        entries.append((deletion.who, deletion.using, deletion.what, failure))

    monkeypatch.setattr("inspection.audit.record_deletion", record)
    return entries


@pytest.fixture
def client(database: str, monkeypatch: pytest.MonkeyPatch, deletions: Any) -> Iterator[Client]:
    memory = Memory(name="m", store=ConversationStore(database))
    monkeypatch.setattr(conversations_api.views, "memory_named", lambda name: memory)
    # The tables of keys are not in every database of the tests.
    monkeypatch.setattr("api_keys.doors.is_any_key_there", lambda: False)
    yield Client(memory)
    ItemId.objects.using(database).all().delete()
    MetadataPair.objects.using(database).all().delete()


@pytest.fixture
def conversation(client: Client) -> str:
    shown: str = client.post().document["id"]
    return f"/{shown}"
