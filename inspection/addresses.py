"""Find addresses on the web in texts, to link them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

# Up to a blank, a quotation mark, an angle bracket, or CJK punctuation.
ADDRESS = re.compile(r"https?://[^\s<>\"'`\u3000-\u303f\uff00-\uffef]{1,2000}", re.IGNORECASE)
# What may stand after an address: the end of a sentence, or a bracket that was opened before it.
PUNCTUATION, BRACKETS = ".,;:!?*_~", {")": "(", "]": "[", "}": "{"}
# Characters of a URL that need no percent-encoding.
SAFE_IN_URL = "/:?#[]@!$&()*+,;=%~'"


def split_addresses(text: str) -> Iterator[tuple[str, str]]:
    """The text in pieces, each with the URL to which it leads; "" if it is no address."""
    end = 0
    for match in ADDRESS.finditer(text):
        address = _without_punctuation(match[0])
        yield text[end : match.start()], ""
        yield address, url_of(address)
        end = match.start() + len(address)
    yield text[end:], ""


def url_of(address: str) -> str:
    return quote(address, safe=SAFE_IN_URL, errors="replace")


def _without_punctuation(address: str) -> str:
    """The address without the end of a sentence or a bracket that was opened before it."""
    unopened = {
        closing: address.count(closing) - address.count(opening)
        for closing, opening in BRACKETS.items()
    }
    end = len(address)
    while end:
        last = address[end - 1]
        if unopened.get(last, 0) > 0:
            unopened[last] -= 1
        elif last not in PUNCTUATION:
            break
        end -= 1
    return address[:end]
