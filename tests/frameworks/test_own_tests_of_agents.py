"""The Agents SDK's own tests of its sessions, out of its source distribution, over ours.

`programs/swapped_sessions.py` says which tests are left out, and why.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from testing.processes import ROOT

BIN = ROOT / ".venv-agents/bin"
PROGRAMS = Path(__file__).parent / "programs"
SUITE = (
    "tests/memory/test_session.py",
    "tests/memory/test_session_limit.py",
    "tests/extensions/memory/test_sqlalchemy_session.py",
)


@pytest.mark.soak_only
@pytest.mark.one_database
@pytest.mark.needs("agents", "a package index")
def test_the_sdks_own_tests_of_its_sessions_pass(tmp_path):
    (wanted,) = [
        line
        for line in (ROOT / "requirements-agents.txt").read_text().splitlines()
        if line.startswith("openai-agents==")
    ]
    fetch: list[str | Path] = [
        BIN / "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary=:all:",
        wanted,
    ]
    subprocess.run([*fetch, "--dest", tmp_path], check=True, timeout=300)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(tmp_path, filter="data")
    (folder,) = filter(Path.is_dir, tmp_path.iterdir())
    paths = os.pathsep.join(map(str, (ROOT, PROGRAMS)))
    done = subprocess.run(
        [
            BIN / "python",
            "-m",
            "pytest",
            "-p",
            "swapped_sessions",
            "-p",
            "no:cacheprovider",
            *SUITE,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
