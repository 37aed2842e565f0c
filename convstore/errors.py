"""What can go wrong in the store, one class per reason.

StoreError
 ├── DatabaseUrlError    a URL or an option cannot be honoured; said at load
 ├── Unavailable         the database cannot serve now; the same call may succeed later
 ├── MessageTooLarge     the database takes no message of that size
 └── IdentityClash       two memory_ids share one hash; never served, never mixed
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of the store's errors. The text is one sentence that is safe to show."""


class DatabaseUrlError(StoreError):
    """A database URL, or an option beside it, cannot be honoured. Never holds a password."""


class Unavailable(StoreError):
    """The database is unreachable, busy past its time limit, full, or has no tables yet."""


class MessageTooLarge(StoreError):
    """The database takes no message of that size, whenever it is sent."""


class IdentityClash(StoreError):
    """Another conversation already has the key that this memory_id hashes to."""
