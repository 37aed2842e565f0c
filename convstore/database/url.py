"""From a database URL and engine options to a database that Django knows by an alias.

`parsed_url.py` parses the URL, and each vendor's `url.py` maps what was parsed to Django.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from convstore.conf import connection_max_age, database_timeout
from convstore.database.options import Options
from convstore.database.parsed_url import ParsedUrl, parse_url
from convstore.database.vendor import Vendor
from convstore.database.vendors import vendor_of_url
from convstore.errors import DatabaseUrlError


def database_alias(
    url: str | ParsedUrl, options: Mapping[str, Any] | None = None, *, timeout: int | None = None
) -> str:
    """The alias of a database in Django's `connections`, to which it is added.

    The same URL and options always give the same alias, which is Django's default if that
    is the same database. Makes an SQLite file's folder, but opens no connection. `timeout` is
    that of `database_settings`. Raises DatabaseUrlError.
    """
    entry = prepared_database_settings(url, options, timeout=timeout)
    default = connections.settings[DEFAULT_DB_ALIAS]
    if all(default.get(name) == value for name, value in entry.items()):
        return DEFAULT_DB_ALIAS
    text = json.dumps(entry, sort_keys=True, default=str)
    alias = f"memory_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if alias not in connections.settings:
        complete = connections.configure_settings({DEFAULT_DB_ALIAS: {}, alias: entry})
        connections.settings[alias] = complete[alias]
    return alias


def database_settings(
    url: str | ParsedUrl,
    options: Mapping[str, Any] | None = None,
    *,
    timeout: int | None = None,
    max_age: int | None = None,
) -> dict[str, Any]:
    """The entry of Django's DATABASES for `url`, `dialect[+driver]://user:password@host/db`.

    `options` are those of SQLAlchemy's `create_engine`. `timeout` and `max_age` are in seconds,
    by default the settings DATABASE_TIMEOUT and DATABASE_CONNECTION_MAX_AGE; the option
    `pool_recycle` wins over the latter. Raises DatabaseUrlError.
    """
    return _vendor_and_settings(url, options, timeout, max_age)[1]


def prepared_database_settings(
    url: str | ParsedUrl,
    options: Mapping[str, Any] | None = None,
    *,
    timeout: int | None = None,
    max_age: int | None = None,
) -> dict[str, Any]:
    """The same, after making what must exist before a connection: an SQLite file's folder."""
    vendor, entry = _vendor_and_settings(url, options, timeout, max_age)
    vendor.prepare(entry)
    return entry


def _vendor_and_settings(
    url: str | ParsedUrl,
    options: Mapping[str, Any] | None,
    timeout: int | None,
    max_age: int | None,
) -> tuple[Vendor, dict[str, Any]]:
    parsed = parse_url(url) if isinstance(url, str) else url
    if "\0" in "".join(map(str, (*parsed[:-1], *parsed.query, *parsed.query.values()))):
        raise DatabaseUrlError("the database URL contains a NUL, at which drivers stop reading")
    vendor = vendor_of_url(parsed.dialect)
    recycle = {"pool_recycle": connection_max_age() if max_age is None else max_age}
    unused = Options({**recycle, **(options or {})}, "connection_options.")
    entry = vendor.database_settings(
        parsed, unused, database_timeout() if timeout is None else timeout
    )
    unused.refuse_rest(vendor.name)
    return vendor, entry
