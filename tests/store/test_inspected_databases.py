"""Which databases the admin shows, and their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import DEFAULT_DB_ALIAS
from django.http import Http404, HttpRequest, QueryDict
from django.test import override_settings

from convstore.database.url import database_alias
from inspection.databases import Database, databases, requested_database
from memory_api.memories import repository
from testing.service import write_memory

Named = Callable[..., dict[str, Database]]


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Named]:
    """Write memories with these URLs and options; return their databases by the memories' names."""

    def write(**configs: dict[str, object]) -> dict[str, Database]:
        for name, config in configs.items():
            write_memory(tmp_path, name, {"database": "sql", "config": config})
        forget()
        return {name: each for each in databases() for name in each.memories}

    def forget() -> None:
        databases.cache_clear()
        repository.cache_clear()

    with override_settings(MODELS_DIR=tmp_path):
        yield write
    forget()


SECRET = "postgresql://app:secret@db.example:5433/chat"


def test_djangos_default_database_comes_first_even_if_no_memory_uses_it(named):
    named(elsewhere={"url": SECRET})
    assert [each.alias for each in databases()] == [DEFAULT_DB_ALIAS, database_alias(SECRET)]
    assert databases()[0].memories == ()


def test_memories_without_a_url_use_djangos_default_database(named):
    assert named(a={}, b={})["a"].alias == DEFAULT_DB_ALIAS
    assert databases()[0].memories == ("a", "b")


def test_urls_with_different_options_are_the_same_database(named):
    pooled = {"url": SECRET, "connection_options": {"pool_size": 3}}
    other = {"url": SECRET, "connection_options": {"connect_args": {"options": "-csearch_path=x"}}}
    found = named(a={"url": SECRET}, b=pooled, c=other)
    assert found["a"] == found["b"]
    assert found["a"].memories == ("a", "b")
    assert found["c"] != found["a"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (SECRET, "PostgreSQL, chat on db.example:5433"),
        (
            "postgresql://app:secret@/chat?host=/run/postgresql",
            "PostgreSQL, chat on /run/postgresql",
        ),
        ("mysql://app:secret@db.example/chat", "MySQL or MariaDB, chat on db.example"),
        ("mssql://app:secret@db.example/chat", "SQL Server, chat on db.example"),
        ("oracle://app:secret@db.example/?service_name=chat", "Oracle, chat on db.example:1521"),
        ("sqlite:////srv/app/secret/chat.sqlite3", "SQLite, chat.sqlite3"),
    ],
)
def test_a_database_is_named_by_its_location_without_user_and_password(named, url, name):
    found = named(a={"url": url})["a"]
    assert found.name.startswith(name)
    assert "secret" not in found.name


def test_a_url_without_the_parameter_means_the_default_database(named):
    other = named(a={"url": SECRET})["a"]
    own = databases()[0]
    assert own.url("/x/", q="a b", conversation=None) == "/x/?q=a+b"
    assert own.url("/x/") == "/x/"
    assert other.url("/x/", id=["1", "2"]) == f"/x/?database={other.alias}&id=1&id=2"
    for database in (own, other):
        assert requested_database(request(database.url("/x/"))) == database


def request(address: str) -> HttpRequest:
    made = HttpRequest()
    made.GET = QueryDict(address.partition("?")[2])
    return made


@pytest.mark.parametrize("name", ["nothing", "", "memory_000000000000", "DEFAULT"])
def test_an_unknown_database_is_not_found(named, name):
    named(a={"url": SECRET})
    with pytest.raises(Http404, match="The admin shows no database"):
        requested_database(request(f"/x/?database={name}"))
