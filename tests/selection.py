"""Which tests run: the matrix of databases and doors, and what this machine and this run leave out.

The matrix is chosen, not multiplied. On the first database everything runs, at each door.
On each other database: the tests of the store, and the contract through the HTTP door. A
second version of a database that is there already runs the tests of the store alone, by the
statements that it is served with; those that take long, in long runs alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from convstore.exchange.variants import statements_for
from tests.batches import batch_for
from tests.doors import MLSERVER_DOORS
from tests.length import SOAK
from tests.machine import DATABASES, FIRST_DATABASE, FIXTURES, SERVERS, is_allowed, may_lack

TESTS = Path(__file__).parent
# What takes longest comes first, for workers to end at the same time.
LONGEST = (
    *(
        "test_mlserver_outages.py",
        "test_hostile.py",
        "test_contract.py",
        "test_hostile_markdown.py",
    ),
    *("test_fault_at_every_step.py", "test_races.py"),
)
ORDER = (
    *("deploy", "package", "soak", "browser", "docs", "mlserver"),
    *("frameworks", "acceptance", "contract", "store", "unit"),
)
SECOND_VERSIONS = ("postgresql-debian",)
SQL_SERVER = re.compile("mssql|sql_server|SQL Server|FreeTDS|microsoft")
# What takes no time.
LIBRARIES = ("unixodbc",)
DATABASE_PARAMETERS = ("database_kind", "kind")
DOOR_PARAMETERS = ("door", "limited_door", "cutting_door", "restartable")


def parameters(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec else {}


def needs(item: pytest.Item) -> set[str]:
    """What a test needs, by names out of machine.NEEDS; a database by URL is its own name."""
    found = {need for mark in item.iter_markers("needs") for need in mark.args}
    found |= {FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in FIXTURES}
    given = parameters(item)
    if any(map(SQL_SERVER.search, (item.nodeid, *texts(given)))):
        found.add("unixodbc")  # which the driver's module loads
    kinds = {given.get(name) for name in DATABASE_PARAMETERS}
    found |= {kind for kind in DATABASES if kind in kinds} - {"sqlite"}
    if any(given.get(name) in MLSERVER_DOORS for name in DOOR_PARAMETERS):
        found.add("mlserver")
    return found


def texts(given: dict[str, Any]) -> list[str]:
    """The parameters that are short texts, such as a URL."""
    return [value for value in given.values() if isinstance(value, str) and len(value) < 1_000]


def has_its_length(item: pytest.Item) -> bool:
    """Whether this test is for a run of this length."""
    only = item.get_closest_marker("soak_only")
    return bool(only or item.get_closest_marker("soak")) if SOAK else not only


def is_in_matrix(item: pytest.Item, needed: set[str]) -> bool:
    """Whether this test is to run on this database and at this door."""
    kind = parameters(item).get("database_kind", FIRST_DATABASE)
    if is_of_batch(parameters(item)) and kind == "sqlite":
        return False
    if kind == FIRST_DATABASE or folder(item) == "soak":
        return True
    if kind in SECOND_VERSIONS:
        has_time = SOAK or not takes_long(item)
        return folder(item) == "store" and is_served_so(parameters(item)) and has_time
    return "mlserver" not in needed and not item.get_closest_marker("one_database")


def is_served_so(given: dict[str, Any]) -> bool:
    """Whether a test is about the statements that a database's store chooses itself, or none."""
    own = (None, "fast", statements_for)
    return given.get("store") in own and given.get("variant") in own


def is_of_batch(given: dict[str, Any]) -> bool:
    """Whether a test is about the batch of a server that has no functions or procedures."""
    return given.get("store") is batch_for or given.get("variant") == "batch"


def select(items: list[pytest.Item], *, fast: bool) -> tuple[list[pytest.Item], Counter[str]]:
    """The tests that run (`fast`: quick ones that need nothing), and what each need leaves out."""
    selected, left_out = [], Counter[str]()
    for item in items:
        needed = needs(item)
        if not (has_its_length(item) and is_in_matrix(item, needed)):
            continue
        missing = {need for need in needed if not may_use(need) or (fast and need not in LIBRARIES)}
        left_out.update(missing)
        if not (missing or (fast and takes_long(item))):
            selected.append(item)
    selected.sort(key=lambda item: (item.path.name not in LONGEST, ORDER.index(folder(item))))
    return selected, left_out


def lacking(left_out: Iterable[str]) -> list[str]:
    """What tests were left out for and this run must have. TEST_DATABASES chooses servers."""
    return [need for need in left_out if need not in SERVERS and not may_lack(need)]


def takes_long(item: pytest.Item) -> bool:
    """Whether this test is for `make test` alone; a long proof is, even in its short form."""
    return bool(item.get_closest_marker("slow") or item.get_closest_marker("soak"))


def folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def may_use(need: str) -> bool:
    return "://" in need or is_allowed(need)
