"""What MLServer reads of a REST body for a memory: no more than the HTTP door would.

MLServer 1.7 limits neither a body nor what it becomes when it is decompressed, and asks a runtime
only after it has read all of it as JSON. So the class of its requests is replaced here.
"""

from __future__ import annotations

from django.conf import settings
from mlserver.errors import MLServerError
from mlserver.rest import app
from mlserver.rest.requests import Request
from starlette.exceptions import HTTPException

from memory_api import documents
from memory_api.errors import RequestError, TooLarge
from memory_api.json_text import refuse_excess

# MLServer's models of other runtimes keep its own ways.
_memories: set[str] = set()


def bound_bodies(name: str) -> None:
    """Have the bodies of requests to the memory `name` bounded from now on."""
    _memories.add(name)
    app.Request = BoundedRequest


class RefusedBody(MLServerError, HTTPException):
    """FastAPI passes an HTTPException on; MLServer answers its own errors in their form."""


class BoundedRequest(Request):
    async def body(self) -> bytes:
        if self.path_params.get("model_name") not in _memories:
            return bytes(await super().body())
        if not hasattr(self, "_body"):
            try:
                self._body = self._decompressed(await self._received(settings.MAX_BODY_BYTES))
                refuse_excess(self._body, "the body", settings.MAX_VALUES)
            except RequestError as error:
                raise RefusedBody(str(error), 422) from None
        return self._body

    async def _received(self, limit: int) -> bytes:
        pieces, size = [], int(self.headers.get("Content-Length", 0))
        if size <= limit:
            size = 0
            async for piece in self.stream():
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    break
        if size > limit:
            raise TooLarge(f"the body is over the limit of {limit} bytes")
        return b"".join(pieces)

    def _decompressed(self, body: bytes) -> bytes:
        is_gzip = "gzip" in self.headers.getlist("Content-Encoding")  # as MLServer has it
        coding = "gzip" if is_gzip else "identity"
        return documents.decompress(body, coding, settings.MAX_BODY_BYTES)
