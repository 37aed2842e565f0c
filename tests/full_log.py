"""An audit log that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections


@contextmanager
def full_log(alias: str) -> Iterator[None]:
    """Meanwhile the audit log cannot be written, as on a full disk."""
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER full_log BEFORE INSERT ON inspection_auditentry"
            " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        try:
            yield
        finally:
            cursor.execute("DROP TRIGGER full_log")
