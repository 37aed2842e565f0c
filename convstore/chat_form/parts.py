"""Parts in OpenAI's form, each also from other forms in which clients send the same."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from convstore.media import Media, link_of, media_of
from convstore.messages import Part

OpenAIPart = dict[str, Any]
# What Chat Completions reads: the images, and the formats of `input_audio` by our extensions.
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
AUDIO_FORMATS = ("wav", "mp3")
DETAILS = ("auto", "low", "high", "original")
# The fields of what a part holds, and those of them that it must have; all are texts.
FIELDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "image_url": (frozenset({"url", "detail"}), frozenset({"url"})),
    "input_audio": (frozenset({"data", "format"}), frozenset({"data", "format"})),
    "file": (frozenset({"file_data", "file_id", "filename"}), frozenset()),
}
VALUES = {"detail": DETAILS, "format": AUDIO_FORMATS}
# The types of parts whose bytes are no document, also where their kind is unknown.
NO_DOCUMENT = re.compile("image|audio|video", re.IGNORECASE)
# What a part may have beside its type and what it holds.
CACHING = "prompt_cache_breakpoint"
# Contents of the Responses and Conversations APIs: the type of part here, and the names of fields.
OF_ITEMS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "input_image": ("image_url", {"image_url": "url", "detail": "detail"}),
    "input_file": ("file", {name: name for name in ("file_data", "file_id", "filename")}),
}
DEFAULT_DETAIL = ("detail", "auto")


def openai_part(part: Part) -> OpenAIPart | None:
    """The part in OpenAI's form; None if it has none."""
    if part.type == "text":
        return {"type": "text", "text": part.value}
    fields = _json_object(part.value)
    if part.type == "refusal":
        whole = fields.keys() == {"type", "refusal"} and isinstance(fields["refusal"], str)
        return {"type": "refusal", "refusal": fields["refusal"] if whole else part.value}
    return (
        _as_sent(part.type, fields)
        or _of_item(part.type, fields)
        or _of_link(part)
        or _of_media(part, media_of(part))
    )


def _json_object(text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        found: dict[str, Any] = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found


def _as_sent(kind: str, fields: Mapping[str, Any]) -> OpenAIPart | None:
    """The part if its value is JSON in OpenAI's form: of the whole part, or of what it holds."""
    if kind not in FIELDS:
        return None
    is_whole = fields.get("type") == kind and not fields.keys() - {"type", kind, CACHING}
    held = fields.get(kind) if is_whole else fields
    if not _is_openai(kind, held):
        return None
    caching = fields.get(CACHING) if is_whole else None
    return {"type": kind, kind: held, **({CACHING: caching} if caching else {})}


def _of_item(content_type: str, fields: Mapping[str, Any]) -> OpenAIPart | None:
    """The part if its value is the JSON of an item's content, all of which has a form here."""
    if content_type not in OF_ITEMS or fields.get("type") != content_type:
        return None
    kind, names = OF_ITEMS[content_type]
    said = {
        name: value
        for name, value in fields.items()
        if value is not None and name not in ("type", CACHING)
        if name in names or (name, value) != DEFAULT_DETAIL
    }
    if said.keys() - names.keys():
        return None
    held = {names[name]: value for name, value in said.items()}
    caching = {CACHING: fields[CACHING]} if fields.get(CACHING) else {}
    return {"type": kind, kind: held, **caching} if _is_openai(kind, held) else None


def _is_openai(kind: str, held: Any) -> bool:
    allowed, required = FIELDS[kind]
    return (
        isinstance(held, dict)
        and bool(held)
        and required <= held.keys() <= allowed
        and all(isinstance(value, str) for value in held.values())
        and all(held[name] in VALUES[name] for name in held.keys() & VALUES.keys())
    )


def _of_link(part: Part) -> OpenAIPart | None:
    link = link_of(part)
    if link is None or "image" not in part.type:
        return None
    return {"type": "image_url", "image_url": {"url": link}}


def _of_media(part: Part, media: Media | None) -> OpenAIPart | None:
    if media is None:
        return None
    data = base64.b64encode(media.data).decode()
    if media.mime in IMAGES:
        return {"type": "image_url", "image_url": {"url": f"data:{media.mime};base64,{data}"}}
    if media.kind == "audio" and media.extension in AUDIO_FORMATS:
        return {"type": "input_audio", "input_audio": {"data": data, "format": media.extension}}
    if media.kind != "file" or NO_DOCUMENT.search(part.type):
        return None
    name = media.name or f"{part.type}.{media.extension}"
    url = f"data:{media.declared_type or media.mime};base64,{data}"
    return {"type": "file", "file": {"filename": name, "file_data": url}}
