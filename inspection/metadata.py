"""The title of a conversation, and the other pairs of its metadata, as the pages show them."""

from __future__ import annotations

from typing import NamedTuple

from convstore.archive.conversations import ConversationRow
from convstore.escaping import escape_controls
from convstore.exchange import metadata

TITLE = "title"
# What a row of the list shows of metadata: so many pairs, of so many characters each.
PAIRS_IN_A_ROW, CHARACTERS_IN_A_ROW = 3, 40


class ShownPair(NamedTuple):
    """A pair as it is stored, and as a page shows it."""

    name: str
    value: str
    shown: str

    @property
    def short_text(self) -> str:
        is_short = len(self.shown) <= CHARACTERS_IN_A_ROW
        return self.shown if is_short else f"{self.shown[: CHARACTERS_IN_A_ROW - 1]}…"


def title_of(row: ConversationRow) -> str:
    """The title that a client gave to the conversation, or ""."""
    return " ".join(escape_controls(metadata.read(row.metadata).get(TITLE, "")).split())


def pairs_of(row: ConversationRow) -> list[ShownPair]:
    """The pairs of its metadata but for the title."""
    pairs = metadata.read(row.metadata).items()
    return [
        ShownPair(name, value, escape_controls(f"{name}: {value}"))
        for name, value in pairs
        if name != TITLE
    ]


def pairs_in_a_row(row: ConversationRow) -> list[ShownPair]:
    """The first pairs."""
    return pairs_of(row)[:PAIRS_IN_A_ROW]
