"""From an SQLAlchemy URL and engine options to a Django connection.

The grammar of the URL is SQLAlchemy's, and its own `make_url` reads it. What is ours is
the mapping, in `convstore.database.vendors`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from convstore.database.options import Unused
from convstore.database.vendors import VENDORS
from convstore.errors import DatabaseUrlError


def database_alias(url: str | URL, options: Mapping[str, Any] | None = None) -> str:
    """Make a database known to Django's `connections` and return its alias.

    The same URL and options give the same alias, and Django's own default where it is
    that database. Makes an SQLite file's folder, opens nothing. Raises DatabaseUrlError.
    """
    wanted = database_settings(url, options)
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


def database_settings(
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
    if "\0" in "".join(map(str, (*parsed[:-1], *parsed.query, *parsed.query.values()))):
        raise DatabaseUrlError("the database URL has a NUL, at which drivers stop reading")
    vendor = parsed.get_backend_name()
    if vendor not in VENDORS:
        known = ", ".join(VENDORS)
        raise DatabaseUrlError(f"database {vendor!r} is not supported; supported are: {known}")
    unused = Unused(options or {}, "connection_options.")
    wait = settings.DATABASE_TIMEOUT if timeout is None else timeout
    entry = VENDORS[vendor](parsed, unused, wait)
    unused.refuse_rest(vendor)
    return entry


def make_folder(entry: Mapping[str, Any]) -> None:
    """Make the folder that an SQLite file lives in; SQLite makes the file only."""
    if entry["ENGINE"] == "django.db.backends.sqlite3":
        with suppress(OSError):  # a folder that cannot be made is found out at connect
            Path(entry["NAME"]).parent.mkdir(parents=True, exist_ok=True)
