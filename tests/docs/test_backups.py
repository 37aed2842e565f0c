"""Backups that are made while writers go on, by the commands of the page, and restored."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import requests
from django.core.management import call_command
from django.db import connections

from convstore.database.checks import server_messages
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from testing.bodies import append_request
from testing.mariadb import MariaDb
from testing.postgres import Postgres
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.session import Reader

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs/howto/operate.md"
# Each writer has a conversation of its own, and one that all of them write to.
WRITERS, SHARED = 4, "shared"
# Enough for every writer to be in the middle of it when a backup begins.
ACKNOWLEDGED = 100


class Writers:
    """Threads that add messages to one database, and note what was acknowledged."""

    def __init__(self, alias: str) -> None:
        self.store = ConversationStore(alias)
        self.acknowledged: dict[str, list[str]] = defaultdict(list)
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self.write, args=(str(number),)) for number in range(WRITERS)
        ]

    def write(self, name: str) -> None:
        number = 0
        while not self.stopped.is_set():
            number += 1
            for memory_id in (name, SHARED):
                text = f"{name}-{number}"
                self.store.append(memory_id, [Message("user", [Part("text", text)])])
                self.acknowledged[memory_id].append(text)
        connections[self.store.using].close()

    def acknowledged_by_now(self) -> dict[str, list[str]]:
        return {memory_id: list(texts) for memory_id, texts in self.acknowledged.items()}

    def more(self) -> None:
        """Wait until more messages were acknowledged."""
        enough = self.count() + ACKNOWLEDGED
        while self.count() < enough:
            assert all(thread.is_alive() for thread in self.threads)
            time.sleep(0.01)

    def count(self) -> int:
        return sum(map(len, self.acknowledged_by_now().values()))


@contextmanager
def writing(url: str) -> Iterator[Writers]:
    """A database with tables, and writers in the middle of their work."""
    alias = database_alias(url)
    call_command("migrate", database=alias, verbosity=0)
    writers = Writers(alias)
    for thread in writers.threads:
        thread.start()
    try:
        writers.more()
        yield writers
    finally:
        writers.stopped.set()
        for thread in writers.threads:
            thread.join()
        connections[alias].close()


def under(heading: str, needs: str) -> list[Block]:
    """The blocks under a heading of the page that need this, in order."""
    return [each for each in blocks(PAGE) if (each.heading, each.needs) == (heading, needs)]


def assert_holds(url: str, before: dict[str, list[str]]) -> None:
    """What was acknowledged before the backup is there, once, in order, and there are no gaps."""
    alias = database_alias(url)
    assert server_messages(alias) == []  # that of missing functions or procedures among them
    store = ConversationStore(alias)
    for memory_id, texts in before.items():
        window = store.window(memory_id, 10_000)
        found = [json.loads(message.body)["content"][0]["value"] for message in window]
        assert [message.position for message in window] == list(range(1, len(found) + 1))
        assert len(found) == len(set(found))
        if memory_id == SHARED:
            assert set(texts) <= set(found)
        else:
            assert found[: len(texts)] == texts
    connections[alias].close()


def assert_serves(reader: Reader) -> None:
    """The service adds to what was restored."""
    reader.serve("convstore serve")
    url = f"http://127.0.0.1:{reader.port}/v2/models/filesys-memory/infer"
    body = append_request(SHARED, "after the restore")
    reply = requests.post(url, json=body, timeout=30)
    assert "after the restore" in reply.json()["outputs"][1]["data"][-1]


def test_an_sqlite_file(tmp_path: Path) -> None:
    save, make, restore = under("SQLite", "")
    with Reader(tmp_path) as reader:
        reader.does(save)
        url = f"sqlite:///{reader.folder}/data/conversations.sqlite3"
        with writing(url) as writers:
            before = writers.acknowledged_by_now()
            reader.does(make)
            writers.more()
        reader.does(restore)
        assert_holds(url, before)
        assert_serves(reader)


# --- PostgreSQL --------------------------------------------------------------------------


@pytest.fixture
def convstore(postgresql: Postgres) -> Iterator[str]:
    """The URL of the database that the page calls convstore, on the tests' server."""
    postgresql.execute("CREATE ROLE convstore LOGIN")
    postgresql.execute("CREATE DATABASE convstore OWNER convstore")
    yield f"postgresql://convstore@127.0.0.1:{postgresql.port}/convstore"
    postgresql.execute("DROP DATABASE convstore WITH (FORCE)")
    postgresql.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
    postgresql.execute("DROP ROLE convstore")


def reader_of(postgresql: Postgres, folder: Path) -> Reader:
    address = f"127.0.0.1:{postgresql.port}"
    replaced = {"postgres@localhost:5432": f"admin@{address}", "localhost:5432": address}
    return Reader(folder, replaced, str(postgresql.bin))


def test_a_dump_and_a_base_backup_of_postgresql(
    postgresql: Postgres, convstore: str, tmp_path: Path
) -> None:
    dump, create, restore, copy = under("PostgreSQL", "PostgreSQL")
    restored = f"{convstore.removesuffix('convstore')}restored"
    with ExitStack() as stack:
        reader = stack.enter_context(reader_of(postgresql, tmp_path))
        with writing(convstore) as writers:
            before = writers.acknowledged_by_now()
            reader.does(dump)
            with psycopg.connect(postgresql.url(), autocommit=True) as connection:
                connection.execute(create.text.encode())
            reader.does(restore)
            before_the_copy = writers.acknowledged_by_now()
            reader.does(copy)
            writers.more()
        assert_holds(restored, before)
        reader.environment["DATABASE_URL"] = restored
        assert_serves(reader)
        other = stack.enter_context(Postgres(programs=postgresql.bin))
        other.restore(reader.folder / "base")
        assert_holds(convstore.replace(str(postgresql.port), str(other.port)), before_the_copy)


# --- MariaDB -----------------------------------------------------------------------------


@pytest.fixture
def mariadb(server: Callable[[str], MariaDb]) -> Iterator[MariaDb]:
    """The tests' server, with the database and the user that the page calls convstore."""
    mariadb = server("mariadb")
    mariadb.execute("CREATE DATABASE convstore")
    mariadb.execute("CREATE USER convstore@'%' IDENTIFIED BY 'change-me'")
    mariadb.execute("GRANT ALL PRIVILEGES ON convstore.* TO convstore@'%'")
    yield mariadb
    mariadb.execute("DROP DATABASE convstore")
    mariadb.execute("DROP DATABASE IF EXISTS restored")
    mariadb.execute("DROP USER convstore@'%'")


def url_on(mariadb: MariaDb, database: str = "convstore") -> str:
    return f"mysql://convstore:change-me@127.0.0.1:{mariadb.port}/{database}"


def port_of(mariadb: MariaDb) -> dict[str, str]:
    """What the reader replaces on the page."""
    address = {"localhost:3306": f"127.0.0.1:{mariadb.port}"}
    return {**address, "--port=3306": f"--port={mariadb.port}"}


@pytest.mark.needs("mariadb")
def test_a_dump_of_mariadb(mariadb: MariaDb, tmp_path: Path) -> None:
    dump, create, restore = under("MySQL and MariaDB", "MariaDB")
    with Reader(tmp_path, port_of(mariadb)) as reader, writing(url_on(mariadb)) as writers:
        before = writers.acknowledged_by_now()
        reader.does(dump)
        for statement in filter(str.strip, create.text.split(";")):
            mariadb.execute(statement)
        reader.does(restore)
        writers.more()
        assert_holds(url_on(mariadb, "restored"), before)
        reader.environment["DATABASE_URL"] = url_on(mariadb, "restored")
        assert_serves(reader)


@pytest.mark.needs("mariadb", "mariadb-backup")
def test_a_copy_of_a_whole_mariadb(mariadb: MariaDb, tmp_path: Path) -> None:
    copy, restore = under("MySQL and MariaDB", "mariadb-backup")
    with ExitStack() as stack:
        reader = stack.enter_context(Reader(tmp_path, port_of(mariadb)))
        reader.replaced["/var/lib/mysql"] = str(mariadb.folder / "data")
        with writing(url_on(mariadb)) as writers:
            before = writers.acknowledged_by_now()
            reader.does(copy)
            writers.more()
        other = stack.enter_context(MariaDb("max-allowed-packet=256M"))
        reader.replaced["/var/lib/mysql"] = str(other.folder / "data")
        other.restore(lambda: reader.does(restore))
        assert_holds(url_on(other), before)
