"""Keys made, listed, revoked and rotated by people, at the command line and in the admin."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import Error, transaction

from api_keys.caller import APPEND, DELETE, READ, SCOPES, SEPARATOR, TENANT
from api_keys.errors import KeyRefused
from api_keys.models import ApiKey
from api_keys.rows import USING
from api_keys.tokens import Token, digest_of, new_token
from convstore.archive.conversations import conversations, with_prefix
from convstore.database.faults import describe_error
from convstore.database.vendors import describe_database

MAX_NAME_CHARACTERS = 100
MAX_RATE = 1_000_000
# Where a collation takes capitals for small letters, ids of others come among the found ones.
LOOKED_AT = 1_000

# The row, under the name that those who show keys use.
KeyRow = ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """What somebody wants a key to be. `adopt`: the tenant may take over ids that exist."""

    name: str
    scopes: Collection[str] = (READ, APPEND)
    memories: Collection[str] = ()
    tenant: str = ""
    adopt: bool = False
    rate: int | None = None
    expires_at: datetime | None = None


def make_key(wish: KeyWish, aliases: Iterable[str]) -> tuple[ApiKey, str]:
    """The row of a new key, and the key itself, which nobody can see again. Raises KeyRefused.

    `aliases` are the databases in which its tenant may have conversations.
    """
    now = datetime.now(UTC)
    _refuse_wrong(wish, now)
    if wish.tenant and not wish.adopt and not _is_known_tenant(wish.tenant):
        _refuse_used_tenant(wish.tenant, aliases)
    token = new_token()
    row = ApiKey.objects.using(USING).create(
        name=wish.name,
        scopes=" ".join(scope for scope in SCOPES if scope in wish.scopes),
        memories=json.dumps(sorted(set(wish.memories))),
        tenant=wish.tenant,
        rate=wish.rate,
        created_at=now,
        expires_at=wish.expires_at,
        **_secret_columns(token),
    )
    return row, token.text


def rotate_key(row: ApiKey, overlap: timedelta) -> tuple[ApiKey, str]:
    """A new key with the rights of this one, which expires after `overlap`. Raises KeyRefused."""
    now = datetime.now(UTC)
    if state_of(row, now) != "valid":
        raise KeyRefused(f"the key {row.prefix} is {state_of(row, now)}; make a new key")
    token = new_token()
    with transaction.atomic(USING):
        new = ApiKey.objects.using(USING).create(
            name=row.name,
            scopes=row.scopes,
            memories=row.memories,
            tenant=row.tenant,
            rate=row.rate,
            created_at=now,
            expires_at=row.expires_at,
            **_secret_columns(token),
        )
        row.expires_at = min(now + overlap, row.expires_at or now + overlap)
        row.save(update_fields=["expires_at"])
    return new, token.text


def revoke_key(row: ApiKey) -> None:
    """Nobody can use the key any more, in every process within seconds. Again, it does nothing."""
    unrevoked = ApiKey.objects.using(USING).filter(pk=row.pk, revoked_at=None)
    unrevoked.update(revoked_at=datetime.now(UTC))


def key_with_prefix(prefix: str) -> ApiKey:
    """The key that people see as this prefix. Raises KeyRefused."""
    row = ApiKey.objects.using(USING).filter(prefix=prefix).first()
    if row is None:
        raise KeyRefused(
            f"there is no key {prefix!r}; write it as 'convstore keys list' shows it: cs_ and 12"
            " digits"
        )
    return row


def all_keys() -> list[ApiKey]:
    """Oldest first."""
    return list(ApiKey.objects.using(USING).order_by("created_at", "pk"))


def state_of(row: ApiKey, now: datetime) -> str:
    if row.revoked_at:
        return "revoked"
    return "expired" if row.expires_at and row.expires_at <= now else "valid"


def rights_of(row: ApiKey) -> str:
    """What a key may do, in words."""
    memories = json.loads(row.memories)
    where = f"memories {', '.join(memories)}" if memories else "all memories"
    whose = f"tenant {row.tenant}" if row.tenant else "every conversation"
    rate = "" if row.rate is None else f", {row.rate} requests a second"
    return f"{', '.join(row.scopes.split())}; {where}; {whose}{rate}"


def description_of(row: ApiKey) -> str:
    """A key for people: whose it is, and what it may do."""
    return f"{row.name} ({row.prefix}): {rights_of(row)}"


def _secret_columns(token: Token) -> dict[str, str]:
    return {"prefix": token.prefix, "digest": digest_of(token.text).hex()}


# --- What is refused ---------------------------------------------------------------------


def _refuse_wrong(wish: KeyWish, now: datetime) -> None:
    if not 1 <= len(wish.name) <= MAX_NAME_CHARACTERS or not wish.name.isprintable():
        raise KeyRefused(
            f"the name has {len(wish.name)} characters; it must have 1 to {MAX_NAME_CHARACTERS},"
            " all of them printable"
        )
    unknown = [scope for scope in wish.scopes if scope not in SCOPES]
    if unknown or not wish.scopes:
        came = f"there is no scope {unknown[0]!r}" if unknown else "the key would have no scope"
        raise KeyRefused(f"{came}; the scopes are {READ}, {APPEND} and {DELETE}")
    if wish.tenant and not TENANT.fullmatch(wish.tenant):
        raise KeyRefused(
            f"the tenant is {wish.tenant!r}; it must be 1 to 63 of the characters a-z, 0-9 and -"
        )
    if wish.rate is not None and not 1 <= wish.rate <= MAX_RATE:
        raise KeyRefused(
            f"the rate is {wish.rate}; it must be 1 to {MAX_RATE} requests a second, or none"
        )
    if wish.expires_at and wish.expires_at <= now:
        raise KeyRefused(
            f"the key would expire at {wish.expires_at:%Y-%m-%d %H:%M} UTC, which is over; choose a"
            " later time"
        )


def _is_known_tenant(tenant: str) -> bool:
    """Whether the tenant has a key already, and so conversations of its own."""
    return ApiKey.objects.using(USING).filter(tenant=tenant).exists()


def _refuse_used_tenant(tenant: str, aliases: Iterable[str]) -> None:
    """Somebody else may have begun ids like this, before there were keys or without a tenant."""
    prefix = tenant + SEPARATOR
    for alias in aliases:
        try:
            found = list(with_prefix(conversations(alias), prefix)[:LOOKED_AT])
        except Error as error:
            raise KeyRefused(
                f"{describe_database(alias)} cannot be asked whether it has conversations whose id"
                f" begins with '{prefix}' ({describe_error(alias, error)}); try again when it can"
            ) from error
        if any(row.memory_id.startswith(prefix) for row in found):
            raise KeyRefused(
                f"conversations whose id begins with '{prefix}' exist already, and the tenant would"
                " get them; choose another tenant, or use --adopt to give them to this tenant"
            )
