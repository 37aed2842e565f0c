"""A request while its bytes come in, until it is whole. gunicorn's parser reads it."""

from __future__ import annotations

import re
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ChunkMissingTerminator
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from memory_api.errors import TooLarge
from memory_api.header_names import check_header_names

# A larger body is kept in a temporary file until a thread reads it.
MAX_BODY_IN_MEMORY = 1024 * 1024
LINE_END = b"\r\n"
# gunicorn drops such a header: in WSGI, it could not be told from one with - instead.
UNDERSCORED = re.compile(rb"\n([^:_\r\n]*+_[^:\r\n]*+):")


def sent_request_id(message: Any) -> str | None:
    """The X-Request-Id of gunicorn's request."""
    return next((value for name, value in message.headers if name == "X-REQUEST-ID"), None)


class MoreNeeded(Exception):
    """gunicorn's parser came to the end of what has been received."""


class Received(Unreader):
    """What gunicorn's parser reads instead of a socket."""

    def __init__(self, data: bytearray, start: int = 0) -> None:
        super().__init__()
        self._data = data
        self._start = start

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self._start >= len(self._data):
            raise MoreNeeded
        start, self._start = self._start, len(self._data)
        return bytes(self._data[start:])


class IncomingRequest:
    """Feed it with bytes until `is_whole`; then `message` can be served.

    `message` is gunicorn's request, None until its head is whole. `feed` raises what gunicorn's
    parser raises, TooLarge as soon as the body is known to be over `max_body` bytes, and BadRequest
    for a header that gunicorn drops and that is nearly one of ours.
    """

    def __init__(self, cfg: Any, client: Any, number: int, max_body: int) -> None:
        self._parser_arguments = cfg, client, number
        self._max_body = max_body
        self._buffer = bytearray()
        self._next_try = 0
        self._chunks: ChunkedReader | None = None
        self._at = 0  # how far the buffer has been read
        self._left = 0  # bytes of the body, or of its current chunk
        self._is_in_chunk = False
        self.body = SpooledTemporaryFile(MAX_BODY_IN_MEMORY)  # noqa: SIM115 - closed when it was served
        self.message: Any = None
        self.is_whole = False
        self.received = 0

    @property
    def request_id(self) -> str | None:
        """The X-Request-Id as the client sent it, once the head is whole."""
        return None if self.message is None else sent_request_id(self.message)

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client sends its body only after it was told to."""
        return (
            self.message is not None
            and self.message._expected_100_continue
            and not (self._buffer or self.body.tell() or self.is_whole)
        )

    def feed(self, data: bytes) -> None:
        searched = max(0, len(self._buffer) - 3)
        self._buffer += data
        self.received += len(data)
        if self.message is None:
            # gunicorn is asked whether what there is can become a head only when it may be
            # whole, or has doubled: the cost of a byte must not grow with those before it.
            may_be_whole = self._buffer.find(LINE_END * 2, searched) >= 0
            if may_be_whole or len(self._buffer) >= self._next_try:
                self._next_try = 2 * len(self._buffer)
                self._read_head()
        if self.message is not None:
            self._read_body()

    def rest(self) -> bytes:
        """What the client sent after this request."""
        return bytes(self._buffer)

    def _read_head(self) -> None:
        received = Received(self._buffer)
        try:
            message = Request(self._parser_arguments[0], received, *self._parser_arguments[1:])
        except MoreNeeded:
            return
        reader = message.body.reader
        if isinstance(reader, ChunkedReader):
            self._chunks = reader
            # gunicorn allows trailers as many as headers; nobody reads them here.
            reader.limit_trailer_section = reader.limit_chunk_size_line
        else:
            self._left = reader.length
        rest = bytearray(received.take_buffered())
        dropped = UNDERSCORED.findall(self._buffer[: len(self._buffer) - len(rest)])
        self._buffer = rest
        self.message, message.body = message, self.body
        check_header_names(name.decode("latin-1") for name in dropped)
        self._check_size(self._left)

    def _check_size(self, size: int) -> None:
        if size > self._max_body:
            raise TooLarge(f"the body is over the limit of {self._max_body} bytes")

    def _read_body(self) -> None:
        if self._chunks:
            self._read_chunks(self._chunks)
        else:
            self._take()
            self.is_whole = not self._left
        del self._buffer[: self._at]
        self._at = 0
        if self.is_whole:
            self.body.seek(0)

    def _take(self) -> None:
        """Move what is due of the body, or of its chunk, out of the buffer."""
        piece = self._buffer[self._at : self._at + self._left]
        self.body.write(piece)
        self._left -= len(piece)
        self._at += len(piece)

    def _read_chunks(self, chunks: ChunkedReader) -> None:
        with suppress(MoreNeeded):
            while not self.is_whole:
                if self._is_in_chunk:
                    self._take()
                    self._end_chunk()
                self._begin_chunk(chunks)

    def _begin_chunk(self, chunks: ChunkedReader) -> None:
        """Read the line with the chunk's size, and after the last chunk the trailers."""
        end = self._buffer.find(LINE_END, self._at)
        end = len(self._buffer) if end < 0 else end + len(LINE_END)
        after = Received(self._buffer, end)
        self._left, _ = chunks.parse_chunk_size(after, data=self._buffer[self._at : end])
        if self._left:
            self._check_size(self.body.tell() + self._left)
            self._is_in_chunk = True
            self._at = end
        else:
            self.is_whole = True
            self._at = len(self._buffer) - len(after.take_buffered())

    def _end_chunk(self) -> None:
        end = self._buffer[self._at : self._at + len(LINE_END)]
        if self._left or len(end) < len(LINE_END):
            raise MoreNeeded
        if end != LINE_END:
            raise ChunkMissingTerminator(bytes(end))
        self._at += len(LINE_END)
        self._is_in_chunk = False
