"""`Statements`: what the store asks of each variant, that is, of each way to run an exchange.

Every variant does the same four steps in one READ COMMITTED transaction:

1. lock the conversation's row, creating it if it is new;
2. find the highest position;
3. add each message at the next position, unless its request_key exists;
4. read the window that ends in the request's last message.

Step 4 is a statement of its own. In a single statement the snapshot would be older than the
lock, and the window would miss messages of other writers.

Variants do not retry; the store repeats a failed transaction from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol
from uuid import UUID

PINNED_ROLES = ("system", "developer")
# Conversation.active_at is updated at most this often.
ACTIVE_STEP = timedelta(hours=1)


class StoredMessage(NamedTuple):
    """A message of a window; `body` is its JSON."""

    position: int
    role: str
    body: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be added, which has no position yet."""

    role: str
    body: str
    request_key: UUID
    fingerprint: UUID


@dataclass(frozen=True, slots=True)
class ConversationRef:
    """Which conversation, and the time of the request."""

    key: UUID
    memory_id: str
    now: datetime


class Statements(Protocol):
    """One way to run an exchange.

    Both methods return the rows that `pinned_window` needs, in any order: the last `size`
    messages and perhaps the conversation's first one.
    """

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], size: int
    ) -> list[StoredMessage]:
        """Add `new` (at least one), all or none; return the rows of the window that ends there.

        Returns [] and adds nothing if the key belongs to another memory_id (hash collision).
        """

    def window(self, conversation: ConversationRef, size: int) -> list[StoredMessage]:
        """The rows of the newest window; [] for an unknown conversation."""


def pinned_window(rows: Sequence[StoredMessage], size: int) -> list[StoredMessage]:
    """The window, oldest first: the last `size` messages, or, when the conversation begins
    with a system or developer message that is older, that one and the last `size` - 1."""
    # With erased messages in between, the first one may be among the last `size`, too.
    window = sorted(dict.fromkeys(rows), key=lambda row: row.position)
    if len(window) <= size:
        return window
    first = window[0]
    pinned = size >= 2 and first.position == 1 and first.role in PINNED_ROLES
    return [first, *window[-(size - 1) :]] if pinned else window[-size:]
