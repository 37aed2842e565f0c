"""The HTTP door's replies: a document or an answer to a response."""

from __future__ import annotations

from collections.abc import Mapping

from django.http import HttpResponse

from memory_api import documents
from memory_api.contract import Answer


def json_response(
    document: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    return HttpResponse(
        documents.write(document), content_type="application/json", status=status, headers=headers
    )


def inference_response(answer: Answer) -> HttpResponse:
    """JSON, or JSON followed by binary tensors if the client requested that."""
    if not answer.binary:
        return json_response(answer.document)
    body, length = documents.write_binary(answer.document, answer.binary)
    return HttpResponse(
        body,
        content_type="application/octet-stream",
        headers={documents.HEADER_LENGTH: str(length)},
    )
