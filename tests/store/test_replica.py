"""Reads from a replica of MariaDB: the same promises as of a standby of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from convstore.request_log import RequestRecord, begin_record, end_record
from convstore.store import ConversationStore
from testing.bodies import new_id
from testing.standby import ReplicaPair
from tests.store.test_standby import (
    DATABASE,
    _nothing_is_passed_over,
    exported,
    make_databases,
    said,
    store_with,
    test_a_request_with_a_message_or_a_key_is_the_primarys,
    test_a_standby_that_can_answer_has_no_reason_to_be_passed_over,
    test_a_standby_that_was_away_is_used_again_when_it_is_there,
    test_an_export_has_all_messages_also_if_the_standby_lacks_some,
    test_only_reads_that_may_be_stale_are_those_of_the_standby,
    test_what_is_no_copy_of_the_database_answers_nobody,
    texts,
)

__all__ = [
    "_nothing_is_passed_over",
    "test_a_request_with_a_message_or_a_key_is_the_primarys",
    "test_a_standby_that_can_answer_has_no_reason_to_be_passed_over",
    "test_a_standby_that_was_away_is_used_again_when_it_is_there",
    "test_an_export_has_all_messages_also_if_the_standby_lacks_some",
    "test_only_reads_that_may_be_stale_are_those_of_the_standby",
    "test_what_is_no_copy_of_the_database_answers_nobody",
]

pytestmark = [pytest.mark.needs("mariadb"), pytest.mark.soak_only]


@pytest.fixture(scope="module")
def pair() -> Iterator[ReplicaPair]:
    with ReplicaPair() as pair:
        make_databases(pair)
        yield pair


@pytest.fixture
def store(pair: ReplicaPair) -> ConversationStore:
    return store_with(pair, pair.standby.url(DATABASE))


@pytest.mark.parametrize("rights", ["SELECT", "SELECT, EXECUTE", "ALL"])
def test_reading_needs_few_rights_on_a_replica_and_writes_nothing(pair, rights):
    user, talk = f"u{new_id()[:8]}", new_id()
    pair.primary.execute(f"CREATE USER {user}@'127.0.0.1'")
    pair.primary.execute(f"GRANT {rights} ON {DATABASE}.* TO {user}@'127.0.0.1'")
    store = store_with(pair, pair.standby.url(DATABASE).replace("root@", f"{user}@"))
    store.append(talk, said("1"))
    pair.catch_up()
    with noted() as record:
        assert texts(store.window(talk, 9, stale=True)) == ["1"]
    assert record.read_from == "standby"
    assert exported(store, talk) == ["1"]
    assert pair.written_by_the_standby() == ""


@contextmanager
def noted() -> Iterator[RequestRecord]:
    try:
        yield begin_record("http", None)
    finally:
        end_record()
