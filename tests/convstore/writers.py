"""Writers in processes of their own, all let loose on one store at the same moment."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

WRITERS = 8
WINDOW = 10


@dataclass(frozen=True)
class Acknowledged:
    """One reply: what was said, to whom, and the window that came back."""

    memory_id: str
    text: str
    positions: tuple[int, ...]
    bodies: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """Where to write, over which variant, and to which conversations in which order."""

    url: str
    portable: bool
    conversations: tuple[str, ...]


def write(task: Task, writer: int) -> list[Acknowledged]:
    """Say one message to each of the task's conversations, in an order of one's own."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
    os.environ["DATABASE_TIMEOUT"] = "120"  # patience is not what is tested
    django.setup()
    from convstore.databases import connect
    from convstore.messages import Message, Part
    from convstore.portable_orm import PortableOrm
    from convstore.store import ConversationStore, statements_for

    variant = PortableOrm if task.portable else statements_for
    store = ConversationStore(connect(task.url), variant)
    store.check()  # connected before the start
    order = list(task.conversations)
    random.Random(writer).shuffle(order)
    start.wait()
    replies = []
    for n, memory_id in enumerate(order):
        text = f"{writer}-{n}"
        window = store.exchange(memory_id, [Message("user", (Part("text", text),))], WINDOW)
        positions = tuple(message.position for message in window)
        bodies = tuple(message.body for message in window)
        replies.append(Acknowledged(memory_id, text, positions, bodies))
    return replies


def let_loose(url: str, *, portable: bool, conversations: Sequence[str]) -> list[Acknowledged]:
    """WRITERS processes write to the same conversations; every reply that they got."""
    context = get_context("spawn")
    barrier = context.Barrier(WRITERS)
    task = Task(url, portable, tuple(conversations))
    with ProcessPoolExecutor(WRITERS, context, _remember, (barrier,)) as pool:
        replies = pool.map(write, [task] * WRITERS, range(WRITERS))
        return [reply for writer in replies for reply in writer]


def _remember(barrier: Barrier) -> None:
    global start
    start = barrier


start: Barrier


def text_of(body: str) -> str:
    text: str = json.loads(body)["content"][0]["value"]
    return text
