"""Convert an item that is no message, such as reasoning or a search, to what a page shows of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from convstore.escaping import escape_controls
from convstore.messages import STRING, Message
from inspection.calls import FAILED_STATES, arguments_line
from inspection.parts import MAX_SHOWN_CHARACTERS

# The field of a message that is one item of OpenAI's, and no part of a chat.
ITEM = "item"
CALL, ENCRYPTED = "_call", "encrypted_content"
# Where items have what people can read, and what is no argument of a call.
TEXTS = ("summary", "content")
NO_ARGUMENTS = {"id", "type", "status", "results", "outputs", "output", "result", *TEXTS}


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item: its `kind` in words, its texts, and the line of a call, or "".

    `cut` says that `text` is only the beginning; `encrypted` counts characters that only the
    provider can read.
    """

    kind: str
    text: str
    cut: bool
    line: str
    status: str
    encrypted: int

    @property
    def failed(self) -> bool:
        return self.status in FAILED_STATES


def shown_item(message: Message, limit: int | None = MAX_SHOWN_CHARACTERS) -> ShownItem | None:
    """The item that the message is, with so many characters of its text at the most; None for a
    message of a chat."""
    item = message.extra.get(ITEM)
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        return None
    kind, status = item["type"], item.get("status")
    text = "\n\n".join(_texts(item))
    encrypted = item.get(ENCRYPTED)
    arguments = {name: value for name, value in item.items() if name not in NO_ARGUMENTS}
    return ShownItem(
        kind=_in_words(kind),
        text=escape_controls(text[:limit]),
        cut=limit is not None and len(text) > limit,
        line=arguments_line(arguments) if kind.endswith(CALL) else "",
        status=escape_controls(status) if isinstance(status, str) else "",
        encrypted=len(encrypted) if isinstance(encrypted, str) else 0,
    )


def _in_words(kind: str) -> str:
    return escape_controls(kind.replace("_", " "))


# How the JSON of such a message begins, and what tells its type from one inside of it.
BEGIN = re.compile(rf'{{"role": "{STRING}", "content": \[\], "{ITEM}": {{')
TOKEN = re.compile(rf'"type": "({STRING})"|"{STRING}"|[\[\]{{}}]')


def kind_in(beginning: str) -> str:
    """The kind of item, from the first characters of a message's JSON; "" if they do not tell."""
    found, depth = BEGIN.match(beginning), 0
    for token in TOKEN.finditer(beginning, found.end()) if found else ():
        if token[1] is not None and depth == 0:
            return _in_words(json.loads(f'"{token[1]}"'))
        depth += (token[0] in "[{") - (token[0] in "]}")
    return ""


def _texts(item: Mapping[str, Any]) -> Iterator[str]:
    for name in TEXTS:
        value = item.get(name)
        for each in value if isinstance(value, list) else [value]:
            text = each.get("text") if isinstance(each, dict) else each
            if isinstance(text, str) and text:
                yield text
