"""The databases that the admin shows: Django's default, and those that memories use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.http import Http404, HttpRequest

from convstore.database.vendors import describe_database, vendor_for
from memory_api.memories import memories

# The URL parameter that names a database. Without it, the first database is used.
DATABASE_PARAMETER = "database"


@dataclass(frozen=True, slots=True)
class Database:
    """A database that holds conversations. `alias` is its name in Django's `connections`.

    `standby` is that of a copy, which searches and exports read where there is one.
    """

    alias: str
    memories: tuple[str, ...]
    standby: str | None = None

    @property
    def name(self) -> str:
        """The vendor and the location; known without a connection."""
        return describe_database(self.alias)

    @property
    def query(self) -> dict[str, str]:
        """The URL parameters that name this database."""
        return {} if self == databases()[0] else {DATABASE_PARAMETER: self.alias}

    def url(self, path: str, **parameters: object) -> str:
        """The URL of `path` in this database; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        query = urlencode({**self.query, **given}, doseq=True)
        return f"{path}?{query}" if query else path


@cache
def databases() -> tuple[Database, ...]:
    """Each database once, Django's default first, with the names of the memories that use it.

    In a Django project that does not use memory_api: the databases that may have our tables.
    """
    if not apps.is_installed("memory_api"):
        return tuple(
            Database(alias, ()) for alias in connections if router.allow_migrate(alias, "convstore")
        )
    alias_of = {_identity(DEFAULT_DB_ALIAS): DEFAULT_DB_ALIAS}
    names_in: dict[str, list[str]] = {DEFAULT_DB_ALIAS: []}
    standby_of: dict[str, str | None] = {}
    for memory in memories():
        alias = alias_of.setdefault(_identity(memory.store.using), memory.store.using)
        names_in.setdefault(alias, []).append(memory.name)
        standby_of[alias] = standby_of.get(alias) or memory.store.standby
    return tuple(
        Database(alias, tuple(names), standby_of.get(alias)) for alias, names in names_in.items()
    )


def _identity(alias: str) -> str:
    """A string that two connections to the same tables have in common."""
    entry: Mapping[str, Any] = connections[alias].settings_dict
    where = [entry[name] for name in ("ENGINE", "NAME", "USER", "HOST", "PORT")]
    ignored = vendor_for(alias).non_identifying_options
    options = {name: value for name, value in entry["OPTIONS"].items() if name not in ignored}
    return json.dumps([*where, options], sort_keys=True, default=str)


def requested_database(request: HttpRequest) -> Database:
    """The database that the request names. Raises Http404 if the admin does not show it."""
    return database_with_alias(request.GET.get(DATABASE_PARAMETER, databases()[0].alias))


def database_with_alias(alias: str) -> Database:
    """The database with that alias. Raises Http404 if the admin does not show it."""
    for database in databases():
        if database.alias == alias:
            return database
    raise Http404("The admin shows no database with this name.")
