"""How many requests a key may send: a token bucket for each key, in each process."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from api_keys.caller import Caller
from api_keys.errors import TooManyRequests


@dataclass(slots=True)
class Bucket:
    """It holds at most `rate` tokens, is filled with so many each second, and a request takes one.

    It may be `rate` requests at once, therefore.
    """

    tokens: float
    at: float

    def take(self, rate: int, now: float) -> bool:
        """Take a token. Returns whether there was one."""
        self.tokens = min(float(rate), self.tokens + (now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


_buckets: dict[str, Bucket] = {}
_lock = threading.Lock()


def take_turn(caller: Caller) -> None:
    """Count a request of the caller. Raises TooManyRequests. Callers without a rate have none."""
    if caller.rate is None:
        return
    now = time.monotonic()
    with _lock:
        bucket = _buckets.setdefault(caller.prefix, Bucket(caller.rate, now))
        is_taken = bucket.take(caller.rate, now)
    if not is_taken:
        raise TooManyRequests(
            f"this API key may send {caller.rate} requests a second, and sent more; try again in a"
            " second"
        )
