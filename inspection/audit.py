"""Write entries of the audit log, always before the content is shown or deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest

from convstore.client_address import client_address
from convstore.conf import trusted_proxies
from convstore.database.vendors import describe_database
from inspection.databases import Database
from inspection.models import AuditEntry, ListedConversation

# The most entries that one transaction deletes.
PRUNED_AT_ONCE = 500
# For so long one entry stands for every view of the log with the same filter.
LOG_VIEW_LASTS = timedelta(hours=1)
# Who it is at the command line: no user.
COMMAND = "(command)"


class Action(StrEnum):
    LIST = "list"
    READ = "read"
    JSON = "JSON"
    PART = "part"
    SEARCH = "search"
    EXPORT = "export"
    DELETE = "deletion begun"
    DELETED = "deleted"
    KEY_MADE = "key made"
    KEY_REVOKED = "key revoked"
    KEY_ROTATED = "key rotated"
    STOPPED = "deletion stopped"
    FAILED = "deletion failed"
    SIGNED_IN = "signed in"
    SIGN_IN_FAILED = "sign-in failed"
    RIGHTS = "rights changed"
    LOG_READ = "log read"
    LOG_EXPORT = "log exported"
    LOG_PRUNED = "log pruned"


# A conversation's key and memory_id.
Named = tuple[UUID | None, str]


def address_of(request: HttpRequest) -> str:
    return client_address(request.META, trusted_proxies())


def record(
    request: HttpRequest,
    database: Database,
    action: Action,
    conversations: Iterable[Named],
    detail: str = "",
) -> None:
    """Write one entry for each conversation: all entries or none."""
    about = {"action": action, "database": _name(database), "detail": detail, **_who(request)}
    AuditEntry.objects.bulk_create(
        AuditEntry(**about, conversation=key, memory_id=memory_id)
        for key, memory_id in conversations
    )


class Deletion(Protocol):
    """What a door deletes for a program, and who asks for that."""

    @property
    def who(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def using(self) -> str: ...
    @property
    def conversation(self) -> Named: ...
    @property
    def what(self) -> str: ...


def record_deletion(deletion: Deletion, failure: str | None = None) -> None:
    """Write that a door begins a deletion: the setting AUDIT_LOG.

    Then, with a `failure`, that it has failed, or with "" that it is done.
    """
    longest = AuditEntry._meta.get_field("database").max_length
    key, memory_id = deletion.conversation
    outcome = Action.FAILED if failure else Action.DELETED
    AuditEntry.objects.create(
        at=datetime.now(UTC),
        username=deletion.who,
        address=deletion.address,
        action=Action.DELETE if failure is None else outcome,
        database=describe_database(deletion.using)[:longest],
        conversation=key,
        memory_id=memory_id,
        detail=f"{deletion.what}; {failure}" if failure else deletion.what,
    )


def record_list(
    request: HttpRequest,
    database: Database,
    action: Action,
    conversations: Sequence[Named],
    detail: str = "",
) -> None:
    """Write one entry for a page that shows these conversations, also if there are none."""
    if len(conversations) == 1:
        record(request, database, action, conversations, detail)
        return
    about = {"action": action, "database": _name(database), "detail": detail, **_who(request)}
    with transaction.atomic(AuditEntry.objects.db):
        entry = AuditEntry.objects.create(**about)
        ListedConversation.objects.bulk_create(
            ListedConversation(entry=entry, conversation=key, memory_id=memory_id)
            for key, memory_id in conversations
            if key
        )


def record_event(request: HttpRequest, action: Action, detail: str = "", **user: Any) -> None:
    """Write an entry that is about no conversation. `user` and `username` may be another's."""
    AuditEntry.objects.create(action=action, detail=detail, **_who(request, **user))


def record_log_view(request: HttpRequest, shown: str) -> None:
    """Write that somebody reads these entries of the log, without filling the log with that."""
    who = _who(request)
    since = {"at__gte": who.pop("at") - LOG_VIEW_LASTS}
    views = AuditEntry.objects.filter(action=Action.LOG_READ, **who, **since)
    # Compared here: in some databases, words in another case would be the same.
    if shown not in views.values_list("detail", flat=True):
        record_event(request, Action.LOG_READ, shown)


def record_command(action: Action, detail: str) -> None:
    """Write that a command of `convstore` does this."""
    AuditEntry.objects.create(at=datetime.now(UTC), username=COMMAND, action=action, detail=detail)


def _who(request: HttpRequest, **user: Any) -> dict[str, Any]:
    user = user or {"user_id": request.user.pk, "username": request.user.get_username()}
    return {"at": datetime.now(UTC), "address": address_of(request), **user}


def _name(database: Database) -> str:
    return database.name[: AuditEntry._meta.get_field("database").max_length]


# --- Retention ---------------------------------------------------------------------------


def prune(days: int) -> int:
    """Delete the entries that are older than so many days, in short transactions; how many."""
    before = datetime.now(UTC) - timedelta(days=days)
    old = AuditEntry.objects.filter(at__lt=before).order_by("at", "pk")
    deleted = 0
    while keys := list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE]):
        with transaction.atomic(AuditEntry.objects.db):
            ListedConversation.objects.filter(entry__in=keys).delete()
            AuditEntry.objects.filter(pk__in=keys).delete()
        deleted += len(keys)
    detail = f"{deleted:,} entries from before {before:%Y-%m-%d %H:%M} UTC"
    if deleted:
        record_command(Action.LOG_PRUNED, detail)
    return deleted
