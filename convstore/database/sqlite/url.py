"""From an sqlite:// URL to a Django connection, and where its file is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from convstore.database.options import (
    Options,
    connection_per_thread,
    take_driver_arguments,
    take_echo,
    take_isolation_level,
)
from convstore.database.parsed_url import ParsedUrl
from convstore.errors import DatabaseUrlError

# What says how the file is opened, but not which file it is.
NON_IDENTIFYING_OPTIONS = frozenset({"timeout", "transaction_mode", "init_command"})


def database_settings(url: ParsedUrl, options: Options, timeout: int) -> dict[str, Any]:
    if url.host or url.port or url.username or url.password:
        raise DatabaseUrlError(
            "an SQLite URL names a file, sqlite:///relative/path or sqlite:////absolute/path,"
            " and no host, user or password"
        )
    if not url.database or url.database == ":memory:":
        raise DatabaseUrlError(
            "an in-memory SQLite database would forget every conversation; name a file"
        )
    arguments = take_driver_arguments(url, options)
    wait = arguments.take("timeout", timeout, int, float)
    # Accepted whatever it says: each thread has a connection of its own.
    arguments.take("check_same_thread", None, bool)
    arguments.refuse_rest("SQLite")
    take_isolation_level(options, "SERIALIZABLE")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.abspath(url.database),
        "OPTIONS": {
            "timeout": wait,
            # The default, DEFERRED, fails at once if two readers both want to write.
            "transaction_mode": "IMMEDIATE",
            # FULL: a message that was acknowledged survives a power loss.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL",
        },
        **connection_per_thread(options, "SQLite", checked=False),
        **take_echo(options),
    }


def prepare(entry: Mapping[str, Any]) -> None:
    """Make the folder of the file; SQLite only makes the file."""
    with suppress(OSError):  # then opening the file fails, and says so
        Path(entry["NAME"]).parent.mkdir(parents=True, exist_ok=True)


def location(entry: Mapping[str, Any]) -> str:
    return Path(entry["NAME"]).name


def without_time_limits(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry as it is: SQLite's only limit is for waiting for a lock."""
    return dict(entry)
