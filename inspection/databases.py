"""The databases that the admin shows: Django's own, and every one that a memory names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.db import DEFAULT_DB_ALIAS, connections
from django.http import Http404, HttpRequest

from memory_api.memories import memories

# The parameter of a request that names a database. Without it, Django's own is meant.
PARAMETER = "database"
# What says how a database is spoken to, not which one it is.
OPTIONS_THAT_DO_NOT_IDENTIFY = frozenset(
    {"pool", "timeout", "connect_timeout", "read_timeout", "write_timeout", "lock_wait_timeout"}
    | {"application_name", "init_command", "isolation_level", "transaction_mode"}
)

# Django's own name of a vendor is asked of the server, which may be down.
VENDORS = {
    "microsoft": "SQL Server",
    "mysql": "MySQL or MariaDB",
    "oracle": "Oracle",
    "postgresql": "PostgreSQL",
    "sqlite": "SQLite",
}

# What an Oracle address that has everything in its name says.
ORACLE_ADDRESS = re.compile(r"\((HOST|PORT|SERVICE_NAME)=([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Database:
    """A database with conversations; `alias` is its name in Django's `connections`."""

    alias: str
    memories: tuple[str, ...]

    @property
    def location(self) -> str:
        """Where it is, without user and password."""
        entry = connections[self.alias].settings_dict
        if connections[self.alias].vendor == "sqlite":
            return Path(entry["NAME"]).name
        if found := dict(ORACLE_ADDRESS.findall(str(entry["NAME"]))):
            return f"{found.get('SERVICE_NAME', '')} on {found.get('HOST')}:{found.get('PORT')}"
        options = entry["OPTIONS"]
        host = entry["HOST"] or options.get("host") or options.get("unix_socket") or "localhost"
        port = f":{entry['PORT']}" if entry["PORT"] else ""
        return f"{entry['NAME'] or options.get('service', '')} on {host}{port}"

    @property
    def name(self) -> str:
        return f"{VENDORS[connections[self.alias].vendor]}, {self.location}"

    @property
    def query(self) -> dict[str, str]:
        """The parameters of a URL that name this database."""
        return {} if self.alias == DEFAULT_DB_ALIAS else {PARAMETER: self.alias}

    def url(self, path: str, **parameters: object) -> str:
        """`path` in this database, with those of the parameters that are not None."""
        given = {name: value for name, value in parameters.items() if value is not None}
        query = urlencode({**self.query, **given}, doseq=True)
        return f"{path}?{query}" if query else path


@cache
def databases() -> tuple[Database, ...]:
    """Each database once, Django's own first, with the names of the memories that use it."""
    users: dict[str, list[str]] = {DEFAULT_DB_ALIAS: []}
    known = {_identity(DEFAULT_DB_ALIAS): DEFAULT_DB_ALIAS}
    for memory in memories():
        alias = known.setdefault(_identity(memory.store.using), memory.store.using)
        users.setdefault(alias, []).append(memory.name)
    return tuple(Database(alias, tuple(names)) for alias, names in users.items())


def _identity(alias: str) -> str:
    """What is equal for two connections that lead to the same tables."""
    entry: Mapping[str, Any] = connections[alias].settings_dict
    which = [entry[name] for name in ("ENGINE", "NAME", "USER", "HOST", "PORT")]
    options = {
        name: value
        for name, value in entry["OPTIONS"].items()
        if name not in OPTIONS_THAT_DO_NOT_IDENTIFY
    }
    return json.dumps([*which, options], sort_keys=True, default=str)


def requested_database(request: HttpRequest) -> Database:
    """The database that the request names. Raises Http404 if no memory uses it."""
    return database_with_alias(request.GET.get(PARAMETER, DEFAULT_DB_ALIAS))


def database_with_alias(alias: str) -> Database:
    """The database with that alias. Raises Http404 if no memory uses it."""
    for database in databases():
        if database.alias == alias:
            return database
    raise Http404("No memory uses a database of this name.")
