"""How the admin's pages do at scale: a large database beside a small one.

`make bench-admin` asks for each page in process, on SQLite and on a PostgreSQL that is
started here, or on MariaDB with `--database=mariadb`: neither its queries nor its time may
depend on how much is stored. Each database is filled and measured by a child process of its
own, whose default database it is: the admin keeps its users, its sessions and its audit log
there.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from html import unescape
from itertools import accumulate
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urldefrag, urljoin

from tqdm import tqdm

from benchmarks.lab import Lab
from benchmarks.stores.ours import settle  # sets Django up

# isort: split
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from benchmarks.bulk import Row, prepare, write_rows
from convstore import models
from convstore.archive.word_switch import words_of
from convstore.database.migration_lock import without_time_limits
from convstore.database.vendors import vendor_for
from convstore.messages import Message, Part
from convstore.store import conversation_key
from convstore.words import texts_of
from inspection.export import FORMATS

DATABASES = ("sqlite", "postgresql")
# Each page is asked for so often, on the small and the large database in turn, in each pass.
WARM_UP, ROUNDS, PASSES = 2, 5, 3
# The most that a page may ask the database, and take of the time that it takes on the small one.
MOST_QUERIES, MOST_TIMES = 10, 3.0
# The most that an export may add to the memory of its process, in MB, however long it is.
MOST_MEMORY = 64.0

# One memory, which keeps to DATABASE_URL.
MODELS = Path(__file__).parent.parent / "deploy" / "kubernetes" / "models"

DAYS, STEP = 90, timedelta(minutes=1)
IMAGE_BYTES = 1_000_000
PNG = b"\x89PNG\r\n\x1a\n"
# Sent in the middle of the long conversation and in the newest one, and nowhere else.
RARE = "zyxgrommet"

LIST = "/admin/convstore/conversation/"
SUPERUSER = "bench"
COLUMNS = {
    "convstore_conversation": "id, memory_id, created_at, active_at",
    "convstore_message": (
        "conversation_id, position, role, body, request_key, fingerprint, created_at, words"
    ),
}


# --- What is stored ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is stored: one conversation has `long` messages, one has `images`, and `each`
    is the length of all others. They are numbered from 0, in the order of their time."""

    conversations: int
    each: int
    long: int
    images: int

    @property
    def longest(self) -> int:
        return self.conversations // 3

    @property
    def pictured(self) -> int:
        return self.conversations // 2

    @property
    def messages(self) -> int:
        return sum(map(self.length, range(self.conversations)))

    def length(self, n: int) -> int:
        pictured = max(self.each, 2 * self.images)
        return {self.longest: self.long, self.pictured: pictured}.get(n, self.each)

    def memory_id(self, n: int) -> str:
        """Ten conversations, far apart, are of users whose number begins with 0001."""
        tenth, rest = divmod(n, self.conversations // 10)
        user = 1_000 + n * 7_919 % 9_000 if rest or tenth > 9 else 123 + tenth
        return f"user-{user:06}/chat-{n:08x}"

    def key(self, n: int) -> uuid.UUID:
        return conversation_key(self.memory_id(n))


SMALL = Plan(conversations=100, each=20, long=100, images=5)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of both tables, the same at each call but for their times, which end at `now`.

    Keys and times are texts that each of the databases takes for them.
    """

    plan: Plan
    now: datetime
    words: bool

    def conversations(self) -> Iterator[Row]:
        for n in range(self.plan.conversations):
            begun, step = self.times(n)
            active = begun + step * self.plan.length(n)
            yield self.plan.key(n).hex, self.plan.memory_id(n), str(begun), str(active)

    def messages(self) -> Iterator[Row]:
        chance = random.Random(1)
        for n in range(self.plan.conversations):
            key, (begun, step) = self.plan.key(n).hex, self.times(n)
            for position, message in enumerate(self.conversation(n, chance), start=1):
                # MariaDB takes no bytes for a UUID that have no valid version.
                keys = [uuid.UUID(bytes=chance.randbytes(16), version=4).hex for _ in range(2)]
                yield (
                    key,
                    position,
                    message.role,
                    message.to_json(),
                    *keys,
                    str(begun + step * position),
                    words_of(DEFAULT_DB_ALIAS, texts_of(message)) if self.words else None,
                )

    def conversation(self, n: int, chance: random.Random) -> Iterator[Message]:
        """The messages of a conversation: those of the user are its even ones."""
        length = self.plan.length(n)
        unpictured = length - 2 * self.plan.images if n == self.plan.pictured else length
        rare = {self.plan.longest: self.plan.long // 2, self.plan.conversations - 1: 2}.get(n)
        for position in range(1, length + 1):
            role = ("user", "assistant")[position % 2] if position > 1 else "system"
            text = f"{chance.choice(PHRASES)} {chance.choice(PHRASES)}"
            parts = [Part("text", f"{text} {RARE}" if position == rare else text)]
            if position > unpictured and role == "user":
                picture = PNG + chance.randbytes(IMAGE_BYTES - len(PNG))
                parts.append(Part("image", b64encode(picture).decode()))
            yield Message(role, parts)

    def times(self, n: int) -> tuple[datetime, timedelta]:
        """When a conversation begins, and the time between its messages; the long one lasts."""
        age = timedelta(days=DAYS) * (1 - n / self.plan.conversations) + timedelta(hours=2)
        step = age / self.plan.long if n == self.plan.longest else STEP
        return self.now - age, step


def vocabulary(chance: random.Random) -> list[str]:
    """About 2,000 words that nobody says, the frequent ones first."""
    syllables = [f"{a}{b}" for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ("".join(chance.choices(syllables, k=chance.randint(2, 4))) for _ in range(2_000))
    return list(dict.fromkeys(words))


def phrases(chance: random.Random, words: Sequence[str]) -> list[str]:
    """Halves of a text; the word of rank n is n times rarer than the first, as in languages."""
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    texts = (chance.choices(words, cum_weights=weights, k=18) for _ in range(10_000))
    return [" ".join(each) for each in texts]


WORDS = vocabulary(random.Random(1))
PHRASES = phrases(random.Random(2), WORDS)


# --- Filling -----------------------------------------------------------------------------


def fill(plan: Plan) -> None:
    """Write all rows, past the store, which takes messages one by one, and past time limits.

    Where there may be an index of words, they are on.
    """
    has_words = vendor_for(DEFAULT_DB_ALIAS).word_index is not None
    rows = Rows(plan, datetime.now(UTC).replace(tzinfo=None), has_words)
    with without_time_limits(DEFAULT_DB_ALIAS):  # it ends the connection, and with it the PRAGMAs
        prepare(DEFAULT_DB_ALIAS)
        for table, written, total in (
            ("convstore_conversation", rows.conversations(), plan.conversations),
            ("convstore_message", rows.messages(), plan.messages),
        ):
            write_rows(DEFAULT_DB_ALIAS, table, COLUMNS[table], written, total)
        if has_words:
            call_command("words", "on", "--wait=0", stdout=sys.stderr)
        settle(DEFAULT_DB_ALIAS)


# --- Pages -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and what must be in it, or what is measured would be another one.

    `follow` links lead to it, each the first one with `link` in it; an export has `rows`.
    """

    name: str
    path: str
    shows: str = ""
    status: int = 200
    follow: int = 0
    link: str = 'rel="next"'
    rows: int = 0


def pages(plan: Plan) -> Iterator[Page]:
    """Every page that is measured, in the database that `plan` filled."""
    long, pictured = plan.key(plan.longest), plan.key(plan.pictured)
    found, some = plan.conversations // 7, plan.conversations // 10
    yield Page("first page", "/admin/")
    yield from lists(plan.memory_id(found), str(plan.key(found)), str(plan.key(some)), pictured)
    yield from transcripts(f"{LIST}{long}/", plan.long // 2)
    last = f"{LIST}{pictured}/{plan.length(plan.pictured) // 2 * 2}/"
    yield Page("transcript with images", f"{LIST}{pictured}/")
    yield Page("one image", f"{last}2/", "PNG")
    yield Page("one message as JSON", f"{last}json/", '"image"')
    yield Page("search: rare word, one conversation", f"{LIST}search/?conversation={long}&q={RARE}")
    yield Page("search: rare word, everywhere", f"{LIST}search/?q={RARE}")
    yield Page("search: frequent word, everywhere", f"{LIST}search/?q={WORDS[0]}")
    hit = "&amp;hit=1#"
    search = f"{LIST}search/?q={RARE}"
    yield Page("transcript, from a hit", search, "<mark>", follow=1, link=hit)
    yield Page("all of a list: what to do", f"{LIST}all/")
    yield Page("jobs", f"{LIST}jobs/")
    yield Page("deleting the long one: what will go", f"{LIST}delete/?id={long}")
    yield Page("audit log", "/admin/inspection/auditentry/")
    for kind in FORMATS:
        yield Page(
            f"export: {kind}",
            f"{LIST}{long}/export/{kind}/",
            "" if kind == "zip" else RARE,
            rows=plan.long,
        )


def lists(memory_id: str, found: str, some: str, middle: uuid.UUID) -> Iterator[Page]:
    """The pages of the list; each has as many rows in a small database as in a large one."""
    day = models.Conversation.objects.get(pk=middle).created_at
    start, end = (f"{day + timedelta(days=days):%Y-%m-%d}" for days in (-30, 30))
    yield Page("list", LIST, "/chat-")
    yield Page("list, last active first", f"{LIST}?by=active", "/chat-")
    yield Page("list, up to 5 pages on", LIST, "/chat-", follow=5)
    yield Page("list, a period", f"{LIST}?from={start}&to={end}", "/chat-")
    yield Page("list, one id", f"{LIST}?q={memory_id}", found)
    yield Page("list, ids that begin with: 10", f"{LIST}?q=user-0001", some)
    yield Page("list, ids that begin with: all", f"{LIST}?q=user-", "/chat-")


def transcripts(page: str, middle: int) -> Iterator[Page]:
    """The pages of the long conversation."""
    (key,) = re.findall(r"[0-9a-f-]{36}", page)
    moment = models.Message.objects.get(conversation_id=key, position=middle).created_at
    yield Page("transcript, its end", page)
    yield Page("transcript, its beginning", f"{page}?start=1")
    yield Page("transcript, its middle", f"{page}?position={middle}", RARE)
    yield Page("transcript, from the list", f"{page}?list=by%3Dactive")
    yield Page("transcript, a time", f"{page}?date={moment:%Y-%m-%dT%H:%M}", status=302)


def found_page(client: Client, page: Page) -> str:
    """The path of the page, once the links that lead to it were followed."""
    path = page.path
    for n in range(page.follow):
        body = b"".join(ask(client, replace(page, status=200), path)).decode()
        link = re.search(rf"<a\b[^>]*{re.escape(page.link)}[^>]*>", body)
        target = link and re.search(r'\bhref="([^"]*)"', link[0])
        if not target:
            if n == 0:
                sys.exit(f"{page.name}: {path} has no link with {page.link}.")
            break
        path = urldefrag(urljoin(path, unescape(target[1]))).url
    return path


def ask(client: Client, page: Page, path: str) -> Iterator[bytes]:
    """The body of the answer, chunk by chunk. A page that fails ends the benchmark."""
    response: Any = client.get(path)
    if response.status_code != page.status:
        to = f" to {response['Location']}" if "Location" in response else ""
        sys.exit(f"{page.name}: {path} answered {response.status_code}{to}, not {page.status}.")
    yield from response


# --- Measuring ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """What one page took: ms of each run, the body's bytes, and MB of memory at the most."""

    name: str
    rows: int
    wall: list[float]
    cpu: list[float]
    queries: int
    size: int
    memory: float

    @property
    def ms(self) -> float:
        return statistics.median(self.wall)

    def __str__(self) -> str:
        cpu = statistics.median(self.cpu)
        took = f"{self.ms:10,.1f} ms {cpu:10,.1f} ms CPU {self.queries:4} queries"
        return f"{self.name:<36}{took} {self.size / 1000:10,.1f} KB {self.memory:6.1f} MB"

    def __or__(self, later: Measured) -> Measured:
        """Both, of the same page."""
        worst = {name: max(getattr(self, name), getattr(later, name)) for name in WORST}
        return replace(self, wall=self.wall + later.wall, cpu=self.cpu + later.cpu, **worst)


WORST = ("queries", "size", "memory")


def measure(client: Client, page: Page) -> Measured:
    """Ask for a page again and again; an export once, and once more for each other figure."""
    path = found_page(client, page)
    with CaptureQueriesContext(connection) as queries:
        size = checked(client, page, path)
        asked = len(queries)

    def run() -> None:
        for _ in ask(client, page, path):
            pass

    memory = growth(run)
    wall_times, cpu_times = list[float](), list[float]()
    warm_up, rounds = (0, 1) if page.rows else (WARM_UP, ROUNDS)
    for n in range(warm_up + rounds):
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        run()
        if n >= warm_up:
            wall_times.append((time.perf_counter_ns() - wall) / 1e6)
            cpu_times.append((time.process_time_ns() - cpu) / 1e6)
    return Measured(page.name, page.rows, wall_times, cpu_times, asked, size, memory)


def checked(client: Client, page: Page, path: str) -> int:
    """The length of the body, of which no more than two chunks are held; it is the page's."""
    wanted, found, size, before = page.shows.encode(), False, 0, b""
    for chunk in ask(client, page, path):
        found = found or wanted in before + chunk
        size, before = size + len(chunk), chunk
    if not found:
        sys.exit(f"{page.name}: {path} does not show {page.shows!r}.")
    return size


def growth(work: Callable[[], None]) -> float:
    """By how many MB the memory of this process grows while `work` runs; on Linux with glibc."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or what is kept for later would not be seen to grow
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew

    def now(name: str) -> int:
        return int(re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])

    before = now("VmRSS")
    work()
    return max(now("VmHWM") - before, 0) / 1024


def filled(plan: Plan) -> User:
    """In the child: the superuser of the default database, which is filled unless it is full."""
    call_command("migrate", verbosity=0)
    user = User.objects.filter(username=SUPERUSER).first()
    if user:
        return user
    if models.Conversation.objects.exists():
        sys.exit(f"{connection.settings_dict['NAME']} was not filled to its end; remove it.")
    fill(plan)
    return User.objects.create_superuser(SUPERUSER)


def measure_for(parent: TextIO, plan: Plan, only: str) -> None:
    """In the child: say how many pages there are, then measure each that is asked for."""
    client = Client(raise_request_exception=False)
    client.force_login(filled(plan), "django.contrib.auth.backends.ModelBackend")
    chosen = [page for page in pages(plan) if only in page.name]
    print(len(chosen), flush=True)
    for line in parent:
        print(json.dumps(asdict(measure(client, chosen[int(line)]))), flush=True)


# --- The command -------------------------------------------------------------------------


@contextmanager
def child(kind: str, plan: Plan, only: str, keep: Path | None) -> Iterator[subprocess.Popen[str]]:
    """A process whose default database is filled by `plan`."""
    name = "-".join(str(value) for value in asdict(plan).values())
    with Lab() as lab:
        kept = f"sqlite:///{keep.resolve() / name}.sqlite3" if keep and kind == "sqlite" else ""
        url = kept or lab.url(kind)
        print(
            f"{kind}: {plan.conversations:,} conversations, {plan.messages:,} messages", flush=True
        )
        settings = {"DATABASE_URL": url, "MODELS_DIR": str(MODELS), "LOG_LEVEL": "WARNING"}
        command = [sys.executable, "-m", "benchmarks.admin", "--only", only]
        command += ["--measure", json.dumps(asdict(plan))]
        with subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield process


def heard(process: subprocess.Popen[str]) -> Any:
    """The next line of a child, which may have ended with a sentence instead."""
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        sys.exit(process.wait() or 1)
    return json.loads(line)


def measured_by(process: subprocess.Popen[str], page: int) -> Measured:
    print(page, file=process.stdin, flush=True)
    return Measured(**heard(process))


def in_turn(
    kind: str, plans: Sequence[Plan], only: str, keep: Path | None
) -> list[tuple[Measured, Measured]]:
    """Each page of the small and of the large database, one right after the other."""
    with ExitStack() as stack:
        children, count = [], 0
        for plan in plans:
            children.append(stack.enter_context(child(kind, plan, only, keep)))
            count = heard(children[-1])
        found: list[list[Measured]] = [[] for _ in range(count)]
        for n in tqdm(list(range(count)) * PASSES, unit=" pages"):
            if len(found[n]) and found[n][0].rows:
                continue  # an export is measured once
            both = [measured_by(process, n) for process in children]
            found[n] = [old | new for old, new in zip(found[n], both, strict=False)] or both
        for n in range(count):
            tqdm.write("\n".join(map(str, found[n])), file=sys.stderr)
    return [(small, large) for small, large in found]


def excesses(small: Measured, large: Measured) -> list[str]:
    """The limits that a page exceeds; an export has one for its memory and no other."""
    queries = max(small.queries, large.queries)
    limits = (
        [("MB of memory", large.memory, MOST_MEMORY)]
        if large.rows
        else [("queries", queries, MOST_QUERIES), ("ratio", large.ms / small.ms, MOST_TIMES)]
    )
    return [f"OVER: {name} {got:.4g} > {most:g}" for name, got, most in limits if got > most]


def tables(kind: str, pairs: Sequence[tuple[Measured, Measured]]) -> None:
    """Print what was measured on one kind of database as the documentation's tables."""
    pages = ["page | queries | SMALL ms | LARGE ms | ratio | peak memory MB | limits"]
    exports = ["export | SMALL messages/s | LARGE messages/s | SMALL MB | LARGE MB | limits"]
    for small, large in pairs:
        verdict = ", ".join(excesses(small, large)) or "within"
        memory = f"{large.memory:.1f} | {verdict}"
        if large.rows:
            speed = " | ".join(f"{each.rows / each.ms * 1000:,.0f}" for each in (small, large))
            exports.append(f"{large.name} | {speed} | {small.memory:.1f} | {memory}")
        else:
            times = f"{small.ms:.1f} | {large.ms:.1f} | {large.ms / small.ms:.2f}"
            pages.append(f"{large.name} | {large.queries} | {times} | {memory}")
    print(f"\n{kind}")
    for head, *rows in (pages, exports):
        line = "|".join(["---", *["---:"] * (head.count("|") - 1), "---"])
        if rows:
            print("", f"| {head} |", f"|{line}|", *(f"| {row} |" for row in rows), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--database", choices=(*DATABASES, "mariadb"), help="only this one")
    add("--conversations", type=int, default=100_000, help="of the large one (%(default)s)")
    add("--messages", type=int, default=2_000_000, help="of the large one, about (%(default)s)")
    add("--only", default="", help="only pages in whose name this is")
    add("--keep", type=Path, help="the folder where SQLite's files are kept, and used again")
    add("--measure", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        return measure_for(sys.stdin, Plan(**json.loads(chosen.measure)), chosen.only)
    if chosen.conversations < 100 or chosen.messages < 10 * chosen.conversations:
        parser.error("the large one has at least 100 conversations of 10 messages")
    long = chosen.messages // 20
    each = round((chosen.messages - long) / chosen.conversations)
    large = Plan(chosen.conversations, each, long, images=60)
    pairs = {}
    for kind in [chosen.database] if chosen.database else DATABASES:
        pairs[kind] = in_turn(kind, (SMALL, large), chosen.only, chosen.keep)
    for kind, found in pairs.items():
        tables(kind, found)
    sys.exit(any(excesses(*pair) for found in pairs.values() for pair in found))


if __name__ == "__main__":
    main()
