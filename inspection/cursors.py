"""Cursors: the time and the key of a row, as text, with which a list goes on after it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError


def cursor_of(row: Any, time_field: str) -> str:
    return f"{getattr(row, time_field).isoformat()}~{row.pk}"


def time_and_key(cursor: str, model: Any) -> tuple[datetime, Any]:
    """The time and the key in a cursor. Raises ValueError or OverflowError."""
    moment, _, key = cursor.partition("~")
    try:
        return datetime.fromisoformat(moment).astimezone(UTC), model._meta.pk.to_python(key)
    except ValidationError as error:
        raise ValueError(cursor) from error
