"""The V2 door's bodies: from the stream of a request to a document.

Every Content-Type is read as JSON, since tritonclient and kserve send none, and curl sends
that of a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.parsers import BaseParser

from memory_api import documents
from memory_api.received import read_body

HEADER_LENGTH = f"HTTP_{documents.HEADER_LENGTH.replace('-', '_').upper()}"


class V2Parser(BaseParser):
    """Parses a body with its binary tensors."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        context = parser_context or {}
        body = read_body(stream, context)
        return documents.read(
            body,
            context["request"].META.get(HEADER_LENGTH),
            max_values=settings.MAX_VALUES,
            take=context["view"].share.take,
        )
