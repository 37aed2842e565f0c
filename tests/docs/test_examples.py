"""Every example of every page runs, in order, as a reader would run it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import psycopg
import pytest

from testing.mariadb import MariaDb
from testing.postgres import Postgres
from tests.docs.openai_server import openai_server
from tests.docs.pages import PAGES, ROOT, Block, blocks, name
from tests.docs.session import Reader

# What the reader of the quickstart types.
TYPED = "I am Ada.\nWho am I?\n"
HOWTO = ROOT / "docs/howto/postgresql-and-mysql.md"
QUICKSTART = ROOT / "docs/quickstart.md"
PARTITIONS = ROOT / "docs/howto/partitions.md"
OPERATE = ROOT / "docs/howto/operate.md"
EMBED = ROOT / "docs/howto/embed.md"

STORE_TWO = """
import django
django.setup()
from convstore.messages import Message, Part
from convstore.store import ConversationStore
for text in ("first", "second \N{WAVING HAND SIGN}"):
    window = ConversationStore().exchange("moved", [Message("user", [Part("text", text)])], 9)
print([message.body for message in window])
"""
READ = """
import django
django.setup()
from convstore.store import ConversationStore
print([message.body for message in ConversationStore().window("moved", 9)])
"""


def runs(block: Block, has: Collection[str]) -> bool:
    """Whether a reader who has that much runs the block; alone, that is all without a need."""
    return block.language in ("sh", "python", "sql") and (not block.needs or block.needs in has)


def runnable() -> list[Path]:
    pages = [page for page in PAGES if any(runs(block, ()) for block in blocks(page))]
    # The quickstart's test is below; test_embedding.py does what the other page says.
    return [page for page in pages if page not in (QUICKSTART, EMBED)]


def read(
    page: Path,
    reader: Reader,
    has: Collection[str] = (),
    sql: Callable[[str], object] | None = None,
    only: Callable[[Block], object] = bool,
) -> None:
    """Do the blocks of a page that need no more than `has`; a bare block is the output."""
    printed = ""
    for block in filter(only, blocks(page)):
        if runs(block, has):
            if block.language == "sql" and sql:
                sql(block.text)
            else:
                printed = reader.does(block)
        elif not block.language:
            assert printed == block.text, block


@pytest.mark.slow
@pytest.mark.parametrize("page", runnable(), ids=name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader:
        reader.makes_tables()
        read(page, reader)


@pytest.mark.slow
def test_the_chat_of_the_quickstart_remembers_also_when_it_is_started_again(
    tmp_path: Path,
) -> None:
    (chat,) = [block for block in blocks(QUICKSTART) if "python chat.py" in block.text]
    with (
        openai_server() as llm,
        Reader(tmp_path, {"localhost:11434": llm}, typed=TYPED) as reader,
    ):
        read(QUICKSTART, reader)
        answers = reader.does(chat).splitlines()
    assert answers == [f"{n} messages, first: I am Ada." for n in (5, 7)]


# --- On servers --------------------------------------------------------------------------


def needs_or_moves(block: Block) -> bool:
    """What remains of the page to do on a server: test_backups.py restores there."""
    if block.heading in ("PostgreSQL", "MySQL and MariaDB"):
        return False
    return bool(block.needs) or block.heading.startswith("Move ")


def test_the_examples_for_postgresql_run_and_move_what_was_stored(
    tmp_path: Path, postgresql: Postgres
) -> None:
    def run(text: str) -> None:
        database = "postgres" if "CREATE DATABASE" in text else "convstore"
        with psycopg.connect(postgresql.url(database), autocommit=True) as connection:
            for statement in filter(str.strip, text.split(";")):
                connection.execute(statement.encode())

    replaced = {"localhost:5432": f"127.0.0.1:{postgresql.port}"}
    programs = str(postgresql.bin)
    try:
        (tmp_path / "1").mkdir()
        with Reader(tmp_path / "1", replaced, programs) as reader:
            read(HOWTO, reader, ["PostgreSQL"], run)
        (tmp_path / "2").mkdir()
        with Reader(tmp_path / "2", replaced, programs) as reader:
            reader.makes_tables()
            stored = reader.runs_python(STORE_TWO)
            read(OPERATE, reader, ["PostgreSQL"], run, needs_or_moves)
        (tmp_path / "3").mkdir()
        with Reader(tmp_path / "3", replaced) as reader:
            reader.environment["DATABASE_URL"] = postgresql.url("convstore")
            assert reader.runs_python(READ) == stored
        (tmp_path / "4").mkdir()
        with Reader(tmp_path / "4", replaced, programs) as reader:
            reader.makes_tables()
            read(PARTITIONS, reader, ["PostgreSQL"], run)
            reader.environment["DATABASE_URL"] = postgresql.url("convstore_new")
            assert reader.runs_python(READ) == stored
    finally:
        postgresql.execute("DROP DATABASE IF EXISTS convstore WITH (FORCE)")
        postgresql.execute("DROP DATABASE IF EXISTS convstore_new WITH (FORCE)")
        postgresql.execute("DROP ROLE IF EXISTS convstore")


@pytest.mark.needs("mariadb")
def test_the_examples_for_mariadb_run(tmp_path: Path, server: Callable[[str], MariaDb]) -> None:
    mariadb = server("mariadb")

    def run(text: str) -> None:
        for statement in filter(str.strip, text.split(";")):
            mariadb.execute(statement)

    replaced = {"localhost:3306": f"127.0.0.1:{mariadb.port}"}
    try:
        with Reader(tmp_path, replaced) as reader:
            reader.makes_tables()
            read(HOWTO, reader, ["MariaDB"], run)
            read(OPERATE, reader, ["MariaDB"], run, needs_or_moves)
    finally:
        mariadb.execute("DROP DATABASE IF EXISTS convstore")
        mariadb.execute("DROP USER IF EXISTS convstore@'%'")
