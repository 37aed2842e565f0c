"""The content of items to the parts of messages, and back.

A text is a part of type `text`, as V2 has it. Any other content is a part of its own type, whose
value is its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from convstore.messages import Part, dumps

Json = dict[str, Any]
TEXT = "text"
TEXT_TYPES = ("input_text", "output_text", TEXT)
# How a V2 client's parts of other types are named in items, and which field has their value.
OF_V2 = {"image_url": ("input_image", "image_url"), "refusal": ("refusal", "refusal")}


def default_text(text: str, role: str) -> Json:
    """The content that a part of type `text` is, if nothing else was said."""
    if role == "assistant":
        return {"type": "output_text", "text": text, "annotations": []}
    return {"type": "input_text", "text": text}


def part_of(content: Json) -> Part:
    text = content.get("text")
    if content["type"] in TEXT_TYPES and isinstance(text, str):
        return Part(TEXT, text)
    return Part(content["type"], dumps(content))


def content_of(part: Part, role: str) -> Json:
    if part.type == TEXT:
        return default_text(part.value, role)
    value = _object_of_type(part)
    if value is not None:
        return value
    kind, field = OF_V2.get(part.type, (part.type, "value"))
    return {"type": kind, field: part.value}


def _object_of_type(part: Part) -> Json | None:
    """The object that is spelled in a part of the same type."""
    if not part.value.startswith("{"):
        return None
    try:
        value = json.loads(part.value)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("type") == part.type else None


# --- What a part does not say ------------------------------------------------------------


def rests_of(contents: Sequence[Json], role: str) -> list[Json | None] | None:
    """What each part does not say of its content, None if nothing; None if none has such a rest."""
    rests = [_rest_of(content, role) for content in contents]
    return rests if any(rest is not None for rest in rests) else None


def contents_of(
    parts: Sequence[Part], rests: Sequence[Json | None] | None, role: str
) -> list[Json]:
    if rests is None:
        return [content_of(part, role) for part in parts]
    pairs = zip(parts, rests, strict=True)
    return [
        content_of(part, role) if rest is None else {**rest, "text": part.value}
        for part, rest in pairs
    ]


def _rest_of(content: Json, role: str) -> Json | None:
    part = part_of(content)
    if part.type != TEXT or same_json(content, default_text(part.value, role)):
        return None
    return {name: value for name, value in content.items() if name != "text"}


def same_json(one: object, other: object) -> bool:
    """Whether two JSON values are equal; for Python, 1, 1.0 and true would be."""
    return one == other and _sorted_text(one) == _sorted_text(other)


def _sorted_text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def only_text(parts: Sequence[Part]) -> str | None:
    """The text, if it is the only part."""
    return parts[0].value if len(parts) == 1 and parts[0].type == TEXT else None
