"""How many bytes a message takes in each database, and what partitions cost PostgreSQL.

`make bench-sizes` fills databases with conversations whose messages come in any order, as from
many users at once, and asks what the tables and indexes take. Then exchanges run on tables with
more and more partitions, in turn, and their CPU time is compared.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from benchmarks.admin import PHRASES  # sets Django up
from benchmarks.lab import DATABASES, Lab
from benchmarks.report import table
from benchmarks.subjects import cpu_seconds

# isort: split
from django.core.management import call_command
from django.db import connections

from convstore import models
from convstore.archive.word_switch import fill_step, make_word_index, turn_words_on, words_of
from convstore.database.migration_lock import without_time_limits
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.store import ConversationStore, conversation_key
from convstore.words import texts_of

EACH, BATCH = 20, 2_000
PARTITIONS = (None, 4, 16, 64, 256)
ROUNDS, CALLS, WINDOW = 5, 400, 20

# Tables and indexes, with their bytes.
SIZES = {
    "postgresql": """
SELECT relname, pg_table_size(oid) FROM pg_class
WHERE relname LIKE 'convstore_message%' OR relname LIKE 'convstore_conversation%'
  OR relname LIKE 'message_%' OR relname LIKE 'conversation_%'""",
    "mysql": """
SELECT CONCAT(table_name, IF(index_name = 'PRIMARY', '', CONCAT(' ', index_name))),
  stat_value * @@innodb_page_size
FROM mysql.innodb_index_stats
WHERE database_name = DATABASE() AND stat_name = 'size' AND table_name LIKE 'convstore_%'""",
    "sqlite": "SELECT name, sum(pgsize) FROM dbstat WHERE name LIKE '%co%' GROUP BY name",
}
SETTLE = {
    "postgresql": ["VACUUM ANALYZE"],
    "mysql": ["ANALYZE TABLE convstore_message, convstore_conversation"],
    "sqlite": ["PRAGMA wal_checkpoint(TRUNCATE)"],
}


def said(chance: random.Random) -> Message:
    return Message("user", [Part("text", f"{chance.choice(PHRASES)} {chance.choice(PHRASES)}")])


def rows(alias: str, count: int, *, words: bool) -> Iterator[models.Message]:
    chance, lengths, now = random.Random(1), Counter[int](), datetime.now(UTC)
    order = [n for n in range(count // EACH) for _ in range(EACH)]
    chance.shuffle(order)
    for n in order:
        lengths[n] += 1
        message = said(chance)
        body = message.to_json()
        yield models.Message(
            conversation_id=conversation_key(f"chat-{n:08x}"),
            position=lengths[n],
            role=message.role,
            body=body,
            request_key=uuid.UUID(bytes=chance.randbytes(16), version=4),
            fingerprint=uuid.UUID(bytes=chance.randbytes(16), version=4),
            created_at=now,
            size=len(body.encode()),
            words=words_of(alias, texts_of(message)) if words else None,
        )


def fill(alias: str, count: int, *, words: bool) -> int:
    """Store so many messages; the bytes of their bodies."""
    call_command("migrate", "convstore", database=alias, verbosity=0)
    if words:
        turn_words_on(alias)
        fill_step(alias)
        make_word_index(alias)
    now = datetime.now(UTC)
    ids = [f"chat-{n:08x}" for n in range(count // EACH)]
    models.Conversation.objects.using(alias).bulk_create(
        models.Conversation(
            id=conversation_key(name), memory_id=name, created_at=now, active_at=now
        )
        for name in ids
    )
    left, octets = rows(alias, count, words=words), 0
    while batch := list(islice(left, BATCH)):
        models.Message.objects.using(alias).bulk_create(batch)
        octets += sum(row.size for row in batch)
    return octets


def sizes(alias: str) -> dict[str, int]:
    """The bytes of each table and index."""
    vendor = connections[alias].vendor
    with connections[alias].cursor() as cursor:
        for statement in SETTLE[vendor]:
            cursor.execute(statement)
            cursor.fetchall() if cursor.description else None
        cursor.execute(SIZES[vendor], None)
        return {str(name): int(octets) for name, octets in cursor.fetchall()}


def part_of(name: str) -> str:
    """A column of the table, for a table or an index."""
    if name in ("convstore_message", "message_terms"):
        return {"message_terms": "index of words"}.get(name, "messages")
    return "keys" if "message" in name else "conversations"


COLUMNS = ("messages", "keys", "index of words", "conversations")
SIZE_HEADS = ("database", "words", "body", *COLUMNS, "total")
COST_HEADS = ("partitions", "service, ms", "PostgreSQL, ms", "ratio")


def measured_sizes(lab: Lab, count: int) -> Iterator[list[str]]:
    """For each database, without words and with them: bytes for each message."""
    for kind in DATABASES:
        for words in (False, True):
            alias = database_alias(lab.url(kind, f"sizes_{'on' if words else 'off'}"))
            with without_time_limits(alias):
                octets = fill(alias, count, words=words)
                found = Counter[str]()
                for name, size in sizes(alias).items():
                    found[part_of(name)] += size
            each = [octets, *(found[column] for column in COLUMNS), found.total()]
            yield [kind, "on" if words else "off", *(f"{size / count:,.0f}" for size in each)]


# --- What partitions cost ----------------------------------------------------------------


def cost(lab: Lab, store: ConversationStore) -> tuple[float, float]:
    """The CPU time of an exchange in milliseconds: of this process, and of PostgreSQL."""
    server, chance = lab.database_process("postgresql"), random.Random(2)
    before = time.process_time(), cpu_seconds(server)
    for n in range(CALLS):
        store.exchange(f"chat-{n % 50}", [said(chance)], WINDOW)
    after = time.process_time(), cpu_seconds(server)
    here, there = (1_000 * (new - old) / CALLS for old, new in zip(before, after, strict=True))
    return here, there


def measured_costs(lab: Lab) -> Iterator[list[str]]:
    """For each number of partitions: the CPU time of an exchange, and beside a plain table's."""
    stores: dict[int | None, ConversationStore] = {}
    for number in PARTITIONS:
        alias = database_alias(lab.url("postgresql", f"partitions_{number or 0}"))
        call_command("migrate", "convstore", database=alias, verbosity=0, partitions=number)
        stores[number] = ConversationStore(alias)
        cost(lab, stores[number])
    runs: dict[int | None, list[tuple[float, float]]] = {number: [] for number in PARTITIONS}
    for _ in range(ROUNDS):
        for number, store in stores.items():
            runs[number].append(cost(lab, store))
    medians = {
        number: list(map(statistics.median, zip(*run, strict=True))) for number, run in runs.items()
    }
    for number, (here, there) in medians.items():
        ratio = there / medians[None][1]
        yield [str(number or "none"), f"{here:.2f}", f"{there:.2f}", f"{ratio:.2f}"]


def show(heads: Sequence[str], found: Iterator[list[str]]) -> None:
    print("", *table(heads, found), sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-sizes", description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000, help="(default: %(default)s)")
    chosen = parser.parse_args()
    with Lab() as lab:
        show(SIZE_HEADS, measured_sizes(lab, chosen.messages))
        show(COST_HEADS, measured_costs(lab))
        for alias in connections:
            connections[alias].close()


if __name__ == "__main__":
    main()
