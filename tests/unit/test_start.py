"""What a command imports. Each of our processes, and each user of a command, waits for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.core.checks import Tags, run_checks
from django.urls import get_resolver

CHECK = """
import sys
from convstore.__main__ import main

sys.argv = ["convstore", "check"]
main()
print(*sys.modules)
"""
SERVE = """
import sys
import convstore.wsgi

print(*sys.modules)
"""
NEEDLESS = {
    *("convstore.urls", "inspection.admin", "inspection.export", "memory_api.views"),
    *("drf_spectacular.openapi", "gunicorn", "markdown_it", "psycopg", "pygments", "requests"),
    *("rest_framework.views", "sqlalchemy", "yaml"),
}


# DRF would import both wherever they are installed.
NEEDLESS_FOR_SERVICE = {"psycopg", "requests", "django.contrib.postgres"}


def imported_by(script: str, data: Path, root: Path) -> set[str]:
    environment = {**os.environ, "DATA_DIR": str(data)}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_check_of_the_default_store_imports_no_drivers_doors_or_pages(tmp_path, root):
    imported = imported_by(CHECK, tmp_path, root)
    assert "convstore.store" in imported
    assert imported & NEEDLESS == set()


def test_the_service_on_the_default_store_imports_no_driver_of_another_database(tmp_path, root):
    imported = imported_by(SERVE, tmp_path, root)
    assert "rest_framework.compat" in imported
    assert imported & NEEDLESS_FOR_SERVICE == set()


def test_what_check_leaves_out_for_that_is_right():
    """Django checks URLs with `--deploy` only, and pages where they are imported."""
    assert get_resolver().url_patterns
    assert run_checks(tags=[Tags.admin, Tags.urls], include_deployment_checks=True) == []
