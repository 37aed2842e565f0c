"""Microsoft's driver under Django's SQL Server backend: logins, time limits, error numbers.

This is about the driver alone. The server is a stand-in that answers whatever a test wants
(`tests.unit.recorded.tds`); nothing here shows that SQL Server takes a statement of ours.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import mssql_python
import pytest
from django.db import Error, IntegrityError, OperationalError, connections, transaction

from convstore.archive.word_switch import learn
from convstore.database.parsed_url import ParsedUrl
from convstore.database.url import database_alias
from convstore.errors import Unavailable
from convstore.exchange.portable_orm import PortableOrm
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from tests.unit.recorded.tds import DONE, Answer, Cut, Refusal, Rows, Silence, TdsServer

NOW = datetime.now(UTC)
HELLO = [Message("user", (Part("text", "hello"),))]
# What the backend asks when it connects, by a part of the statement.
HOUSEKEEPING = {
    "SERVERPROPERTY": Rows([("16.0.4225.2", 3)]),
    "SYSDATETIME": Rows([(NOW,)]),
}


@pytest.fixture
def server() -> Iterator[TdsServer]:
    """The stand-in; it answers what the backend asks, and all else with no result."""
    with TdsServer(answering({})) as server:
        yield server


def answering(answers: dict[str, Answer]) -> Callable[[str], Answer]:
    """Answers by a part of the statement."""

    def answer(statement: str) -> Answer:
        known = HOUSEKEEPING | answers
        return next((known[part] for part in known if part in statement), DONE)

    return answer


def url(server: TdsServer) -> ParsedUrl:
    query = {"Encrypt": "no"}
    return ParsedUrl("mssql", "app", "secret", "127.0.0.1", server.port, "chat", query)


@pytest.fixture
def opened(settings) -> Iterator[Callable[[ParsedUrl], str]]:
    """Make a database known, with a time limit of one second; its alias."""
    settings.DATABASE_TIMEOUT = 1
    aliases: set[str] = set()

    def open_(url: ParsedUrl) -> str:
        aliases.add(alias := database_alias(url))
        learn(alias, False)  # or an exchange would ask for it first
        return alias

    yield open_
    for alias in aliases:
        connections[alias].close()
        del connections[alias]


@pytest.fixture
def alias(server: TdsServer, opened: Callable[[ParsedUrl], str]) -> str:
    """The alias of the stand-in, connected to and with nothing heard yet."""
    alias = opened(url(server))
    connections[alias].ensure_connection()
    server.heard.clear()
    return alias


def run(alias: str, statement: str, *values: str) -> list[tuple[object, ...]]:
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def refusal(alias: str, statement: str) -> Error:
    with pytest.raises(Error) as raised:
        run(alias, statement)
    return raised.value


# --- The login ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    ["secret", 'p;{}=@:/"', "{p}", "p}", "}p;", "p;}", "a b", "p%20+", "'", "=", "pä€😀", " p "],
)
def test_a_password_of_any_characters_arrives_as_it_is(server, opened, password):
    connections[opened(url(server)._replace(password=password))].ensure_connection()
    assert server.logins[-1].password == password


def test_the_login_names_the_user_the_database_and_the_server(server, opened):
    connections[opened(url(server)._replace(database="a;{b}=c"))].ensure_connection()
    login = server.logins[-1]
    assert (login.user, login.database) == ("app", "a;{b}=c")
    assert login.server == f"127.0.0.1,{server.port}"


def test_a_refused_login_is_unavailable_at_once(server, opened):
    server.refuse_login = Refusal(18456, "Login failed for user 'app'.", 14)
    alias = opened(url(server))
    with pytest.raises(OperationalError, match="Login failed for user"):
        connections[alias].ensure_connection()
    assert len(server.logins) == 1
    with pytest.raises(Unavailable, match="cannot be reached"):
        ConversationStore(alias).window("a", 1)
    assert len(server.logins) == 2


def test_a_database_that_cannot_be_opened_is_unavailable_at_once(server, opened):
    server.refuse_login = Refusal(4060, 'Cannot open database "chat".', 11)
    with pytest.raises(Unavailable, match="cannot be reached"):
        ConversationStore(opened(url(server))).window("a", 1)
    assert len(server.logins) == 1


def test_a_port_that_nobody_serves_is_unavailable_within_the_time_limit(server, opened):
    """A time limit of one second, and ten times that for a busy machine."""
    alias = opened(url(server)._replace(port=1))
    before = time.monotonic()
    with pytest.raises(OperationalError):
        connections[alias].ensure_connection()
    assert time.monotonic() - before < 10


def test_a_server_without_tls_is_refused_unless_the_url_says_so(server, opened):
    with pytest.raises(OperationalError, match="Encryption not supported"):
        connections[opened(url(server)._replace(query={}))].ensure_connection()
    assert server.logins == []


# --- Statements and transactions ---------------------------------------------------------


def test_sessions_are_read_committed(server, opened):
    connections[opened(url(server))].ensure_connection()
    assert "SET TRANSACTION ISOLATION LEVEL READ COMMITTED" in server.heard


def test_a_transaction_begins_and_is_committed_on_the_wire(server, alias):
    with transaction.atomic(alias):
        run(alias, "SELECT %s", "a")
    assert server.heard[:4] == ["BEGIN", "SELECT @P1", "UNPREPARE", "COMMIT"]
    # The driver begins anew at once; Django asks about that one, and ends it.
    assert server.heard[4:] == ["BEGIN", "SELECT @@TRANCOUNT", "COMMIT"]


def test_a_transaction_that_fails_is_rolled_back_on_the_wire(server, alias):
    server.answer = answering({"INSERT": Refusal(2627, severity=14)})
    with pytest.raises(IntegrityError), transaction.atomic(alias):
        run(alias, "INSERT")
    assert server.heard[:3] == ["BEGIN", "INSERT", "ROLLBACK"]


def test_keys_are_sent_as_varchar_so_that_an_index_of_char_serves_them(server, alias):
    """SQL Server would convert each row of a char column to compare it with nvarchar."""
    server.answer = answering(conversation())
    ConversationStore(alias, PortableOrm).append("a", HELLO)
    assert server.declared[0] == "@P1 varchar(32)"
    assert server.declared[1] == "@P1 varchar(32),@P2 varchar(32)"


def test_an_exchange_is_taken_over_the_wire(server, alias):
    server.answer = answering(conversation())
    store = ConversationStore(alias, PortableOrm)
    window = store.exchange("a", HELLO, 2)
    assert [(row.position, row.role, row.body) for row in window] == [
        (7, "user", '{"earlier": "ü😀"}'),
        (8, "user", "{}"),
    ]
    kinds = [statement.split()[0] for statement in server.heard if statement != "UNPREPARE"]
    expected = ["BEGIN", *["SELECT"] * 4, "INSERT", "SELECT", "COMMIT"]
    assert kinds[: len(expected)] == expected


# --- Time limits and errors --------------------------------------------------------------


def test_a_statement_that_is_never_answered_ends_with_the_time_limit(server, alias):
    server.answer = answering({"WAITFOR": Silence()})
    before = time.monotonic()
    error = refusal(alias, "WAITFOR")
    assert time.monotonic() - before > 0.9
    assert isinstance(error, OperationalError)
    assert driver_error(error) == "Timeout expired"
    # The driver ended it, before the stand-in lost its patience.
    assert server.heard == ["WAITFOR", "CANCEL"]


# The number that the server gives, and what is left of it: the name of an SQLSTATE.
@pytest.mark.parametrize(
    ("number", "severity", "kind", "state"),
    [
        (1205, 13, "OperationalError", "Serialization failure"),
        (1222, 16, "ProgrammingError", "Syntax error or access violation"),
        (2627, 14, "IntegrityError", "Integrity constraint violation"),
        (2601, 14, "IntegrityError", "Integrity constraint violation"),
        (208, 16, "ProgrammingError", "Base table or view not found"),
        (3906, 16, "OperationalError", "Invalid transaction state"),
        (9002, 17, "ProgrammingError", "Syntax error or access violation"),
        (102, 15, "ProgrammingError", "Syntax error or access violation"),
    ],
)
def test_an_error_has_its_class_and_the_name_of_its_sqlstate(
    server, alias, number, severity, kind, state
):
    server.answer = answering({"REFUSED": Refusal(number, "in the server's words", severity)})
    error = refusal(alias, "SELECT REFUSED")
    assert type(error).__name__ == kind
    assert driver_error(error) == state
    assert "in the server's words" in str(error)
    assert str(number) not in str(error)


@pytest.mark.parametrize(
    "answer", [Refusal(1205, severity=13), Refusal(2627, severity=14), Silence()]
)
def test_after_an_error_in_a_transaction_the_connection_serves_the_next_one(server, alias, answer):
    server.answer = answering({"REFUSED": answer, "SELECT": Rows([(1,)])})
    with pytest.raises(Error), transaction.atomic(alias):
        run(alias, "SELECT REFUSED")
    server.heard.clear()
    with transaction.atomic(alias):
        assert run(alias, "SELECT 1") == [(1,)]
    assert server.heard[:3] == ["BEGIN", "SELECT 1", "COMMIT"]
    assert len(server.logins) == 1


def test_a_deadlock_is_tried_again_on_the_same_connection(server, alias):
    answers = iter([Refusal(1205, severity=13), Rows([("a", NOW)])])
    rest = answering(conversation())
    server.answer = lambda statement: next(answers) if "UPDLOCK" in statement else rest(statement)
    assert ConversationStore(alias, PortableOrm).append("a", HELLO) == 8
    assert sum("UPDLOCK" in statement for statement in server.heard) == 2
    assert len(server.logins) == 1


def test_connections_that_the_server_ended_are_replaced_unnoticed(server, alias):
    server.answer = answering(conversation())
    store = ConversationStore(alias, PortableOrm)
    server.cut_all()
    assert store.window("a", 2)
    server.cut_all()
    assert store.append("a", HELLO) == 8
    assert len(server.logins) == 3


def test_a_message_whose_commit_was_not_answered_is_sent_again_with_its_key(server, alias):
    answers = iter([Cut()])
    rest = answering(conversation())
    server.answer = lambda statement: (
        next(answers, DONE) if statement == "COMMIT" else rest(statement)
    )
    key = uuid.uuid4()
    assert ConversationStore(alias, PortableOrm).exchange("a", HELLO, 1, key)
    looks = [statement for statement in server.heard if "[request_key] IN " in statement]
    assert len(looks) == 2
    assert len(server.logins) == 2


def conversation() -> dict[str, Answer]:
    """What the store is told of conversation "a", which has seven messages."""
    window = [(8, "user", "{}"), (7, "user", '{"earlier": "ü😀"}')]
    measures = [(n, "user", 2, 1, "user", 2, 1, NOW, 0, "a") for n in (8, 7)]
    return {
        "UPDLOCK": Rows([("a", NOW)]),
        "[request_key] IN ": Rows(like=(0, "", 0)),
        " >= ": Rows(window),
        "INNER JOIN": Rows(measures),
        "ORDER BY 1 DESC": Rows([(7,)]),
    }


def driver_error(error: Error) -> str:
    cause = error.__cause__
    assert isinstance(cause, mssql_python.Error)
    return cause.driver_error
