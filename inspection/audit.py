"""Write entries of the audit log, always before the content is shown or deleted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from inspection.databases import Database
from inspection.models import AuditEntry


class Action(StrEnum):
    FIRST_LINE = "first line"
    READ = "read"
    JSON = "JSON"
    PART = "part"
    SEARCH = "search"
    EXPORT = "export"
    DELETE = "deletion begun"
    DELETED = "deleted"
    KEY_MADE = "key made"
    KEY_REVOKED = "key revoked"


def record(
    user: AbstractBaseUser | AnonymousUser,
    database: Database,
    action: Action,
    conversations: Iterable[tuple[UUID | None, str]],
    detail: str = "",
) -> None:
    """Write one entry for each conversation (its key and memory_id): all entries or none."""
    now = datetime.now(UTC)
    longest = AuditEntry._meta.get_field("database").max_length
    AuditEntry.objects.bulk_create(
        AuditEntry(
            at=now,
            user_id=user.pk,
            username=user.get_username(),
            action=action,
            database=database.name[:longest],
            conversation=key,
            memory_id=memory_id,
            detail=detail,
        )
        for key, memory_id in conversations
    )
