"""What a command imports. Each of our processes, and each user of a command, waits for it."""

from __future__ import annotations

import os
import subprocess
import sys

from django.core.checks import Tags, run_checks
from django.urls import get_resolver

SCRIPT = """
import sys
from convstore.__main__ import main

sys.argv = ["convstore", "check"]
main()
print(*sys.modules)
"""
NEEDLESS = {
    *("convstore.urls", "inspection.admin", "inspection.export", "memory_api.views"),
    *("drf_spectacular.openapi", "gunicorn", "markdown_it", "psycopg", "pygments", "requests"),
    *("rest_framework.views", "sqlalchemy", "yaml"),
}


def test_check_of_the_default_store_imports_no_drivers_doors_or_pages(tmp_path, root):
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    environment.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.split())
    assert "convstore.store" in imported
    assert imported & NEEDLESS == set()


def test_what_check_leaves_out_for_that_is_right():
    """Django checks URLs with `--deploy` only, and pages where they are imported."""
    assert get_resolver().url_patterns
    assert run_checks(tags=[Tags.admin, Tags.urls], include_deployment_checks=True) == []
