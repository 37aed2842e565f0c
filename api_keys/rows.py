"""What the database says of a key: one question at a time, and each failure is Unavailable."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections

from api_keys.caller import Caller
from api_keys.models import ApiKey
from convstore.errors import Unavailable
from convstore.transactions import SHORT_SECONDS, ignore_call, run_transaction

# Keys are where the users of the admin are.
USING = DEFAULT_DB_ALIAS
USE_SECONDS = 3600

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


def read_caller(prefix: str) -> Caller | None:
    """The caller whose key has this prefix; None if there is none that is not revoked."""
    row = _ask(lambda: ApiKey.objects.using(USING).filter(prefix=prefix).first())
    return None if row is None or row.revoked_at else caller_of(row)


def is_any_key_there() -> bool:
    """Whether a key was ever made; a revoked one counts."""
    return _ask(lambda: ApiKey.objects.using(USING).exists())


def is_any_tenants_key_there() -> bool:
    """Whether there is a key with a tenant that is not revoked."""
    rows = ApiKey.objects.using(USING).filter(revoked_at=None)
    return any(_ask(lambda: list(rows.values_list("tenant", flat=True).distinct())))


def caller_of(row: ApiKey) -> Caller:
    return Caller(
        name=row.name,
        prefix=row.prefix,
        digest=bytes.fromhex(row.digest),
        scopes=frozenset(row.scopes.split()),
        memories=frozenset(json.loads(row.memories)),
        tenant=row.tenant or "",  # Oracle has no empty text
        expires=row.expires_at.timestamp() if row.expires_at else None,
        rate=row.rate,
    )


def _ask(question: Callable[[], Answer]) -> Answer:
    try:
        return run_transaction(USING, question, ignore_call, SHORT_SECONDS)
    except Unavailable as error:
        raise Unavailable(f"API keys cannot be checked: {error}") from error


# --- The time of the last use ------------------------------------------------------------

_noted: dict[str, float] = {}


def note_use(prefix: str) -> None:
    """Write when the key was used, if this process has not done so for an hour.

    A thread does it: no request waits for a write that nobody needs at once.
    """
    now = time.monotonic()
    if now - _noted.get(prefix, -USE_SECONDS) >= USE_SECONDS:
        _noted[prefix] = now
        threading.Thread(target=_write_use, args=(prefix,), daemon=True).start()


def _write_use(prefix: str) -> None:
    now = datetime.now(UTC)
    rows: Any = ApiKey.objects.using(USING).filter(prefix=prefix)
    try:
        _ask(lambda: rows.update(last_used_at=now))
    except Exception as error:
        logger.warning("the last use of the API key %s is not noted: %s", prefix, error)
    finally:
        connections.close_all()
