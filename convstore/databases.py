"""From an SQLAlchemy URL and engine options to a Django connection.

The grammar of the URL is SQLAlchemy's, and its own `make_url` reads it. What is ours is
the mapping: which Django backend serves it, which options that backend can honour, and
which are refused by name rather than dropped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg import IsolationLevel, ProgrammingError
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from convstore.errors import DatabaseUrlError

POOL_OPTIONS = ("pool_size", "max_overflow", "pool_timeout")


def connect(url: str | URL, options: Mapping[str, Any] | None = None) -> str:
    """Make a database known to Django's `connections` and return its alias.

    The same URL and options give the same alias, and Django's own default where it is
    that database. Makes an SQLite file's folder, opens nothing. Raises DatabaseUrlError.
    """
    wanted = django_database(url, options)
    make_folder(wanted)
    default = connections.settings[DEFAULT_DB_ALIAS]
    if all(default.get(name) == value for name, value in wanted.items()):
        return DEFAULT_DB_ALIAS
    text = json.dumps(wanted, sort_keys=True, default=str)
    alias = f"memory_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if alias not in connections.settings:
        complete = connections.configure_settings({DEFAULT_DB_ALIAS: {}, alias: wanted})
        connections.settings[alias] = complete[alias]
    return alias


def django_database(
    url: str | URL, options: Mapping[str, Any] | None = None, *, timeout: int | None = None
) -> dict[str, Any]:
    """The entry of Django's DATABASES for `url`, `dialect[+driver]://user:password@host/db`.

    `options` are those of SQLAlchemy's `create_engine`; `timeout` is in seconds, by default
    the setting DATABASE_TIMEOUT. Raises DatabaseUrlError.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(
            "the database URL is not of the form dialect://user:password@host:port/database"
            " (percent-encode any of @ : / ? # % in the user or the password)"
        ) from None
    vendor = parsed.get_backend_name()
    if vendor not in VENDORS:
        known = ", ".join(VENDORS)
        raise DatabaseUrlError(f"database {vendor!r} is not supported; supported are: {known}")
    wait = settings.DATABASE_TIMEOUT if timeout is None else timeout
    return VENDORS[vendor](parsed, Unused(options or {}), wait)


class Unused(dict[str, Any]):
    """Engine options, taken out one by one as they are honoured."""

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """The option's value, taken out; DatabaseUrlError when it is of another type."""
        value = self.pop(name, None)
        if value is None:
            return default
        # bool is an int to Python, and not to anybody who writes "pool_size": true.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise DatabaseUrlError(f"connection_options.{name} must be of type {names}")
        return value

    def refuse_rest(self, vendor: str) -> None:
        for name in self:
            raise DatabaseUrlError(f"connection_options.{name} cannot be honoured on {vendor}")


def postgresql(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    arguments = {**url.query, **options.take("connect_args", {}, dict)}
    try:
        make_conninfo("", **arguments)
    except ProgrammingError as error:
        raise DatabaseUrlError(f"PostgreSQL connection argument: {error}") from None
    entry: dict[str, Any] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database or url.username or "",
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.host or "",
        "PORT": str(url.port or ""),
        "OPTIONS": {
            "connect_timeout": timeout,
            "tcp_user_timeout": timeout * 1000,
            **arguments,
            # Windows get holes under any other, whatever the server's default is.
            "isolation_level": IsolationLevel.READ_COMMITTED,
        },
        "DISABLE_SERVER_SIDE_CURSORS": True,  # they do not survive pgbouncer
    }
    only(options, "isolation_level", ("READ COMMITTED", "AUTOCOMMIT"))
    only(options, "echo", (False,))
    pre_ping = options.take("pool_pre_ping", None, bool)
    recycle = options.take("pool_recycle", -1, int)
    if any(name in options for name in POOL_OPTIONS):
        size = options.take("pool_size", 5, int)
        pool = {
            "min_size": 0,
            "max_size": size + options.take("max_overflow", 10, int),
            "timeout": options.take("pool_timeout", timeout, int, float),
        }
        entry["OPTIONS"]["pool"] = pool | ({"max_lifetime": recycle} if recycle > 0 else {})
        entry["CONN_MAX_AGE"] = 0
        entry["CONN_HEALTH_CHECKS"] = bool(pre_ping)  # a pool checks before each use
    else:
        entry["CONN_MAX_AGE"] = recycle if recycle > 0 else None
        entry["CONN_HEALTH_CHECKS"] = pre_ping is not False  # for the admin; the store needs none
    options.refuse_rest("PostgreSQL")
    return entry


def sqlite(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    if not url.database or url.database == ":memory:":
        raise DatabaseUrlError(
            "an in-memory SQLite database would forget every conversation; name a file"
        )
    for name in url.query:
        raise DatabaseUrlError(f"the SQLite URL argument {name!r} cannot be honoured")
    arguments = Unused(options.take("connect_args", {}, dict))
    wait = arguments.take("timeout", timeout, int, float)
    arguments.refuse_rest("SQLite (inside connect_args)")
    only(options, "isolation_level", ("SERIALIZABLE",))
    only(options, "echo", (False,))
    checks = options.take("pool_pre_ping", False, bool)
    recycle = options.take("pool_recycle", -1, int)
    options.refuse_rest("SQLite")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(Path(url.database).absolute()),
        "CONN_MAX_AGE": recycle if recycle > 0 else None,
        "CONN_HEALTH_CHECKS": checks,
        "OPTIONS": {
            "timeout": wait,
            # Deferred, the default, fails at once when two writers want to upgrade.
            "transaction_mode": "IMMEDIATE",
            # FULL: a message that was acknowledged survives a power loss.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
    }


def only(options: Unused, name: str, allowed: tuple[object, ...]) -> None:
    """Take an option out that may have but these values, all of them what we do anyway."""
    value = options.pop(name, allowed[0])
    if value not in allowed:
        choice = " or ".join(map(repr, allowed))
        raise DatabaseUrlError(f"connection_options.{name} is {value!r}; it can only be {choice}")


VENDORS: dict[str, Callable[[URL, Unused, int], dict[str, Any]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
}


def make_folder(entry: Mapping[str, Any]) -> None:
    """Make the folder that an SQLite file lives in; SQLite makes the file only."""
    if entry["ENGINE"] == "django.db.backends.sqlite3":
        with suppress(OSError):  # a folder that cannot be made is found out at connect
            Path(entry["NAME"]).parent.mkdir(parents=True, exist_ok=True)
