"""Who may come in: the one place that decides.

Once there is an API key, whoever comes needs one. Until then, the door serves programs of this
machine only, unless the setting CONVERSATIONS_API is `open`: whoever comes in may list and delete
everything. A browser on this machine is no such program, whatever page it shows, and a proxy
speaks for others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from api_keys.caller import ANYBODY, Caller
from api_keys.doors import CONVERSATIONS, asks_for_keys, known_caller
from conversations_api.errors import NotLocal
from conversations_api.names import memory_id_of, shown_id
from convstore.client_address import is_loopback

OPEN = "open"
WITH_BODY = ("POST", "PUT", "PATCH")
FORWARDING = ("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
FORWARDING_PREFIX = "HTTP_X_FORWARDED_"


def caller_of(method: str, meta: Mapping[str, Any]) -> Caller:
    """Who sends a request. `meta` are its headers, as WSGI has them.

    Raises NotLocal, and what `known_caller` raises.
    """
    if asks_for_keys(CONVERSATIONS):
        return known_caller(meta.get("HTTP_AUTHORIZATION"))
    if settings.CONVERSATIONS_API != OPEN:
        _refuse_others(method, meta)
    return ANYBODY


def stored_id_of(caller: Caller, shown: str) -> str | None:
    """The memory_id of the store for an id in a path; None if there can be none."""
    memory_id = memory_id_of(shown)
    return None if memory_id is None else caller.stored_id(memory_id)


def shown_id_of(caller: Caller, stored: str) -> str:
    """The id of a conversation as the caller sees it."""
    return shown_id(caller.own_id(stored))


def _refuse_others(method: str, meta: Mapping[str, Any]) -> None:
    """Raise NotLocal unless a program of this machine sends the request."""
    if not (is_loopback(meta.get("SERVER_NAME", "")) and is_loopback(meta.get("REMOTE_ADDR", ""))):
        raise _refusal("the service listens on more than this machine's own address")
    if not is_loopback(_host_of(meta.get("HTTP_HOST", ""))):
        raise _refusal("the header 'Host' is none of this machine's own names")
    if any(name in FORWARDING or name.startswith(FORWARDING_PREFIX) for name in meta):
        raise _refusal("the request came through a proxy")
    kind = meta.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if method in WITH_BODY and kind != "application/json":
        raise _refusal("the header 'Content-Type' is not application/json")


def _refusal(reason: str) -> NotLocal:
    return NotLocal(
        f"{reason}; without API keys this API is for programs of this machine only, unless"
        " CONVERSATIONS_API=open; make a key with 'convstore keys create'",
        code="not_local",
    )


def _host_of(header: str) -> str:
    host, _, port = header.rpartition(":")
    host = host if port.isdigit() else header
    return host.removeprefix("[").removesuffix("]")
