"""What tests of MLServer's door have in common."""

from __future__ import annotations

import pytest

from tests.mlserver_bridge.core2 import KINDS


@pytest.fixture(scope="session", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """SQLite and PostgreSQL, where they are among those of this run."""
    kind: str = request.param
    return kind


# Only databases of the tests' own may be killed, and TEST_DATABASES may name none.
collect_ignore = [] if {"sqlite", "postgresql"} & set(KINDS) else ["test_outages.py"]
