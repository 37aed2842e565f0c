"""The command `words`: on, off and status, beside a service that goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from django.db import connections

from convstore.archive import word_switch
from convstore.archive.history import MessageRow
from convstore.archive.word_switch import (
    fill_step,
    make_word_index,
    turn_words_off,
    turn_words_on,
    word_status,
)
from convstore.database.url import database_alias
from convstore.database.vendors import vendor_for
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from memory_api.management.commands.words import Command
from testing.service import write_memory


def say(*texts: str) -> list[Message]:
    return [Message("user", [Part("text", text)]) for text in texts]


def words_in(database: str) -> list[str | None]:
    """The stored text of each message, without terms."""
    rows = MessageRow.objects.using(database).order_by("conversation_id", "position")
    return [words and words.partition("\n")[0] for words in rows.values_list("words", flat=True)]


def index_of(database: str, state: str) -> str:
    """What the status says of an index: nothing where the database has none."""
    return f"; {state}" if vendor_for(database).word_index else ""


@pytest.fixture
def words(database: str) -> Iterator[Callable[[str], str]]:
    """Run `words` on one database, where no service has to learn of it; what it says."""

    def run(what: str) -> str:
        output = StringIO()
        Command(stdout=output).turn(database, "memory m", what, wait=0)
        return output.getvalue().removeprefix("memory m: ").strip()

    yield run
    turn_words_off(database)


def test_words_are_turned_on_and_off(words, database):
    store = ConversationStore(database)
    assert words("status") == "off" + index_of(database, "no index")
    store.append("a", say("Straße", "Über"))
    filled = "on, and older messages are filled" + index_of(database, "an index")
    for what in ("on", "status", "on"):
        assert words(what) == filled
    store.append("a", say("Élan"))
    assert words_in(database) == ["strasse", "uber", "elan"]
    for what in ("off", "status", "off"):
        assert words(what) == "off" + index_of(database, "no index")
    store.append("a", say("late"))
    assert words_in(database)[3] is None
    assert words("on") == filled
    assert words_in(database)[3] == "late"


def test_appends_go_on_while_older_messages_are_filled(words, database, monkeypatch):
    monkeypatch.setattr(word_switch, "STEP_MESSAGES", 5)
    store = ConversationStore(database)
    store.append("a", say(*map(str, range(200))))
    turn_words_on(database)

    def write() -> None:
        for n in range(50):
            store.append("a", say(f"new {n}"))
        connections[database].close()

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        words("on")
        writing.result()
    assert words_in(database) == [*map(str, range(200)), *(f"new {n}" for n in range(50))]


def test_a_step_reads_a_limited_number_of_bytes(words, database, monkeypatch):
    monkeypatch.setattr(word_switch, "CHUNK_BYTES", 1_000)
    ConversationStore(database).append("a", say(*["x" * 400] * 4, "y" * 3_000, "z"))
    turn_words_on(database)
    assert list(iter(lambda: fill_step(database), None)) == [2, 2, 1, 1]
    assert None not in words_in(database)


def test_filling_ends_when_words_are_turned_off_meanwhile(words, database, monkeypatch):
    monkeypatch.setattr(word_switch, "STEP_MESSAGES", 1)
    ConversationStore(database).append("a", say("one", "two"))
    turn_words_on(database)
    fill_step(database)
    assert words("status").startswith("on, but older messages are not filled yet")
    turn_words_off(database)
    assert fill_step(database) is None
    make_word_index(database)
    assert words("status") == "off" + index_of(database, "no index")
    assert not word_status(database).filled


@pytest.mark.one_database
@pytest.mark.slow
def test_the_command_turns_words_on_in_every_database_that_it_can(tmp_path):
    """One has no tables, and one memory's file is wrong."""
    write_memory(tmp_path, "good", {"database": "filesys", "config": {"path": str(tmp_path)}})
    write_memory(tmp_path, "bad", {"database": "sql", "config": {"window": 1}})
    alias = database_alias(f"sqlite:///{tmp_path}/conversations.sqlite3")
    run_command(tmp_path, "migrate_memories")
    ConversationStore(alias).append("a", say("Straße"))
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    done = run_command(tmp_path, "words", "on", "--wait=0", DATABASE_URL=url)
    assert done.returncode == 1
    assert "memory good: on, and older messages are filled" in done.stdout
    assert "memory bad is passed over" in done.stderr
    assert "DATABASE_URL: the database has no tables yet: run 'convstore migrate" in done.stderr
    assert words_in(alias) == ["strasse"]
    connections[alias].close()


def run_command(
    folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    folders = {"MODELS_DIR": str(folder), "DATA_DIR": str(folder / "data")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=os.environ | folders | variables,
        capture_output=True,
        text=True,
    )
