"""SQL Server's and Oracle's errors, as their drivers raise them, under the store: what is tried
again, whole and with its request_key, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain, repeat
from uuid import UUID

import oracledb
import pytest
from django.db import Error, connections

from convstore.errors import Unavailable
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.statements import StoredMessage
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from tests.unit.recorded.recording import (
    DONE,
    NO_ROWS,
    NOW,
    Answer,
    Statement,
    Tape,
    freetds_error,
    mssql_python_error,
    oracle_error,
    oracledb_error,
    recording,
    stored_row,
)

HELLO = [Message("user", (Part("text", "hello"),))]
KEY = UUID("7e57ab1e-0000-4000-8000-000000000001")

Fault = tuple[str, Callable[[], Exception]]
VICTIM = "Transaction (Process ID 52) was deadlocked on lock resources and has been chosen"
DPY_CALL_TIMEOUT, DPY_CLOSED, DPY_NO_CONNECTION = 4024, 4011, 6005

BUSY: dict[str, Fault] = {
    "mssql-python 1205": ("mssql", lambda: mssql_python_error("40001", VICTIM)),
    "mssql-python time limit": (
        "mssql",
        lambda: mssql_python_error("HYT00", "Query timeout expired"),
    ),
    "FreeTDS 1205": ("pyodbc", lambda: freetds_error(1205, VICTIM)),
    "FreeTDS 1222": (
        "pyodbc",
        lambda: freetds_error(1222, "Lock request time out (9002) exceeded"),
    ),
    "ORA-00060": ("oracle", lambda: oracle_error(60, "deadlock detected")),
    "ORA-08177": ("oracle", lambda: oracle_error(8177, "can't serialize access")),
    "ORA-00054": ("oracle", lambda: oracle_error(54, "resource busy")),
    "ORA-01013": ("oracle", lambda: oracle_error(1013, "user requested cancel")),
    "DPY-4024": ("oracle", lambda: oracledb_error(DPY_CALL_TIMEOUT, timeout=6000)),
}
LOST: dict[str, Fault] = {
    "mssql-python cut": (
        "mssql",
        lambda: mssql_python_error("08S01", "Communication link failure"),
    ),
    "ORA-03113": ("oracle", lambda: oracle_error(3113, "end-of-file on communication channel")),
    "ORA-00028": ("oracle", lambda: oracle_error(28, "your session has been killed")),
    "DPY-4011": ("oracle", lambda: oracledb_error(DPY_CLOSED)),
}
NO_TABLES: dict[str, Fault] = {
    "mssql-python 208": ("mssql", lambda: mssql_python_error("42S02", "Invalid object name")),
    "FreeTDS 208": ("pyodbc", lambda: freetds_error(208, "Invalid object name")),
    "ORA-00942": ("oracle", lambda: oracle_error(942, "table or view does not exist")),
}
WRONG_SERVER: dict[str, Fault] = {
    "mssql-python 3906": ("mssql", lambda: mssql_python_error("25000", "database is read-only")),
    "FreeTDS 3906": ("pyodbc", lambda: freetds_error(3906, "database is read-only")),
    "ORA-16000": ("oracle", lambda: oracle_error(16000, "database open for read-only access")),
}
UNKNOWN: dict[str, Fault] = {
    "mssql-python": ("mssql", lambda: mssql_python_error("HY097", "Column type out of range")),
    "FreeTDS 21999": ("pyodbc", lambda: freetds_error(21999, "something new")),
    "ORA-31999": ("oracle", lambda: oracle_error(31999, "something new")),
}
FULL: dict[str, Fault] = {
    "FreeTDS 9002": ("pyodbc", lambda: freetds_error(9002, "The transaction log is full")),
    "ORA-01653": ("oracle", lambda: oracle_error(1653, "unable to extend table")),
}
OURS: dict[str, Fault] = {
    "mssql-python 102": ("mssql", lambda: mssql_python_error("42000", "Incorrect syntax near")),
    "FreeTDS 102": ("pyodbc", lambda: freetds_error(102, "Incorrect syntax near '(1205)'.")),
    "ORA-00904": ("oracle", lambda: oracle_error(904, "invalid identifier")),
}
NO_CONNECTION: dict[str, Fault] = {
    "mssql-python 18456": ("mssql", lambda: mssql_python_error("28000", "Login failed")),
    "mssql-python 4060": ("mssql", lambda: mssql_python_error("42000", "Cannot open database")),
    "mssql-python unreachable": ("mssql", lambda: mssql_python_error("08001", "TCP Provider")),
    # With a service that the listener does not know, the driver itself speaks, or the server.
    "DPY-6005": ("oracle", lambda: oracledb_error(DPY_NO_CONNECTION, connection_id="x")),
    "ORA-12514": ("oracle", lambda: oracle_error(12514, "Service is not registered")),
    "ORA-01033": ("oracle", lambda: oracle_error(1033, "initialization in progress")),
}


def each(faults: dict[str, Fault]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tape", faults.values(), ids=faults, indirect=True)


@pytest.fixture
def tape(request: pytest.FixtureRequest) -> Iterator[Tape]:
    """The recorded database of a fault; `fault` makes the exception."""
    kind, _ = request.param
    with recording(kind) as tape:
        yield tape


@pytest.fixture
def fault(request: pytest.FixtureRequest, tape: Tape) -> Callable[[], Exception]:
    make: Callable[[], Exception] = request.node.callspec.params["tape"][1]
    return make


@pytest.fixture
def store(tape: Tape, settings) -> ConversationStore:
    """A store whose time limit is one second."""
    settings.DATABASE_TIMEOUT = 1
    return ConversationStore(tape.alias, PortableOrm)


def held(tape: Tape) -> Answer:
    return [("a", tape.moment(NOW + timedelta(days=36500)))]


def exchange(store: ConversationStore) -> list[StoredMessage]:
    return store.exchange("a", HELLO, 1, KEY)


def inserts(tape: Tape) -> list[Statement]:
    return [statement for statement in tape.statements if statement.sql.startswith("INSERT")]


MEASURED = [(7, "user", 2, None, "user", 2, None, None, 0, "a")]
MEASURED_8 = [(8, "user", 2, None, "user", 2, None, None, 0, "a")]
WINDOW = [(8, "user", "{}")]


@each(BUSY)
@pytest.mark.parametrize("step", range(5))
def test_a_transaction_that_may_succeed_is_repeated_whole_with_its_key(tape, store, fault, step):
    """It fails as it locks, as it looks for its key or its position, or measures, or as it adds."""
    once = [held(tape), NO_ROWS, [(7,)], MEASURED, DONE]
    tape.play(*once[:step], fault(), *once, WINDOW)
    assert [row.position for row in exchange(store)] == [8]
    heard = [statement.sql.split()[0] for statement in tape.statements]
    assert heard.index("ROLLBACK") == step + 2
    assert heard[step + 3 :] == [
        "BEGIN",
        "SELECT",
        "SELECT",
        "SELECT",
        "SELECT",
        "INSERT",
        "SELECT",
        "COMMIT",
    ]
    assert all(KEY.hex in statement.values.values() for statement in inserts(tape))
    assert len(tape.opened) == 1


@each(LOST)
@pytest.mark.parametrize("step", range(5))
def test_a_lost_connection_is_replaced_and_all_is_repeated(tape, store, fault, step):
    once = [held(tape), NO_ROWS, [(7,)], MEASURED, DONE]
    tape.play(*once[:step], fault(), *once, WINDOW)
    assert [row.position for row in exchange(store)] == [8]
    heard = [statement.sql.split()[0] for statement in tape.statements]
    assert heard[-8:] == ["BEGIN", *["SELECT"] * 4, "INSERT", "SELECT", "COMMIT"]
    assert all(KEY.hex in statement.values.values() for statement in inserts(tape))
    assert len(tape.opened) == 2


@each(LOST)
def test_a_message_whose_commit_was_not_heard_is_found_by_its_key(tape, store, fault):
    tape.play(
        *(held(tape), NO_ROWS, [(7,)], MEASURED, DONE, WINDOW),
        *(held(tape), [stored_row(8, *HELLO)], MEASURED_8, WINDOW),
    )
    tape.commits = iter([fault()])
    assert [row.position for row in exchange(store)] == [8]
    assert len(inserts(tape)) == 1
    assert len(tape.opened) == 2


@each(BUSY)
def test_one_that_never_ends_is_unavailable_when_the_time_is_up(tape, store, fault):
    tape.script = chain.from_iterable(repeat([fault()]))
    with pytest.raises(Unavailable, match="too busy"):
        exchange(store)
    assert len(tape.statements) > 3
    connections[tape.alias].ensure_connection()
    assert len(tape.opened) == 1


@each(NO_TABLES)
def test_a_database_without_tables_says_what_to_run(tape, store, fault):
    tape.script = repeat(fault())
    for ask in (exchange, ConversationStore.check):
        with pytest.raises(Unavailable, match=r"convstore migrate_memories"):
            ask(store)


@each(WRONG_SERVER)
def test_a_server_that_takes_no_writes_is_left_for_another(tape, store, fault):
    once = [held(tape), NO_ROWS, [(7,)], MEASURED]
    tape.play(*once, fault(), *once, DONE, WINDOW)
    assert [row.position for row in exchange(store)] == [8]
    assert len(tape.opened) == 2


@each(UNKNOWN)
def test_an_error_that_nobody_knows_is_unavailable_and_ends_the_connection(tape, store, fault):
    tape.play(fault())
    with pytest.raises(Unavailable, match="does not know"):
        exchange(store)
    connections[tape.alias].ensure_connection()
    assert len(tape.opened) == 2


@each(FULL)
def test_a_database_without_room_is_not_asked_again(tape, store, fault):
    tape.play(held(tape), NO_ROWS, [(7,)], MEASURED, fault())
    with pytest.raises(Unavailable, match="no room left"):
        exchange(store)


@each(OURS)
def test_a_mistake_of_our_own_is_neither_hidden_nor_repeated(tape, store, fault):
    tape.play(fault())
    with pytest.raises(Error) as raised:
        exchange(store)
    assert type(raised.value.__cause__) is type(fault())


@each(NO_CONNECTION)
def test_a_database_that_cannot_be_reached_is_unavailable_at_once(tape, store, fault):
    tape.refusals = [fault()]
    with pytest.raises(Unavailable, match="cannot be reached"):
        exchange(store)
    assert tape.sent == []
    assert tape.refusals == []


@pytest.mark.parametrize("tape", [LOST["DPY-4011"]], ids=["oracle"], indirect=True)
def test_oracles_driver_tells_the_number_and_a_dead_session_but_by_no_class(tape):
    """What `convstore.database.faults` relies on: nearly all errors have the same class."""
    deadlock, lost = oracle_error(60, "deadlock"), oracle_error(3113, "end-of-file")
    assert type(deadlock) is type(lost) is oracledb.DatabaseError
    assert (deadlock.args[0].code, deadlock.args[0].full_code) == (60, "ORA-00060")
    assert (lost.args[0].code, lost.args[0].full_code) == (3113, "DPY-4011")
    assert not deadlock.args[0].is_session_dead
    assert lost.args[0].is_session_dead
