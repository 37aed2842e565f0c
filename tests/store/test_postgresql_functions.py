"""PostgreSQL's functions: where they serve, where the batch does instead, and that both agree."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext
from sqlalchemy.engine import make_url

from convstore.archive.word_switch import turn_words_off, turn_words_on
from convstore.database import checks
from convstore.database.url import database_alias, database_settings
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.postgresql import LEAST_SHARE, PostgresBatch, PostgresFunctions, session_of
from convstore.exchange.variants import statements_for
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key
from tests.store.own_database import execute, migrate, say, texts, variant
from tests.store.test_fault_at_every_step import EXCHANGES, End, Trial, end_of

pytestmark = pytest.mark.needs("postgresql")


@pytest.fixture
def url(new_database: Callable[[str], str]) -> str:
    """An empty database of one's own."""
    return new_database("postgresql")


@pytest.fixture
def alias(url: str) -> Iterator[str]:
    """Its alias, the tables made."""
    alias = database_alias(url)
    migrate(alias)
    yield alias
    connections[alias].close()


def called(alias: str) -> bool:
    """Whether functions serve this connection; the last exchange may have found they do not."""
    found: bool = session_of(connections[alias]).has_functions
    return found


def test_the_functions_serve(alias):
    store = ConversationStore(alias)
    assert texts(store.exchange("a", say("1"), 9)) == ["1"]
    assert texts(store.window("a", 9)) == ["1"]
    assert variant(alias) is PostgresFunctions
    assert called(alias)
    assert checks.server_messages(alias) == []


def functions_that_read(store: ConversationStore, size: int) -> list[str]:
    """The names of the functions that a window calls, in their order."""
    with CaptureQueriesContext(connections[store.using]) as queries:
        store.window("a", size)
    return re.findall(r"convstore_\w+_v1", " ".join(each["sql"] for each in queries))


def test_a_plain_window_is_measured_only_if_a_message_is_larger_than_its_share(alias, settings):
    settings.MAX_REPLY_BYTES = 4 * LEAST_SHARE
    store, batch = ConversationStore(alias), ConversationStore(alias, PostgresBatch)
    fits = LEAST_SHARE - len(say("", "user")[0].to_json())
    plain, measured = "convstore_plain_window_v1", "convstore_window_v1"
    for text, size, expected in [
        ("x" * fits, 4, [plain]),
        ("2", 5, [measured]),
        ("x" * (fits + 1), 4, [plain, measured]),
        ("4", 4, [plain, measured]),
        ("5", 1, [plain]),
    ]:
        store.append("a", say(text))
        assert functions_that_read(store, size) == expected
        assert store.window("a", size) == batch.window("a", size)


def test_a_pinned_message_that_is_larger_than_its_share_is_measured(alias, settings):
    settings.MAX_REPLY_BYTES = 4 * LEAST_SHARE
    store, batch = ConversationStore(alias), ConversationStore(alias, PostgresBatch)
    store.append("a", say("x" * LEAST_SHARE, "system"))
    for text in "23456":
        store.append("a", say(text))
    window = store.window("a", 4)
    assert [message.position for message in window] == [1, 4, 5, 6]
    assert window == batch.window("a", 4)
    assert texts(store.window("a", 1)) == ["6"]


# --- Where they cannot serve -------------------------------------------------------------


def test_a_user_who_may_not_create_functions_gets_the_batch(url, postgresql, caplog):
    """Somebody else made the tables, and gave the right to use them."""
    admins = database_alias(url)
    migrate(admins, "0008")
    for name in ("exchange", "window", "plain_window"):
        execute(admins, f"DROP FUNCTION convstore_{name}_v1")
    execute(admins, "DROP ROLE IF EXISTS limited")
    execute(admins, "CREATE ROLE limited LOGIN")
    execute(admins, "GRANT ALL ON ALL TABLES IN SCHEMA public TO limited")
    alias = database_alias(make_url(url).set(username="limited").render_as_string())
    execute(admins, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO limited")
    execute(admins, "REVOKE CREATE ON SCHEMA public FROM public")
    migrate(alias, "0009")
    assert "may not create functions" in caplog.text
    migrate(admins, "0013")  # these change tables, which only their owner may do
    migrate(alias)
    assert variant(alias) is PostgresBatch
    assert texts(ConversationStore(alias).exchange("a", say("1"), 9)) == ["1"]
    (message,) = checks.server_messages(alias)
    assert message.id == "convstore.I001"
    before, _ = re.findall(r"'migrate convstore ?(\d*)'", str(message.hint))
    # What the message tells to do.
    execute(admins, "GRANT CREATE ON SCHEMA public TO limited")
    execute(admins, "GRANT ALL ON SCHEMA public TO limited")
    migrate(alias, before)
    migrate(alias)
    connections[alias].close()
    assert variant(alias) is PostgresFunctions
    for opened in (alias, admins):
        connections[opened].close()


def test_a_user_who_may_not_call_functions_gets_the_batch(alias):
    execute(alias, "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM public, admin")
    execute(alias, "DROP ROLE IF EXISTS caller")
    execute(alias, "CREATE ROLE caller")
    execute(alias, "GRANT ALL ON ALL TABLES IN SCHEMA public TO caller")
    execute(alias, "SET ROLE caller")
    assert variant(alias) is PostgresBatch


@pytest.mark.parametrize(
    "statement",
    [
        "DROP FUNCTION convstore_exchange_v2, convstore_window_v1",
        "ALTER SCHEMA public RENAME TO elsewhere; SET search_path TO elsewhere",
        "SET default_transaction_isolation TO 'repeatable read'",
        "SET default_transaction_isolation TO 'serializable'",
    ],
)
def test_what_changes_after_the_connection_was_asked_is_noticed(alias, statement):
    store = ConversationStore(alias)
    store.append("a", say("1"))
    execute(alias, statement)
    assert texts(store.exchange("a", say("2"), 9)) == ["1", "2"]
    assert not called(alias)
    assert texts(store.window("a", 9)) == ["1", "2"]


def test_a_restored_dump_without_functions_gets_the_batch(alias):
    """The table of migrations says that they are there."""
    execute(alias, "DROP FUNCTION convstore_exchange_v2, convstore_window_v1")
    assert variant(alias) is PostgresBatch
    assert texts(ConversationStore(alias).exchange("a", say("1"), 9)) == ["1"]


def test_a_transaction_of_the_caller_keeps_its_settings(alias):
    store = ConversationStore(alias)
    store.append("a", say("1"))
    with transaction.atomic(alias):
        assert texts(store.window("a", 9)) == ["1"]
        assert execute(alias, "SHOW enable_seqscan") == [("on",)]
    assert called(alias)


def test_the_settings_of_a_call_end_with_it(alias):
    store = ConversationStore(alias)
    store.append("a", say("1"))
    store.window("a", 9)
    for name, value in (("enable_seqscan", "on"), ("lock_timeout", "0"), ("jit", "on")):
        assert execute(alias, f"SHOW {name}") == [(value,)]


# --- Other schemas, partitions, poolers --------------------------------------------------


def migrate_schema(alias: str, schema: str) -> None:
    """Make tables in a new schema, which connections to this database then take for theirs."""
    name = connections[alias].settings_dict["NAME"]
    execute(alias, f"CREATE SCHEMA {schema}; ALTER DATABASE {name} SET search_path TO {schema}")
    connections[alias].close()
    migrate(alias)


@pytest.mark.parametrize("schema", ["tenant", '"Upper"', '"o\'brien"', '"a""b c"'])
def test_tables_in_another_schema_have_their_functions_beside_them(url, schema):
    alias = database_alias(url)
    migrate_schema(alias, schema)
    assert texts(ConversationStore(alias).exchange("a", say("1"), 9)) == ["1"]
    assert called(alias)
    found = execute(
        alias, "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname ~ 'convstore'"
    )
    assert found == [(schema,)] * 4
    migrate(alias, "0004")
    assert not execute(alias, "SELECT 1 FROM pg_proc WHERE proname ~ 'convstore'")
    connections[alias].close()


def test_a_connection_that_goes_from_schema_to_schema_stays_with_its_tables(url):
    """As where each tenant has a schema. The last has tables and no functions."""
    alias = database_alias(url)
    store = ConversationStore(alias)
    for schema in ("one", "two", "three"):
        migrate_schema(alias, schema)
    execute(alias, "DROP FUNCTION three.convstore_exchange_v2, three.convstore_window_v1")
    for schema in ("one", "two", "three"):
        execute(alias, f"SET search_path TO {schema}, one")
        assert texts(store.exchange("a", say(schema), 9)) == [schema]
        assert texts(store.window("a", 9)) == [schema]
    for schema in ("one", "two", "three"):
        execute(alias, f"SET search_path TO {schema}")
        assert execute(alias, "SELECT count(*) FROM convstore_message") == [(1,)]
    connections[alias].close()


def test_partitions_by_hash_work(url):
    alias = database_alias(url)
    migrate(alias, "0004")
    execute(
        alias,
        """
        ALTER TABLE convstore_message RENAME TO plain;
        CREATE TABLE convstore_message (LIKE plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
            PARTITION BY HASH (conversation_id);
        DROP TABLE plain;
        ALTER TABLE convstore_message ADD PRIMARY KEY (conversation_id, position),
            ADD UNIQUE (conversation_id, request_key),
            ADD FOREIGN KEY (conversation_id) REFERENCES convstore_conversation (id);
        CREATE TABLE part_0 PARTITION OF convstore_message
            FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE part_1 PARTITION OF convstore_message
            FOR VALUES WITH (MODULUS 2, REMAINDER 1);""",
    )
    migrate(alias)
    store = ConversationStore(alias)
    for conversation in "abcdefgh":
        for text in "1234":
            window = store.exchange(conversation, say(text, "system"), 3)
        assert texts(window) == ["1", "3", "4"]
    assert called(alias)
    assert all(
        count > 0
        for (count,) in execute(
            alias, "SELECT count(*) FROM part_0 UNION ALL SELECT count(*) FROM part_1"
        )
    )
    connections[alias].close()


def test_statements_that_the_server_forgot_are_prepared_no_more(alias):
    """As where a pooler hands each transaction to another process of the server."""
    store = ConversationStore(alias)
    store.append("a", say("1"))
    store.window("a", 9)
    assert execute(alias, "SELECT count(*) FROM pg_prepared_statements") == [(2,)]
    connections[alias].connection.pgconn.exec_(b"DEALLOCATE ALL")  # past psycopg, which listens
    assert texts(store.exchange("a", say("2"), 9)) == ["1", "2"]
    assert texts(store.window("a", 9)) == ["1", "2"]
    assert called(alias)
    assert execute(alias, "SELECT count(*) FROM pg_prepared_statements") == [(0,)]


def test_a_project_that_binds_in_the_server_calls_the_functions_too(alias, url):
    entry = database_settings(url)
    entry["OPTIONS"]["server_side_binding"] = True
    bound = f"{alias}-bound"
    connections.settings[bound] = connections.configure_settings({"default": {}, bound: entry})[
        bound
    ]
    store = ConversationStore(bound)
    assert texts(store.exchange("a", say("1"), 9)) == ["1"]
    assert called(bound)
    execute(bound, "DROP FUNCTION convstore_exchange_v2, convstore_window_v1")
    assert texts(store.exchange("a", say("2"), 9)) == ["1", "2"]
    assert variant(bound) is PortableOrm
    connections[bound].close()
    del connections[bound], connections.settings[bound]


# --- Beside the version before -----------------------------------------------------------

# As that version calls it.
FIRST_EXCHANGE = """SELECT * FROM convstore_exchange_v1('{key}', 'a', now(), 5000,
  '{{"size": 1, "max_bytes": 1000, "max_messages": 9}}', gen_random_uuid(), ARRAY['user'],
  ARRAY['{body}'], ARRAY[gen_random_uuid()], ARRAY[2], NULL, NULL)"""


def test_the_batch_of_the_version_before_writes_beside_the_functions(alias):
    stores = [ConversationStore(alias, batch) for batch in (statements_for, PostgresBatch)] * 3
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


def test_the_function_of_the_version_before_writes_beside_its_successor(alias):
    store = ConversationStore(alias)
    turn_words_on(alias)
    store.append("a", say("1"))
    turn_words_off(alias)
    (message,) = say("2")
    execute(alias, FIRST_EXCHANGE.format(key=conversation_key("a"), body=message.to_json()))
    assert texts(store.exchange("a", say("3"), 9)) == ["1", "2", "3"]
    rows = Row.objects.using(alias).order_by("position")
    assert list(rows.values_list("words", flat=True)) == ["1\n1", None, None]


def test_a_request_is_known_to_either_variant(alias):
    functions, batch = ConversationStore(alias), ConversationStore(alias, PostgresBatch)
    for first, second in ((functions, batch), (batch, functions)):
        key = uuid.uuid4()
        window = first.exchange("a", say("é") + say("2"), 9, key)
        assert second.exchange("a", say("é") + say("2"), 9, key) == window
    rows = Row.objects.using(alias)
    assert set(rows.values_list("size", "kind", "tokens")) == {
        (len(body.encode()), 0, None) for body in rows.values_list("body", flat=True)
    }


# --- Faults inside -----------------------------------------------------------------------

BEFORE_STATEMENT = """IF current_setting('test.step', true) = '{n}' THEN
  RAISE EXCEPTION 'injected' USING ERRCODE = '53100'; END IF;
{line}"""


def add_faults(alias: str) -> int:
    """Have the exchange's function fail before the statement that test.step names; how many."""
    ((definition,),) = execute(alias, "SELECT pg_get_functiondef('convstore_exchange_v2'::regproc)")
    head, begin, body = definition.partition("\nBEGIN\n")
    lines, steps, starts = [], 0, True
    for line in body.splitlines():
        text = line.partition("--")[0].strip()
        if starts and text and not re.match(r"END|ELSIF|ELSE|\$", text):
            lines.append(BEFORE_STATEMENT.format(n=(steps := steps + 1), line=line))
        else:
            lines.append(line)
        if text:
            starts = bool(re.search(r"(;|\bTHEN|\bLOOP)$", text))
    execute(alias, head + begin + "\n".join(lines))
    return steps


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=EXCHANGES)
def test_a_fault_at_each_statement_inside_leaves_all_or_nothing(alias, url, exchange):
    direct = database_alias(url + "?application_name=direct")
    steps = add_faults(alias)
    assert steps > 20
    store, met = ConversationStore(alias), 0
    for step in range(1, steps + 1):
        trial = Trial(store, direct, exchange)
        execute(alias, f"SET test.step TO {step}")
        end, answer = end_of(trial.call)
        execute(alias, "SET test.step TO 0")
        trial.assert_whole(answer, f"before statement {step}")
        met += end is End.UNAVAILABLE
        assert end in (End.ANSWERED, End.UNAVAILABLE)
    assert met >= 8
    assert called(alias)
    connections[direct].close()


# --- Plans -------------------------------------------------------------------------------

MANY = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT '{key}', n, 'user', '{{}}', gen_random_uuid(), gen_random_uuid(), now()
FROM generate_series({first}, {last}) n"""


def pages(alias: str, statement: str) -> int:
    """How many pages of tables and indexes a statement reads."""
    ((plan,),) = execute(alias, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return int(plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"])


MANY_CONVERSATIONS = """
INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
SELECT gen_random_uuid(), 'c' || n, now(), now() FROM generate_series(1, 20000) n"""
WINDOW = """SELECT * FROM convstore_window_v1('{key}', 'a', '{{"size": 5}}')"""
EXCHANGE = """SELECT * FROM convstore_exchange_v2('{key}', 'a', now(), 5000, '{{"size": 5}}',
  gen_random_uuid(), ARRAY['user', 'user'], ARRAY['{{}}', '{{}}'],
  ARRAY[gen_random_uuid(), gen_random_uuid()], ARRAY[2, 2], NULL, NULL, NULL)"""
PLAIN_WINDOW = "SELECT * FROM convstore_plain_window_v1('{key}', 'a', 5, 1000)"
CALLS = [call.format(key=conversation_key("a")) for call in (WINDOW, PLAIN_WINDOW, EXCHANGE)]


@pytest.mark.parametrize("statistics", ["SELECT 1", "ANALYZE"], ids=["old", "new"])
@pytest.mark.parametrize("grown", ["a", "b"], ids=["this conversation", "another"])
def test_plans_that_are_kept_are_right_after_a_tiny_table_has_grown(alias, grown, statistics):
    store = ConversationStore(alias)
    store.append("a", say("0"))
    execute(alias, "VACUUM ANALYZE")
    for call in CALLS * 10:
        execute(alias, call)
    store.append("b", say("0"))
    execute(alias, MANY_CONVERSATIONS)
    execute(alias, MANY.format(key=conversation_key(grown), first=100, last=20_000))
    execute(alias, statistics)
    for call in CALLS:
        pages(alias, call)  # the first time it reads the catalogue, too
    assert [pages(alias, call) < 60 for call in CALLS] == [True] * 3
    # A scan of the table reads far more.
    assert pages(alias, "SELECT count(body) FROM convstore_message") > 200
