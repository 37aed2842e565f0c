"""One migration at a time for each database, on however many machines they are started.

Knows no tables but, on Oracle, one of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

PAUSE_SECONDS = 0.2
# Any 64 bits that nobody else is likely to have chosen for an advisory lock.
POSTGRESQL_KEY = int.from_bytes(hashlib.sha256(b"convstore migrations").digest()[:8], signed=True)


@contextmanager
def alone(alias: str, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of the database `alias`; calls `waiting` once when another holds it."""
    connection = connections[alias]
    holder = _folder_lock if connection.vendor == "sqlite" else _server_lock
    with holder(connection, waiting):
        yield


@contextmanager
def _folder_lock(connection: BaseDatabaseWrapper, waiting: Callable[[], None]) -> Iterator[None]:
    # Not the file itself: closing it again would end SQLite's own locks on it.
    folder = os.open(Path(str(connection.settings_dict["NAME"])).parent, os.O_RDONLY)
    try:
        _until(lambda: _flock(folder), waiting)
        yield
    finally:
        os.close(folder)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _server_lock(connection: BaseDatabaseWrapper, waiting: Callable[[], None]) -> Iterator[None]:
    """A lock that the server gives up when its holder's connection ends, however it ends.

    On a connection of its own, since a migration commits when it likes.
    """
    holder = connection.copy()
    holder.settings_dict["OPTIONS"].pop("pool", None)  # it may be too small for two
    try:
        holder.set_autocommit(False)
        _until(lambda: TAKE[holder.vendor](holder), waiting)
        yield
    finally:
        holder.close()


def _until(taken: Callable[[], bool], waiting: Callable[[], None]) -> None:
    if taken():
        return
    waiting()
    while not taken():
        time.sleep(PAUSE_SECONDS)


def _asked(holder: BaseDatabaseWrapper, sql: str, *values: str | int) -> object:
    with holder.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchone()[0]


def _take_postgresql(holder: BaseDatabaseWrapper) -> bool:
    # Bound to the transaction, which pgbouncer keeps on one connection as well.
    with holder.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    return bool(_asked(holder, "SELECT pg_try_advisory_xact_lock(%s)", POSTGRESQL_KEY))


def _take_mysql(holder: BaseDatabaseWrapper) -> bool:
    # The names are the server's, not the database's, and have 64 characters at most.
    name = hashlib.sha256(str(holder.settings_dict["NAME"]).encode()).hexdigest()[:32]
    return _asked(holder, "SELECT GET_LOCK(%s, 0)", f"convstore migrations {name}") == 1


def _take_sql_server(holder: BaseDatabaseWrapper) -> bool:
    sql = (
        "SET NOCOUNT ON; DECLARE @taken int; EXEC @taken = sp_getapplock"
        " @Resource = 'convstore migrations', @LockMode = 'Exclusive',"
        " @LockOwner = 'Transaction', @LockTimeout = 0; SELECT @taken"
    )
    taken = _asked(holder, sql)
    return isinstance(taken, int) and taken >= 0


def _take_oracle(holder: BaseDatabaseWrapper) -> bool:
    """Oracle's named locks need a right that few have; a table's lock needs none."""
    with holder.cursor() as cursor:
        with suppress(DatabaseError):  # it is there
            cursor.execute("CREATE TABLE convstore_migrating (nothing NUMBER)")
        try:
            cursor.execute("LOCK TABLE convstore_migrating IN EXCLUSIVE MODE NOWAIT")
        except DatabaseError as error:
            if "ORA-00054" not in str(error):
                raise
            return False
    return True


TAKE: Mapping[str, Callable[[BaseDatabaseWrapper], bool]] = {
    "postgresql": _take_postgresql,
    "mysql": _take_mysql,
    "microsoft": _take_sql_server,
    "oracle": _take_oracle,
}
