"""Whether a part of a message is an image, audio, another file, a link or text.

The first bytes decide, not the type that the message claims. A browser may show only the types in
the table of signatures.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convstore.escaping import escape_controls
from convstore.messages import Part

# Offset, bytes of the signature, MIME type, file extension.
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
# The extensions of downloads by the type that the message names: none that a program would run.
OFFICE = "application/vnd.openxmlformats-officedocument."
DOCUMENTS = {
    "application/pdf": "pdf",
    "application/json": "json",
    "application/zip": "zip",
    "text/csv": "csv",
    "text/markdown": "md",
    "text/plain": "txt",
    f"{OFFICE}presentationml.presentation": "pptx",
    f"{OFFICE}spreadsheetml.sheet": "xlsx",
    f"{OFFICE}wordprocessingml.document": "docx",
}
# A part of these types is decoded from base64 even if its signature is unknown.
BINARY_TYPES = re.compile(r"image|audio|video|file|document|pdf|binary", re.IGNORECASE)
DATA_URL = re.compile(r"data:([^,;]{0,100})[^,]{0,200};base64,", re.IGNORECASE)
# The fields that hold a URL or base64 in OpenAI's JSON.
OPENAI_FIELDS = ("url", "data", "file_data", "image_url", "file_url")
# Those beside it in the content of an item that say nothing of it.
QUIET_FIELDS = {"type", "detail"}
# A type that a message may name; any other text is not shown as one.
MIME_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}", re.ASCII)
MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Media:
    """The bytes of a part, and the file type that their signature shows.

    `name` and `declared_type` are what the message says of them, or "".
    """

    data: bytes
    mime: str
    extension: str
    name: str = ""
    declared_type: str = ""

    @property
    def kind(self) -> str:
        """`image` or `audio`, which a browser may show, else `file`."""
        kind = self.mime.partition("/")[0]
        return kind if kind in ("image", "audio") else "file"

    @property
    def shown_type(self) -> str:
        """For people: the type that the bytes show, or else the one that the message names."""
        return (self.kind == "file" and self.declared_type) or self.mime


def media_of(part: Part) -> Media | None:
    """The part's bytes, decoded from base64 or a data: URL; None if its value is text."""
    if part.type == "text":
        return None
    fields = _openai_fields(part)
    value = _source(part, fields)
    data_url = DATA_URL.match(value)
    data = _decode_base64(value[data_url.end() :] if data_url else value)
    if data is None:
        return None
    mime, extension = _mime_and_extension(data)
    if (mime, extension) == UNKNOWN and not (data_url or BINARY_TYPES.search(part.type)):
        return None
    declared = data_url[1] if data_url else ""
    declared = declared if MIME_TYPE.fullmatch(declared) else ""
    if (mime, extension) == UNKNOWN:
        extension = DOCUMENTS.get(declared, extension)
    return Media(data, mime, extension, _file_name(fields), declared)


def source_of(part: Part) -> str:
    """The part's value or, if the value is OpenAI's JSON, the URL or base64 in it."""
    return _source(part, _openai_fields(part))


def _source(part: Part, fields: Mapping[str, Any]) -> str:
    sources = (fields[name] for name in OPENAI_FIELDS if isinstance(fields.get(name), str))
    return next(sources, part.value)


def _openai_fields(part: Part) -> dict[str, Any]:
    """The part's value, if it is a JSON object."""
    if not part.value.startswith("{"):
        return {}
    try:
        fields: dict[str, Any] = json.loads(part.value)
    except (ValueError, RecursionError):
        return {}
    return fields


def _file_name(fields: Mapping[str, Any]) -> str:
    """The last step of the path in `filename`, without characters that act."""
    name = fields.get("filename")
    if not isinstance(name, str):
        return ""
    last = re.split(r"[/\\]", name)[-1]
    return " ".join(escape_controls(last).split()).strip(".")[-MAX_NAME:]


def link_of(part: Part) -> str | None:
    """The part's value if it is a web URL and nothing else."""
    value = source_of(part).strip()
    if part.type == "text" or not re.fullmatch(r"https?://[^\s\"'<>`]{1,2000}", value):
        return None
    # Only a link if the part holds nothing else; otherwise all of it is shown.
    only_url = {value, json.dumps({"url": value}), json.dumps({"url": value}, ensure_ascii=False)}
    return value if part.value.strip() in only_url or _is_items_url(part) else None


def _is_items_url(part: Part) -> bool:
    """Whether it is the content of an item, and holds nothing but a URL."""
    fields = _openai_fields(part)
    said = {name for name, each in fields.items() if each is not None} - QUIET_FIELDS
    # The text has no more than the object that it was read as: a name may come twice.
    is_whole = part.value in (json.dumps(fields), json.dumps(fields, ensure_ascii=False))
    return is_whole and fields.get("type") == part.type and len(said) == 1


def _decode_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _mime_and_extension(data: bytes) -> tuple[str, str]:
    for offset, signature, mime, extension in SIGNATURES:
        if data.startswith(signature, offset):
            return mime, extension
    return UNKNOWN
