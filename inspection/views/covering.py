"""What the entry of a transcript covers: the images and sounds that the browser loads for it.

The page names them with a signed text that says which messages were opened, by whom. While it
lasts, and nothing was erased, these parts need no entries of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core import signing
from django.http import HttpRequest

from convstore.archive.history import MessageRow
from inspection.databases import Database

# The parameter of such a part's URL.
VIEW = "view"
SALT = "convstore.view"
# A browser that loads a part later than this leaves an entry.
VIEW_LASTS = timedelta(hours=1)


def view_of(
    request: HttpRequest, database: Database, conversation: Any, rows: Sequence[MessageRow]
) -> str:
    """The text for the parts of these rows, whose entry was just written."""
    positions = [rows[0].position, rows[-1].position] if rows else []
    return signing.dumps([*_same(request, database, conversation), positions], salt=SALT)


def is_covered(request: HttpRequest, database: Database, conversation: Any, position: int) -> bool:
    """Whether an entry says that this user opened the message, as it is now."""
    try:
        *same, positions = signing.loads(request.GET.get(VIEW, ""), salt=SALT, max_age=VIEW_LASTS)
    except signing.BadSignature:
        return False
    if same != _same(request, database, conversation) or not positions:
        return False
    first, last = positions
    return bool(first <= position <= last)


def _same(request: HttpRequest, database: Database, conversation: Any) -> list[Any]:
    """The user and the conversation; `changes` counts what was erased or written anew in it."""
    begun = conversation.created_at.isoformat()
    return [request.user.pk, database.alias, conversation.pk.hex, begun, conversation.changes]
