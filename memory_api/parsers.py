"""The V2 door's bodies: from the stream of a request to a document.

Every Content-Type is read as JSON, since tritonclient and kserve send none, and curl sends
that of a form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from memory_api import documents
from memory_api.bodies import Take
from memory_api.received import BodyParser

HEADER_LENGTH = f"HTTP_{documents.HEADER_LENGTH.replace('-', '_').upper()}"


class V2Parser(BodyParser):
    """Parses a body with its binary tensors."""

    def document_of(self, body: bytes, meta: Mapping[str, Any], take: Take) -> Any:
        length = meta.get(HEADER_LENGTH)
        return documents.read(body, length, max_values=settings.MAX_VALUES, take=take)
