"""`manage.py check`: each way to lose, mangle or mix messages is reported by its name."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import uuid

import pymysql
import pytest
from django.db import connections
from psycopg import IsolationLevel

from convstore.database import checks
from convstore.database.url import database_alias, database_settings
from memory_api import checks as service_checks
from memory_api.memories import repository
from memory_api.tables import UnsafeDatabase, migrate_tables, require_tables
from testing.galera import Node
from testing.mariadb import MariaDb
from testing.postgres import Postgres
from testing.processes import free_port
from testing.service import write_memory


def ids(messages) -> list[str]:
    return [message.id for message in messages]


@pytest.fixture
def altered(tmp_path):
    """An SQLite or MySQL database whose entry of DATABASES somebody changed by hand."""
    added: list[str] = []

    def alter(url: str = "", **changes: object) -> str:
        entry = copy.deepcopy(database_settings(url or f"sqlite:///{tmp_path}/a.db"))
        entry["OPTIONS"] |= changes.pop("OPTIONS", {})
        alias = f"altered_{len(added)}"
        added.append(alias)
        connections.settings[alias] = connections.configure_settings(
            {"default": {}, alias: entry | changes}
        )[alias]
        return alias

    yield alter
    for alias in added:
        del connections[alias], connections.settings[alias]


def test_the_databases_of_urls_have_nothing_wrong(database):
    assert ids(checks.settings_messages(database)) == []


@pytest.mark.parametrize(
    ("url", "changes", "expected"),
    [
        ("", {"ATOMIC_REQUESTS": True}, ["convstore.W009"]),
        ("", {"AUTOCOMMIT": False}, ["convstore.E001"]),
        ("", {"NAME": ":memory:"}, ["convstore.W011"]),
        ("", {"OPTIONS": {"transaction_mode": "DEFERRED"}}, ["convstore.W010"]),
        ("", {"OPTIONS": {"init_command": "PRAGMA synchronous=FULL"}}, ["convstore.W003"]),
        (
            "",
            {"OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous = normal"}},
            ["convstore.W004"],
        ),
        (
            "postgresql://u@h/d",
            {"OPTIONS": {"isolation_level": IsolationLevel.SERIALIZABLE}},
            ["convstore.E002"],
        ),
        ("postgresql://u@/d?host=a:1&host=b:2", {}, ["convstore.W012"]),
        ("postgresql://u@/d?host=a:1&host=b:2&target_session_attrs=primary", {}, []),
        ("mysql://u@h/d", {"OPTIONS": {"isolation_level": "serializable"}}, ["convstore.E002"]),
        ("mysql://u@h/d", {"OPTIONS": {"charset": "utf8"}}, ["convstore.E003"]),
        ("oracle://u@h/d", {}, []),
    ],
)
def test_a_setting_that_is_unsafe_is_reported(altered, url, changes, expected):
    assert ids(checks.settings_messages(altered(url, **changes))) == expected


def test_debug_and_a_key_that_ends_with_the_process_are_reported(settings):
    settings.DEBUG = True
    settings.SECRET_KEY = "django-insecure-x"
    assert ids(service_checks.check_process()) == ["memory_api.W001", "memory_api.W002"]


def test_the_databases_that_the_tests_run_on_have_nothing_wrong(database):
    assert ids(checks.server_messages(database)) == []


def test_a_database_that_is_down_is_an_error():
    (message,) = checks.server_messages(database_alias("postgresql://u:TOPSECRET@127.0.0.1:1/d"))
    assert message.id == "convstore.E006"
    assert "TOPSECRET" not in message.msg


@pytest.mark.needs("postgresql")
def test_a_postgresql_server_that_may_lose_messages_or_texts_is_reported():
    with Postgres("synchronous_commit=off") as server:
        server.execute("CREATE DATABASE d ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        alias = database_alias(server.url("d"))
        assert ids(checks.server_messages(alias)) == ["convstore.E007", "convstore.W006"]
        connections[alias].close()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_no_tables_are_made_in_a_database_that_cannot_hold_every_text(postgresql, encoding):
    alias = database_alias(postgresql.url(of_encoding(postgresql, encoding)))
    for prepare in (migrate_tables, require_tables):
        with pytest.raises(UnsafeDatabase, match=f"its encoding is {encoding}, which cannot"):
            prepare(alias)
    assert connections[alias].introspection.table_names() == []
    connections[alias].close()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["serve"], ["serve", "--no-migrate"]])
def test_the_service_does_not_start_on_a_database_that_cannot_hold_every_text(
    postgresql, tmp_path, arguments
):
    url = postgresql.url(of_encoding(postgresql, "LATIN1"))
    environment = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path), "PORT": str(free_port())}
    done = command(*arguments, **environment, TMPDIR=str(tmp_path))
    assert done.returncode == 2
    assert list(tmp_path.glob("convstore-metrics-*")) == []
    assert "DATABASE_URL: Database 'default': its encoding is LATIN1" in done.stderr
    assert "Create the database with ENCODING 'UTF8'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_start_that_fails_after_usr2_leaves_the_metrics_of_the_old_service(postgresql, tmp_path):
    folder = tmp_path / "convstore-metrics-old"
    folder.mkdir()
    done = command(
        "serve",
        DATABASE_URL=postgresql.url(of_encoding(postgresql, "LATIN1")),
        DATA_DIR=str(tmp_path),
        PORT=str(free_port()),
        PROMETHEUS_MULTIPROC_DIR=str(folder),
    )
    assert done.returncode == 2
    assert folder.is_dir()


def of_encoding(server: Postgres, encoding: str) -> str:
    """A new database of that encoding."""
    name = f"of_{uuid.uuid4().hex[:12]}"
    server.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    return name


@pytest.mark.needs("mariadb")
def test_a_mariadb_server_that_may_lose_messages_is_reported():
    with MariaDb("innodb-flush-log-at-trx-commit=0") as server:
        server.execute("CREATE DATABASE d")
        server.execute("CREATE TABLE d.convstore_message (a INT) CHARACTER SET latin1")
        alias = database_alias(server.url("d"))
        found = ids(checks.server_messages(alias))
        assert found == ["convstore.W006", "convstore.W007", "convstore.I002", "convstore.E008"]
        for prepare in (migrate_tables, require_tables):
            with pytest.raises(UnsafeDatabase, match="convstore_message is InnoDB with latin1"):
                prepare(alias)
        connections[alias].close()


@pytest.mark.slow
@pytest.mark.needs("mariadb", "galera")
def test_what_makes_a_cluster_inexact_is_reported(altered):
    node = Node("wsrep-osu-method=RSU", "wsrep-dirty-reads=ON", "innodb-autoinc-lock-mode=1")
    node.join([node])
    with node:
        node.set_provider("pc.ignore_quorum=yes; pc.ignore_sb=yes")
        node.execute("CREATE DATABASE d")
        node.execute("CREATE TABLE d.notes (a INT)")
        pymysql.install_as_MySQLdb()  # which Django's own backend imports
        alias = altered(node.url("d"), ENGINE="django.db.backends.mysql")
        del connections.settings[alias]["OPTIONS"]["lock_wait_timeout"]
        found = checks.server_messages(alias)
        assert ids(found) == [
            *("convstore.W007", "convstore.E010", "convstore.E010", "convstore.W013"),
            *("convstore.W014", "convstore.W015", "convstore.W016", "convstore.W017"),
            "convstore.W018",
        ]
        assert "pc.ignore_quorum is on" in found[1].msg
        assert "pc.ignore_sb is on" in found[2].msg
        assert "table notes" in found[-1].msg
        connections[alias].close()


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return command("check", *arguments, **environment)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def models(tmp_path, settings):
    """The folder whose memories are checked."""
    settings.MODELS_DIR = tmp_path
    repository.cache_clear()
    yield tmp_path
    repository.cache_clear()


def test_each_memorys_wrong_file_and_field_without_effect_is_reported(models):
    write_memory(models, "bad", {"database": "sql", "config": {"window": 1}})
    write_memory(models, "good", {"database": "sql", "timeout": "5"})
    found = service_checks.check_memories()
    assert ids(found) == ["memory_api.E001", "memory_api.W003"]
    assert found[0].msg.startswith(f"memory bad: {models.name}/bad/model-settings.json: param")
    assert "parameters.extra.timeout is unknown and ignored" in found[1].msg


def test_a_folder_without_a_memory_is_reported(models):
    assert ids(service_checks.check_memories()) == ["memory_api.W004"]


@pytest.mark.slow
def test_a_memorys_wrong_file_does_not_keep_the_others_tables_from_being_made(tmp_path):
    models = tmp_path / "models"
    write_memory(models, "bad", {"database": "sql", "config": {"window": 1}})
    write_memory(models, "good", {"database": "filesys", "config": {"path": str(tmp_path)}})
    done = command("migrate_memories", MODELS_DIR=str(models), DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0
    assert "memory bad is passed over: models/bad/model-settings.json" in done.stderr
    assert (tmp_path / "conversations.sqlite3").exists()


@pytest.mark.slow
def test_the_command_finds_nothing_wrong_with_what_ships():
    assert "no issues" in check("--database", "default").stdout


@pytest.mark.slow
def test_a_memorys_wrong_settings_and_its_database_are_in_the_commands_report(tmp_path):
    settings = tmp_path / "broken" / "model-settings.json"
    settings.parent.mkdir()
    text = '{"implementation": "x.ConversationalMemory", "parameters": {"extra": %s}}'
    settings.write_text(text % '{"database": "sql", "config": {"window": 1}}')
    done = check(MODELS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "memory_api.E001" in done.stderr
    assert "config.window is not a field" in done.stderr
    url = '{"database": "sql", "config": {"url": "postgresql://u@127.0.0.1:1/d"}}'
    settings.write_text(text % url)
    assert check(MODELS_DIR=str(tmp_path)).returncode == 0
    done = check("--database", "default", MODELS_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "convstore.E006" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "modules", "package"),
    [
        ("mysql://u@h/d", ["pymysql"], "'PyMySQL[rsa]'"),
        ("mssql://u@h/d", ["mssql"], "'convstore[mssql]'"),
        ("mssql://u@h/d", ["mssql_python"], "'convstore[mssql]'"),
        ("oracle://u@h/d", ["oracledb"], "'oracledb'"),
    ],
)
def test_a_missing_driver_is_one_sentence_with_the_package_to_install(
    tmp_path, url, modules, package
):
    # A finder in front of the others, so that the interpreter does not see what is there.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "there = importlib.util.find_spec\n"
        f"hidden = {modules!r}\n"
        "importlib.util.find_spec = lambda name, *a: None if name in hidden else there(name, *a)\n"
    )
    done = check(DATABASE_URL=url, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert f"pip install {package}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
