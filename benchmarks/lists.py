"""How lists of conversations and pages of items do at scale: a large database beside a small one.

`make bench-lists` fills two databases of each kind. It asks both in turn for each list and page
of the Conversations API, below HTTP, and the large one for its plans: a page is to be a range of
an index. The small one has 100 conversations, and one of 100 items; in both, a tenant has 10.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from benchmarks.lab import DATABASES, Lab
from benchmarks.report import table
from benchmarks.stores.ours import settle  # sets Django up
from benchmarks.subjects import cpu_seconds

# isort: split
from django.core.management import call_command
from django.db import connections
from django.test.utils import CaptureQueriesContext

from api_keys.caller import ANYBODY, Caller
from benchmarks.bulk import Row, prepare, write_rows
from benchmarks.plans import plan_of, refuse_blindness, summary
from conversations_api.conversation_store import Conversations
from conversations_api.listing import conversation_page
from conversations_api.requests import ACTIVE, ASCENDING, DESCENDING, ListQuery, PageQuery
from convstore.database.migration_lock import without_time_limits
from convstore.database.url import database_alias
from convstore.exchange.item_ids import digest_of
from convstore.exchange.metadata import metadata_json, pair_digests
from convstore.messages import Message, Part
from convstore.store import ConversationStore, conversation_key
from memory_api.memory import Memory

SMALL, LIMIT, BLOCKS = 100, 20, 5
# The most that a page may take of the time that it takes on the small database.
MOST_TIMES = 1.5
PAIR, TENANT, LONG = ("kind", "chat"), Caller(tenant="acme"), "chat-long"
BODY = Message("user", [Part("text", "Where is my order?")]).to_json()


# --- What is stored ----------------------------------------------------------------------


def memory_id(n: int, count: int) -> str:
    """Ten are of the tenant, half of the others are of another one."""
    if n % (count // 10) == 5:
        return TENANT.stored_id(f"chat-{n:08}")
    return f"other/chat-{n:08}" if n % 2 else f"chat-{n:08}"


def moment(n: int, count: int) -> str:
    return str(datetime(2026, 1, 2) + timedelta(microseconds=n * 10**12 // count))


def conversations(count: int) -> Iterator[Row]:
    for n in range(count):
        name, at = memory_id(n, count), moment(n, count)
        yield conversation_key(name).hex, name, at, at, metadata_json(dict([PAIR]))
    at = str(datetime(2026, 1, 1))
    yield conversation_key(LONG).hex, LONG, at, at, None


def pairs(count: int) -> Iterator[Row]:
    for n in range(count):
        name = memory_id(n, count)
        for digest in pair_digests(name, dict([PAIR])):
            yield digest.hex, moment(n, count), conversation_key(name).hex


def messages(count: int) -> Iterator[Row]:
    chance, key = random.Random(1), conversation_key(LONG).hex
    for n in range(count):
        request_key = uuid.UUID(bytes=chance.randbytes(16), version=4).hex
        yield key, n + 1, "user", BODY, request_key, request_key, moment(n, count), len(BODY)


def item_ids(count: int) -> Iterator[Row]:
    """Each message has an id of its client's, too."""
    for position in range(1, count + 1):
        yield conversation_key(LONG).hex, digest_of(own_id(position)).hex, position, 0


def own_id(position: int) -> str:
    return f"own-{position}"


TABLES: dict[str, tuple[str, Callable[[int], Iterator[Row]]]] = {
    "conversation": ("id, memory_id, created_at, active_at, metadata", conversations),
    "metadatapair": ("digest, created_at, conversation", pairs),
    "message": (
        "conversation_id, position, role, body, request_key, fingerprint, created_at, size",
        messages,
    ),
    "itemid": ("conversation, digest, position, number", item_ids),
}


def fill(alias: str, count: int) -> None:
    """So many conversations with a pair of metadata, and one with so many messages."""
    call_command("migrate", "convstore", database=alias, verbosity=0)
    with without_time_limits(alias):
        prepare(alias)
        for name, (columns, rows) in TABLES.items():
            write_rows(alias, f"convstore_{name}", columns, rows(count), count)
            if connections[alias].vendor == "mysql":
                with connections[alias].cursor() as cursor:
                    cursor.execute(f"ANALYZE TABLE convstore_{name}")
                    cursor.fetchall()
        settle(alias)


# --- Lists and pages ---------------------------------------------------------------------

Page = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Filled:
    """A database that was filled: its pages by name. Each returns how many entries it has."""

    alias: str
    count: int

    def pages(self) -> Iterator[tuple[str, Page]]:
        middle = self.seen_by(ANYBODY).shown_id(memory_id(self.count // 2, self.count))
        yield "list, newest first", self.listed()
        yield "list, newest first, from the middle", self.listed(after=middle)
        yield "list, last active first", self.listed(order=ACTIVE)
        yield "list, ids that begin with: chat-", self.listed(prefix="chat-")
        yield "list, metadata", self.listed(pair=PAIR)
        yield "list, metadata, from the middle", self.listed(pair=PAIR, after=middle)
        yield "a tenant's list, newest first", self.listed(TENANT)
        yield "a tenant's list, last active first", self.listed(TENANT, order=ACTIVE)
        yield "a tenant's list, metadata", self.listed(TENANT, pair=PAIR)
        position = str(self.count // 2)
        item = self.seen_by(ANYBODY).items(LONG).item_at(position).id
        yield "items, oldest first", self.items(ASCENDING)
        yield "items, newest first", self.items(DESCENDING)
        yield "items, behind a position", self.items(ASCENDING, position)
        yield "items, before a position", self.items(DESCENDING, position)
        yield "items, behind an item", self.items(ASCENDING, item)
        yield "items, before an item", self.items(DESCENDING, item)
        theirs = own_id(self.count // 2)
        yield "items, behind an item with its client's id", self.items(ASCENDING, theirs)
        yield "one item", lambda: int(bool(self.seen_by(ANYBODY).items(LONG).item(item)))

    def seen_by(self, caller: Caller) -> Conversations:
        return Conversations(Memory(name="m", store=ConversationStore(self.alias)), caller)

    def listed(
        self,
        caller: Caller = ANYBODY,
        order: str = DESCENDING,
        after: str | None = None,
        pair: tuple[str, str] | None = None,
        prefix: str | None = None,
    ) -> Page:
        query = ListQuery(LIMIT, order, after, pair, prefix)
        return lambda: len(conversation_page(self.seen_by(caller), query)[0])

    def items(self, order: str, after: str | None = None) -> Page:
        query = PageQuery(LIMIT, order, after)
        return lambda: len(self.seen_by(ANYBODY).items(LONG).page(query)[0])


# --- Measuring ---------------------------------------------------------------------------


def cpu(database: int | None, page: Page, entries: int, calls: int) -> float:
    """The CPU time of a call in ms: of this process, and of the database's."""
    before = time.process_time() + cpu_seconds(database)
    for _ in range(calls):
        if page() != entries:
            sys.exit("a page has other entries than before")
    return 1_000 * (time.process_time() + cpu_seconds(database) - before) / calls


def measured(
    small: Filled, large: Filled, database: int | None, calls: int
) -> Iterator[Sequence[str]]:
    """A row of the table for each page."""
    for (name, ours), (_, theirs) in zip(small.pages(), large.pages(), strict=True):
        entries = ours()
        with CaptureQueriesContext(connections[large.alias]) as queries:
            if theirs() != entries or not entries:
                sys.exit(f"{name}: the databases have not as many entries")
        asked = [each["sql"] for each in queries if each["sql"].startswith("SELECT")]
        plans = [plan_of(large.alias, statement) for statement in asked]
        # In turn, so that what else the machine does slows both.
        blocks = [
            (cpu(database, ours, entries, calls), cpu(database, theirs, entries, calls))
            for _ in range(BLOCKS)
        ]
        first, second = map(statistics.median, zip(*blocks, strict=True))
        ratio = second / first
        shown = f"{ratio:.2f}" if ratio <= MOST_TIMES else f"**{ratio:.2f}**"
        figures = f"{entries}", f"{len(asked)}", f"{first:.2f}", f"{second:.2f}", shown
        yield name, *figures, summary(large.alias, plans)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-lists", description=__doc__)
    add = parser.add_argument
    add("--databases", default=",".join(DATABASES), help="only these (%(default)s)")
    add("--rows", type=int, default=1_000_000, help="of the large one (%(default)s)")
    add("--calls", type=int, default=30, help="of each page, five times (%(default)s)")
    chosen = parser.parse_args()
    heads = ("page", "entries", "queries", f"{SMALL:,}: ms CPU", f"{chosen.rows:,}: ms CPU")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and end what was started
    with Lab() as lab:
        for kind in chosen.databases.split(","):
            small, large = (
                Filled(database_alias(lab.url(kind, f"lists_{count}")), count)
                for count in (SMALL, chosen.rows)
            )
            for each in (small, large):
                fill(each.alias, each.count)
            refuse_blindness(large.alias)
            found = measured(small, large, lab.database_process(kind), chosen.calls)
            print(f"\n**{kind}**\n", *table((*heads, "ratio", "its plans read"), found), sep="\n")
        for alias in connections:
            connections[alias].close()


if __name__ == "__main__":
    main()
