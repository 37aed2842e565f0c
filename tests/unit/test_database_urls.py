"""From URLs and engine options to Django connections."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections

from convstore.database.url import database_alias, database_settings
from convstore.errors import DatabaseUrlError
from convstore.store import ConversationStore


def test_seldons_url_becomes_a_connection_with_our_driver():
    entry = database_settings("postgresql+pg8000://admin:admin@postgres:5432/db", {})
    assert entry["ENGINE"] == "convstore.database.postgresql"
    assert (entry["USER"], entry["PASSWORD"]) == ("admin", "admin")
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("postgres", "5432", "db")


@pytest.mark.parametrize("driver", ["", "+pg8000", "+psycopg2", "+psycopg", "+asyncpg"])
def test_whatever_driver_a_url_names_ours_serves_it(driver):
    entry = database_settings(f"postgresql{driver}://u:p@h/d")
    assert entry["ENGINE"] == "convstore.database.postgresql"


def test_percent_encoded_passwords_are_decoded():
    entry = database_settings("postgresql://u:p%40%3A%2F%23%3F%25s@h/d")
    assert entry["PASSWORD"] == "p@:/#?%s"


def test_libpq_arguments_are_handed_on():
    entry = database_settings("postgresql://u@/d?host=/run/postgresql&sslmode=require")
    assert entry["OPTIONS"]["host"] == "/run/postgresql"
    assert entry["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "postgresql+asyncpg"])
def test_several_hosts_in_the_address_are_refused_with_the_form_to_write(dialect):
    with pytest.raises(DatabaseUrlError) as refused:
        database_settings(f"{dialect}://u:secret@a:5432,b:5432/d")
    _, _, form = str(refused.value).partition("several hosts of PostgreSQL by ")
    entry = database_settings(form.partition(";")[0])
    assert entry["OPTIONS"]["host"] == "a,b"
    assert "secret" not in str(refused.value)
    with pytest.raises(DatabaseUrlError, match=r"\(percent-encode any of"):
        database_settings(f"{dialect}://u:a,b@c:d/d")


def test_a_relative_sqlite_path_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = database_settings("sqlite:///some folder/a.db")
    assert entry["NAME"] == str(tmp_path / "some folder" / "a.db")
    assert database_settings("sqlite:////a/b.db")["NAME"] == "/a/b.db"


def test_sqlite_is_durable_and_takes_the_write_lock_first():
    options = database_settings("sqlite:///a.db")["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=FULL" in options["init_command"]


def test_pool_options_become_a_pool():
    options = {"pool_size": 3, "max_overflow": 2, "pool_timeout": 7, "pool_recycle": 60}
    entry = database_settings("postgresql://u@h/d", options)
    expected = {"min_size": 0, "max_size": 5, "timeout": 7, "max_lifetime": 60}
    assert entry["OPTIONS"]["pool"] == {**expected, "reconnect_timeout": 5}
    assert entry["CONN_MAX_AGE"] == 0


def test_without_pool_options_each_thread_keeps_its_connection():
    entry = database_settings("postgresql://u@h/d", {"pool_recycle": 60})
    assert "pool" not in entry["OPTIONS"]
    assert entry["CONN_MAX_AGE"] == 60


@pytest.mark.parametrize(
    ("options", "checked"),
    [
        ({}, True),
        ({"pool_pre_ping": False}, False),
        ({"pool_size": 5}, False),
        ({"pool_size": 5, "pool_pre_ping": True}, True),
    ],
)
def test_connections_are_checked_where_that_costs_nothing_or_is_asked_for(options, checked):
    entry = database_settings("postgresql://u@h/d", options)
    assert entry["CONN_HEALTH_CHECKS"] is checked


def test_connect_args_are_the_drivers_arguments():
    options = {"connect_args": {"application_name": "chat"}}
    entry = database_settings("postgresql://u@h/d", options)
    assert entry["OPTIONS"]["application_name"] == "chat"


REFUSED = [
    ("postgresql://u@h/d", {"pool_class": "x"}, "pool_class"),
    ("postgresql://u@h/d", {"pool_size": "5"}, "pool_size"),
    ("postgresql://u@h/d", {"pool_size": True}, "pool_size"),
    ("postgresql://u@h/d", {"isolation_level": "SERIALIZABLE"}, "isolation_level"),
    ("postgresql://u@h/d", {"echo": "debug"}, "echo"),
    ("postgresql://u@h/d", {"pool_recycle": 0}, "pool_recycle"),
    ("postgresql://u@h/d", {"pool_size": -1}, "pool_size"),
    ("postgresql://", {}, "names no database"),
    ("postgresql://u@h/d", {"connect_args": {"ssl_context": 1}}, "ssl_context"),
    ("postgresql://u@h/d?unix_sock=/x", {}, "unix_sock"),
    ("sqlite:///a.db", {"pool_size": 5, "max_overflow": 2}, "THREADS"),
    ("sqlite:///a.db", {"isolation_level": "READ UNCOMMITTED"}, "isolation_level"),
    ("sqlite:///a.db", {"connect_args": {"cached_statements": 5}}, "cached_statements"),
    ("sqlite:///a.db?mode=ro", {}, "mode"),
    ("sqlite://", {}, "in-memory"),
    ("sqlite:///:memory:", {}, "in-memory"),
    ("mongodb://u@h/d", {}, "mongodb"),
    ("not a url", {}, "dialect://"),
    ("", {}, "dialect://"),
    ("postgresql://u:p@h:port/d", {}, "dialect://"),
]


@pytest.mark.parametrize(("url", "options", "named"), REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(url, options, named):
    with pytest.raises(DatabaseUrlError, match=named):
        database_settings(url, options)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:TOPSECRET@h:port/d",
        "nothing://u:TOPSECRET@h/d",
        "postgresql://u:TOPSECRET@h/d?nope=TOPSECRET",
        "sqlite://u:TOPSECRET@/d?x=TOPSECRET",
    ],
)
def test_an_error_never_shows_a_password(url):
    with pytest.raises(DatabaseUrlError) as raised:
        database_settings(url)
    assert "TOPSECRET" not in str(raised.value)


def test_the_same_url_and_options_are_one_connection():
    assert database_alias("postgresql://u@h/d") == database_alias("postgresql://u@h/d", {})
    assert database_alias("postgresql://u@h/d") != database_alias("postgresql://u@h/e")
    assert database_alias("postgresql://u@h/d") != database_alias(
        "postgresql://u@h/d", {"pool_size": 1}
    )


def test_djangos_own_database_keeps_its_alias(settings):
    assert database_alias(settings.DATABASE_URL) == "default"
    assert Path(str(connections.settings["default"]["NAME"])).name == "conversations.sqlite3"


def test_echo_logs_each_statement_of_that_database_alone(tmp_path, caplog):
    quiet = ConversationStore(database_alias(f"sqlite:///{tmp_path}/quiet.db"))
    loud = ConversationStore(database_alias(f"sqlite:///{tmp_path}/loud.db", {"echo": True}))
    for store in (quiet, loud):
        call_command("migrate", "convstore", database=store.using, verbosity=0)
    caplog.clear()
    quiet.window("a", 1)
    assert not caplog.records
    loud.window("a", 1)
    assert "SELECT position, role, CASE" in caplog.text
    for store in (quiet, loud):
        connections[store.using].close()
