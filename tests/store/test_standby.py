"""Reads from a standby of PostgreSQL: what it may answer, and when the primary answers instead."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from convstore import standby as standbys
from convstore.archive.conversations import conversation_with_key
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.request_log import begin_record, end_record
from convstore.standby import reason_passed_over, standby_alias
from convstore.store import ConversationStore, conversation_key
from inspection.export import FORMATS, file_chunks
from memory_api.contract import infer
from memory_api.memory import Memory
from testing.bodies import append_request, new_id, read_request
from testing.standby import ReplicaPair, StandbyPair

pytestmark = pytest.mark.needs("postgresql")

DATABASE = "standby_of"
STALE = {"stale": True}


@pytest.fixture(scope="module")
def pair() -> Iterator[StandbyPair]:
    with StandbyPair() as pair:
        make_databases(pair)
        yield pair


def make_databases(pair: StandbyPair | ReplicaPair) -> None:
    """One that has tables, one that has tables of its own, and one without tables."""
    pair.primary.execute("CREATE DATABASE empty")
    for name in (DATABASE, "other"):
        pair.primary.execute(f"CREATE DATABASE {name}")
        alias = database_alias(pair.primary.url(name))
        call_command("migrate", "convstore", database=alias, verbosity=0)
        connections[alias].close()
    pair.catch_up()


@pytest.fixture(autouse=True)
def _nothing_is_passed_over() -> Iterator[None]:
    yield
    standbys._passed_over.clear()
    connections.close_all()


def store_with(pair: StandbyPair | ReplicaPair, read_url: str, **options: Any) -> ConversationStore:
    alias = database_alias(pair.primary.url(DATABASE), options)
    return ConversationStore(alias, standby=standby_alias(read_url, options))


@pytest.fixture(params=[{}, {"pool_size": 2}], ids=["threads", "pool"])
def store(pair: StandbyPair, request: pytest.FixtureRequest) -> Iterator[ConversationStore]:
    store = store_with(pair, pair.standby.url(DATABASE), **request.param)
    yield store
    for alias in (store.using, store.standby or ""):
        connections[alias].close()
        if request.param:
            connections[alias].close_pool()  # type: ignore[attr-defined]


def said(text: str) -> list[Message]:
    return [Message("user", (Part("text", text),))]


def texts(window: Any) -> list[str]:
    return [json.loads(message.body)["content"][0]["value"] for message in window]


# --- What it may answer ------------------------------------------------------------------


def test_only_reads_that_may_be_stale_are_those_of_the_standby(pair, store):
    talk = new_id()
    store.append(talk, said("1"))
    pair.pause()
    store.append(talk, said("2"))
    assert texts(store.window(talk, 9)) == ["1", "2"]
    assert texts(store.window(talk, 9, stale=True)) == ["1"]
    assert store.window(new_id(), 9, stale=True) == []
    pair.resume()
    assert texts(store.window(talk, 9, stale=True)) == ["1", "2"]


def test_a_request_with_a_message_or_a_key_is_the_primarys(pair, store):
    memory, talk = Memory(name="m", store=store), new_id()
    infer(memory, append_request(talk, "1"))
    pair.pause()

    def history(request: dict[str, Any], of: Memory = memory) -> int:
        outputs: Any = infer(of, request).document["outputs"]
        return len(outputs[1]["data"])

    assert history(append_request(talk, "2", parameters=STALE)) == 2
    assert history(read_request(talk, parameters=STALE)) == 1
    assert history(read_request(talk, parameters={**STALE, "idempotency_key": "k"})) == 2
    assert history(read_request(talk)) == 2
    by_default = Memory(name="m", store=store, stale_reads=True)
    assert history(read_request(talk), by_default) == 1
    assert history(read_request(talk, parameters={"stale": False}), by_default) == 2
    assert history(append_request(talk, "3"), by_default) == 3
    pair.resume()


def test_the_log_says_which_reads_were_the_standbys(store):
    record = begin_record("http", None)
    store.window("a", 1)
    assert record.read_from is None
    store.window("a", 1, stale=True)
    assert record.fields()["read_from"] == "standby"
    end_record()


def test_a_connection_to_the_standby_is_kept_and_asked_once_what_it_is_a_copy_of(store):
    store.window("a", 1, stale=True)
    connection = connections[store.standby or ""]
    before = connection.connection
    connection.close_if_unusable_or_obsolete()  # as at the end of each request
    statements: list[str] = []

    def note(execute: Any, sql: str, *more: Any) -> Any:
        statements.append(sql)
        return execute(sql, *more)

    with connection.execute_wrapper(note):
        store.window("a", 1, stale=True)
    assert connection.connection is before
    assert len(statements) == 1


def test_an_export_has_all_messages_also_if_the_standby_lacks_some(pair, store):
    talk = new_id()
    store.append(talk, said("1"))
    pair.pause()
    store.append(talk, said("2"))
    assert exported(store, talk) == ["1", "2"]
    pair.resume()
    record = begin_record("http", None)
    assert exported(store, talk) == ["1", "2"]
    assert record.read_from == "standby"
    end_record()


def exported(store: ConversationStore, talk: str) -> list[str]:
    row = conversation_with_key(store.using, conversation_key(talk))
    assert row
    lines = b"".join(file_chunks(store.using, [row], FORMATS["stored"], store.standby))
    bodies = [json.loads(json.loads(line)["body"]) for line in lines.splitlines()]
    return [body["content"][0]["value"] for body in bodies]


# --- When the primary answers ------------------------------------------------------------


class Silent:
    """A server that takes connections, and says nothing."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._taken: list[socket.socket] = []
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._taken):
            each.close()

    @property
    def url(self) -> str:
        return f"postgresql://admin@127.0.0.1:{self._listener.getsockname()[1]}/{DATABASE}"

    @property
    def asked(self) -> int:
        """How often somebody has connected."""
        while True:
            try:
                self._taken.append(self._listener.accept()[0])
            except BlockingIOError:
                return len(self._taken)


def test_a_standby_that_gives_no_answer_delays_one_read_and_is_asked_again_later(
    pair, monkeypatch, caplog
):
    with Silent() as silent, caplog.at_level(logging.WARNING):
        store, talk = store_with(pair, silent.url), new_id()
        store.append(talk, said("1"))
        for _ in range(20):
            assert texts(store.window(talk, 9, stale=True)) == ["1"]
        assert silent.asked == 1
        monkeypatch.setattr(standbys, "PASSED_OVER_SECONDS", 0)
        standbys._passed_over[store.standby or ""] = time.monotonic()
        assert texts(store.window(talk, 9, stale=True)) == ["1"]
        assert silent.asked == 2
    (line,) = [each for each in caplog.messages if "is passed over" in each]
    assert f"standby PostgreSQL, {DATABASE} on 127.0.0.1" in line


def test_a_standby_that_was_away_is_used_again_when_it_is_there(pair, monkeypatch, caplog):
    monkeypatch.setattr(standbys, "PASSED_OVER_SECONDS", 0.05)
    store, talk = store_with(pair, pair.standby.url(DATABASE)), new_id()
    store.append(talk, said("1"))
    pair.catch_up()
    assert texts(store.window(talk, 9, stale=True)) == ["1"]
    pair.standby.stop()
    store.append(talk, said("2"))
    assert texts(store.window(talk, 9, stale=True)) == ["1", "2"]
    assert exported(store, talk) == ["1", "2"]
    assert "is passed over" in caplog.text
    pair.standby.start()
    pair.pause()
    store.append(talk, said("3"))
    deadline = time.monotonic() + 30
    while texts(store.window(talk, 9, stale=True)) != ["1", "2"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "answers again" in caplog.text
    pair.resume()


@pytest.mark.parametrize("name", ["other", "empty", "nothing"])
def test_what_is_no_copy_of_the_database_answers_nobody(pair, name):
    """Another database of the same version, one without tables, and one that is not there."""
    other, talk = ConversationStore(database_alias(pair.primary.url("other"))), new_id()
    other.append(talk, said("not yours"))
    store = store_with(pair, pair.primary.url(name))
    store.append(talk, said("yours"))
    assert texts(store.window(talk, 9, stale=True)) == ["yours"]
    assert exported(store, talk) == ["yours"]
    assert reason_passed_over(store.standby or "", store.using)


def test_a_standby_that_can_answer_has_no_reason_to_be_passed_over(store):
    assert reason_passed_over(store.standby or "", store.using) == ""
