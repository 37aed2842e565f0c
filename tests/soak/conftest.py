"""One checkout for all services of these tests, which run one after another."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.service import write_memory
from tests.mlserver.core2 import KINDS as KINDS_OF_MLSERVER
from tests.soak.checker import WINDOW
from tests.soak.databases import KINDS, KINDS_WITH_A_SERVER
from tests.soak.load import MEMORY

# What TEST_DATABASES must name a kind of: only servers of the tests' own may be killed.
NEEDED = {
    "test_all_doors.py": KINDS,
    "test_changes.py": KINDS,
    "test_kills.py": KINDS,
    "test_memory.py": KINDS,
    "test_database_outages.py": KINDS_WITH_A_SERVER,
    "test_controls.py": KINDS_WITH_A_SERVER,
    "test_retries.py": KINDS,
    "test_switchovers.py": [kind for kind in KINDS if kind == "postgresql"],
}
collect_ignore = [module for module, kinds in NEEDED.items() if not kinds]


@pytest.fixture(scope="session", params=KINDS_OF_MLSERVER)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkout is, and its only memory, which keeps to DATABASE_URL."""
    folder = tmp_path_factory.mktemp("crashes")
    write_memory(folder / "models", MEMORY, {"database": "sql", "config": {"window_size": WINDOW}})
    (folder / "temporary").mkdir()
    return folder
