"""Escape control characters: a text must not move a terminal's cursor or reorder other text.

HTML is not escaped here; templates do that.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from convstore.messages import dumps

# The longest JSON, in characters, that is indented.
MAX_INDENTED = 10_000
# Control characters except tab and line feed, bidirectional embeddings and overrides, and lone
# surrogates, which no valid text contains.
RISKY = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
# JSON escapes the ASCII control characters itself. Line separators and bidirectional isolates can
# be escaped as well, because that does not change the JSON value.
RISKY_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_controls(text: str) -> str:
    """The text with each risky character replaced by its Unicode picture or code point."""
    return RISKY.sub(_visible_name, text.replace("\r\n", "\n"))


def _visible_name(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20 or code == 0x7F:  # Unicode has a picture of each of these
        return chr(0x2400 + code if code < 0x20 else 0x2421)
    return f"[U+{code:04X}]"


def escape_json(text: str) -> str:
    """The same JSON value, with each risky character as a `\\u` escape."""
    return RISKY_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def indented_json(value: object) -> str:
    """JSON, indented if it is short: deeply nested JSON could be mostly indentation."""
    text = dumps(value)
    return dumps(value, indent=2) if len(text) <= MAX_INDENTED else text


def indented_json_text(text: str) -> str | None:
    """The JSON object or array in a text, indented; None if it is any other text.

    Text that is invalid JSON, too deep or too long, or has a duplicate name, of which Python would
    keep only the last, is shown as it is stored.
    """
    if len(text) <= MAX_INDENTED and text.lstrip()[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return indented_json(json.loads(text, object_pairs_hook=_object_with_unique_names))
    return None


def beginning_of_indented_json(text: str, limit: int) -> str:
    """JSON text of any length, indented, but no more than its first `limit` characters.

    Text that cannot be indented without a change is returned as it is.
    """
    pieces, length = [], 0
    with suppress(ValueError, RecursionError):
        value = json.loads(text, object_pairs_hook=_object_with_unique_names)
        for piece in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(value):
            pieces.append(piece)
            length += len(piece)
            if length >= limit:
                break
        return "".join(pieces)[:limit]
    return text[:limit]


def _object_with_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object has the same name twice")
    return values
