"""What each error code of PostgreSQL and MySQL does to the call, and to its connection.

Each error is raised where a driver would, by the driver's own means, under a real store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NoReturn

import psycopg
import pytest
from django.db import Error, connections
from psycopg.errors import lookup
from pymysql.constants import CR, ER

from convstore.archive.word_switch import learn
from convstore.database.connection import note_write, open_connection
from convstore.database.fault import (
    BUSY,
    FULL,
    LOST,
    NO_TABLES,
    TOO_LARGE,
    UNKNOWN,
    WRONG_SERVER,
)
from convstore.database.url import database_alias
from convstore.errors import StoreError
from convstore.messages import Message, Part
from convstore.store import ConversationStore

# The driver's own. Django imports it a second time, as MySQLdb.err, which pymysql.err is then, too.
err: Any = import_module("pymysql.err")
HELLO = [Message("user", (Part("text", "hello"),))]
MISTAKE = "a mistake of our own"
# By what a client is told; in the sentence of NO_TABLES, a command is filled in.
TOLD = {fault.sentence: fault for fault in (BUSY, FULL, LOST, TOO_LARGE, UNKNOWN, WRONG_SERVER)}
KEEPS_ITS_CONNECTION = (BUSY, FULL, NO_TABLES, TOO_LARGE)

NUMBERS = range(1000, 4100)
MISTAKES_OF_MYSQL = {
    *(1048, 1052, 1054, 1064, 1109, 1136, 1149, 1210, 1264, 1265, 1267, 1292, 1305, 1364, 1366),
    *(1406, 1451, 1452, 1582, 1690, 3819, 3988, 4025),
}
WRONG_SERVERS_OF_MYSQL = {1047, 1290, 1792, 1836}
FULL_DISKS_OF_MYSQL = {1021, 1026, 1114}
MISTAKES_OF_POSTGRESQL = {"22", "23", "42", "54"}


class Driver:
    """The driver's connection, which is only ever closed."""

    def __init__(self) -> None:
        self.is_closed = False
        self.replicates_optimistically = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def meet(request: pytest.FixtureRequest, settings) -> Iterator[Callable[[Exception], Any]]:
    """What a call ends in that meets an error of the driver, and whether it is connected then."""
    settings.DATABASE_TIMEOUT = 0  # one try
    alias = database_alias(request.param)
    wrapper: Any = connections[alias]

    def connect() -> None:
        wrapper.connection = Driver()
        wrapper.autocommit = True
        wrapper.close_at = 0.0

    wrapper.connect = connect
    failing = Failing(wrapper)
    store = ConversationStore(alias, lambda _: failing)  # type: ignore[arg-type,return-value]

    def call(error: Exception) -> tuple[object, bool]:
        failing.error = error
        learn(alias, enabled=False)  # or the store would ask the database
        driver = open_connection(alias).connection
        try:
            store.exchange("a", HELLO, 1)
        except StoreError as told:
            return TOLD.get(str(told), NO_TABLES), not driver.is_closed
        except Error as raised:
            return MISTAKE if raised.__cause__ is error else raised, not driver.is_closed
        raise AssertionError("the error was swallowed")

    yield call
    wrapper.connection = None
    del connections[alias]


class Failing:
    """A variant of the exchange whose only statement fails."""

    def __init__(self, wrapper: Any) -> None:
        self.wrapper = wrapper
        self.error: Exception

    def exchange(self, *_: object) -> NoReturn:
        with self.wrapper.wrap_database_errors:
            raise self.error


def mysql_error(number: int) -> Exception:
    """PyMySQL's, of the class that it chooses for that number."""
    packet = b"\xff" + number.to_bytes(2, "little") + b"#HY000injected"
    try:
        err.raise_mysql_exception(packet)
    except err.Error as error:
        raised: Exception = error
        return raised
    raise AssertionError


mysql = pytest.mark.parametrize("meet", ["mysql://u@h/codes"], indirect=True)
postgresql = pytest.mark.parametrize("meet", ["postgresql://u@h/codes"], indirect=True)


@mysql
def test_every_number_of_mysql_is_a_mistake_of_ours_or_unavailable_as_its_kind_says(meet):
    ends = {number: meet(mysql_error(number)) for number in NUMBERS}

    assert {n for n, (end, _) in ends.items() if end == MISTAKE} == MISTAKES_OF_MYSQL
    assert {n for n, (end, _) in ends.items() if end == WRONG_SERVER} == WRONG_SERVERS_OF_MYSQL
    assert {n for n, (end, _) in ends.items() if end == FULL} == FULL_DISKS_OF_MYSQL
    assert {n for n, (end, _) in ends.items() if end == NO_TABLES} == {ER.NO_SUCH_TABLE}
    assert sum(end == UNKNOWN for end, _ in ends.values()) > len(NUMBERS) * 0.9
    for number, (end, connected) in ends.items():
        assert connected is (end == MISTAKE or end in KEEPS_ITS_CONNECTION), number


@postgresql
def test_every_code_of_postgresql_is_a_mistake_of_ours_or_unavailable_as_its_kind_says(meet):
    states = {getattr(kind, "sqlstate", None) for kind in vars(psycopg.errors).values()}
    codes = sorted(state for state in states if isinstance(state, str))
    assert len(codes) > 200
    ends = {code: meet(lookup(code)()) for code in codes}

    mistakes = {code for code, (end, _) in ends.items() if end == MISTAKE}
    assert {code[:2] for code in mistakes} == MISTAKES_OF_POSTGRESQL
    assert not mistakes & {"42501", "42P01", "42P05"}
    assert {code for code, (end, _) in ends.items() if end == WRONG_SERVER} == {"25006"}
    assert {code for code, (end, _) in ends.items() if end == FULL} == {"53100"}
    for unknown in ("XX000", "XX001", "58030", "0A000", "42501", "53400"):
        assert ends[unknown][0] == UNKNOWN
    for code, (end, connected) in ends.items():
        assert connected is (end == MISTAKE or end in KEEPS_ITS_CONNECTION), code


@mysql
def test_an_answer_that_the_driver_cannot_follow_ends_the_connection(meet):
    assert meet(err.InternalError("Packet sequence number wrong")) == (LOST, False)


@mysql
def test_a_server_that_is_gone_when_the_driver_connects_anew_is_a_lost_connection(meet):
    for number in (CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR):
        assert meet(err.OperationalError(number, "Can't connect")) == (LOST, False)


@postgresql
def test_an_error_of_the_driver_without_a_code_is_a_mistake_of_ours(meet):
    assert meet(psycopg.ProgrammingError("the query has 1 placeholder"))[0] == MISTAKE


@postgresql
def test_once_a_server_takes_writes_all_threads_leave_the_one_that_took_none(meet):
    alias = database_alias("postgresql://u@h/codes")
    wrapper = connections[alias]
    assert meet(lookup("25006")()) == (WRONG_SERVER, False)
    older = open_connection(alias).connection
    assert open_connection(alias).connection is older  # to read from, until there is a better one

    note_write(alias)  # this thread's may stay
    assert open_connection(alias).connection is older
    wrapper.convstore_servers_left -= 1  # type: ignore[attr-defined]  # but not another's
    newer = open_connection(alias).connection

    assert older.is_closed
    note_write(alias)
    assert open_connection(alias).connection is newer
