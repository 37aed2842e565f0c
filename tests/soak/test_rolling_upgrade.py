"""An upgrade while the older version still serves the same database, under load."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from testing.processes import ROOT
from tests.soak.checker import check, without_busy
from tests.soak.databases import KINDS, database, serving, stored
from tests.soak.load import CLIENTS, Load

pytestmark = pytest.mark.soak_only

# The older version is the last one without this migration, which extends the tables.
EXTENDS_THE_TABLES = "convstore/migrations/0004_size_kind_and_erased.py"
MESSAGES = 500


@pytest.mark.parametrize("kind", KINDS)
def test_both_versions_serve_one_database_while_it_is_upgraded(kind, folder, tmp_path):
    older_folder = older_version(tmp_path)
    with database(kind, tmp_path) as url, serving(url, older_folder, folder) as older:
        with Load(older.url) as first:
            first.more(MESSAGES)
            with serving(url, folder) as newer:  # which migrates the tables first
                first.more(MESSAGES)
                with Load(newer.url, number_from=CLIENTS) as second:
                    first.more(MESSAGES)
                    second.more(MESSAGES)
        acknowledged = first.acknowledged + second.acknowledged
        failed = first.failed + second.failed
        report = check(acknowledged, [each.text for each in failed], stored(url))
    assert not any(report.wrong.values()), str(report)
    assert not without_busy(failed)
    assert report.acknowledged >= 4 * MESSAGES


def older_version(folder: Path) -> Path:
    """A folder whose `checkout` holds the older version, with this one's environment."""
    files = folder / "older" / "checkout"
    files.mkdir(parents=True)
    added = git("log", "--diff-filter=A", "--format=%H", "--", EXTENDS_THE_TABLES).decode().strip()
    archive = git("archive", f"{added}^")
    subprocess.run(["tar", "--extract", "--directory", files], input=archive, check=True)
    for requirements in files.glob("requirements*.txt"):
        os.utime(requirements, (0, 0))  # or make would install them into the environment
    (files / ".venv").symlink_to(ROOT / ".venv")
    return files.parent


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
