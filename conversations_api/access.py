"""Who may come in, what they may do, and the ids that they see: the one place that decides.

There are no API keys yet. So the door serves programs of this machine only, unless the setting
CONVERSATIONS_API is `open`: whoever comes in may list and delete everything. A browser on this
machine is no such program, whatever page it shows, and a proxy speaks for others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from conversations_api.errors import NotAllowed
from conversations_api.names import memory_id_of, shown_id

OPEN = "open"
READ, APPEND, DELETE = SCOPES = ("read", "append", "delete")
WITH_BODY = ("POST", "PUT", "PATCH")
FORWARDING = ("HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")
FORWARDING_PREFIX = "HTTP_X_FORWARDED_"


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller may do. All ids that it sends and sees are relative to its tenant."""

    name: str = "no key"
    scopes: frozenset[str] = frozenset(SCOPES)
    tenant: str = ""

    def require(self, *scopes: str) -> None:
        """Raise NotAllowed unless the caller has these scopes."""
        for scope in scopes:
            if scope not in self.scopes:
                raise NotAllowed(f"this needs the scope '{scope}'", code="scope_missing")

    def stored_id(self, memory_id: str) -> str:
        """The memory_id of the store for one that the caller sent."""
        return f"{self.tenant}/{memory_id}" if self.tenant else memory_id

    def stored_id_of(self, shown: str) -> str | None:
        """The memory_id of the store for an id in a path; None if there can be none."""
        memory_id = memory_id_of(shown)
        return None if memory_id is None else self.stored_id(memory_id)

    def shown_id(self, stored: str) -> str:
        """The id of a conversation as the caller sees it."""
        return shown_id(stored.removeprefix(f"{self.tenant}/") if self.tenant else stored)


def access_for(method: str, meta: Mapping[str, Any]) -> Access:
    """What the sender of a request may do. `meta` are its headers, as WSGI has them.

    Raises NotAllowed.
    """
    if settings.CONVERSATIONS_API != OPEN:
        _refuse_others(method, meta)
    return Access()


def _refuse_others(method: str, meta: Mapping[str, Any]) -> None:
    """Raise NotAllowed unless a program of this machine sends the request."""
    if not (is_loopback(meta.get("SERVER_NAME", "")) and is_loopback(meta.get("REMOTE_ADDR", ""))):
        raise _refusal("the service listens on more than this machine's own address")
    if not is_loopback(_host_of(meta.get("HTTP_HOST", ""))):
        raise _refusal("the header 'Host' is none of this machine's own names")
    if any(name in FORWARDING or name.startswith(FORWARDING_PREFIX) for name in meta):
        raise _refusal("the request came through a proxy")
    kind = meta.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if method in WITH_BODY and kind != "application/json":
        raise _refusal("the header 'Content-Type' is not application/json")


def _refusal(reason: str) -> NotAllowed:
    return NotAllowed(
        f"{reason}; without API keys this API is for programs of this machine only, unless"
        " CONVERSATIONS_API=open",
        code="not_local",
    )


def _host_of(header: str) -> str:
    host, _, port = header.rpartition(":")
    host = host if port.isdigit() else header
    return host.removeprefix("[").removesuffix("]")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
