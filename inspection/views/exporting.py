"""Conversations taken away as files, which are made while they are sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase, StreamingHttpResponse

from convstore.models import Conversation
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.export import FORMATS, exported
from inspection.views.guard import READ, SANDBOX, conversation_of, inspects

# How much of a download is sent at once, in characters.
BLOCK = 64 * 1024


@inspects(READ)
def export(request: HttpRequest, database: Database, key: UUID, kind: str) -> HttpResponseBase:
    return file_of(request, database, [conversation_of(database, key)], kind)


def file_of(
    request: HttpRequest, database: Database, conversations: Sequence[Conversation], kind: str
) -> HttpResponseBase:
    """A download of the conversations, made while it is sent."""
    if kind not in FORMATS:
        raise Http404(f"There is no such format; there are {', '.join(FORMATS)}.")
    opened = [(each.pk, each.memory_id) for each in conversations]
    record(request.user, database, Action.EXPORT, opened, kind)
    form = FORMATS[kind]
    name = conversations[0].memory_id if len(conversations) == 1 else "conversations"
    name = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[:80] or "conversation"
    return StreamingHttpResponse(
        _blocks(exported(database.alias, conversations, form)),
        content_type=form.mime,
        headers={
            "Content-Disposition": f'attachment; filename="{name}.{form.extension}"',
            "Content-Security-Policy": SANDBOX,
            "Cross-Origin-Resource-Policy": "same-origin",
        },
    )


def _blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """The pieces in blocks of at least BLOCK characters, as UTF-8."""
    block: list[str] = []
    size = 0
    for piece in pieces:
        block.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield "".join(block).encode()
            block, size = [], 0
    yield "".join(block).encode()
