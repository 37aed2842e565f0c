"""A run that may not leave out tests fails if it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machine import SERVERS, chosen_databases
from tests.selection import lacking

LEFT_OUT = {"promtool": 2, "buildah": 1, "mariadb": 3}


@pytest.mark.parametrize(
    ("allowed", "lacks"),
    [
        (None, []),
        ("", ["promtool", "buildah"]),
        ("buildah,containers", ["promtool"]),
        ("promtool,buildah", []),
    ],
)
def test_only_what_may_lack_names_may_be_missing(allowed, lacks, monkeypatch):
    monkeypatch.delenv("MAY_LACK", raising=False)
    if allowed is not None:
        monkeypatch.setenv("MAY_LACK", allowed)
    assert lacking(LEFT_OUT) == lacks


def test_a_server_that_must_be_there_is_used_or_the_run_fails(monkeypatch):
    monkeypatch.delenv("TEST_DATABASES", raising=False)
    monkeypatch.setenv("MAY_LACK", "")
    assert chosen_databases() == ["sqlite", *SERVERS]


@pytest.mark.slow
def test_a_run_fails_that_left_out_what_the_machine_must_have():
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-k", "suggestion", "-p", "no:cacheprovider"),
            "--numprocesses=1",  # which tells what it left out
            *(tests / "unit/test_did_you_mean.py", tests / "deploy/test_monitoring.py"),
        ],
        env={**os.environ, "PATH": "/nowhere", "TEST_DATABASES": "sqlite", "MAY_LACK": "buildah"},
        cwd=tests.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "failed, since MAY_LACK does not name: prometheus" in done.stdout
    assert " passed" in done.stdout
    assert " failed in" not in done.stdout
