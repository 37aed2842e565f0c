"""Requests that are refused because more arrive than can be served: cheaply, and a moment later."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from memory_api.server.connection import Connection

# Many clients come again as soon as they are refused. Refusing them without end would take the
# time of those that are served: a refusal takes about a twentieth of an append's.
HOLD_SECONDS = 0.08
REFUSED_PER_SERVED = 3
MOST_REFUSED_AT_ONCE = 100
# When nothing was served for so long, threads wait for something else than processor time.
STALL_SECONDS = 0.2
TICK_SECONDS = 0.01

# To refuse a request, it is enough to know where it ends. gunicorn's parser takes most of a
# refusal's time; it still reads every request that is not exactly of this form. A header that
# decides where a request ends, or what follows it, is not of this form.
DECIDES = rb"(?!connection|content-length|expect|keep-alive|transfer-encoding|upgrade)"
HEADERS = rb"(?:" + DECIDES + rb"[0-9a-z-]++: [ -~]*+\r\n|connection: keep-alive\r\n)*+"
PLAIN = re.compile(
    rb"(?:GET|POST) (?!/v2/health/)/[!-$&-~]*+ HTTP/1\.1\r\n"
    + HEADERS
    + rb"(?:content-length: ([0-9]{1,9})\r\n)?+"
    + HEADERS
    + rb"\r\n",
    re.IGNORECASE,
)

REQUEST_ID_LINE = re.compile(rb"\r\nx-request-id: *([ -~]{1,100})\r\n", re.IGNORECASE)


def is_plain_request(data: bytes) -> bool:
    """Whether this is one whole request, no more and no less, that does not ask for health."""
    found = PLAIN.match(data)
    return found is not None and found.end() + int(found[1] or 0) == len(data)


def request_id_in(data: bytes) -> str | None:
    """The X-Request-Id in the head of a plain request."""
    found = REQUEST_ID_LINE.search(data, 0, data.find(b"\r\n\r\n") + 2)
    return found[1].decode("latin-1") if found else None


class HeldRefusals:
    """Connections that will be told in HOLD_SECONDS that their request is refused.

    While requests are served, only REFUSED_PER_SERVED are told for each of these; others wait.
    """

    def __init__(self) -> None:
        self._held: deque[tuple[float, Connection]] = deque()
        self._served = 0
        self._served_at = 0.0
        self._allowed = MOST_REFUSED_AT_ONCE

    def add(self, connection: Connection, now: float) -> None:
        self._held.append((now + HOLD_SECONDS, connection))

    def due(self, now: float, served: int) -> Iterator[Connection]:
        """Those to be told now, when so many requests have been served since the start."""
        self._allow(now, served)
        while self._held and self._held[0][0] <= now and self._allowed:
            self._allowed -= 1
            yield self._held.popleft()[1]

    def _allow(self, now: float, served: int) -> None:
        if served > self._served:
            allowed = self._allowed + REFUSED_PER_SERVED * (served - self._served)
            self._allowed = min(allowed, MOST_REFUSED_AT_ONCE)
            self._served, self._served_at = served, now
        elif now - self._served_at > STALL_SECONDS:
            self._allowed = MOST_REFUSED_AT_ONCE

    def seconds_left(self, now: float, at_most: float) -> float:
        """How long to wait for the next that is due."""
        return max(TICK_SECONDS, self._held[0][0] - now) if self._held else at_most
