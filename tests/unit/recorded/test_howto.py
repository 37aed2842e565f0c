"""docs/howto and the workflow name URLs that are understood, and files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from convstore.database.url import database_settings

ROOT = Path(__file__).parents[3]
HOWTO = (ROOT / "docs/howto/sql-server-and-oracle.md").read_text()
WORKFLOW: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/databases.yml").read_text())
JOB = WORKFLOW["jobs"]["test"]
SERVERS: list[dict[str, Any]] = JOB["strategy"]["matrix"]["include"]


@pytest.mark.parametrize(
    "url", sorted(set(re.findall(r"\b(?:mssql|oracle)\+\w+://[^\s'`]+", HOWTO)))
)
def test_every_url_of_the_howto_is_understood(url):
    assert database_settings(url)["USER"] in ("user", "sa", "system")


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server["server"])
def test_the_workflow_names_each_server_at_the_port_that_it_opens(server):
    entry = database_settings(server["url"])
    assert entry["PORT"] == str(server["port"]) or f"(PORT={server['port']})" in entry["NAME"]
    assert entry["PASSWORD"] in JOB["services"]["database"]["env"].values()


def test_the_workflow_runs_the_commands_of_the_howto():
    (test,) = [step for step in JOB["steps"] if step.get("run") == "make test"]
    assert test["env"] == {"TEST_DATABASES": "${{ matrix.url }}"}
    for server in SERVERS[:2]:
        assert f"TEST_DATABASES='{server['url']}' make test" in HOWTO
        assert server["image"] in HOWTO


def test_the_files_that_the_howto_names_are_there():
    for path in re.findall(r"`([\w./-]+/[\w.-]*)`", HOWTO):
        assert (ROOT / path).exists()
