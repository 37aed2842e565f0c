"""convstore answers requests, and sends none: no module imports what sends them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT
from tests.docs.test_rooms import PACKAGES

CLIENTS = {
    "aiohttp",
    "http.client",
    "httpx",
    "openai",
    "requests",
    "smtplib",
    "urllib.request",
    "urllib3",
}


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, and those that it may mean by what it imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def clients_in(path: Path) -> set[str]:
    return CLIENTS & {
        name.rsplit(".", cut)[0] for name in imported(path) for cut in range(name.count(".") + 1)
    }


def test_no_module_sends_requests_to_others():
    assert clients_in(ROOT / "tests/visitor.py") == {"requests"}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert clients_in(path) == set(), path
