"""How fast the window of a long conversation is, beside that of a short one.

`make bench` asks the store itself, in process, on SQLite and on a PostgreSQL that is
started here: the time must not depend on the length. The plans of the very statements
that the store runs say why.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import django
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))  # where the packages are
os.environ["DJANGO_SETTINGS_MODULE"] = "convstore.settings"
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402

from convstore.database.url import database_alias  # noqa: E402
from convstore.exchange.shared_sql import ADD, LOCK, READ, READ_OWN, SharedSql  # noqa: E402
from convstore.exchange.statements import ConversationRef, NewMessage  # noqa: E402
from convstore.messages import Message, Part  # noqa: E402
from convstore.store import ConversationStore, conversation_key  # noqa: E402
from testing.postgres import Postgres  # noqa: E402

SHORT, LONG = 100, 1_000_000
WINDOW = 50
WARM_UP, ROUNDS = 100, 500
BATCH = 10_000
# The most that the long conversation may take of the time of the short one.
LIMIT = 1.2
# Conversations beside the measured ones, or a plan may well scan a table of three rows.
OTHERS = 1_000
WORDS = ("what", "was", "said", "here", "some", "time", "ago", "and", "is", "now", "asked", "for")

DATABASES = ("sqlite", "postgresql")

INSERT = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)"""
PIN = """
UPDATE convstore_message SET role = %s, body = %s WHERE conversation_id = %s AND position = 1"""


@dataclass(frozen=True, slots=True)
class Times:
    """How long each run of one operation took, and the CPU time of this process, in ms."""

    wall: list[float]
    cpu: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    def __str__(self) -> str:
        p95 = statistics.quantiles(self.wall, n=20)[-1]
        return f"{self.median:8.3f} {p95:8.3f} {statistics.mean(self.cpu):8.3f}"


# --- Two conversations -------------------------------------------------------------------


def message(role: str = "user") -> Message:
    """A message whose body has about 250 characters."""
    text = " ".join(random.choices(WORDS, k=60))
    return Message(role, [Part("text", text[:185])])


def fill(using: str, memory_id: str, length: int) -> None:
    """Make a conversation of `length` messages, past the store, which takes them one by one."""
    ConversationStore(using).append(memory_id, [message()])
    messages = [message("assistant"), message()] * 500
    rows = [(each.role, each.to_json()) for each in messages]
    with tqdm(total=length, desc=memory_id, unit=" messages", initial=1) as bar:
        for start in range(2, length + 1, BATCH):
            positions = range(start, min(start + BATCH, length + 1))
            insert(using, memory_id, positions, rows)
            bar.update(len(positions))


def insert(
    using: str, memory_id: str, positions: Sequence[int], rows: Sequence[tuple[str, str]]
) -> None:
    """Add messages at `positions`, their roles and bodies out of `rows`."""
    connection = connections[using]
    native = connection.features.has_native_uuid_field
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))

    def column(value: uuid.UUID) -> uuid.UUID | str:
        return value if native else value.hex

    key = column(conversation_key(memory_id))
    with transaction.atomic(using), connection.cursor() as cursor:
        cursor.executemany(
            INSERT,
            [
                (
                    key,
                    position,
                    *rows[position % len(rows)],
                    column(uuid.uuid4()),
                    column(uuid.uuid4()),
                    now,
                )
                for position in positions
            ],
        )


def pin(using: str, memory_id: str) -> None:
    """Make a system message of the conversation's first one."""
    connection = connections[using]
    key = conversation_key(memory_id)
    shown = key if connection.features.has_native_uuid_field else key.hex
    with connection.cursor() as cursor:
        cursor.execute(PIN, ["system", message("system").to_json(), shown])


def settle(using: str) -> None:
    """Let the database finish what the filling has left for later."""
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        else:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()


# --- Measuring ---------------------------------------------------------------------------


def measure(operations: Sequence[Callable[[], object]]) -> list[Times]:
    """Run the operations in turn, again and again; the times of each."""
    times = [Times([], []) for _ in operations]
    for n in range(WARM_UP + ROUNDS):
        for operation, taken in zip(operations, times, strict=True):
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            operation()
            if n >= WARM_UP:
                taken.wall.append((time.perf_counter_ns() - wall) / 1e6)
                taken.cpu.append((time.process_time_ns() - cpu) / 1e6)
    return times


def window_of(store: ConversationStore, memory_id: str) -> Callable[[], object]:
    return lambda: store.window(memory_id, WINDOW)


def exchange_with(store: ConversationStore, memory_id: str) -> Callable[[], object]:
    messages = [message()]
    return lambda: store.exchange(memory_id, messages, WINDOW)


def compare(using: str, short: str, long: str, name: str) -> None:
    """Print one line for the window and one for the exchange, short beside long."""
    store = ConversationStore(using)
    for title, operation in (("window", window_of), ("exchange", exchange_with)):
        on_short, on_long = measure([operation(store, short), operation(store, long)])
        ratio = on_long.median / on_short.median
        verdict = "within" if ratio <= LIMIT else "OVER"
        what = f"{title}, {name} first"
        print(f"{what:<23} {on_short}   {on_long}   {ratio:5.2f} {verdict} {LIMIT}")


def bench(using: str, length: int) -> None:
    """Fill one database, measure it, and print the table and the plans."""
    connection = connections[using]
    call_command("migrate", "convstore", database=using, verbosity=0)
    for n in range(OTHERS):
        ConversationStore(using).append(f"other {n}", [message()])
    short, pinned, long = "short", "short, pinned", "long"
    for memory_id, size in ((short, SHORT), (pinned, SHORT), (long, length)):
        fill(using, memory_id, size)
    settle(using)
    version = ".".join(map(str, connection.get_database_version()))
    print(f"\n{connection.display_name} {version}: ms of {ROUNDS} runs each, window of {WINDOW}\n")
    print(f"{'':<23} {f'{SHORT:,} messages':^26}   {f'{length:,} messages':^26}   ratio of")
    columns = f"{'median':>8} {'p95':>8} {'CPU':>8}"
    print(f"{'':<23} {columns}   {columns}   medians")
    compare(using, short, long, "user")
    pin(using, pinned)
    pin(using, long)
    compare(using, pinned, long, "system")
    print_plans(using, long)
    connection.close()


# --- Plans -------------------------------------------------------------------------------


def print_plans(using: str, memory_id: str) -> None:
    """Print the plan of each statement of a window and of an exchange; nothing is kept."""
    connection = connections[using]
    on_postgresql = connection.vendor == "postgresql"
    explain = "EXPLAIN (ANALYZE, BUFFERS)" if on_postgresql else "EXPLAIN QUERY PLAN"
    to = ConversationRef(conversation_key(memory_id), memory_id, datetime.now(UTC))
    body = message().to_json()
    new = NewMessage("user", body, uuid.uuid4(), uuid.uuid4(), len(body))
    sql = SharedSql(using)
    values = sql.parameters(to, WINDOW) | sql.message_parameters(new, 0) | sql.key_parameters([new])
    # In the order of an exchange: the last statement finds the message of the one before.
    statements = (
        ("the window", READ),
        ("an exchange: lock", LOCK),
        ("an exchange: add", ADD),
        ("an exchange: its window", READ_OWN),
    )
    with transaction.atomic(using), connection.cursor() as cursor:
        for title, statement in statements:
            print(f"\n{explain}, {title}")
            cursor.execute(f"{explain} {statement}", values)
            print("\n".join(f"  {row[-1]}" for row in cursor.fetchall()))
        transaction.set_rollback(True, using)


# --- The command -------------------------------------------------------------------------


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The URL of an empty database that lives as long as it is needed."""
    if kind == "postgresql":
        with Postgres() as server:
            yield server.url()
        return
    with tempfile.TemporaryDirectory(prefix="convstore-bench-") as folder:
        yield f"sqlite:///{folder}/bench.sqlite3"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--long", type=int, default=LONG, help="messages of the long one (default: %(default)s)")
    add("--database", choices=DATABASES, help="only this one")
    chosen = parser.parse_args()
    if chosen.long < SHORT:
        parser.error(f"--long must be at least {SHORT}")
    for kind in [chosen.database] if chosen.database else DATABASES:
        with database(kind) as url:
            bench(database_alias(url), chosen.long)


if __name__ == "__main__":
    main()
