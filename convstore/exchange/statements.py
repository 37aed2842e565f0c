"""`Statements`: what the store asks of each variant, that is, of each way to run an exchange.

Every variant does the same five steps in one READ COMMITTED transaction:

1. lock the conversation's row, creating it if it is new;
2. look for all request_keys of the request;
3. if none is stored, add the messages behind the highest position;
4. look whether all of them are stored now, with this request's fingerprint;
5. read the window that ends in the request's last message.

Steps 4 and 5 are statements of their own. In a single statement the snapshot would be older
than the lock, and the window would miss messages of other writers.

Variants do not retry; the store repeats a failed transaction from its beginning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID

from convstore.conf import database_timeout
from convstore.windows import TOOL_PAIR, Limit, Reading, without_orphans

# Of a row of which something is erased: the hash of a short text would give the text away.
NO_FINGERPRINT = UUID(int=0)
PINNED_ROLES = ("system", "developer")
# Conversation.active_at is updated at most this often.
ACTIVE_STEP = timedelta(hours=1)


class StoredMessage(NamedTuple):
    """A message of a window; `body` is its JSON."""

    position: int
    role: str
    body: str


# The class's own way takes three times as long, and windows have many rows.
as_stored_message = partial(tuple.__new__, StoredMessage)


class Window(list[StoredMessage]):
    """Messages, oldest first; `truncated` if a limit on replies left older ones out."""

    truncated = False


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be added, which has no position yet.

    `size` is the length of its body in UTF-8. All messages of a request have one `fingerprint`.
    `tokens` is None if nobody has counted. `words` are what searches read, None if they are off.
    `kind` is a value of `models.Kind`. `ids` has the digests of its items' own ids, by number.
    """

    role: str
    body: str
    request_key: UUID
    fingerprint: UUID
    size: int
    tokens: int | None = None
    words: str | None = None
    kind: int = 0
    ids: Mapping[int, UUID] = field(default_factory=dict)


def are_plain(new: Sequence[NewMessage]) -> bool:
    """Whether every variant can add them; what is not plain, the portable one adds."""
    return not any(message.kind or message.ids for message in new)


@dataclass(frozen=True, slots=True)
class ConversationRef:
    """Which conversation, and the time of the request."""

    key: UUID
    memory_id: str
    now: datetime

    def milliseconds_left(self) -> int:
        """How long the request may still wait: what it waited since `now` is taken off."""
        waited = (datetime.now(UTC) - self.now).total_seconds()
        return max(1, int((database_timeout() - max(waited, 0.0)) * 1000))


def conversation_key(memory_id: str) -> UUID:
    """The primary key of a conversation: a UUID (version 8) from the id's SHA-256.

    It has 121 bits of the hash. The other seven are fixed: MariaDB's UUID type accepts only
    a part of all 128-bit values, and of version 8 it refuses those whose ninth byte is 0x80.
    """
    bits = int.from_bytes(hashlib.sha256(memory_id.encode()).digest()[:16])
    bits = bits & ~(0xF << 76) | (8 << 76)
    bits = bits & ~(0b111 << 61) | (0b101 << 61)
    return UUID(int=bits)


class Outcome(StrEnum):
    """What became of a request. After any but DONE, it has stored nothing."""

    DONE = "done"
    """All its messages are stored, by this try or by an earlier one; or the window was read."""

    KEY_REUSED = "key reused"
    """One of its keys belongs to other messages."""

    ID_CLASH = "id clash"
    """The conversation's row belongs to another memory_id (a hash collision)."""

    NOT_STORED = "not stored"
    """Its messages are not there; another try may store them."""

    ERASED_MEANWHILE = "erased meanwhile"
    """Messages of its window were erased while it was read; another try reads it whole."""

    WRONG_POSITION = "wrong position"
    """The conversation's highest position is not the expected one."""

    TOO_LARGE = "too large"
    """The window is over a limit on replies."""

    DUPLICATE_ID = "duplicate id"
    """The conversation has, or had, an item with an id that one of its items has."""

    EXISTS = "exists"
    """The conversation that it would begin is there already."""


class Reply(NamedTuple):
    """What a variant found: `last` is the position of the request's last message, 0 if it has none,
    and `rows` are the window, oldest first; `truncated` if more were asked for.

    After WRONG_POSITION, `last` is the highest position; after TOO_LARGE, `limit` is the one that
    the window is over, and `fitting_size` the largest size whose window is not, 0 if there is none.
    """

    outcome: Outcome
    last: int = 0
    rows: Sequence[StoredMessage] = ()
    truncated: bool = False
    limit: Limit = Limit.BYTES
    fitting_size: int = 0


class Statements(Protocol):
    """One way to run an exchange."""

    def exchange(
        self, conversation: ConversationRef, new: Sequence[NewMessage], reading: Reading
    ) -> Reply:
        """Add `new` (at least one), all or none; read the window that ends there.

        A request whose messages are all stored already adds nothing, and gets the window that
        ends in them, whatever its `expected_position`; that window is never TOO_LARGE, but holds
        what fits. So does one of whose messages some were deleted since. One with a key that
        belongs to other messages is KEY_REUSED: messages that differ in anything, are fewer or are
        more. A message that no reply could hold is TOO_LARGE, also where replies are cut.
        """

    def window(self, conversation: ConversationRef, reading: Reading) -> Reply:
        """Read the newest window; it has no rows if the conversation is unknown."""


class Found(NamedTuple):
    """What is stored of a request: see `outcome_of`.

    `memory_id` is that of the conversation's row, None if there is none. `keys` is how many of
    the request's keys are stored, `same` how many of those with its fingerprint; an erased
    message counts as the same, since erasure overwrites the fingerprint. `marked`, which only the
    portable variant counts, are those without the erased ones.
    """

    memory_id: str | None
    keys: int = 0
    same: int = 0
    last: int | None = None
    marked: int = 0


def outcome_of(found: Found, memory_id: str, wanted: int) -> Outcome:
    """The outcome of a request of `wanted` messages, of which `found` is stored."""
    if found.memory_id is not None and found.memory_id != memory_id:
        return Outcome.ID_CLASH
    if found.keys == 0:
        return Outcome.NOT_STORED
    # The fingerprint is that of all messages: one that is left tells that the others were the same.
    are_known = found.keys == wanted or found.marked
    return Outcome.DONE if found.keys == found.same and are_known else Outcome.KEY_REUSED


def ordered_window(window: Sequence[StoredMessage], reading: Reading) -> Sequence[StoredMessage]:
    """The window out of the chosen messages, oldest first."""
    return without_orphans(window) if reading.unit == TOOL_PAIR else window


def pinned_window(rows: Sequence[StoredMessage], size: int) -> list[StoredMessage]:
    """The window, oldest first, out of the last `size` messages and perhaps the conversation's
    first one, in any order: the last `size` messages, or, when the conversation begins
    with a system or developer message that is older, that one and the last `size` - 1."""
    # With erased messages in between, the first one may be among the last `size`, too.
    window = sorted(dict.fromkeys(rows), key=lambda row: row.position)
    if len(window) <= size:
        return window
    first = window[0]
    pinned = size >= 2 and first.position == 1 and first.role in PINNED_ROLES
    return [first, *window[-(size - 1) :]] if pinned else window[-size:]
