"""Databases that are down, busy, without tables or restarted: real ones, really so."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import close_old_connections, connections
from sqlalchemy.engine import make_url

from convstore.database.connection import drop_connection
from convstore.database.url import database_alias
from convstore.errors import Unavailable
from convstore.messages import Message, Part
from convstore.models import Conversation
from convstore.store import ConversationStore, conversation_key
from testing.postgres import Postgres

HELLO = [Message("user", (Part("text", "hello"),))]


def new_store(url: str, *, migrate: bool = True, **options: Any) -> ConversationStore:
    alias = database_alias(url, options)
    if migrate:
        call_command("migrate", "convstore", database=alias, verbosity=0)
    return ConversationStore(alias)


@pytest.fixture
def impatient(settings):
    """A time limit of one second."""
    settings.DATABASE_TIMEOUT = 1


def test_a_database_that_nobody_serves_is_unavailable_before_the_time_limit(settings):
    settings.DATABASE_TIMEOUT = 60
    store = ConversationStore(database_alias("postgresql://u:p@127.0.0.1:1/d"))
    before = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be reached"):
        store.window("a", 1)
    assert time.monotonic() - before < settings.DATABASE_TIMEOUT


def test_an_sqlite_folder_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").touch()
    store = ConversationStore(database_alias(f"sqlite:///{tmp_path}/file/a.db"))
    with pytest.raises(Unavailable):
        store.append("a", HELLO)


def test_a_database_without_tables_says_what_to_run(new_database, database_kind):
    store = new_store(new_database(database_kind), migrate=False)
    for ask in (lambda: store.window("a", 1), lambda: store.append("a", HELLO), store.check):
        with pytest.raises(Unavailable, match=r"convstore migrate_memories"):
            ask()


def test_a_lock_that_sqlite_never_gives_is_unavailable_and_later_it_serves(tmp_path, impatient):
    store = new_store(f"sqlite:///{tmp_path}/a.db")
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="too busy"):
            store.append("a", HELLO)
        other.execute("ROLLBACK")
    assert store.append("a", HELLO) == 1


def test_a_lock_that_postgresql_never_gives_is_unavailable_and_later_it_serves(
    postgresql, impatient
):
    store = new_store(postgresql.url())
    memory_id = str(uuid.uuid4())
    assert store.append(memory_id, HELLO) == 1
    with psycopg.connect(postgresql.url()) as other:
        other.execute(
            "SELECT 1 FROM convstore_conversation WHERE id = %s FOR UPDATE",
            [conversation_key(memory_id)],
        )
        with pytest.raises(Unavailable, match="too busy"):
            store.append(memory_id, HELLO)
    assert store.append(memory_id, HELLO) == 2


@pytest.mark.parametrize("options", [{}, {"pool_size": 2}], ids=["threads", "pool"])
def test_a_server_that_takes_no_writes_is_unavailable_and_is_left_when_another_takes_them(
    postgresql, impatient, options
):
    """Sessions that begin while it is read-only stay so, as those of a former primary do."""
    name = f"demoted_{len(options)}"
    postgresql.execute(f"CREATE DATABASE {name}")
    store = new_store(postgresql.url(name), **options)
    assert store.append("a", HELLO) == 1
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    drop_connection(store.using)

    for ask in (store.check, lambda: store.append("a", HELLO)):
        with pytest.raises(Unavailable, match="takes no writes"):
            ask()
    assert [message.position for message in store.window("a", 10)] == [1]

    postgresql.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert store.append("a", HELLO) == 2
    connections[store.using].close()
    if options:
        connections[store.using].close_pool()  # type: ignore[attr-defined]


def test_a_thread_that_only_reads_leaves_a_server_that_took_no_writes_when_another_does(
    postgresql, impatient
):
    postgresql.execute("CREATE DATABASE left_behind")
    store = new_store(postgresql.url("left_behind"))
    with ThreadPoolExecutor(1) as reader:

        def server_process() -> Any:
            store.window("a", 1)
            return connections[store.using].connection.info.backend_pid

        before = reader.submit(server_process).result()
        postgresql.execute("ALTER DATABASE left_behind SET default_transaction_read_only = on")
        connections[store.using].close()
        with pytest.raises(Unavailable):
            store.append("a", HELLO)
        assert reader.submit(server_process).result() == before
        postgresql.execute("ALTER DATABASE left_behind RESET default_transaction_read_only")
        store.append("a", HELLO)
        assert reader.submit(server_process).result() != before
        reader.submit(lambda: connections[store.using].close()).result()
    connections[store.using].close()


@pytest.mark.needs("mariadb")
def test_a_mariadb_that_is_made_read_only_is_left_and_used_again_when_it_takes_writes(
    server, impatient
):
    mariadb = server("mariadb")
    for statement in (
        "CREATE DATABASE replica",
        "CREATE USER plain@'%'",  # root may write to a server that is read-only
        "GRANT ALL ON replica.* TO plain@'%'",
    ):
        mariadb.execute(statement)
    store = new_store(mariadb.url("replica").replace("root@", "plain@"))
    connection: Any = connections[store.using]
    assert store.append("a", HELLO) == 1
    before = connection.connection.thread_id()
    mariadb.execute("SET GLOBAL read_only = 1")
    try:
        for ask in (store.check, lambda: store.append("a", HELLO)):
            with pytest.raises(Unavailable, match="takes no writes"):
                ask()
        assert len(store.window("a", 10)) == 1
    finally:
        mariadb.execute("SET GLOBAL read_only = 0")
    assert store.append("a", HELLO) == 2
    assert connection.connection.thread_id() != before
    connection.close()


def test_connections_that_the_server_ended_are_replaced_unnoticed(postgresql):
    # The tables are made by sessions of another name: on a busy machine, a session can still be
    # listed when its client has closed it.
    new_store(postgresql.url())
    store = new_store(f"{postgresql.url()}?application_name=doomed", migrate=False)
    store.check()
    with psycopg.connect(postgresql.url(), autocommit=True) as other:
        ended = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'doomed'"
        ).fetchall()
    assert ended == [(True,)]
    memory_id = str(uuid.uuid4())
    assert store.append(memory_id, HELLO) == 1
    assert store.window(memory_id, 10)[-1].position == 1


def test_a_message_whose_answer_was_lost_is_found_and_not_doubled(postgresql):
    """The server is cut off after it committed and before its answer is heard."""
    proxy = LossyProxy(make_url(postgresql.url()).port or 0)
    with proxy:
        store = new_store(f"postgresql://admin@127.0.0.1:{proxy.port}/postgres")
        memory_id = str(uuid.uuid4())
        assert store.append(memory_id, HELLO) == 1
        proxy.swallow_next_answer()
        assert store.append(memory_id, HELLO) == 2
        assert proxy.swallowed == 1
        assert [message.position for message in store.window(memory_id, 10)] == [1, 2]
        connections[store.using].close()


@pytest.mark.needs("postgresql")
def test_a_server_that_was_restarted_is_used_again_without_help():
    with Postgres() as server:
        store = new_store(server.url())
        assert store.append("a", HELLO) == 1
        server.stop()
        with pytest.raises(Unavailable):
            store.append("a", HELLO)
        server.start()
        assert store.append("a", HELLO) == 2
        connections[store.using].close()


def test_an_exchange_is_one_message_to_the_server_and_a_window_too(postgresql):
    """Between two requests, when Django would check a connection before it uses it."""
    with LossyProxy(make_url(postgresql.url()).port or 0) as proxy:
        store = new_store(f"postgresql://admin@127.0.0.1:{proxy.port}/postgres")
        memory_id = str(uuid.uuid4())
        for work in (lambda: store.append(memory_id, HELLO), lambda: store.window(memory_id, 10)):
            work()
            close_old_connections()
            before = proxy.asked
            work()
            assert proxy.asked == before + 1
        connections[store.using].close()


@pytest.mark.needs("postgresql")
def test_djangos_own_queries_find_a_new_connection_after_a_restart():
    with Postgres() as server:
        store = new_store(server.url())
        store.check()
        server.stop()
        server.start()
        close_old_connections()  # as at the begin of each request
        assert not Conversation.objects.using(store.using).exists()
        connections[store.using].close()


class LossyProxy:
    """A TCP proxy that can swallow the server's next answer and cut the connection."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.swallowed = 0
        self.asked = 0  # how often the client sent something
        self._swallow = threading.Event()
        self._ends: list[socket.socket] = []

    def __enter__(self):
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # close() alone would leave accept() and recv() waiting.
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._thread.join()

    def swallow_next_answer(self) -> None:
        self._swallow.set()

    def _accept(self) -> None:
        pipes = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._ends += [client, server]
            for source, target, answers in ((client, server, False), (server, client, True)):
                pipe = threading.Thread(target=self._pipe, args=(source, target, answers))
                pipe.start()
                pipes.append(pipe)
        for pipe in pipes:
            pipe.join()

    def _pipe(self, source, target, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                self.asked += not answers
                if answers and self._swallow.is_set():
                    self._swallow.clear()
                    self.swallowed += 1
                    break
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
