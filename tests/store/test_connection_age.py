"""A connection to a database is replaced when it is old, not all of them at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import close_old_connections, connections

from convstore.database.connection import JITTER, count_open_connections, open_connection
from convstore.database.url import database_alias, database_settings
from convstore.store import ConversationStore

MAX_AGE = 100


@pytest.mark.parametrize("url", ["sqlite:///a.db", "postgresql://u@h/d", "mysql://u@h/d"])
def test_the_setting_is_the_maximal_age_and_a_memorys_own_option_wins(settings, url):
    assert database_settings(url)["CONN_MAX_AGE"] == 3600
    settings.DATABASE_CONNECTION_MAX_AGE = MAX_AGE
    assert database_settings(url)["CONN_MAX_AGE"] == MAX_AGE
    assert database_settings(url, {"pool_recycle": 7})["CONN_MAX_AGE"] == 7
    assert database_settings(url, {"pool_recycle": -1})["CONN_MAX_AGE"] is None


def test_what_all_threads_hold_is_counted(tmp_path):
    alias = database_alias(f"sqlite:///{tmp_path}/a.sqlite3")
    both_hold, counted = threading.Barrier(3), threading.Event()

    def hold() -> None:
        open_connection(alias)
        both_hold.wait(30)
        counted.wait(30)
        connections[alias].close()

    with ThreadPoolExecutor(2) as threads:
        held = [threads.submit(hold) for _ in range(2)]
        both_hold.wait(30)
        assert count_open_connections()[alias] == 2
        counted.set()
        for each in held:
            each.result(30)
        assert count_open_connections()[alias] == 0


def test_a_pools_connections_have_the_same_age(settings):
    settings.DATABASE_CONNECTION_MAX_AGE = MAX_AGE
    pool = database_settings("postgresql://u@h/d", {"pool_size": 3})["OPTIONS"]["pool"]
    assert pool["max_lifetime"] == MAX_AGE


def test_an_old_connection_is_replaced_between_two_requests(database_url, database, settings):
    settings.DATABASE_CONNECTION_MAX_AGE = 1
    store = ConversationStore(database_alias(database_url))
    connection: Any = connections[store.using]
    store.check()
    before = connection.connection
    close_old_connections()  # as at the end of each request
    assert connection.connection is before
    time.sleep(1)
    close_old_connections()
    store.check()
    assert connection.connection is not before
    connection.close()


def test_connections_that_begin_at_once_do_not_end_at_once(tmp_path, settings):
    settings.DATABASE_CONNECTION_MAX_AGE = MAX_AGE
    alias = database_alias(f"sqlite:///{tmp_path}/a.db")
    ends = []
    for _ in range(20):
        connection = open_connection(alias)
        ends.append(connection.close_at - time.monotonic())
        connection.close()
    assert MAX_AGE * (1 - JITTER) - 1 < min(ends) < max(ends) <= MAX_AGE
    assert max(ends) - min(ends) > 1
