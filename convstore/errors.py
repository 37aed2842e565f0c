"""What can go wrong in the store, one class per reason.

StoreError
 ├── DatabaseUrlError    a URL or an option cannot be honoured; raised when it is read
 ├── Unavailable         the database cannot serve now; the same call may succeed later
 ├── MessageTooLarge     the database cannot store a message of that size, or no reply hold it
 ├── WindowTooLarge      the window is over a limit on replies
 ├── WrongPosition       the conversation's highest position is not the expected one
 ├── RequestKeyReused    the request_key belongs to another request
 └── IdentityClash       two memory_ids have the same hash; the second is never served

ConversationError
 ├── DuplicateItem       the conversation has, or had, an item with the same id
 ├── ConversationExists  the conversation is there already
 ├── Changed             the conversation is not in the expected revision
 └── UnknownConversation no conversation has this id
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of the store's errors. The text is one sentence that may be shown to a client."""


class DatabaseUrlError(StoreError):
    """A database URL or an option cannot be honoured. The text never contains a password."""


class Unavailable(StoreError):
    """The database is unreachable, busy past its time limit, full, or has no tables yet."""


class MessageTooLarge(StoreError):
    """The database cannot store a message of that size, or no reply could hold it."""


class WindowTooLarge(StoreError):
    """The window is over MAX_REPLY_BYTES or MAX_WINDOW. Nothing was stored.

    `fitting_size` is the largest window size that is within both, 0 if there is none.
    """

    def __init__(self, sentence: str, fitting_size: int = 0) -> None:
        super().__init__(sentence)
        self.fitting_size = fitting_size


class WrongPosition(StoreError):
    """The conversation's highest `position` is not the expected one. Nothing was stored."""

    def __init__(self, sentence: str, position: int = 0) -> None:
        super().__init__(sentence)
        self.position = position


class RequestKeyReused(StoreError):
    """The request_key belongs to another request of the conversation. Nothing was stored."""


class IdentityClash(StoreError):
    """Another conversation has the key that this memory_id hashes to."""


class ConversationError(Exception):
    """Base of what an exchange never raises, but creating, changing and erasing do."""


class DuplicateItem(ConversationError):
    """The conversation has an item with the id of a new one, or had one. Nothing was stored."""


class ConversationExists(ConversationError):
    """The conversation that was to begin is there already. Nothing was stored."""


class Changed(ConversationError):
    """The conversation is in none of the expected revisions. Nothing was stored or erased."""


class UnknownConversation(ConversationError):
    """There is no conversation with this memory_id."""
