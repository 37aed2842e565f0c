"""What the store takes from the Django project that it is in: the service's, or somebody else's."""

from __future__ import annotations

from django.conf import settings
from django.core.management import get_commands
from django.db import DEFAULT_DB_ALIAS

DEFAULT_DATABASE_TIMEOUT = 5
DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024
DEFAULT_THREADS = 8


def database_timeout() -> int:
    """DATABASE_TIMEOUT: how many seconds a request may wait for its database."""
    return int(getattr(settings, "DATABASE_TIMEOUT", DEFAULT_DATABASE_TIMEOUT))


def max_body_bytes() -> int:
    """MAX_BODY_BYTES: the largest request that the doors accept, in bytes."""
    return int(getattr(settings, "MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES))


def threads() -> int:
    """THREADS: how many threads of a process use the database at once."""
    return int(getattr(settings, "THREADS", DEFAULT_THREADS))


def migrate_command(alias: str) -> str:
    """The command that makes the tables of the database `alias`."""
    if "migrate_memories" in get_commands():  # only the service has it
        return "convstore migrate_memories"
    if alias == DEFAULT_DB_ALIAS:
        return "python manage.py migrate"
    return f"python manage.py migrate convstore --database {alias}"
