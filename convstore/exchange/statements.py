"""The seam between the store and one vendor's way of running its operation: `Statements`.

Every variant makes the same four steps in one READ COMMITTED transaction: take the
conversation's row as the lock (creating it if it is new), add each message at the
highest position + 1 unless its request_key is there, then, in a statement that starts
after the lock was taken, read the window that ends in the request's last message. A
single statement cannot do it: its snapshot is older than the lock, and windows get holes.

Variants know no retries; a transaction that failed is run again, whole, by the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

PINNED_ROLES = ("system", "developer")
# How coarse Conversation.active_at is.
ACTIVE_STEP = timedelta(hours=1)


class StoredMessage(NamedTuple):
    """A message as it stands in the store; `body` is its JSON."""

    position: int
    role: str
    body: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A row of Message that has no position yet."""

    role: str
    body: str
    request_key: UUID
    fingerprint: UUID


@dataclass(frozen=True, slots=True)
class ConversationRef:
    """Which conversation, and when it is spoken to."""

    key: UUID
    memory_id: str
    now: datetime


class Statements(Protocol):
    """The seam. `rows` come newest first or in any order, the first message perhaps extra:
    `pinned_window` makes the window of them."""

    def exchange(
        self, to: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        """Add `new` (at least one), all or none; the rows of the window that ends in them.

        None come back, and nothing was added, when the key is another memory_id's.
        """

    def window(self, to: ConversationRef, size: int) -> list[StoredMessage]:
        """The rows of the newest window; none when the conversation is unknown."""


def pinned_window(rows: Sequence[StoredMessage], size: int) -> list[StoredMessage]:
    """The window, oldest first: the last `size` messages, or, when the conversation begins
    with a system or developer message that is older, that one and the last `size` - 1."""
    window = sorted(rows, key=lambda row: row.position)
    if len(window) <= size:
        return window
    first = window[0]
    pinned = size >= 2 and first.position == 1 and first.role in PINNED_ROLES
    return [first, *window[-(size - 1) :]] if pinned else window[-size:]
