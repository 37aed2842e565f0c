"""Probes: one for each row of a page's tables, which says what becomes of a name in a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.docs.pages import rows, section, words

Probe = Callable[[Any], None]
Promise = tuple[str, str]


class Probes:
    """The probes of the tables under these headings of a page, and what the rows promise."""

    def __init__(self, page: str, *headings: str) -> None:
        self.page, self.headings = page, headings
        self.of: dict[Promise, Probe] = {}

    def promises(self) -> Iterator[Promise]:
        for heading in self.headings:
            for row in rows(section(self.page, heading)):
                for name in words(row[0]) or [row[0]]:
                    yield heading, name

    def __call__(self, heading: str, name: str) -> Callable[[Probe], Probe]:
        """Makes a function the probe of the row in which a table has this name."""

        def added(function: Probe) -> Probe:
            assert (heading, name) not in self.of
            self.of[heading, name] = function
            return function

        return added

    def send(self, promise: Promise, to: Any) -> None:
        assert promise in self.of, f"write a probe for the row {promise} of {self.page}"
        self.of[promise](to)
