"""The settings that the store reads, and their defaults in somebody else's Django project."""

from __future__ import annotations

from django.conf import settings

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
