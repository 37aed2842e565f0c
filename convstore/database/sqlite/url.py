"""From an sqlite:// URL to a Django connection."""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy.engine import URL

from convstore.database.options import (
    Unused,
    driver_arguments,
    echo,
    isolation,
    one_connection_a_thread,
)
from convstore.errors import DatabaseUrlError


def sqlite(url: URL, options: Unused, timeout: int) -> dict[str, Any]:
    if url.host or url.port or url.username or url.password:
        raise DatabaseUrlError(
            "an SQLite URL names a file, sqlite:///relative/path or sqlite:////absolute/path,"
            " and no host, user or password"
        )
    if not url.database or url.database == ":memory:":
        raise DatabaseUrlError(
            "an in-memory SQLite database would forget every conversation; name a file"
        )
    arguments = driver_arguments(url, options)
    wait = arguments.take("timeout", timeout, int, float)
    # Each thread has a connection of its own, whichever of the two is wished for.
    arguments.take("check_same_thread", None, bool)
    arguments.refuse_rest("SQLite")
    isolation(options, "SERIALIZABLE")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.abspath(url.database),
        "OPTIONS": {
            "timeout": wait,
            # Deferred, the default, fails at once when two writers want to upgrade.
            "transaction_mode": "IMMEDIATE",
            # FULL: a message that was acknowledged survives a power loss.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
        **one_connection_a_thread(options, "SQLite", checked=False),
        **echo(options),
    }
