"""What this process knows of keys, so that no request waits for the database to check one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from api_keys.caller import Caller
from convstore.errors import Unavailable

# A key is read again after the first of these, and never believed for longer than the second: that
# is how long a revoked key works on, and how long a known one does while the database is away.
REFRESH_SECONDS, MAX_AGE_SECONDS = 3.0, 5.0
# While the database is away, it is asked for a key at most this often.
PAUSE_SECONDS = 1.0
MAX_KNOWN, MAX_UNKNOWN = 10_000, 1_000


@dataclass(slots=True)
class Entry:
    """What the database said. `caller` is None if it has no such key."""

    caller: Caller | None
    refresh_at: float
    until: float


class CallerCache:
    """Callers by the prefix of their key. `read` asks the database, and may raise Unavailable.

    Prefixes that do not exist are kept apart, so that one who tries many drives no key out.
    """

    def __init__(
        self,
        read: Callable[[str], Caller | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._clock = read, clock
        self._known: dict[str, Entry] = {}
        self._unknown: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._away_until = 0.0
        self._reason = ""

    def find(self, prefix: str) -> Caller | None:
        """The caller with this key, as of the last MAX_AGE_SECONDS. Raises Unavailable."""
        entry = self._known.get(prefix) or self._unknown.get(prefix)
        now = self._clock()
        if entry and now < entry.refresh_at:
            return entry.caller
        if entry:
            entry.refresh_at = entry.until  # meanwhile the others go on with what is known
        try:
            caller = self._ask(prefix, now)
        except Unavailable:
            if entry and self._clock() < entry.until:
                return entry.caller
            raise
        self._keep(prefix, Entry(caller, now + REFRESH_SECONDS, now + MAX_AGE_SECONDS))
        return caller

    def _ask(self, prefix: str, now: float) -> Caller | None:
        if now < self._away_until:
            raise Unavailable(self._reason)
        try:
            return self._read(prefix)
        except Unavailable as error:
            self._reason, self._away_until = str(error), self._clock() + PAUSE_SECONDS
            raise

    def _keep(self, prefix: str, entry: Entry) -> None:
        is_known = entry.caller is not None
        to, other = (self._known, self._unknown) if is_known else (self._unknown, self._known)
        with self._lock:
            other.pop(prefix, None)
            to[prefix] = entry
            if len(to) > (MAX_KNOWN if is_known else MAX_UNKNOWN):
                del to[next(iter(to))]  # the one that is there the longest
