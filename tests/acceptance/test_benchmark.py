"""The benchmark measures right answers: a short run of our doors and what is beside them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from testing.processes import ROOT

pytestmark = [pytest.mark.one_database, pytest.mark.slow]


def smoke(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks", "--smoke", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "database",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.needs("postgresql")),
        pytest.param("mariadb", marks=[pytest.mark.needs("mariadb"), pytest.mark.soak_only]),
    ],
)
def test_every_store_answers_right_windows(database):
    shown = smoke("--what=store", f"--databases={database}")
    for subject in ("ours", "by hand"):
        assert f"| {database} | append, 8 threads | {subject} |" in shown


def test_the_http_door_and_its_floor_answer_right_windows():
    shown = smoke("--what=http", "--databases=sqlite")
    for subject in ("ours", "by hand", "no-op"):
        assert f"| sqlite | append | {subject} |" in shown


def test_the_start_is_measured_to_the_first_answer():
    shown = smoke("--what=start", "--databases=sqlite")
    for command in ("serve", "check"):
        assert f"| sqlite | start | {command} |" in shown


@pytest.mark.needs("mlserver")
def test_mlservers_doors_answer_right_windows():
    shown = smoke("--what=mlserver", "--databases=sqlite")
    for subject in ("ours, REST", "ours, gRPC", "no-op, REST"):
        assert f"| sqlite | append | {subject} |" in shown


@pytest.mark.parametrize(
    "database",
    [
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.needs("postgresql")),
        pytest.param("mariadb", marks=pytest.mark.needs("mariadb")),
    ],
)
def test_the_admins_first_page_is_within_the_limit_of_queries(database):
    """A large database is asked for as many; see tests/store/test_overview.py."""
    sizes = ["--conversations=100", "--messages=1000", "--only=first page"]
    command = [sys.executable, "-m", "benchmarks.admin", f"--database={database}", *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "| first page |" in done.stdout, done.stderr
    assert "OVER: queries" not in done.stdout, done.stdout  # its times are the machine's


def test_each_list_and_page_of_items_is_a_range_of_an_index():
    sizes = ["--databases=sqlite", "--rows=2000", "--calls=1"]
    command = [sys.executable, "-m", "benchmarks.lists", *sizes]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    plans = {row[0].removeprefix("| "): row[-1] for row in rows[1:]}
    assert "conversation_tenant_created" in plans["a tenant's list, newest first"], done.stderr
    assert len(plans) > 15
    assert not [plan for plan in plans.values() if "**" in plan]


def test_a_store_that_forgets_is_found():
    answers = child("benchmarks.stores.noop:Store", ["check", {}])
    assert "WrongAnswer" in answers[-1]["error"]


def child(store: str, command: object) -> list[dict[str, str]]:
    """What a child of the benchmark answers to one command."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", store, "nowhere"],
        input=json.dumps(command),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]
