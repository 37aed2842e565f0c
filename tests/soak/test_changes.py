"""Conversations are created, changed, forked and deleted while workers and databases are killed.

What readers find is as before a change, or as after it. A request that is sent again does nothing
more and is answered alike. At the end, the rows are those of the changes that were answered.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from contextlib import closing

import pytest
from django.db import connections

from convstore.conf import DEFAULT_DATABASE_TIMEOUT
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.models import NOT_ERASED, Conversation, ItemId, MetadataPair
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key
from tests.conftest import note_exercised
from tests.soak.changers import Changers
from tests.soak.checker import Failed, Outage, unexplained
from tests.soak.databases import KINDS
from tests.soak.load import CUT, UNAVAILABLE
from tests.soak.talks import State, Talk
from tests.soak.test_retries import service_to_hit

pytestmark = pytest.mark.soak_only

CHANGES, HITS = 2_000, 20
NAMES = {
    *("create", "create without an id", "add", "add with ids", "V2", "rewrite", "metadata"),
    *("erase", "pop", "fork", "long fork", "delete"),
}
# More than two transactions copy or delete.
LONG = 1_200
# A fork that somebody else has ended, or a database that comes back, may be noticed so late.
NOTICED_WITHIN = 2


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_changes_through_kills_are_done_whole_and_once(kind, folder, tmp_path):
    with service_to_hit(kind, folder, tmp_path) as (url, service, hits):
        outages = []
        with Changers(service.url, url, long_talk(url)) as changers:
            for _, hit in zip(range(HITS), itertools.cycle(hits), strict=False):
                changers.more(CHANGES // (HITS + 1))
                down = time.monotonic()
                hit()
                outages.append(Outage(down, time.monotonic() + NOTICED_WITHIN))
            changers.more(CHANGES // (HITS + 1))
        common = changers.common
        assert_rows_are_those(url, [common.long, *common.talks])
    failed = [each for each in common.failed if not has_waited(each)]
    assert not unexplained(failed, outages, {CUT, UNAVAILABLE})
    assert common.sent_again  # or no hit met a change
    assert common.done.keys() == NAMES


def has_waited(failed: Failed) -> bool:
    """Whether it is the 503 of a request that waited as long as it may.

    On a busy machine that may be at any time: processes are not served in turn by SQLite.
    """
    return failed.how == UNAVAILABLE and failed.until - failed.since > DEFAULT_DATABASE_TIMEOUT


def long_talk(url: str) -> Talk:
    """A conversation that is there, of LONG messages."""
    texts = [f"long-{n}" for n in range(1, LONG + 1)]
    with closing(connections[database_alias(url)]):
        store = ConversationStore(database_alias(url))
        for start in range(0, LONG, 100):
            some = texts[start : start + 100]
            store.append("long", [Message("user", (Part("text", text),)) for text in some])
    return Talk("long", State().with_more(texts))


def assert_rows_are_those(url: str, talks: list[Talk]) -> None:
    """By the ORM, past every door: these conversations, whole, and nothing of any other."""
    using = database_alias(url)
    note_exercised(using)
    with closing(connections[using]):
        there = {talk.memory_id: talk.now for talk in talks if talk.states[-1]}
        conversations = Conversation.objects.using(using)
        assert set(conversations.values_list("memory_id", flat=True)) == there.keys()
        keys = {conversation_key(memory_id): memory_id for memory_id in there}
        found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        rows = Row.objects.using(using).filter(NOT_ERASED).order_by("conversation_id", "position")
        for key, position, body in rows.values_list("conversation_id", "position", "body"):
            found[keys[key]].append((position, text_of(body)))
        assert {memory_id: list(state.items) for memory_id, state in there.items()} == {
            memory_id: found[memory_id] for memory_id in there
        }
        for model in (ItemId, MetadataPair):
            owners = model.objects.using(using).values_list("conversation", flat=True)
            assert set(owners) <= keys.keys()


def text_of(body: str) -> str:
    (part,) = Message.from_json(body).parts
    text: str = part.value
    return text
