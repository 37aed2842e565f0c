"""What `manage.py check` looks at: whatever would lose, mangle or mix messages.

The settings always; the servers themselves only where `--database` asks for it, as Django's
own checks of databases do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

READ_COMMITTED = "READ COMMITTED"


@register()
def check_settings(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    return [*of_process(), *of_settings(DEFAULT_DB_ALIAS)]


@register(Tags.database)
def check_databases(
    app_configs: object = None, databases: Iterable[str] | None = None, **_: Any
) -> list[CheckMessage]:
    return [message for alias in databases or () for message in of_database(alias)]


def of_process() -> Iterator[CheckMessage]:
    if settings.DEBUG:
        yield checks.Warning(
            "DEBUG is on: an error in the admin shows settings and messages to whoever meets it.",
            hint="Leave DEBUG off, as it is by default.",
            id="convstore.W001",
        )
    if settings.SECRET_KEY.startswith("django-insecure-"):
        yield checks.Warning(
            "The secret key was made for this process alone: everybody is signed out when it ends.",
            hint="Set SECRET_KEY, or let data/secret_key be written.",
            id="convstore.W002",
        )


# --- Settings ----------------------------------------------------------------------------


def of_settings(alias: str) -> Iterator[CheckMessage]:
    """What is wrong with one entry of DATABASES, found without a connection."""
    connection = connections[alias]
    entry, options = connection.settings_dict, connection.settings_dict["OPTIONS"]
    if entry.get("ATOMIC_REQUESTS") or not entry.get("AUTOCOMMIT", True):
        yield checks.Error(
            f"Database {alias!r}: a request inside a transaction is answered before its COMMIT.",
            hint="Leave ATOMIC_REQUESTS off and AUTOCOMMIT on.",
            id="convstore.E001",
        )
    if connection.vendor == "sqlite":
        yield from _of_sqlite_settings(alias, entry["NAME"], options)
    level = options.get("isolation_level")
    if connection.vendor not in ("sqlite", "oracle") and _spelled(level) != READ_COMMITTED:
        yield checks.Error(
            f"Database {alias!r}: under the isolation level {level!r} windows get holes.",
            hint="OPTIONS['isolation_level'] must be READ COMMITTED.",
            id="convstore.E002",
        )
    if connection.vendor == "mysql" and options.get("charset") != "utf8mb4":
        yield checks.Error(
            f"Database {alias!r}: the connection's character set is {options.get('charset')!r},"
            " which has no emoji.",
            hint="OPTIONS['charset'] must be utf8mb4.",
            id="convstore.E003",
        )


def _spelled(level: Any) -> str:
    return str(getattr(level, "name", level)).upper().replace("_", " ")


def _of_sqlite_settings(
    alias: str, name: object, options: Mapping[str, Any]
) -> Iterator[CheckMessage]:
    if ":memory:" in str(name):
        yield checks.Error(
            f"Database {alias!r} is in memory: it forgets every conversation.",
            hint="Name a file.",
            id="convstore.E004",
        )
    if options.get("transaction_mode") != "IMMEDIATE":
        yield checks.Error(
            f"Database {alias!r}: two writers at once fail with 'database is locked'.",
            hint="OPTIONS['transaction_mode'] must be IMMEDIATE.",
            id="convstore.E005",
        )
    pragmas = str(options.get("init_command")).upper().replace(" ", "")
    if "JOURNAL_MODE=WAL" not in pragmas:
        yield checks.Warning(
            f"Database {alias!r}: without the write-ahead log, readers and the writer wait for"
            " each other.",
            hint="OPTIONS['init_command'] should have PRAGMA journal_mode=WAL.",
            id="convstore.W003",
        )
    if not any(f"SYNCHRONOUS={value}" in pragmas for value in ("FULL", "EXTRA")):
        yield checks.Warning(
            f"Database {alias!r}: a power loss can take the last acknowledged messages.",
            hint="OPTIONS['init_command'] should have PRAGMA synchronous=FULL.",
            id="convstore.W004",
        )


# --- Databases ---------------------------------------------------------------------------


def of_database(alias: str) -> Iterator[CheckMessage]:
    """What is wrong with the database itself; it is connected to."""
    connection = connections[alias]
    ask = ASK.get(connection.vendor)
    try:
        for message in ask(connection) if ask else ():
            message.msg = f"Database {alias!r}: {message.msg}"
            yield message
    except Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        yield checks.Error(f"Database {alias!r} cannot be asked: {reason}", id="convstore.E006")


def _row(connection: BaseDatabaseWrapper, sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()


def _ask_sqlite(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    (journal,) = _row(connection, "PRAGMA journal_mode")
    if journal != "wal":
        yield checks.Warning(
            f"its journal is {journal!r}: the file system may not support a write-ahead log.",
            hint="Keep the file on a local disk.",
            id="convstore.W005",
        )


def _ask_postgresql(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    encoding, commit, fsync = _row(
        connection,
        "SELECT current_setting('server_encoding'), current_setting('synchronous_commit'),"
        " current_setting('fsync')",
    )
    if encoding != "UTF8":
        yield checks.Error(
            f"its encoding is {encoding}, which does not hold every text.",
            hint="Make the database with ENCODING 'UTF8' TEMPLATE template0.",
            id="convstore.E007",
        )
    if commit == "off" or fsync == "off":
        yield _may_lose(f"synchronous_commit is {commit} and fsync is {fsync}", "Turn both on.")


def _ask_mysql(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    flush, packet = _row(
        connection, "SELECT @@innodb_flush_log_at_trx_commit, @@max_allowed_packet"
    )
    if flush != 1:
        yield _may_lose(f"innodb_flush_log_at_trx_commit is {flush}", "Set it to 1.")
    if packet < settings.MAX_BODY_BYTES:
        yield checks.Warning(
            f"its max_allowed_packet, {packet}, is below MAX_BODY_BYTES, {settings.MAX_BODY_BYTES}:"
            " a larger message is answered with 413.",
            hint="Raise the one or lower the other.",
            id="convstore.W007",
        )
    for table, engine, collation in _tables_of_mysql(connection):
        if engine != "InnoDB" or not str(collation).startswith("utf8mb4"):
            yield checks.Error(
                f"its table {table} is {engine} with {collation}.",
                hint=f"ALTER TABLE {table} ENGINE InnoDB, CONVERT TO CHARACTER SET utf8mb4"
                " COLLATE utf8mb4_bin",
                id="convstore.E008",
            )


def _tables_of_mysql(connection: BaseDatabaseWrapper) -> list[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, engine, table_collation FROM information_schema.tables"
            " WHERE table_schema = DATABASE()"
            " AND table_name IN ('convstore_conversation', 'convstore_message')"
        )
        return list(cursor.fetchall())


def _ask_sql_server(connection: BaseDatabaseWrapper) -> Iterator[CheckMessage]:
    (snapshots,) = _row(
        connection,
        "SELECT is_read_committed_snapshot_on FROM sys.databases WHERE name = DB_NAME()",
    )
    if not snapshots:
        yield checks.Warning(
            "readers wait for writers.",
            hint="ALTER DATABASE ... SET READ_COMMITTED_SNAPSHOT ON",
            id="convstore.W008",
        )


def _may_lose(why: str, hint: str) -> CheckMessage:
    return checks.Warning(
        f"{why}: a crash can take the last acknowledged messages.", hint=hint, id="convstore.W006"
    )


ASK: Mapping[str, Callable[[BaseDatabaseWrapper], Iterable[CheckMessage]]] = {
    "sqlite": _ask_sqlite,
    "postgresql": _ask_postgresql,
    "mysql": _ask_mysql,
    "microsoft": _ask_sql_server,
}
