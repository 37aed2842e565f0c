"""Why a caller is refused, one class for each reason; every door answers them alike.

AccessError
 ├── NoValidKey       no API key came, or one that is wrong, expired or revoked
 ├── NotAllowed       the key has not the scope, or not the memory
 └── TooManyRequests  the key has used up its rate

KeyRefused            a key cannot be made as somebody wants it
"""

from __future__ import annotations


class AccessError(Exception):
    """Base of the reasons. The text is one sentence for the client, and names no conversation."""


class NoValidKey(AccessError):
    """No valid key came. The sentence is always the same, so that nobody can try keys out."""


class NotAllowed(AccessError):
    """The key is valid, but is not for this. It was not looked whether the conversation exists."""


class TooManyRequests(AccessError):
    """The key has used up its rate. In a second at most, it may ask again."""


class KeyRefused(Exception):
    """A key cannot be made, found or changed. The sentence is for the one who manages keys."""


STATUSES: dict[type[Exception], int] = {NoValidKey: 401, NotAllowed: 403, TooManyRequests: 429}
# The headers that HTTP wants beside a status.
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
