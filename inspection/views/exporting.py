"""Download conversations. A file is sent while it is being produced."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase, StreamingHttpResponse

from convstore.archive.conversations import ConversationRow
from inspection.audit import Action, record
from inspection.databases import Database
from inspection.export import FORMATS, file_chunks
from inspection.export.zip_file import safe_name
from inspection.views.access import READ, database_view
from inspection.views.pages import SANDBOX_HEADERS, conversation_or_404


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
    record(request, database, Action.EXPORT, exported, kind)
    file_format = FORMATS[kind]
    if file_format.is_compressed:
        request.META.pop("HTTP_ACCEPT_ENCODING", None)
    name = f"{_file_name(conversations)}.{file_format.extension}"
    return StreamingHttpResponse(
        file_chunks(database.alias, conversations, file_format, database.standby),
        content_type=file_format.mime,
        headers={**SANDBOX_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'},
    )


def _file_name(conversations: Sequence[ConversationRow]) -> str:
    return safe_name(conversations[0].memory_id if len(conversations) == 1 else "conversations")
