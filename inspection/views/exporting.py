"""Download conversations. A file is sent while it is being produced."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase, StreamingHttpResponse

from convstore.archive.conversations import ConversationRow
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.export import FORMATS, file_chunks
from inspection.views.access import READ, database_view
from inspection.views.pages import SANDBOX_HEADERS, conversation_or_404

# Chunks are joined until they have this many characters, and then sent.
MIN_BLOCK_CHARACTERS = 64 * 1024


@database_view(READ)
def export(request: HttpRequest, database: Database, key: UUID, kind: str) -> HttpResponseBase:
    return download(request, database, [conversation_or_404(database, key)], kind)


def download(
    request: HttpRequest, database: Database, conversations: Sequence[ConversationRow], kind: str
) -> HttpResponseBase:
    """The conversations as one file. Raises Http404 for an unknown kind."""
    if kind not in FORMATS:
        raise Http404(f"Unknown format {kind!r}. The formats are {', '.join(FORMATS)}.")
    exported = [(each.pk, each.memory_id) for each in conversations]
    record(request.user, database, Action.EXPORT, exported, kind)
    file_format = FORMATS[kind]
    name = f"{_file_name(conversations)}.{file_format.extension}"
    return StreamingHttpResponse(
        _encode_blocks(file_chunks(database.alias, conversations, file_format, database.standby)),
        content_type=file_format.mime,
        headers={**SANDBOX_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'},
    )


def _file_name(conversations: Sequence[ConversationRow]) -> str:
    name = conversations[0].memory_id if len(conversations) == 1 else "conversations"
    return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).strip("._")[:80] or "conversation"


def _encode_blocks(chunks: Iterable[str]) -> Iterator[bytes]:
    """The chunks as UTF-8, joined into blocks of at least MIN_BLOCK_CHARACTERS."""
    block: list[str] = []
    size = 0
    for chunk in chunks:
        block.append(chunk)
        size += len(chunk)
        if size >= MIN_BLOCK_CHARACTERS:
            yield "".join(block).encode()
            block, size = [], 0
    yield "".join(block).encode()
