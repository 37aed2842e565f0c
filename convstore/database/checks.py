"""What `check` looks at: database settings that would lose, damage or mix up messages.

The settings are always checked; the servers only if `check --database ALIAS` names them, as
with Django's own database checks. What one vendor needs is in its folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.db import DEFAULT_DB_ALIAS, Error, connections

from convstore.database.fault import WRONG_SERVER
from convstore.database.faults import classify
from convstore.database.vendors import vendor_for
from convstore.errors import DatabaseUrlError
from convstore.models import Conversation, Message

CANNOT_BE_ASKED = "convstore.E006"
TABLES = (Conversation._meta.db_table, Message._meta.db_table)


@register()
def check_settings(app_configs: object = None, **_: Any) -> list[CheckMessage]:
    return settings_messages(DEFAULT_DB_ALIAS)


@register(Tags.database)
def check_servers(
    app_configs: object = None, databases: Iterable[str] | None = None, **_: Any
) -> list[CheckMessage]:
    return [message for alias in databases or () for message in server_messages(alias)]


def settings_messages(alias: str) -> list[CheckMessage]:
    """What is unsafe in one entry of DATABASES, found without a connection."""
    return _name_database(alias, _settings_messages(alias))


def _settings_messages(alias: str) -> Iterator[CheckMessage]:
    entry = connections[alias].settings_dict
    if not entry.get("AUTOCOMMIT", True):
        yield checks.Error(
            "AUTOCOMMIT is off: a request would be answered before its COMMIT.",
            hint="Leave AUTOCOMMIT on.",
            id="convstore.E001",
        )
    if entry.get("ATOMIC_REQUESTS"):
        yield checks.Warning(
            "ATOMIC_REQUESTS is on: an exchange in a view would be answered before its COMMIT, and"
            " is refused.",
            hint="Turn ATOMIC_REQUESTS off, or decorate such views with"
            " django.db.transaction.non_atomic_requests.",
            id="convstore.W009",
        )
    try:
        yield from vendor_for(alias).check_settings(entry)
    except DatabaseUrlError as error:
        yield checks.Error(f"{error}.", id="convstore.E009")


def server_messages(alias: str) -> list[CheckMessage]:
    """What is unsafe on the server of one database; connects to it."""
    try:
        found = vendor_for(alias).check_server(connections[alias], TABLES)
        return _name_database(alias, [*found, *_write_messages(alias)])
    except Error as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [checks.Error(f"Database {alias!r} cannot be asked: {reason}", id="convstore.E006")]


def _write_messages(alias: str) -> Iterator[CheckMessage]:
    statement = vendor_for(alias).write_nothing
    try:
        with connections[alias].cursor() as cursor:
            if statement:
                cursor.execute(statement.format(TABLES[0]))
    except Error as error:  # such as that there are no tables yet, which others report
        if classify(alias, error) == WRONG_SERVER:
            yield checks.Warning(
                "it takes no writes: it is a standby, or set to be read-only. The service is not"
                " ready.",
                hint="Let the URL lead to the primary, or let the server take writes.",
                id="convstore.W025",
            )


def _name_database(alias: str, messages: Iterable[CheckMessage]) -> list[CheckMessage]:
    """The messages, each beginning with the database that it is about."""
    named = list(messages)
    for message in named:
        message.msg = f"Database {alias!r}: {message.msg}"
    return named
