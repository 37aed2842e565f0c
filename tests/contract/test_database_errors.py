"""What a memory answers while its database is away, locked or not as it should be."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connections, transaction

from convstore.database.url import database_alias
from convstore.models import Conversation
from testing.bodies import append_request, append_several_request, new_id, read_request
from testing.processes import Process
from tests.doors import MLSERVER_DOORS, at
from tests.refusals import PRIVATE, changed_request, refusal_sentence

# --- The database ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent", [append_request("x", PRIVATE), read_request("x")], ids=["add", "read"]
)
def test_a_memory_whose_database_cannot_be_reached_is_unavailable(door, sent):
    reply = door.infer(sent, "down")

    assert reply.status == 503
    assert refusal_sentence(reply) == "the database cannot be reached"


@at("http")
def test_a_client_is_told_when_to_ask_an_unavailable_memory_again(door):
    assert int(door.infer(read_request("x"), "down").headers["Retry-After"]) >= 1


@at("http")
def test_a_malformed_request_is_refused_even_while_the_database_is_down(door):
    assert door.infer(changed_request(content=None), "down").status == 400


@at(*MLSERVER_DOORS)
def test_mlserver_makes_the_tables_first_while_the_database_is_down(door):
    assert door.infer(changed_request(content=None), "down").status == 503


def test_a_memory_whose_standby_is_away_is_served_by_the_primary(door):
    talk = new_id()
    for text in ("1", "2"):
        assert door.infer(append_request(talk, text), "alone").status == 200
        for parameters in ({}, {"stale": True}):
            read = read_request(talk, parameters=parameters)
            assert door.infer(read, "alone").texts[-1] == text


def test_a_memory_that_is_down_does_not_take_the_others_along(door):
    door.infer(append_request("x", "lost"), "down")

    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


def test_a_conversation_that_stays_locked_is_unavailable_for_writers(
    limited, limited_door, limited_rows
):
    alias = database_alias(limited.environment["DATABASE_URL"])
    memory_id = new_id()
    limited_door.infer(append_request(memory_id, "before"))
    before = limited_rows()

    with transaction.atomic(alias):  # on SQLite it locks the file, elsewhere the row
        locked = Conversation.objects.using(alias).filter(memory_id=memory_id)
        assert list(locked.select_for_update())
        reply = limited_door.infer(append_request(memory_id, PRIVATE))
        meanwhile = limited_door.infer(read_request(memory_id))

    assert reply.status == 503
    assert "busy" in refusal_sentence(reply)
    assert meanwhile.texts == ["before"]
    assert limited_rows() == before
    assert limited_door.infer(append_request(memory_id, "after")).texts == ["before", "after"]


# --- Faults ------------------------------------------------------------------------------


def test_an_id_whose_key_another_conversation_has_is_refused_in_the_stores_words(
    service, door, rows
):
    """No two ids are known to hash to one key, so a row is given to another id."""
    memory_id = new_id()
    door.infer(append_request(memory_id, "hello"))
    alias = database_alias(service.environment["DATABASE_URL"])
    conversation = Conversation.objects.using(alias).filter(memory_id=memory_id)
    assert conversation.update(memory_id=new_id()) == 1
    before = rows()

    reply = door.infer(append_request(memory_id, PRIVATE))

    assert reply.status == 500
    assert "another memory_id" in refusal_sentence(reply)
    assert rows() == before
    assert door.infer(read_request(memory_id)).texts == []
    assert refusal_sentence(reply) in door.service.log.read_text()


@contextmanager
def broken(service: Process) -> Iterator[None]:
    """A column of the service's table has another name than the service knows."""
    connection = connections[database_alias(service.environment["DATABASE_URL"])]
    rename = "ALTER TABLE convstore_message RENAME COLUMN {} TO {}"
    with connection.cursor() as cursor:
        cursor.execute(rename.format("body", "body_"))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(rename.format("body_", "body"))


@pytest.mark.parametrize(
    "sent", [append_request("x", PRIVATE), read_request("x")], ids=["add", "read"]
)
def test_a_fault_is_one_generic_sentence_with_an_id_that_the_log_has(limited, limited_door, sent):
    request_id = f"test-{uuid.uuid4()}"
    # A function of the database reads the column only if there is a message to read.
    assert limited_door.infer(append_request("x", "Hello!")).status == 200

    with broken(limited):
        reply = limited_door.infer(sent, **{"x-request-id": request_id})

    assert reply.status == 500
    assert request_id in refusal_sentence(reply)
    assert "body" not in refusal_sentence(reply)
    log = limited_door.service.log.read_text()
    assert "Traceback" in log[log.index(request_id) :]


def test_a_fault_without_a_request_id_is_given_one(limited, limited_door):
    with broken(limited):
        reply = limited_door.infer(append_request("x", PRIVATE))

    assert reply.status == 500
    (request_id,) = [word for word in refusal_sentence(reply).split() if word.count("-") == 4]
    assert uuid.UUID(request_id).version == 4
    assert request_id in limited_door.service.log.read_text()


def test_a_long_request_id_is_not_echoed_whole(limited, limited_door):
    with broken(limited):
        reply = limited_door.infer(append_request("x", PRIVATE), **{"x-request-id": "x" * 5000})

    assert reply.status == 500
    assert refusal_sentence(reply)


def test_a_fault_writes_nothing_and_is_over_when_its_cause_is(limited, limited_door, limited_rows):
    memory_id = new_id()
    limited_door.infer(append_request(memory_id, "before"))
    before = limited_rows()

    with broken(limited):
        one = limited_door.infer(append_request(memory_id, "meanwhile"))
        three = limited_door.infer(
            append_several_request(new_id(), ["user"] * 3, content=[["a"]] * 3)
        )

    assert [one.status, three.status] == [500, 500]
    assert limited_rows() == before
    assert limited_door.infer(append_request(memory_id, "after")).texts == ["before", "after"]
