"""Who asks at a door: the one question of every door."""

from __future__ import annotations

import time
from hmac import compare_digest

from django.conf import settings

from api_keys.cache import CallerCache
from api_keys.caller import ANYBODY, Caller
from api_keys.errors import NoValidKey
from api_keys.rates import take_turn
from api_keys.rows import is_any_key_there, note_use, read_caller
from api_keys.tokens import digest_of, read_token
from convstore.request_log import current_record

# REQUIRE_API_KEYS has some of these.
HTTP, MLSERVER, CONVERSATIONS = "http", "mlserver", "conversations"

DOORS = (HTTP, MLSERVER, CONVERSATIONS)

callers = CallerCache(read_caller)
_any_key_was_seen = False


def caller_at(door: str, authorization: str | None) -> Caller:
    """Who asks, by the header `Authorization`: ANYBODY where the door asks for no key.

    Raises NoValidKey and TooManyRequests, and Unavailable if the database cannot say.
    """
    return known_caller(authorization) if asks_for_keys(door) else ANYBODY


def asks_for_keys(door: str) -> bool:
    """Whether only those with a key may use the door. Raises Unavailable.

    The Conversations door asks once there is a key, since it can list and delete.
    """
    return door in settings.REQUIRE_API_KEYS or (door == CONVERSATIONS and is_any_key_known())


def open_doors() -> list[str]:
    """The doors that REQUIRE_API_KEYS does not name."""
    return [door for door in DOORS if door not in settings.REQUIRE_API_KEYS]


def is_any_key_known() -> bool:
    """Whether a key was ever made. Once it is so, it stays so, and nobody asks the database."""
    global _any_key_was_seen
    _any_key_was_seen = _any_key_was_seen or is_any_key_there()
    return _any_key_was_seen


def known_caller(authorization: str | None) -> Caller:
    """The caller whose key the header has. Raises as `caller_at`."""
    token = read_token(authorization)
    caller = callers.find(token.prefix) if token else None
    if not (token and caller and is_right(caller, token.text)):
        raise NoValidKey(
            "this request needs a valid API key; send it in the header Authorization, as 'Bearer"
            " KEY'. A key that was mistyped, has expired or was revoked is not valid"
        )
    current_record().key = caller.prefix
    take_turn(caller)
    note_use(caller.prefix)
    return caller


def is_right(caller: Caller, text: str) -> bool:
    """Whether this is the caller's key, and has not expired."""
    is_same = compare_digest(caller.digest, digest_of(text))
    return is_same and (caller.expires is None or time.time() < caller.expires)
