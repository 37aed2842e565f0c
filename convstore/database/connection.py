"""This thread's connection to a database: opened before its use, dropped after a fault."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from django.db import Error, connections
from django.db.backends.signals import connection_created

from convstore.database.fault import Connections, Fault
from convstore.database.vendors import vendor_for
from convstore.errors import Unavailable

# Which part of its maximal age a connection may lack.
JITTER = 0.1
# The databases whose server took no writes when it was last asked to, and since when.
_without_writes: dict[str, float] = {}
# How often a database was found to take writes again. A connection from before may lead to a server
# that is alive, answers reads, and no longer hears of what is written.
_servers_left: Counter[str] = Counter()
# The connections of all threads of this process.
_connections: WeakSet[Any] = WeakSet()
_connections_lock = threading.Lock()


def _keep(connection: Any, **_: Any) -> None:
    with _connections_lock:
        _connections.add(connection)


connection_created.connect(_keep)


def count_open_connections() -> Counter[str]:
    """How many connections to each database, by its alias, the threads of this process hold."""
    with _connections_lock:
        return Counter(each.alias for each in _connections if each.connection is not None)


def open_connection(alias: str) -> Any:
    """Django's connection to the database `alias`, open. Raises Unavailable."""
    connection: Any = connections[alias]
    if _is_from_before(connection) and not connection.in_atomic_block:
        drop_connection(alias)
        _set_current(connection)
    if connection.connection is None:
        try:
            connection.ensure_connection()
        except Error as error:
            raise Unavailable("the database cannot be reached") from error
        _shorten_life(connection)
    return connection


def settle_connections(alias: str, fault: Fault | None) -> None:
    """Do with the connections to `alias` what the fault of this thread's says; None is no fault."""
    what = fault.connections if fault else Connections.KEEP
    if what is Connections.DROP_ALL:
        _without_writes.setdefault(alias, time.monotonic())
    if what is not Connections.KEEP or _is_inside_transaction(alias):
        drop_connection(alias)


def note_write(alias: str) -> None:
    """This thread's connection takes writes: if no server did, leave all older connections."""
    if alias in _without_writes:
        _without_writes.pop(alias, None)
        _servers_left[alias] += 1
        _set_current(connections[alias])


def seconds_without_writes(alias: str) -> float:
    """For how long no server of the database has taken writes, as far as this process knows."""
    since = _without_writes.get(alias)
    return 0.0 if since is None else time.monotonic() - since


def drop_connection(alias: str) -> None:
    """Close this thread's connection to `alias`, whatever its state; the next use opens another."""
    connection: Any = connections[alias]
    with suppress(Error, connection.Database.Error):
        vendor_for(alias).close_for_good(connection)


def _shorten_life(connection: Any) -> None:
    """Let it end before its maximal age: the connections of all threads may have begun at once."""
    if max_age := connection.settings_dict["CONN_MAX_AGE"]:
        connection.close_at -= random.uniform(0, max_age * JITTER)  # noqa: S311 - not a secret


def _is_from_before(connection: Any) -> bool:
    left = getattr(connection, "convstore_servers_left", 0)
    return bool(left != _servers_left[connection.alias])


def _set_current(connection: Any) -> None:
    connection.convstore_servers_left = _servers_left[connection.alias]


def _is_inside_transaction(alias: str) -> bool:
    connection = connections[alias]
    return connection.connection is not None and not connection.autocommit
