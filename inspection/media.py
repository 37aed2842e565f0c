"""What a part of a message is, judged by its bytes: an image, audio, a file, or no bytes.

A browser is given only what is in the table of signatures, under the type that stands
there, whatever the message says it is. Knows parts; knows no pages.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from convstore.messages import Part

# Where the bytes stand, what they are, and what they make of the file.
SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png", "png"),
    (0, b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (0, b"GIF87a", "image/gif", "gif"),
    (0, b"GIF89a", "image/gif", "gif"),
    (8, b"WEBP", "image/webp", "webp"),
    (4, b"ftypavif", "image/avif", "avif"),
    (8, b"WAVE", "audio/wav", "wav"),
    (0, b"ID3", "audio/mpeg", "mp3"),
    (0, b"\xff\xfb", "audio/mpeg", "mp3"),
    (0, b"\xff\xf3", "audio/mpeg", "mp3"),
    (0, b"\xff\xf2", "audio/mpeg", "mp3"),
    (0, b"OggS", "audio/ogg", "ogg"),
    (0, b"fLaC", "audio/flac", "flac"),
    (4, b"ftypM4A", "audio/mp4", "m4a"),
)
UNKNOWN = ("application/octet-stream", "bin")
# Types of parts whose values are bytes in base64 even where no signature is known.
BYTES = re.compile(r"image|audio|video|file|document|pdf|binary", re.IGNORECASE)
DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
# Where OpenAI's parts, as JSON, keep a URL or the bytes.
OPENAI_FIELDS = ("url", "data", "file_data")


@dataclass(frozen=True, slots=True)
class Media:
    """The bytes of a part, and the type that its signature gives it."""

    data: bytes
    mime: str
    extension: str

    @property
    def kind(self) -> str:
        """`image` or `audio`, which a browser may show; else `file`."""
        kind = self.mime.partition("/")[0]
        return kind if kind in ("image", "audio") else "file"


def media_of(part: Part) -> Media | None:
    """The part's bytes, out of base64 or a data: URL; None where its value is text."""
    if part.type == "text":
        return None
    value = source_of(part)
    named = DATA_URL.match(value)
    data = _decoded(value[named.end() :] if named else value)
    if data is None:
        return None
    mime, extension = _signed(data)
    if (mime, extension) == UNKNOWN and not (named or BYTES.search(part.type)):
        return None
    return Media(data, mime, extension)


def source_of(part: Part) -> str:
    """The part's value, or the URL or base64 in it where it is JSON as OpenAI's parts are."""
    if part.value.startswith("{"):
        try:
            fields = json.loads(part.value)
        except (ValueError, RecursionError):
            return part.value
        for name in OPENAI_FIELDS:
            if isinstance(found := fields.get(name), str):
                return found
    return part.value


def link_of(part: Part) -> str | None:
    """The part's value where it is nothing but an address on the web."""
    value = source_of(part).strip()
    if part.type == "text" or not re.fullmatch(r"https?://[^\s\"'<>`]{1,2000}", value):
        return None
    # Whatever else is said beside the address is to be seen.
    said = {value, json.dumps({"url": value}), json.dumps({"url": value}, ensure_ascii=False)}
    return value if part.value.strip() in said else None


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _signed(data: bytes) -> tuple[str, str]:
    for at, signature, mime, extension in SIGNATURES:
        if data.startswith(signature, at):
            return mime, extension
    return UNKNOWN
