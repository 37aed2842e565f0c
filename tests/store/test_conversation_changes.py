"""What a store does beside exchanges, on each database: find, page, list, change, delete."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, count
from typing import Any

import pytest
from django.db import connections, transaction

from convstore.archive import changes, pages
from convstore.archive.lists import LAST_ACTIVE, OLDEST
from convstore.errors import (
    Changed,
    ConversationExists,
    RequestKeyReused,
    UnknownConversation,
)
from convstore.exchange import portable_orm
from convstore.exchange.portable_orm import PortableOrm
from convstore.messages import Message, Part
from convstore.models import ItemId, MetadataPair
from convstore.store import ConversationStore, conversation_key
from convstore.windows import choose


def say(*texts: str) -> list[Message]:
    return [Message("user", (Part("text", text),)) for text in texts]


def system(text: str) -> list[Message]:
    return [Message("system", (Part("text", text),))]


def text(body: str) -> str:
    value: str = json.loads(body)["content"][0]["value"]
    return value


def texts(rows: Sequence[Any]) -> list[str]:
    return [text(row.body) for row in rows]


@pytest.fixture
def filled(database: str) -> Iterator[ConversationStore]:
    store = ConversationStore(database)
    store.create("a", say("1", "2", "3", "4", "5"), {"title": "Trip"})
    yield store
    for model in (ItemId, MetadataPair):
        model.objects.using(database).all().delete()


def test_a_conversation_is_found_with_its_length_and_metadata(filled):
    found = filled.find("a")
    assert (found.memory_id, found.length, found.metadata) == ("a", 5, {"title": "Trip"})
    assert found.created_at <= found.active_at
    assert filled.find("b") is None


def test_pages_go_on_behind_a_position_in_both_directions(filled):
    page = filled.page("a", 2)
    assert (texts(page.rows), page.has_more) == (["1", "2"], True)
    assert texts(filled.page("a", 2, 2).rows) == ["3", "4"]
    last = filled.page("a", 2, 4)
    assert (texts(last.rows), last.has_more) == (["5"], False)
    assert filled.page("a", 5).has_more is False
    newest = filled.page("a", 3, newest_first=True)
    assert (texts(newest.rows), newest.has_more) == (["5", "4", "3"], True)
    assert texts(filled.page("a", 3, 3, newest_first=True).rows) == ["2", "1"]
    assert filled.page("b") == ([], False)


def test_a_page_ends_at_its_bytes_but_has_one_message(filled, monkeypatch):
    monkeypatch.setattr(pages, "CHUNK_BYTES", 130)
    page = filled.page("a", 5)
    assert (texts(page.rows), page.has_more) == (["1", "2"], True)
    monkeypatch.setattr(pages, "CHUNK_BYTES", 1)
    assert texts(filled.page("a", 5).rows) == ["1"]


def test_a_page_has_all_of_a_change_or_nothing(filled, monkeypatch):
    cuts = iter([lambda: filled.rewrite("a", 2, say("new"))])

    def measure_late(sizes):
        for cut in cuts:  # between the statements of the page
            cut()
        return accumulate(sizes)

    monkeypatch.setattr(pages, "accumulate", measure_late)
    assert texts(filled.page("a").rows) == ["1", "new"]


def begin_anew(store: ConversationStore) -> None:
    store.delete("a")
    store.create("a", say("a", "b", "c", "d", "e", "f"))


CUTS: dict[str, tuple[Callable[[ConversationStore], Any], list[str]]] = {
    "from a message on": (lambda store: store.rewrite("a", 2, say("new")), ["1", "new"]),
    # As a client does that replaces the last items of a turn.
    "inside of the last message": (
        lambda store: store.rewrite("a", 5, say("new"), rest=lambda body: say("half")[0]),
        ["1", "2", "3", "4", "half", "new"],
    ),
    "all, and then begun anew": (begin_anew, ["a", "b", "c", "d", "e", "f"]),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_window_has_all_of_a_change_or_nothing(filled, monkeypatch, name):
    cut, expected = CUTS[name]
    store = ConversationStore(filled.using, PortableOrm)
    cuts = iter([cut])

    def choose_late(*given):
        for each in cuts:  # between what measures the messages and what reads them
            each(filled)
        return choose(*given)

    monkeypatch.setattr(portable_orm, "choose", choose_late)
    assert texts(store.window("a", 10)) == expected


@pytest.mark.parametrize("at", [1, 2, 3])
def test_all_statements_of_a_window_see_the_same_moment(filled, at):
    filled.create("b", [*system("first"), *say("2", "3", "4", "5")])
    statements = count(1)

    def cut() -> None:
        filled.rewrite("b", 1, say("new"))
        connections[filled.using].close()

    def cut_before(execute, *statement):
        if next(statements) == at:
            pool.submit(cut).result()
        return execute(*statement)

    with ThreadPoolExecutor(1) as pool, connections[filled.using].execute_wrapper(cut_before):
        found = texts(filled.window("b", 3))
    assert found in (["first", "4", "5"], ["new"])


def test_conversations_are_listed_page_by_page(filled):
    for name in ("b1", "b2", "c"):
        filled.create(name, metadata={"user": "ada" if name < "c" else "bob"})

    def listed(**query: Any) -> list[str]:
        found: list[str] = []
        after = None
        while some := filled.conversations(2, after, **query):
            after = some[-1]
            found += [each.memory_id for each in some]
        return found

    assert listed() == ["c", "b2", "b1", "a"]
    assert listed(order=OLDEST) == ["a", "b1", "b2", "c"]
    assert sorted(listed(order=LAST_ACTIVE)) == ["a", "b1", "b2", "c"]
    assert listed(prefix="b") == ["b1", "b2"]
    assert listed(prefix="") == ["a", "b1", "b2", "c"]
    assert listed(prefix="b1") == ["b1"]
    assert listed(pair=("user", "ada")) == ["b2", "b1"]
    assert filled.conversations(1, order=OLDEST) == [filled.find("a")]


def test_metadata_is_replaced_once_for_each_request(filled):
    key, before = uuid.uuid4(), filled.find("a").revision
    for _ in range(2):
        filled.set_metadata("a", {"title": "Long trip"}, key)
    found = filled.find("a")
    assert found.metadata == {"title": "Long trip"}
    assert found.revision != before
    filled.set_metadata("a", {}, revisions=[found.revision])
    filled.set_metadata("a", {"title": "Long trip"}, key)  # a late retry
    assert filled.find("a").metadata == {}
    with pytest.raises(Changed):
        filled.set_metadata("a", {"title": "late"}, revisions=[found.revision])


def test_an_erased_message_keeps_its_place(filled):
    assert filled.erase("a", 3) is True
    assert filled.erase("a", 3) is False
    assert texts(filled.page("a").rows) == ["1", "2", "4", "5"]
    assert filled.append("a", say("6")) == 6
    assert filled.erase("a", 5, lambda body: say(f"less than {text(body)}")[0]) is True
    assert texts(filled.window("a", 2)) == ["less than 5", "6"]


def test_the_newest_message_is_taken_back(filled):
    assert text(filled.pop("a")) == "5"
    filled.erase("a", 4)
    assert text(filled.pop("a", lambda body: say("half")[0])) == "3"
    assert texts(filled.page("a").rows) == ["1", "2", "half"]
    assert filled.append("a", say("6")) == 6
    assert filled.pop("b") is None
    filled.create("b")
    assert filled.pop("b") is None


def test_many_callers_take_back_one_message_each(filled):
    filled.append("a", say(*map(str, range(6, 41))))

    def take(_: int) -> str:
        try:
            return text(filled.pop("a"))
        finally:
            connections[filled.using].close()

    with ThreadPoolExecutor(8) as pool:
        taken = Counter(pool.map(take, range(40)))
    assert taken == Counter(map(str, range(1, 41)))
    assert filled.pop("a") is None


def test_a_second_try_whose_first_one_was_done_takes_back_nothing_more(filled):
    target = changes.Target(filled.using, conversation_key("a"), "a")
    mark = uuid.uuid4()
    taken: list[str] = []
    for _ in range(2):
        assert filled.run(lambda: changes.erase_newest(target, taken.append, mark)) is True
    assert list(map(text, taken)) == ["5"]
    assert texts(filled.page("a").rows) == ["1", "2", "3", "4"]


def test_the_end_is_written_anew(filled):
    key = uuid.uuid4()
    for _ in range(2):
        assert filled.rewrite("a", 4, say("four", "five"), key) == 7
    assert texts(filled.page("a").rows) == ["1", "2", "3", "four", "five"]
    with pytest.raises(RequestKeyReused):
        filled.rewrite("a", 1, say("other"), key)
    assert filled.rewrite("a", None, say("six")) == 8
    assert filled.rewrite("a", 2, []) == 8
    assert texts(filled.window("a", 9)) == ["1"]


def test_a_change_is_refused_in_another_revision(filled):
    found = filled.find("a")
    filled.append("a", say("6"))
    old = [found.revision]
    for change in (
        lambda: filled.erase("a", 1, revisions=old),
        lambda: filled.rewrite("a", 1, say("x"), revisions=old),
        lambda: filled.delete("a", old),
    ):
        with pytest.raises(Changed):
            change()
    assert filled.find("a").length == 6


def test_a_fork_begins_with_the_messages_up_to_a_position(filled):
    filled.erase("a", 2)
    key = uuid.uuid4()
    for _ in range(2):
        filled.fork("a", "b", 4, {"title": "Other trip"}, key)
    assert [row.position for row in filled.page("b").rows] == [1, 3, 4]
    metadata = filled.find("b").metadata
    assert metadata == {"title": "Other trip", "forked_from": "a", "forked_at": "4"}
    assert filled.append("b", say("five")) == 5
    assert texts(filled.page("a", newest_first=True).rows) == ["5", "4", "3", "1"]
    with pytest.raises(ConversationExists):
        filled.fork("a", "b", 4)
    with pytest.raises(UnknownConversation):
        filled.fork("nobody", "c")
    with pytest.raises(Changed):
        filled.fork("a", "c", revisions=["other"])
    filled.fork("a", "c", 99)
    assert texts(filled.page("c").rows) == ["1", "3", "4", "5"]


def test_a_deleted_conversation_is_gone_and_begins_anew(filled):
    filled.delete("a")
    assert filled.find("a") is None
    assert filled.page("a") == ([], False)
    assert filled.conversations() == []
    for change in (
        lambda: filled.delete("a"),
        lambda: filled.erase("a", 1),
        lambda: filled.rewrite("a", 1, []),
        lambda: filled.set_metadata("a", {}),
    ):
        with pytest.raises(UnknownConversation):
            change()
    assert filled.append("a", say("again")) == 1


def test_a_change_inside_a_transaction_is_refused(filled):
    with transaction.atomic(filled.using), pytest.raises(RuntimeError):
        filled.pop("a")
    assert filled.find("a").length == len(filled.page("a").rows) == 5


def test_asynchronous_code_has_the_same(filled):
    async def use() -> list[Any]:
        await filled.acreate("b", say("1", "2"))
        await filled.aset_metadata("b", {"n": "1"})
        await filled.arewrite("b", 2, say("two"))
        await filled.afork("b", "c", 1)
        rows = (await filled.apage("b", newest_first=True)).rows
        popped = await filled.apop("b")
        await filled.aerase("b", 1)
        left = (await filled.afind("b")).metadata, (await filled.apage("b")).rows
        listed = [each.memory_id for each in await filled.aconversations(prefix="b")]
        await filled.adelete("b")
        return [texts(rows), text(popped), *left, listed, await filled.afind("b")]

    assert asyncio.run(use()) == [["two", "1"], "two", {"n": "1"}, [], ["b"], None]
