"""What the vendors' `server.py` files share: one-row queries, and a lock held by a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.conf import connections_of_a_process, workers

MESSAGE_TABLE = "convstore_message"
PAUSE_SECONDS = 0.2


def fetch_row(connection: BaseDatabaseWrapper, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """The first row of a query's result."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()


# A server that takes no writes refuses it before it looks for rows, of which there are none.
WRITE_NOTHING = "UPDATE {0} SET active_at = active_at WHERE 1 = 0"


@contextmanager
def session_lock(
    try_lock: Callable[[BaseDatabaseWrapper], bool],
    connection: BaseDatabaseWrapper,
    on_wait: Callable[[], None],
) -> Iterator[None]:
    """Hold a lock that the server releases when its holder's connection ends, however it ends.

    The lock has a connection of its own, since a migration commits when it likes.
    """
    holder = connection.copy()
    holder.settings_dict["OPTIONS"].pop("pool", None)  # a pool may be too small for two
    try:
        holder.set_autocommit(False)
        wait_until(lambda: try_lock(holder), on_wait)
        yield
    finally:
        holder.close()


def wait_until(succeeds: Callable[[], bool], on_wait: Callable[[], None]) -> None:
    """Return once `succeeds()` is true; call `on_wait` once if it is not true at first."""
    if succeeds():
        return
    on_wait()
    while not succeeds():
        time.sleep(PAUSE_SECONDS)


def durability_warning(setting: str, hint: str) -> CheckMessage:
    """The server is configured to acknowledge a COMMIT that is not on disk yet."""
    return checks.Warning(
        f"{setting}: a crash can lose the last acknowledged messages.",
        hint=hint,
        id="convstore.W006",
    )


def standby_warning(count: int, hint: str) -> CheckMessage:
    """The server acknowledges a COMMIT that none of its standbys has."""
    return checks.Warning(
        f"no COMMIT waits for its standby ({count} connected): after a failover the last"
        " acknowledged messages can be missing.",
        hint=f"{hint}; or accept the loss.",
        id="convstore.W021",
    )


def connection_warning(limits: Iterable[int], entry: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """A warning if this host may open more connections than the least of these limits."""
    wanted, limit = workers() * connections_of_a_process(entry), min(limits)
    if wanted > limit:
        yield checks.Warning(
            f"this host may open {wanted} connections, and the server allows {limit}: requests"
            " get 503.",
            hint="Lower WORKERS or THREADS, raise the server's limit, or put a pooler in between.",
            id="convstore.W022",
        )


def time_limit_warning(setting: str, hint: str) -> CheckMessage:
    """The server ends statements that take long."""
    return checks.Warning(
        f"its {setting}: migrations, deletions and exports that need longer fail.",
        hint=f"{hint}; DATABASE_TIMEOUT limits what requests wait for.",
        id="convstore.W020",
    )


def isolation_errors(level: object) -> Iterable[CheckMessage]:
    """An error if `level`, a connection's isolation level, is set and not READ COMMITTED."""
    name = str(getattr(level, "name", level)).upper().replace("_", " ").replace("-", " ")
    if level is not None and name != "READ COMMITTED":
        yield checks.Error(
            f"under the isolation level {name} windows miss messages.",
            hint="Set OPTIONS['isolation_level'] to READ COMMITTED.",
            id="convstore.E002",
        )


def close_for_good(connection: BaseDatabaseWrapper) -> None:
    """Close a connection of a vendor whose connections have no pool."""
    connection.close()
