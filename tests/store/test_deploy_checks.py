"""`check --deploy`: what an operator can get wrong is said while it is so, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import OperationalError, connections

from convstore.database import checks
from convstore.database.sqlite import server as sqlite_server
from convstore.database.sqlite.server import file_system_of
from convstore.database.url import database_alias
from memory_api import deploy_checks
from memory_api.memories import repository
from testing.mariadb import MariaDb
from testing.pgbouncer import PgBouncer
from testing.postgres import Postgres
from testing.service import write_memory
from testing.standby import ReplicaPair
from tests.store.own_database import execute, migrate


def ids(messages) -> list[str]:
    return [message.id for message in messages]


# --- The service -------------------------------------------------------------------------

ARGUMENTS = "GUNICORN_CMD_ARGS"
OPEN = ["memory_api.W010", "memory_api.W011", "memory_api.I010"]


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [
        ({}, "", []),
        ({"HOST": "::1"}, "", []),
        ({"HOST": "localhost"}, "", []),
        ({}, "--bind unix:/run/convstore.sock", []),
        ({"HOST": "0.0.0.0"}, "", OPEN),  # noqa: S104
        ({"HOST": "::"}, "", OPEN),
        ({}, "--bind 192.0.2.7:80", OPEN),
        ({"HOST": "192.0.2.7", "ALLOWED_HOSTS": ["chat.example"]}, "", [OPEN[0], OPEN[2]]),
        ({"HOST": "192.0.2.7", "HTTPS": "true"}, "", OPEN[1:]),
        ({"HOST": "192.0.2.7"}, "--certfile cert.pem --keyfile key.pem", OPEN[1:]),
    ],
)
def test_a_door_that_is_open_to_others_is_said(
    settings, monkeypatch, tmp_path, changes, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    for name, value in changes.items():
        setattr(settings, name, value)
    monkeypatch.setenv(ARGUMENTS, arguments)
    assert ids(deploy_checks.check_doors()) == expected


@pytest.mark.parametrize(
    ("log", "level", "arguments", "expected"),
    [
        ("console", "INFO", "", []),
        ("json", "DEBUG", "", []),
        ("off", "INFO", "", ["memory_api.W012"]),
        ("console", "WARNING", "", ["memory_api.W012"]),
        ("off", "INFO", "--access-logfile -", []),
    ],
)
def test_a_log_without_requests_is_said(settings, monkeypatch, log, level, arguments, expected):
    settings.REQUEST_LOG, settings.LOG_LEVEL = log, level
    monkeypatch.setenv(ARGUMENTS, arguments)
    assert ids(deploy_checks.check_log()) == expected


@pytest.fixture
def memory_with(tmp_path, settings) -> Iterator[Callable[..., None]]:
    """Have the service serve one memory, with this `config`."""
    settings.MODELS_DIR = tmp_path / "models"

    def write(**config: object) -> None:
        write_memory(settings.MODELS_DIR, "memory", {"database": "sql", "config": config})
        repository.cache_clear()

    yield write
    repository.cache_clear()


@pytest.mark.parametrize(("echo", "expected"), [(True, ["memory_api.W013"]), (False, [])])
def test_messages_in_the_log_are_said(tmp_path, memory_with, echo, expected):
    memory_with(url=f"sqlite:///{tmp_path}/a.sqlite3", connection_options={"echo": echo})
    assert ids(deploy_checks.check_log()) == expected


def test_what_a_second_host_would_not_share_is_said(tmp_path, settings, memory_with):
    settings.DATA_DIR = tmp_path
    memory_with()
    (said,) = deploy_checks.check_hosts()
    assert (said.id, said.msg[:30]) == ("memory_api.I011", "DATABASE_URL: its file is for ")
    (tmp_path / "secret_key").write_text(settings.SECRET_KEY)
    assert ids(deploy_checks.check_hosts()) == ["memory_api.I011", "memory_api.I012"]
    settings.SECRET_KEY = "from the environment"
    assert ids(deploy_checks.check_hosts()) == ["memory_api.I011"]


def test_a_server_is_for_several_hosts(monkeypatch, settings, tmp_path):
    settings.DATA_DIR = tmp_path
    alias = database_alias("postgresql://u@h/d")
    monkeypatch.setattr(deploy_checks, "database_users", lambda: {alias: "memory m"})
    assert ids(deploy_checks.check_hosts()) == []


def test_tables_of_another_version_are_said(tmp_path, memory_with):
    url = f"sqlite:///{tmp_path}/a.sqlite3"
    memory_with(url=url)
    alias = database_alias(url)
    migrate(alias, "0008")
    (said,) = [
        each for each in deploy_checks.check_tables(databases=["x"]) if "memory:" in each.msg
    ]
    assert (said.id, said.hint) == ("memory_api.W014", "Run 'convstore migrate_memories'.")
    migrate(alias)
    assert not [
        each for each in deploy_checks.check_tables(databases=["x"]) if "memory:" in each.msg
    ]
    assert deploy_checks.check_tables() == []  # which asks no database
    connections[alias].close()


@pytest.mark.slow
def test_the_command_asks_the_databases_too_and_repeats_nothing_of_djangos(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        env={**os.environ, "DATA_DIR": str(tmp_path), "HOST": "0.0.0.0"},  # noqa: S104
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line.partition("(")[2].partition(")")[0] for line in done.stderr.splitlines()]
    found = [each for each in said if each.startswith(("security.", "memory_api."))]
    assert sorted(found) == sorted([*OPEN, "memory_api.I011", "memory_api.I012", "memory_api.W014"])


# --- SQLite ------------------------------------------------------------------------------

MOUNTS = """\
22 1 254:1 / / rw,relatime - ext4 /dev/root rw
30 22 0:28 / /srv rw - nfs4 server:/srv rw,vers=4.2
31 30 254:2 / /srv/local rw - xfs /dev/vdb rw
32 22 0:29 / /mnt/with\\040blank rw shared:1 - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/var/a.sqlite3", "ext4"),
        ("/srv/deep/a.sqlite3", "nfs4"),
        ("/srvice/a.sqlite3", "ext4"),
        ("/srv/local/a.sqlite3", "xfs"),
        ("/mnt/with blank/a.sqlite3", "cifs"),
    ],
)
def test_the_file_system_of_a_file_is_that_of_the_nearest_mount(file, kind):
    assert file_system_of(Path(file), MOUNTS) == kind


def test_an_sqlite_file_on_a_network_is_said(tmp_path, monkeypatch):
    alias = database_alias(f"sqlite:///{tmp_path}/a.sqlite3")
    assert ids(checks.server_messages(alias)) == []
    monkeypatch.setattr(sqlite_server, "MOUNTS", tmp_path / "mounts")
    (tmp_path / "mounts").write_text(f"1 0 0:28 / {tmp_path} rw - nfs4 server:/srv rw\n")
    assert ids(checks.server_messages(alias)) == ["convstore.W024"]
    connections[alias].close()


# --- Servers -----------------------------------------------------------------------------


@pytest.fixture
def own(new_database) -> Iterator[str]:
    """The alias of a database on PostgreSQL that no other test uses."""
    alias = database_alias(new_database("postgresql"))
    yield alias
    connections[alias].close()


@pytest.mark.needs("postgresql")
@pytest.mark.parametrize(
    ("change", "undo", "expected"),
    [
        ("SET statement_timeout = '30s'", "RESET statement_timeout", "convstore.W020"),
        ("CONNECTION LIMIT 8", "CONNECTION LIMIT -1", "convstore.W022"),
        ("SET synchronous_commit = off", "RESET synchronous_commit", "convstore.W006"),
    ],
)
def test_what_postgresql_is_set_to_is_said(own, change, undo, expected):
    name = connections[own].settings_dict["NAME"]
    for statement, found in ((change, [expected]), (undo, [])):
        execute(own, f"ALTER DATABASE {name} {statement}")
        connections[own].close()  # for those that come later
        assert ids(checks.server_messages(own)) == found


@pytest.mark.needs("postgresql")
def test_a_database_that_takes_no_writes_is_said(own, postgresql):
    migrate(own)
    name = connections[own].settings_dict["NAME"]
    for value, expected in (("on", ["convstore.W025"]), ("off", [])):
        postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}")
        connections[own].close()  # for those that come later
        assert ids(checks.server_messages(own)) == expected


@pytest.mark.needs("postgresql", "pgbouncer")
@pytest.mark.parametrize(("mode", "expected"), [("statement", ["convstore.W026"]), ("session", [])])
def test_a_pooler_that_takes_no_transactions_is_said(own, postgresql, mode, expected):
    with PgBouncer(postgresql, mode=mode) as pooler:
        alias = database_alias(pooler.url(connections[own].settings_dict["NAME"]))
        assert ids(checks.server_messages(alias)) == expected
        connections[alias].close()


@pytest.mark.needs("postgresql")
def test_fewer_threads_need_fewer_connections(own, settings):
    name = connections[own].settings_dict["NAME"]
    execute(own, f"ALTER DATABASE {name} CONNECTION LIMIT 8")
    settings.THREADS = 7
    assert ids(checks.server_messages(own)) == []
    settings.WORKERS = 2
    assert ids(checks.server_messages(own)) == ["convstore.W022"]


@pytest.mark.needs("postgresql")
def test_an_index_that_was_not_completed_is_said(own):
    migrate(own)
    index = "CREATE INDEX CONCURRENTLY half ON convstore_conversation (active_at)"
    holder = connections[own].copy()
    with closing(holder):
        holder.set_autocommit(False)
        with holder.cursor() as cursor:
            cursor.execute("UPDATE convstore_conversation SET active_at = active_at")
        execute(own, "SET statement_timeout = '200ms'")
        with pytest.raises(OperationalError):
            execute(own, index)
    connections[own].close()
    assert ids(checks.server_messages(own)) == ["convstore.W023"]
    execute(own, "DROP INDEX half")
    assert ids(checks.server_messages(own)) == []


@pytest.mark.slow
@pytest.mark.needs("postgresql")
def test_a_standby_that_no_commit_waits_for_is_said():
    with Postgres() as primary:
        alias = database_alias(primary.url())
        with Postgres(primary=primary):
            assert ids(checks.server_messages(alias)) == ["convstore.W021"]
            primary.set("synchronous_standby_names = '*'")
            connections[alias].close()
            assert ids(checks.server_messages(alias)) == []
        connections[alias].close()


@pytest.mark.slow
@pytest.mark.needs("mariadb")
def test_a_replica_that_no_commit_waits_for_is_said():
    with ReplicaPair() as pair:
        pair.primary.execute("CREATE DATABASE chat")
        pair.catch_up()
        alias = database_alias(pair.primary.url("chat"))
        assert "convstore.W021" in ids(checks.server_messages(alias))
        pair.primary.execute("SET GLOBAL rpl_semi_sync_master_enabled = ON")
        pair.standby.execute("SET GLOBAL rpl_semi_sync_slave_enabled = ON")
        pair.standby.execute("STOP SLAVE")
        pair.standby.execute("START SLAVE")
        pair.primary.execute("CREATE DATABASE more")
        pair.catch_up()
        assert "convstore.W021" not in ids(checks.server_messages(alias))
        connections[alias].close()


@pytest.mark.needs("mariadb")
def test_what_mariadb_is_set_to_is_said(settings):
    with MariaDb("log-bin", "sync-binlog=0", "max-allowed-packet=256M") as server:
        alias = database_alias(server.url())
        for change, undo, expected in (
            ("sync_binlog = 0", "sync_binlog = 1", "convstore.W006"),
            ("max_statement_time = 30", "max_statement_time = 0", "convstore.W020"),
            ("max_connections = 10", "max_connections = 100", ""),
        ):
            server.execute(f"SET GLOBAL {change}")
            connections[alias].close()
            found = ids(checks.server_messages(alias))
            assert expected in found if expected else not found
            server.execute(f"SET GLOBAL {undo}")
        settings.THREADS = 99
        connections[alias].close()
        assert ids(checks.server_messages(alias)) == []
        settings.THREADS = 100
        assert ids(checks.server_messages(alias)) == ["convstore.W022"]
        connections[alias].close()
        settings.THREADS = 9
        server.execute("CREATE DATABASE replica")
        server.execute("CREATE TABLE replica.convstore_conversation (active_at INT)")
        server.execute("CREATE USER ordinary")
        server.execute("GRANT ALL ON replica.* TO ordinary")
        alias = database_alias(server.url("replica").replace("root@", "ordinary@"))
        for value in (0, 1):
            server.execute(f"SET GLOBAL read_only = {value}")
            assert ("convstore.W025" in ids(checks.server_messages(alias))) == bool(value)
        connections[alias].close()
