"""Whether messages are stored with the text that searches read, and steps to fill older messages.

Searches find the same without it, but read bodies instead, and on PostgreSQL have no index.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from uuid import UUID

from django.db import connections, transaction
from django.db.models import Case, Q, When

from convstore.archive.history import CHUNK_BYTES, MessageRow, Octets
from convstore.database.vendors import vendor_for
from convstore.exchange.statements import NewMessage
from convstore.messages import Message
from convstore.models import NOT_ERASED, WordSwitch
from convstore.words import searched_text, texts_in, texts_of, with_terms

# A process learns within so many seconds that somebody has turned the switch.
LEARNED_SECONDS = 10
# The most messages that one step of filling reads.
STEP_MESSAGES = 500

# What this process knows, by database: until when, and whether it is on.
_known: dict[str, tuple[float, bool]] = {}


@dataclass(frozen=True, slots=True)
class WordStatus:
    """`index` is "" where the database has none, else what is known of it."""

    enabled: bool
    filled: bool
    index: str


def words_are_on(using: str) -> bool:
    """Whether new messages get words; asked again after LEARNED_SECONDS."""
    until, enabled = _known.get(using, (0.0, False))
    if time.monotonic() >= until:
        enabled = WordSwitch.objects.using(using).filter(enabled=True).exists()
        learn(using, enabled)
    return enabled


def learn(using: str, enabled: bool) -> None:
    """Let this process know, for LEARNED_SECONDS, whether words are on."""
    _known[using] = time.monotonic() + LEARNED_SECONDS, enabled


def words_of(using: str, texts: Iterable[str]) -> str:
    """What is stored as the `words` of a message of these texts; with terms for an index."""
    text = searched_text(texts)
    return with_terms(text) if vendor_for(using).word_index else text


def with_words(
    using: str, messages: Sequence[Message], new: Sequence[NewMessage]
) -> Sequence[NewMessage]:
    """The rows of these messages with their words, if words are on."""
    if not words_are_on(using):
        return new
    texts = [words_of(using, texts_of(message)) for message in messages]
    return [replace(row, words=text) for row, text in zip(new, texts, strict=True)]


def fill_between(using: str, key: UUID, first: int, last: int) -> None:
    """Give words to rows that were copied without them, if words are on; in a transaction."""
    if not words_are_on(using):
        return
    rows = MessageRow.objects.using(using).filter(
        NOT_ERASED, _lacks_words(using), conversation_id=key, position__range=(first, last)
    )
    for position, body in list(rows.values_list("position", "body")):
        row = MessageRow.objects.using(using).filter(conversation_id=key, position=position)
        row.update(words=words_of(using, texts_in(body)))


def word_status(using: str) -> WordStatus:
    switch = WordSwitch.objects.using(using).first() or WordSwitch()
    index = vendor_for(using).word_index
    state = index.state(connections[using]) if index else ""
    return WordStatus(switch.enabled, switch.filled, state)


def turn_words_on(using: str) -> None:
    """Let new messages have words; if they had none before, filling begins anew."""
    _turn(using, on=True)


def turn_words_off(using: str) -> None:
    """Drop the index, which would miss messages without words, and let new messages have none."""
    if index := vendor_for(using).word_index:
        index.drop(connections[using])
    _turn(using, on=False)


def _turn(using: str, *, on: bool) -> None:
    if word_status(using).enabled != on:
        to = {"enabled": on, "filled": False, "filled_to": None, "filled_position": 0}
        WordSwitch.objects.using(using).update_or_create(pk=1, defaults=to)
    learn(using, on)


def make_word_index(using: str) -> None:
    """Make the index, if the database can have one, without blocking writers.

    It would miss messages if some are not filled, so then it is not made.
    """
    status, index = word_status(using), vendor_for(using).word_index
    if index and status.enabled and status.filled:
        index.make(connections[using])


# --- Filling -----------------------------------------------------------------------------


def fill_step(using: str) -> int | None:
    """Give some older messages their words; how many rows it looked at, None if it has ended.

    Every process must know that words are on, so that no message without them is added behind.
    Two commands that fill at once write the same, and if words are turned off, filling ends.
    """
    switch = WordSwitch.objects.using(using).filter(enabled=True, filled=False).first()
    if switch is None:
        return None
    start = (switch.filled_to, switch.filled_position) if switch.filled_to else None
    rows = _rows_to_fill(using, start)
    if rows:
        _fill(using, start, rows[-1])
        to = {"filled_to": rows[-1][0], "filled_position": rows[-1][1]}
    else:
        to = {"filled": True, "filled_to": None, "filled_position": 0}
    WordSwitch.objects.using(using).filter(enabled=True).update(**to)
    return len(rows) or None


# A row's conversation and position.
Place = tuple[UUID, int]


def _rows_to_fill(using: str, start: Place | None) -> list[Place]:
    """The next rows in the order of the primary key, as many as one step may read."""
    rows = MessageRow.objects.using(using).order_by("conversation_id", "position")
    size = Case(When(_lacks_words(using), then=Octets("body")), default=0)
    following = rows.filter(_behind(start)).annotate(octets=size)
    found = list(following.values_list("conversation_id", "position", "octets")[:STEP_MESSAGES])
    sums = accumulate(octets for _, _, octets in found)
    return [row[:2] for row, total in zip(found, sums, strict=True) if total <= CHUNK_BYTES] or [
        row[:2] for row in found[:1]
    ]


def _fill(using: str, start: Place | None, end: Place) -> None:
    key, position = end
    up_to_end = Q(conversation_id__lte=key) & (
        Q(conversation_id__lt=key) | Q(position__lte=position)
    )
    rows = MessageRow.objects.using(using).filter(
        _behind(start), up_to_end, NOT_ERASED, _lacks_words(using)
    )
    bodies = list(rows.values_list("conversation_id", "position", "body"))
    words = [(of_key, at, words_of(using, texts_in(body))) for of_key, at, body in bodies]
    with transaction.atomic(using, durable=True):
        for of_key, at, text in words:
            row = MessageRow.objects.using(using).filter(conversation_id=of_key, position=at)
            # Somebody may have erased it since.
            row.filter(NOT_ERASED).update(words=text)


def _lacks_words(using: str) -> Q:
    """Rows without words, and where there may be an index, those that have no terms.

    They were moved from a kind of database that has no index.
    """
    without_words = Q(words__isnull=True)
    has_terms = Q(words__contains="\n")
    return without_words | ~has_terms if vendor_for(using).word_index else without_words


def _behind(start: Place | None) -> Q:
    """Keyset pagination by the primary key; the first condition can use it."""
    if start is None:
        return Q()
    key, position = start
    return Q(conversation_id__gte=key) & (Q(conversation_id__gt=key) | Q(position__gt=position))
