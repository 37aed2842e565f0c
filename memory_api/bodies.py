"""The bytes of an HTTP body to a JSON document, and back: compression and JSON.

Both doors over HTTP use it. It knows neither what a request means nor who sent it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Generator, Iterator

import orjson

from convstore.messages import dumps
from memory_api.errors import BadRequest, TooLarge, quote
from memory_api.json_text import parse_json, refuse_excess
from memory_api.limits import BYTES_OF_A_VALUE, MAX_GZIP_MEMBERS

# Told how many bytes something takes, it raises an error if that is too much.
Take = Callable[[int], None]


def ignore_size(size: int) -> None:
    """For whoever does not count what is decompressed."""


def decompress(body: bytes, coding: str, limit: int, take: Take = ignore_size) -> bytes:
    """Undo the body's Content-Encoding: gzip, deflate or none. Raises BadRequest and TooLarge.

    A small body can hold a huge one, so no more than `limit` bytes are decompressed, and `take`
    is told of each piece of them, for it to raise an error of its own.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in CODINGS:
        raise BadRequest(f"Content-Encoding {quote(coding)} is not supported; use gzip or deflate")
    data = bytearray()
    try:
        for piece in _decompressed_pieces(body, coding, min(limit + 1, DECOMPRESSED_AT_ONCE)):
            take(len(piece))
            data += piece
            if len(data) > limit:
                raise TooLarge(f"the decompressed body is over the limit of {limit} bytes")
    except (EOFError, zlib.error):
        raise BadRequest(f"the body is not valid {coding}, or was cut off") from None
    return bytes(data)


def _decompressed_pieces(body: bytes, coding: str, at_once: int) -> Iterator[bytes]:
    """All of it, in pieces. gzip is a series of members, which zeros may follow."""
    at = 0
    for _ in range(MAX_GZIP_MEMBERS):
        at = yield from _member(body, at, CODINGS[coding], at_once)
        if coding != "deflate":
            at += len(ZEROS.match(body, at)[0])  # type: ignore[index]
        if at == len(body):
            return
        if coding == "deflate":
            raise EOFError
    raise TooLarge(f"the body has more than {MAX_GZIP_MEMBERS} gzip members")


def _member(body: bytes, at: int, wbits: int, at_once: int) -> Generator[bytes, None, int]:
    """One member, which begins at `at`; returns where it ends."""
    member, piece = zlib.decompressobj(wbits), b""
    while not member.eof:
        data = member.unconsumed_tail
        if not data:
            data = body[at : at + READ_AT_ONCE]
            at += len(data)
        # After a full piece, more may come without more input.
        if not data and len(piece) < at_once:
            raise EOFError
        piece = member.decompress(data, at_once)
        yield piece
    return at - len(member.unused_data)


GZIP = 16 + zlib.MAX_WBITS  # with gzip's own header and checksum
CODINGS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": zlib.MAX_WBITS}
ZEROS = re.compile(rb"\0*+")
READ_AT_ONCE = 64 * 1024
DECOMPRESSED_AT_ONCE = 1024 * 1024


def parse(body: bytes, max_values: int, take: Take = ignore_size) -> object:
    """The JSON document in `body`. Raises BadRequest and TooLarge."""
    take(BYTES_OF_A_VALUE * refuse_excess(body, "the body", max_values))
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    return parse_json(text, "the body", with_repeats=False)


# --- Document to bytes -------------------------------------------------------------------


def write(document: object) -> bytes:
    """A document as compact JSON."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer of more than 64 bits
        return dumps(document, separators=(",", ":")).encode()
