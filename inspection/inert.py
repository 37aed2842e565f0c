"""Text that does nothing but be read: in a page, in a terminal, in an editor.

What would move a terminal's cursor or turn the order of letters round is shown as its name.
Knows nothing of HTML, which templates escape.
"""

from __future__ import annotations

import re

from convstore.messages import dumps

# The longest JSON, in characters, that is set out on lines of its own.
LONGEST_SET_OUT = 10_000
# Control characters but tab and line feed, bidirectional embeddings and overrides, and what
# no text may hold, lone surrogates.
RISKY = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]")
# In JSON, where the first of them are escaped anyway: also what breaks lines or isolates.
RISKY_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with each character that acts instead of being seen replaced by its name."""
    return RISKY.sub(_name, text.replace("\r\n", "\n"))


def _name(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20 or code == 0x7F:  # Unicode has pictures of these
        return chr(0x2400 + code if code < 0x20 else 0x2421)
    return f"[U+{code:04X}]"


def inert_json(text: str) -> str:
    """JSON text that means the same, with each such character escaped."""
    return RISKY_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def set_out(value: object) -> str:
    """JSON on lines of its own where it is short; the blanks in front could multiply the rest."""
    text = dumps(value)
    return dumps(value, indent=2) if len(text) <= LONGEST_SET_OUT else text
