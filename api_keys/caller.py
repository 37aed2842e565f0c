"""Caller: who asks, and what they may do. A value that knows neither doors nor storage."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from api_keys.errors import NotAllowed

READ, APPEND, DELETE = SCOPES = ("read", "append", "delete")
# A tenant has none of the separators, so no tenant's prefix begins another one's.
TENANT = re.compile("[a-z0-9-]{1,63}")
SEPARATOR = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The holder of an API key. Without `memories`, all of them; without a `tenant`, every id.

    `prefix` is the part of the key that people see, `expires` a Unix time, `rate` how many
    requests a second it may send.
    """

    name: str = ""
    prefix: str = ""
    digest: bytes = field(default=b"", repr=False)
    scopes: Collection[str] = frozenset(SCOPES)
    memories: Collection[str] = frozenset()
    tenant: str = ""
    expires: float | None = None
    rate: int | None = None

    def require(self, *scopes: str) -> None:
        """Raise NotAllowed if the key lacks one of the scopes."""
        for scope in scopes:
            if scope not in self.scopes:
                raise NotAllowed(
                    f"this request needs an API key with the scope '{scope}', which this key does"
                    " not have"
                )

    def require_memory(self, *names: str) -> None:
        """Raise NotAllowed unless the key is for the memory, which has these names."""
        if not self.may_use(*names):
            raise NotAllowed(
                "this API key is not for this memory; use one that is, or ask for another memory"
            )

    def may_use(self, *names: str) -> bool:
        return not self.memories or any(name in self.memories for name in names)

    @property
    def id_prefix(self) -> str:
        """What stands before each id of the key's tenant in the database."""
        return f"{self.tenant}{SEPARATOR}" if self.tenant else ""

    def stored_id(self, own_id: str) -> str:
        """The memory_id in the database for an id that the client sent.

        Whatever the id is, it is put behind the prefix as it is: nothing in it leads outside.
        """
        return self.id_prefix + own_id

    def own_id(self, stored_id: str) -> str:
        """The id as the client knows it. Raises ValueError for a conversation of others."""
        if not stored_id.startswith(self.id_prefix):
            raise ValueError("the conversation belongs to another tenant")
        return stored_id.removeprefix(self.id_prefix)


# Whoever asks at a door that asks for no key.
ANYBODY = Caller()
