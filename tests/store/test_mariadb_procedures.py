"""MariaDB's procedures: where they serve, where the batch does instead, and that both agree."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import Error, connections, transaction
from django.test.utils import CaptureQueriesContext
from sqlalchemy.engine import make_url

from convstore.archive.word_switch import turn_words_off, turn_words_on
from convstore.database import checks
from convstore.database.url import database_alias
from convstore.errors import IdentityClash, RequestKeyReused, Unavailable, WindowTooLarge
from convstore.exchange.mysql import CALL_EXCHANGE, MariaDbProcedures, MySqlBatch
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.variants import statements_for
from convstore.messages import MAX_NAME_LENGTH
from convstore.models import Conversation
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key
from testing.mariadb import MariaDb
from tests.store.own_database import execute, migrate, say, texts, variant
from tests.store.test_fault_at_every_step import EXCHANGES, End, Trial, end_of

pytestmark = pytest.mark.needs("mariadb")


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    """An empty database of one's own."""
    return new_database("mariadb")


@pytest.fixture
def alias(url: str) -> Iterator[str]:
    """Its alias, the tables made."""
    alias = database_alias(url)
    migrate(alias)
    yield alias
    connections[alias].close()


def test_the_procedures_serve(alias):
    store = ConversationStore(alias)
    assert texts(store.exchange("a", say("1"), 9)) == ["1"]
    assert store.append("a", say("2")) == 2
    assert texts(store.window("a", 9)) == ["1", "2"]
    assert store.window("b", 9) == []
    assert variant(alias) is MariaDbProcedures
    assert "convstore.I002" not in [message.id for message in checks.server_messages(alias)]


@pytest.mark.parametrize(
    ("version", "left"),
    # The version before has its own.
    [("0008", set()), ("0013", {"convstore_exchange_v1", "convstore_window_v1"})],
)
def test_they_are_dropped_with_their_migration(alias, version, left):
    migrate(alias, version)
    names = "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()"
    assert {name for (name,) in execute(alias, names)} == left
    assert variant(alias) is MySqlBatch
    assert texts(ConversationStore(alias).exchange("a", say("1"), 9)) == ["1"]


@pytest.mark.parametrize(
    "role", ["", " ", "a b", "1 user", "0 done", "\n", "id clash", "é😀 ", "'\\"]
)
def test_roles_of_any_text_come_back_as_they_are_stored(alias, role):
    store, batch = ConversationStore(alias), ConversationStore(alias, MySqlBatch)
    for text in "123":
        window = store.exchange("a", say(text, role), 9)
    assert window == batch.window("a", 9) == store.window("a", 9)
    assert [message.role for message in window] == [role] * 3


# --- Where they cannot serve -------------------------------------------------------------


def test_they_write_no_words_so_the_batch_does(alias):
    store = ConversationStore(alias)
    turn_words_on(alias)
    assert texts(store.exchange("a", say("Straße"), 9)) == ["Straße"]
    assert variant(alias) is MariaDbProcedures
    assert Row.objects.using(alias).get().words == "strasse"
    turn_words_off(alias)
    store.append("a", say("2"))
    assert Row.objects.using(alias).get(position=2).words is None


def limited_user(url: str, *rights: str) -> str:
    """The alias of a user of this database who has these rights, of which one may be empty."""
    name = f"limited_{uuid.uuid4().hex[:8]}"
    database = make_url(url).database
    admins = database_alias(url)
    execute(admins, f"CREATE USER {name}@'%' IDENTIFIED BY ''")
    for right in rights:
        execute(admins, f"GRANT {right} ON {database}.* TO {name}@'%'")
    limited = make_url(url).set(username=name)
    return database_alias(limited.render_as_string(hide_password=False))


TABLES = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES, DROP"


def test_a_user_who_may_not_create_procedures_gets_the_batch(url, caplog):
    alias = limited_user(url, TABLES)
    migrate(alias)
    assert "may not create procedures" in caplog.text
    assert variant(alias) is MySqlBatch
    store = ConversationStore(alias)
    store.create("a", say("1"), {"title": "Trip"})
    assert texts(store.window("a", 9)) == ["1"]
    (found,) = [m for m in checks.server_messages(alias) if m.id == "convstore.I002"]
    # What the message tells to do.
    before, _ = re.findall(r"'migrate convstore ?(\d*)'", str(found.hint))
    name = connections[alias].settings_dict["USER"]
    database = make_url(url).database
    execute(database_alias(url), f"GRANT CREATE ROUTINE, EXECUTE ON {database}.* TO {name}@'%'")
    connections[alias].close()
    migrate(alias, before)
    migrate(alias)
    connections[alias].close()
    assert variant(alias) is MariaDbProcedures
    assert texts(store.exchange("a", say("2"), 9)) == ["1", "2"]
    kept = store.find("a")
    assert kept
    assert kept.metadata == {"title": "Trip"}
    for opened in (alias, database_alias(url)):
        connections[opened].close()


def test_a_user_who_may_not_call_procedures_gets_the_batch(alias, url):
    caller = limited_user(url, TABLES)
    assert variant(caller) is MySqlBatch
    connections[caller].close()


@pytest.mark.parametrize("right", ["ALTER ROUTINE", "CREATE ROUTINE, ALTER ROUTINE"])
def test_a_right_that_does_not_allow_a_call_leads_to_the_batch(alias, url, right):
    caller = limited_user(url, TABLES, right)
    store = ConversationStore(caller)
    assert texts(store.exchange("a", say("1"), 9)) == ["1"]
    assert texts(store.window("a", 9)) == ["1"]
    assert variant(caller) is MySqlBatch
    connections[caller].close()


def test_the_procedures_use_the_rights_of_who_calls(alias, url):
    caller = limited_user(url, "SELECT, EXECUTE")
    store = ConversationStore(caller)
    assert store.window("a", 9) == []
    with pytest.raises(Unavailable) as refused:
        store.append("a", say("1"))
    assert "denied" in str(refused.value.__cause__)
    connections[caller].close()


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP PROCEDURE convstore_exchange_v1", "DROP PROCEDURE convstore_window_v2"],
        ["DROP PROCEDURE convstore_exchange_v1"],
        ["CREATE OR REPLACE PROCEDURE convstore_exchange_v1(n INTEGER) SELECT n"],
    ],
)
def test_what_changes_after_the_connection_was_asked_is_noticed(alias, statements):
    store = ConversationStore(alias)
    store.append("a", say("1"))
    for statement in statements:
        execute(alias, statement)
    assert texts(store.exchange("a", say("2"), 9)) == ["1", "2"]
    assert variant(alias) is MySqlBatch
    assert texts(store.window("a", 9)) == ["1", "2"]


def test_nobody_is_told_to_make_them_where_they_would_not_be_called(alias):
    """As on a cluster, whose other nodes take writes, too."""
    migrate(alias, "0008")
    assert [each.id for each in checks.server_messages(alias)] == ["convstore.I002"]
    connections[alias].connection.replicates_optimistically = True
    assert variant(alias) is PortableOrm
    assert checks.server_messages(alias) == []


def test_a_transaction_of_the_caller_goes_on_after_a_window_that_is_too_large(alias, settings):
    store = ConversationStore(alias)
    for text in "12":
        store.append("a", say(text * 100))
    settings.MAX_REPLY_BYTES = 200
    with transaction.atomic(alias):
        with pytest.raises(WindowTooLarge):
            store.window("a", 2)
        assert texts(store.window("a", 1)) == ["2" * 100]
    with pytest.raises(WindowTooLarge):
        store.window("a", 2)
    assert variant(alias) is MariaDbProcedures


def test_a_restored_dump_without_procedures_gets_the_batch(alias):
    """The table of migrations says that they are there."""
    for name in ("exchange_v1", "window_v1", "window_v2"):
        execute(alias, f"DROP PROCEDURE convstore_{name}")
    assert variant(alias) is MySqlBatch
    assert texts(ConversationStore(alias).exchange("a", say("1"), 9)) == ["1"]


def test_what_is_too_long_is_refused_also_if_a_session_made_them_that_is_not_strict(alias):
    migrate(alias, "0008")
    execute(alias, "SET SESSION sql_mode = ''")
    migrate(alias)
    connections[alias].close()
    key = uuid.uuid4().hex
    values: list[Any] = [
        key,
        "a" * (MAX_NAME_LENGTH + 1),
        "2026-01-01",
        1,
        9,
        key,
        "user",
        "{}",
        key,
        2,
        None,
    ]
    # The store calls them for no such id.
    with pytest.raises(Error, match="too long"), connections[alias].cursor() as cursor:
        cursor.execute(CALL_EXCHANGE, values)
    assert variant(alias) is MariaDbProcedures
    assert not Conversation.objects.using(alias).exists()


def test_they_store_times_as_django_reads_them(alias, url):
    there = database_alias(url + "?program_name=there")
    connections[there].settings_dict["TIME_ZONE"] = "Asia/Tokyo"
    before = datetime.now(UTC)
    ConversationStore(there).append("a", say("1"))
    assert variant(there) is MariaDbProcedures
    assert before <= Row.objects.using(there).get().created_at <= datetime.now(UTC)
    connections[there].close()


# --- Servers of other kinds --------------------------------------------------------------


@pytest.mark.parametrize("logged", ["ROW", "MIXED"])
def test_a_user_without_super_makes_and_calls_them_where_the_server_logs(logged):
    with MariaDb("log-bin=log", "server-id=1", f"binlog-format={logged}") as server:
        server.execute("CREATE DATABASE logged")
        alias = limited_user(server.url("logged"), "ALL")
        migrate(alias)
        assert variant(alias) is MariaDbProcedures
        store = ConversationStore(alias)
        assert texts(store.exchange("a", say("1"), 9)) == ["1"]
        events = [event[5] for event in server.execute("SHOW BINLOG EVENTS")]
        assert not [event for event in events if "CALL" in str(event)]
        for opened in (alias, database_alias(server.url("logged"))):
            connections[opened].close()


# --- Beside the batch --------------------------------------------------------------------


def test_the_batch_of_the_version_before_writes_beside_the_procedures(alias):
    stores = [ConversationStore(alias, batch) for batch in (statements_for, MySqlBatch)] * 3
    sent = [[f"{writer}-{n}" for n in range(15)] for writer in range(len(stores))]

    def write(writer: int) -> list[list[str]]:
        replies = [texts(stores[writer].exchange("a", say(text), 200)) for text in sent[writer]]
        connections[alias].close()
        return replies

    with ThreadPoolExecutor(len(stores)) as threads:
        replies = [reply for written in threads.map(write, range(len(stores))) for reply in written]
    history = texts(ConversationStore(alias).window("a", 200))
    assert sorted(history) == sorted(text for texts in sent for text in texts)
    assert all(reply == history[: len(reply)] for reply in replies)


def test_a_request_is_known_to_either_variant(alias):
    procedures, batch = ConversationStore(alias), ConversationStore(alias, MySqlBatch)
    for first, second in ((procedures, batch), (batch, procedures)):
        key = uuid.uuid4()
        window = first.exchange("a", say("é"), 9, key)
        assert second.exchange("a", say("é"), 9, key) == window
        with pytest.raises(RequestKeyReused):
            second.exchange("a", say("other"), 9, key)
    rows = Row.objects.using(alias)
    assert set(rows.values_list("size", "kind", "tokens")) == {
        (len(body.encode()), 0, None) for body in rows.values_list("body", flat=True)
    }


def test_another_conversation_with_the_same_key_is_neither_read_nor_written(alias):
    store = ConversationStore(alias)
    store.append("a", say("1"))
    # It differs in a trailing blank, which `=` ignores.
    Conversation.objects.using(alias).filter(pk=conversation_key("a")).update(memory_id="a ")
    assert store.window("a", 9) == []
    with pytest.raises(IdentityClash):
        store.exchange("a", say("2"), 9)
    assert Row.objects.using(alias).count() == 1


# --- Faults inside -----------------------------------------------------------------------

EXCHANGE, WINDOW = "convstore_exchange_v1", "convstore_window_v2"
FAIL = "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1021;"
# Until who holds it lets it go.
WAIT = "DO GET_LOCK('late', 60); DO RELEASE_LOCK('late');"


def add_before_each_statement(alias: str, procedure: str, added: str) -> int:
    """Have the procedure do this before the statement that @step names; how many it has."""
    ((_, _, definition, *_),) = execute(alias, f"SHOW CREATE PROCEDURE {procedure}")
    head, start, body = definition.partition("DECLARE last, first BIGINT DEFAULT 0;\n")
    lines, steps, starts = [], 0, True
    for line in body.splitlines():
        text = line.partition("--")[0].strip()
        if starts and text and not re.match(r"END|ELSEIF|ELSE", text):
            lines.append(f"IF @step = {(steps := steps + 1)} THEN {added} END IF;")
        lines.append(line)
        if text:
            starts = bool(re.search(r"(;|\bTHEN|\bELSE)$", text))
    execute(alias, f"DROP PROCEDURE {procedure}")
    execute(alias, head + start + "\n".join(lines))
    return steps


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
def test_a_fault_at_each_statement_inside_leaves_all_or_nothing(alias, url, exchange):
    steps = add_before_each_statement(alias, EXCHANGE, FAIL)
    assert steps > 15
    direct = database_alias(url + "?program_name=direct")
    store, met = ConversationStore(alias), 0
    for step in range(1, steps + 1):
        trial = Trial(store, direct, exchange)
        execute(alias, f"SET @step = {step}")
        end, answer = end_of(trial.call)
        execute(alias, "SET @step = 0")
        trial.assert_whole(answer, f"before statement {step}")
        met += end is End.UNAVAILABLE
        assert end in (End.ANSWERED, End.UNAVAILABLE)
        assert variant(alias) is MariaDbProcedures
    # Several messages are a batch.
    assert met >= (6 if exchange.added == 1 else 0)
    with closing(connections[direct]):
        assert list(execute(direct, RUNNING)) == [(0,)]


RUNNING = "SELECT COUNT(*) FROM information_schema.innodb_trx"


def test_a_fault_at_each_statement_of_a_read_leaves_no_transaction_and_no_other_level(alias, url):
    """In REPEATABLE READ, the reply to the next message would lack those of other writers."""
    store, met = ConversationStore(alias), 0
    other = ConversationStore(database_alias(url + "?program_name=other"))
    store.create("a", say("0", "system") + say("1") + say("2"))
    steps = add_before_each_statement(alias, WINDOW, FAIL)
    with closing(connections[other.using]):
        for step in range(1, steps + 1):
            execute(alias, f"SET @step = {step}")
            end, _ = end_of(lambda: store.window("a", 2))
            met += end is End.UNAVAILABLE
            assert list(execute(alias, "SELECT @@in_transaction")) == [(0,)]
            with transaction.atomic(alias):
                before = store.window("a", 1)
                other.append("a", say(str(step)))
                assert store.window("a", 1) != before, f"after a fault before statement {step}"
            execute(alias, "SET @step = 0")
            assert texts(store.window("a", 2)) == ["0", str(step)]
    assert variant(alias) is MariaDbProcedures
    assert met > 10


def test_an_error_of_commit_is_noticed_also_where_statements_are_logged(alias):
    """Rows come before it, and Django ignores errors that come while it closes a cursor."""
    commit = add_before_each_statement(alias, EXCHANGE, FAIL)
    store = ConversationStore(alias)
    store.append("a", say("1"))
    execute(alias, f"SET @step = {commit}")
    connections[alias].force_debug_cursor = True
    with pytest.raises(Unavailable):
        store.append("a", say("2"))
    execute(alias, "SET @step = 0")
    assert texts(store.window("a", 9)) == ["1"]


# --- Changes meanwhile -------------------------------------------------------------------


WAITS = "SELECT id FROM information_schema.processlist WHERE state = 'User lock'"


@pytest.mark.parametrize(("start", "size"), [(1, 4), (2, 20)])
def test_a_window_has_all_of_a_change_or_nothing(alias, url, start, size):
    """Whichever two of the procedure's statements the change is done in between."""
    steps = add_before_each_statement(alias, WINDOW, WAIT)
    changer, met = ConversationStore(database_alias(url + "?program_name=changer")), 0

    def window(memory_id: str, step: int) -> list[str]:
        with closing(connections[alias]):
            execute(alias, f"SET @step = {step}")
            assert variant(alias) is MariaDbProcedures
            return texts(ConversationStore(alias).window(memory_id, size))

    with closing(connections[changer.using]), ThreadPoolExecutor(1) as thread:
        for step in range(1, steps + 1):
            memory_id = f"{step}"
            changer.create(memory_id, [*say("1", "system"), *(say(n)[0] for n in "2345678")])
            before = texts(changer.window(memory_id, size))
            execute(changer.using, "DO GET_LOCK('late', 0)")
            read = thread.submit(window, memory_id, step)
            while not (waits := execute(changer.using, WAITS)) and not read.done():
                time.sleep(0.01)
            changer.rewrite(memory_id, start, say("new"))
            execute(changer.using, "DO RELEASE_LOCK('late')")
            after = texts(changer.window(memory_id, size))
            assert read.result() in (before, after), f"before statement {step}"
            met += bool(waits)
    assert met > 10  # each way through has so many


def test_the_batch_reads_a_window_by_one_statement(alias):
    """So nothing is done in between."""
    store = ConversationStore(alias, MySqlBatch)
    store.append("a", say("1", "system"))
    with CaptureQueriesContext(connections[alias]) as sent:
        assert texts(store.window("a", 9)) == ["1"]
    (query,) = sent.captured_queries
    assert ";" not in query["sql"]
