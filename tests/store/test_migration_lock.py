"""Several replicas migrate one database at the same moment, and none trips over another."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from django.core.management import call_command
from django.db import connections

from convstore.database.migration_lock import migration_lock
from convstore.database.url import database_alias
from convstore.store import ConversationStore

REPLICAS = 4


def replica(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "migrate"],
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def url(new_database, database_kind) -> str:
    made: str = new_database(database_kind)
    return made


@pytest.mark.slow
def test_replicas_that_start_at_once_all_succeed_and_one_of_them_migrates(url):
    replicas = [replica(url) for _ in range(REPLICAS)]
    outputs = [process.communicate() for process in replicas]
    assert [process.returncode for process in replicas] == [0] * REPLICAS, outputs
    applied = [out.count("convstore.0001_initial") for out, _ in outputs]
    assert sorted(applied) == [0] * (REPLICAS - 1) + [1]
    assert ConversationStore(database_alias(url)).window("a", 1) == []


@pytest.mark.slow
def test_a_migration_waits_for_the_one_before_it_and_says_so(url):
    with migration_lock(database_alias(url), lambda: None):
        waiting = replica(url)
        assert waiting.stdout
        assert waiting.stdout.readline() == (
            "Another process is migrating this database; waiting for it ...\n"
        )
        assert waiting.poll() is None
    assert waiting.communicate(timeout=60)[1] == ""
    assert waiting.returncode == 0


@pytest.mark.slow
def test_the_lock_ends_with_the_process_that_held_it(url):
    code = (
        "import django, sys, time; django.setup()\n"
        "from convstore.database.migration_lock import migration_lock\n"
        "with migration_lock('default', lambda: None):\n"
        "    print('held', flush=True); time.sleep(600)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "convstore.settings"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    assert replica(url).communicate(timeout=60)[1] == ""


def test_threads_of_one_process_wait_for_each_other_too(url):
    alias, waits = database_alias(url), threading.Event()

    def migrate() -> None:
        with migration_lock(alias, waits.set):
            pass
        connections[alias].close()

    thread = threading.Thread(target=migrate)
    with migration_lock(alias, lambda: None):
        thread.start()
        assert waits.wait(60)
        assert thread.is_alive()
    thread.join(60)
    assert not thread.is_alive()


def test_a_plan_is_shown_while_another_process_migrates(url, capsys):
    alias = database_alias(url)
    with migration_lock(alias, lambda: None):
        call_command("migrate", "convstore", plan=True, database=alias)
    assert "Create model Conversation" in capsys.readouterr().out
