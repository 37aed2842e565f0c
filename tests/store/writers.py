"""Writers, in threads and processes, all let loose on one store at the same moment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

WINDOW = 10
# How many writers there may be at once, and in how many processes at most.
WRITERS = (1, 8, 32)
VARIANTS = ("fast", "batch", "portable")
PROCESSES = 8


@dataclass(frozen=True)
class Acknowledged:
    """One reply: what was sent, to which conversation, and the window that came back."""

    memory_id: str
    text: str
    positions: tuple[int, ...]
    bodies: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """What one process does: where to write, and what each of its threads says to whom.

    `orders` has, for each thread, its name and the memory_ids that it speaks to in turn;
    `writers` is how many threads there are in all processes.
    """

    url: str
    variant: str  # a name out of VARIANTS
    writers: int
    orders: tuple[tuple[str, tuple[str, ...]], ...]


@contextmanager
def processes() -> Iterator[ProcessPoolExecutor]:
    """Processes that stay, so that each has to be started but once."""
    context = get_context("spawn")
    barriers = {number: context.Barrier(number) for number in WRITERS}
    with ProcessPoolExecutor(PROCESSES, context, _prepare, (barriers,)) as pool:
        yield pool


def run_writers(
    pool: ProcessPoolExecutor,
    url: str,
    orders: Sequence[Sequence[str]],
    *,
    variant: str,
    processes: int,
) -> list[Acknowledged]:
    """One writer for each of `orders`, spread over the processes; every reply that they got."""
    named = [(str(writer), tuple(order)) for writer, order in enumerate(orders)]
    tasks = [
        Task(url, variant, len(named), tuple(named[process::processes]))
        for process in range(processes)
    ]
    return [reply for replies in pool.map(_write_all, tasks) for reply in replies]


def text_of(body: str) -> str:
    text: str = json.loads(body)["content"][0]["value"]
    return text


# --- In the processes --------------------------------------------------------------------

barriers: dict[int, Barrier]


def _prepare(given: dict[int, Barrier]) -> None:
    global barriers
    barriers = given
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
    os.environ["DATABASE_TIMEOUT"] = "120"  # patience is not what is tested
    import django

    django.setup()


def _write_all(task: Task) -> list[Acknowledged]:
    with ThreadPoolExecutor(len(task.orders)) as threads:
        batches = threads.map(lambda order: _write(task, *order), task.orders)
        return [reply for batch in batches for reply in batch]


def _write(task: Task, writer: str, order: Sequence[str]) -> list[Acknowledged]:
    """Say one message to each memory_id of `order`."""
    from django.db import connections

    from convstore.database.url import database_alias
    from convstore.exchange.portable_orm import PortableOrm
    from convstore.exchange.variants import statements_for
    from convstore.messages import Message, Part
    from convstore.store import ConversationStore
    from tests.batches import batch_for

    variants = {"fast": statements_for, "batch": batch_for, "portable": PortableOrm}
    store = ConversationStore(database_alias(task.url), variants[task.variant])
    store.check()  # connected before the start
    barriers[task.writers].wait()
    replies = []
    for n, memory_id in enumerate(order):
        text = f"{writer}-{n}"
        window = store.exchange(memory_id, [Message("user", (Part("text", text),))], WINDOW)
        positions = tuple(message.position for message in window)
        bodies = tuple(message.body for message in window)
        replies.append(Acknowledged(memory_id, text, positions, bodies))
    connections[store.using].close()
    return replies
