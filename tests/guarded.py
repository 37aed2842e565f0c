"""Services that ask for API keys, and keys for their callers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from api_keys.making import KeyWish, make_key
from convstore.database.url import database_settings


@contextmanager
def default_database(url: str) -> Iterator[None]:
    """Meanwhile Django's default database in this process is that of `url`."""
    before = connections.settings[DEFAULT_DB_ALIAS]
    connections[DEFAULT_DB_ALIAS].close()
    del connections[DEFAULT_DB_ALIAS]
    entry = database_settings(url)
    settings = connections.configure_settings({DEFAULT_DB_ALIAS: entry})
    connections.settings[DEFAULT_DB_ALIAS] = settings[DEFAULT_DB_ALIAS]
    try:
        yield
    finally:
        connections[DEFAULT_DB_ALIAS].close()
        del connections[DEFAULT_DB_ALIAS]
        connections.settings[DEFAULT_DB_ALIAS] = before


def new_key(name: str = "a client", **wish: Any) -> str:
    """A key in the default database."""
    return make_key(KeyWish(name=name, **wish), [DEFAULT_DB_ALIAS])[1]


def header(key: str) -> dict[str, str]:
    """As HTTP's header, and as gRPC's metadata."""
    return {"authorization": f"Bearer {key}"}
