"""Recorded databases for the tests of SQL Server's and Oracle's backends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.recorded.recording import Tape, recording


@pytest.fixture(params=["mssql", "oracle"])
def tape(request: pytest.FixtureRequest) -> Iterator[Tape]:
    """A recorded database of each vendor."""
    with recording(request.param) as tape:
        yield tape
