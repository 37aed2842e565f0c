"""What the store takes from the Django project that it is in: the service's, or somebody else's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.management import get_commands
from django.db import DEFAULT_DB_ALIAS

from convstore.client_address import Network

DEFAULT_DATABASE_TIMEOUT = 5
DEFAULT_CONNECTION_MAX_AGE = 3600
DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024
DEFAULT_THREADS = 8
DEFAULT_MAX_REPLY_BYTES = 32 * 1024 * 1024
DEFAULT_MAX_WINDOW = 10_000
DEFAULT_AUDIT_LOG_DAYS = 365
REFUSE, TRUNCATE = "refuse", "truncate"


def database_timeout() -> int:
    """DATABASE_TIMEOUT: how many seconds a request may wait for its database."""
    return int(getattr(settings, "DATABASE_TIMEOUT", DEFAULT_DATABASE_TIMEOUT))


def connection_max_age() -> int:
    """DATABASE_CONNECTION_MAX_AGE: after how many seconds a connection is replaced."""
    return int(getattr(settings, "DATABASE_CONNECTION_MAX_AGE", DEFAULT_CONNECTION_MAX_AGE))


def max_body_bytes() -> int:
    """MAX_BODY_BYTES: the largest request that the doors accept, in bytes."""
    return int(getattr(settings, "MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES))


def max_reply_bytes() -> int:
    """MAX_REPLY_BYTES: the most bytes that the messages of a window have, as they are stored."""
    return int(getattr(settings, "MAX_REPLY_BYTES", DEFAULT_MAX_REPLY_BYTES))


def max_window() -> int:
    """MAX_WINDOW: the most messages that a window holds, whatever its size."""
    return int(getattr(settings, "MAX_WINDOW", DEFAULT_MAX_WINDOW))


def truncates_replies() -> bool:
    """Whether MAX_REPLY_OVERFLOW says to shorten a window that is over these limits."""
    return bool(getattr(settings, "MAX_REPLY_OVERFLOW", REFUSE) == TRUNCATE)


def trusted_proxies() -> Sequence[Network]:
    """TRUSTED_PROXIES: the networks whose X-Forwarded-For is believed."""
    return tuple(getattr(settings, "TRUSTED_PROXIES", ()))


def audit_log_days() -> int:
    """AUDIT_LOG_DAYS: for how many days entries of the audit log are kept."""
    return int(getattr(settings, "AUDIT_LOG_DAYS", DEFAULT_AUDIT_LOG_DAYS))


def threads() -> int:
    """THREADS: how many threads of a process use the database at once."""
    return int(getattr(settings, "THREADS", DEFAULT_THREADS))


def connections_of_a_process(entry: Mapping[str, Any]) -> int:
    """The most connections that a process opens to the database of this entry of DATABASES."""
    pool = entry["OPTIONS"].get("pool")
    if isinstance(pool, dict) and "max_size" in pool:
        return int(pool["max_size"])
    return threads() + 1  # that of the probe


def workers() -> int:
    """WORKERS: how many processes of this host use the database."""
    return int(getattr(settings, "WORKERS", 1))


def migrate_command(alias: str) -> str:
    """The command that makes the tables of the database `alias`."""
    if "migrate_memories" in get_commands():  # only the service has it
        return "convstore migrate_memories"
    if alias == DEFAULT_DB_ALIAS:
        return "python manage.py migrate"
    return f"python manage.py migrate convstore --database {alias}"
