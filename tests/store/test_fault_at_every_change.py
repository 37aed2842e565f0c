"""A fault at every step of what changes a conversation beside exchanges; then it is whole.

The faults, and the line on which they happen, are those of `test_fault_at_every_step.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from convstore.archive import copying, erasure, forks
from convstore.archive.conversations import find_conversation
from convstore.archive.copying import Fork, Source, mark_of_fork
from convstore.archive.history import MessageRow
from convstore.archive.word_switch import learn
from convstore.errors import UnknownConversation
from convstore.messages import Message, Part
from convstore.models import Conversation, ItemId, MetadataPair
from convstore.store import ConversationStore, conversation_key
from tests.length import sampled
from tests.store.test_fault_at_every_step import (
    SPEECHES,
    TIMEOUT,
    End,
    Fault,
    InProcess,
    Line,
    Wire,
    assert_idle,
    assert_no_transaction_is_open,
    end_of,
)

pytestmark = pytest.mark.soak

# A short run meets one in so many.
ONE_FAULT_IN = 8


@pytest.fixture
def line(database: str, database_url: str) -> Iterator[Line]:
    store = ConversationStore(database)
    speech = SPEECHES.get(connections[database].vendor)
    if speech is None:
        yield InProcess(store)
        return
    with Wire(database_url, store, speech) as wire:
        yield wire


@pytest.fixture(autouse=True)
def several_steps(monkeypatch: pytest.MonkeyPatch, database: str) -> Iterator[None]:
    """Copies and deletions of more than one transaction."""
    monkeypatch.setattr(copying, "BATCH", 2)
    monkeypatch.setattr(erasure, "BATCH", 2)
    yield
    for model in (ItemId, MetadataPair):
        model.objects.using(database).all().delete()


def say(text: str, own_id: str = "") -> Message:
    return Message("user", (Part("text", text),), ids={0: own_id} if own_id else {})


class Change:
    """A conversation of three messages, and a request with a key that changes it."""

    def __init__(self, name: str, store: ConversationStore, database: str) -> None:
        self.store, self.direct, self.name = store, ConversationStore(database), name
        self.memory_id, self.key = str(uuid.uuid4()), uuid.uuid4()
        self.tries = 0
        self.ids = [self.memory_id, f"{self.memory_id} copy"]
        if name != "create":
            self.direct.create(self.memory_id, [say("1"), say("2", "mine"), say("3")], {"a": "b"})
        # There is a connection when the fault comes, and it knows whether words are on.
        store.check()
        learn(store.using, False)

    def call(self) -> list[Any]:
        self.tries += 1
        CHANGES[self.name](self)
        return []

    def found(self) -> list[Any]:
        """What readers find of both conversations: their rows, ids of items and metadata."""
        return [self._found(each) for each in self.ids]

    def _found(self, memory_id: str) -> Any:
        key, using = conversation_key(memory_id), self.direct.using
        row = Conversation.objects.using(using).filter(pk=key).first()
        if row is None or row.memory_id != memory_id:
            return None
        rows = MessageRow.objects.using(using).filter(conversation_id=key).order_by("position")
        ids = ItemId.objects.using(using).filter(conversation=key, position__gt=0)
        pairs = MetadataPair.objects.using(using).filter(conversation=key)
        return (
            list(rows.values_list("position", "kind", "body")),
            sorted(ids.values_list("position", "number")),
            ((row.metadata or "").replace(self.memory_id, "ID"), row.erased, pairs.count()),
        )

    def left(self) -> int:
        """How many rows there are, also of what nobody finds."""
        keys = [conversation_key(each) for each in self.ids]
        rows = MessageRow.objects.using(self.direct.using)
        return rows.filter(conversation_id__in=keys).count()


def pop(change: Change) -> None:
    # It has no key: who does not know whether it was done looks first.
    if change.tries == 1 or len(change.direct.page(change.memory_id).rows) == 3:
        change.store.pop(change.memory_id)


def fork_half(change: Change) -> None:
    """With a part of the last row, which is copied in a step of its own."""
    using, source_key = change.store.using, conversation_key(change.memory_id)
    key, mark = conversation_key(change.ids[1]), mark_of_fork(change.key, change.memory_id, 3, {})
    new = Fork(using, key, change.ids[1], change.memory_id, {}, mark, is_known=True)

    def see() -> Source:
        source: Any = change.store.run(
            lambda: find_conversation(using, source_key, change.memory_id)
        )
        return Source(source, 3, 1, lambda body: say("a part"))

    forks.fork(change.store.run, see, new)


def delete(change: Change) -> None:
    try:
        change.store.delete(change.memory_id)
    except UnknownConversation:
        assert not change.left()  # a try before has deleted it


CHANGES: Mapping[str, Callable[[Change], object]] = {
    "create": lambda each: each.store.create(
        each.memory_id, [say("1"), say("2", "mine")], {"a": "b"}, each.key
    ),
    "set metadata": lambda each: each.store.set_metadata(each.memory_id, {"c": "d"}, each.key),
    "erase": lambda each: each.store.erase(each.memory_id, 2),
    "replace the tail": lambda each: each.store.rewrite(
        each.memory_id, 2, [say("4", "other"), say("5")], each.key
    ),
    "fork": lambda each: each.store.fork(
        each.memory_id, each.ids[1], None, {"e": "f"}, request_key=each.key
    ),
    "fork in the middle of a row": fork_half,
    "pop": pop,
    "delete": delete,
}
# Nearly the same as others, which a short run has.
ONLY_AT_LENGTH = ("fork in the middle of a row", "pop")
each_change = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.soak_only] if name in ONLY_AT_LENGTH else [])
        for name in CHANGES
    ],
)


@each_change
def test_an_error_at_each_statement_leaves_all_or_nothing(line, database, name):
    faults = line.errors(Change(name, line.store, database).call)
    assert_whole_after_each(faults, line, database, name)


@each_change
def test_a_connection_that_dies_at_each_statement_leaves_all_or_nothing(line, database, name):
    faults = line.deaths(Change(name, line.store, database).call)
    assert_whole_after_each(faults, line, database, name)


@each_change
def test_a_database_that_is_gone_from_each_statement_on_leaves_all_or_nothing(line, database, name):
    faults = line.outages(Change(name, line.store, database).call)
    assert_whole_after_each(faults, line, database, name, timeout=0)


def assert_whole_after_each(
    faults: Sequence[Fault], line: Line, database: str, name: str, timeout: int = TIMEOUT
) -> None:
    assert len(faults) > 1
    unharmed = Change(name, ConversationStore(database), database)
    before = unharmed.found()
    unharmed.call()
    after = unharmed.found()
    assert after != before
    for fault in sampled(faults, one_in=ONE_FAULT_IN):
        change = Change(name, line.store, database)
        with line.harmed(fault), override_settings(DATABASE_TIMEOUT=timeout):
            end, _ = end_of(change.call)
        assert end is fault.end, fault.name
        assert_idle(line.store.using, fault.name)
        assert change.found() in ([after] if end is End.ANSWERED else [before, after]), fault.name
        change.call()
        assert change.found() == after, fault.name
        assert change.left() == sum(len(each[0]) for each in after if each), fault.name
        assert_idle(line.store.using, fault.name)
    assert_no_transaction_is_open(database)
