"""Search for words in messages: in one conversation, or in all conversations of a database.

A message matches if what it says contains every word of the query, both folded by
`words.fold_text`.
Every search reads a limited number of messages and bytes, and returns where the next one continues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Case, Q, QuerySet, When
from django.db.models.functions import Substr

from convstore.archive.conversations import (
    ConversationRow,
    conversations,
    older_rows,
    with_length,
)
from convstore.archive.history import History, MessageRow
from convstore.archive.hits import MAX_HITS, MAX_HITS_OF_ONE, Match, SearchResult, hit_groups
from convstore.exchange.statements import ACTIVE_STEP
from convstore.messages import Message
from convstore.models import NOT_ERASED
from convstore.words import (
    SEARCHED_CHARACTERS,
    fold_text,
    searched_text,
    texts_in,
    texts_of,
    texts_of_parts,
)

MAX_QUERY_CHARACTERS = 200
# The most messages that one search reads.
MAX_MESSAGES_READ = 1_000
# A search in all conversations reads so many conversations, and so many of the last messages of
# each.
MAX_CONVERSATIONS, LAST_MESSAGES = 50, 100


@dataclass(frozen=True, slots=True)
class Filters:
    """Which messages are searched: those of a `role`, and those added since and before a time."""

    role: str = ""
    since: datetime | None = None
    before: datetime | None = None

    @property
    def condition(self) -> Q:
        wanted = {"role": self.role, "created_at__gte": self.since, "created_at__lt": self.before}
        return Q(**{name: value for name, value in wanted.items() if value})

    def admit(self, row: MessageRow) -> bool:
        return (
            (not self.role or row.role == self.role)
            and (self.since is None or row.created_at >= self.since)
            and (self.before is None or row.created_at < self.before)
        )


EVERYTHING = Filters()


# --- In one conversation -----------------------------------------------------------------


def search_conversation(
    using: str,
    conversation: ConversationRow,
    words: Sequence[str],
    below: int,
    filters: Filters = EVERYTHING,
) -> SearchResult:
    """Search the chunk of messages before the position `below`; each message is read in full."""
    matches: list[Match] = []
    read = 0
    for row in reversed(History(using, conversation.pk).chunk_up_to(below - 1, MAX_MESSAGES_READ)):
        below, read = row.position, read + 1
        if filters.admit(row):
            message = Message.from_json(row.body)
            text = "\n".join(texts_of(message))
            if contains(fold_text(text), words):
                content = "\n".join(texts_of_parts(message.parts))
                matches.append(Match(conversation, row, text, content))
        if len(matches) == MAX_HITS:
            break
    groups = hit_groups(using, matches, words, MAX_HITS)
    return SearchResult(groups, read, 1, below=below if read and below > 1 else None)


def contains(text: str, words: Sequence[str]) -> bool:
    """Whether a folded text contains every word."""
    return all(word in text for word in words)


# --- In all conversations -----------------------------------------------------------------


def search_last_messages(
    using: str,
    words: Sequence[str],
    after: tuple[datetime, UUID] | None = None,
    filters: Filters = EVERYTHING,
) -> SearchResult:
    """Search the last messages of several conversations, the most recently active ones first.

    `after` is the time and key of the last conversation that the previous search read.
    """
    rows = with_length(conversations(using)).order_by("-active_at", "-id")
    if after:
        rows = older_rows(rows, "active_at", *after)
    following = list(rows[: MAX_CONVERSATIONS + 1])
    if filters.since:
        following = [each for each in following if each.active_at + ACTIVE_STEP >= filters.since]
    selected = list(_conversations_to_read(following[:MAX_CONVERSATIONS]))
    of_key = _last_messages(using, selected, filters)
    searched: list[ConversationRow] = []
    matches: list[Match] = []
    shown = read = 0
    for conversation in selected:
        searched.append(conversation)
        read += min(_length(conversation), LAST_MESSAGES)
        here = [
            Match(conversation, row, text)
            for row in of_key.get(conversation.pk, [])
            if contains(text := text_of_row(row), words)
        ]
        matches += here
        shown += min(len(here), MAX_HITS_OF_ONE)
        if shown > MAX_HITS - MAX_HITS_OF_ONE:
            break
    return SearchResult(
        hit_groups(using, matches, words, MAX_HITS_OF_ONE),
        read,
        len(searched),
        after=_place(searched[-1]) if len(searched) < len(following) else None,
    )


def _place(conversation: ConversationRow) -> tuple[datetime, UUID]:
    return conversation.active_at, conversation.pk


def _conversations_to_read(following: Sequence[ConversationRow]) -> Iterator[ConversationRow]:
    """As many of these conversations as one search reads."""
    read = 0
    for conversation in following:
        yield conversation
        read += min(_length(conversation), LAST_MESSAGES)
        if read > MAX_MESSAGES_READ - LAST_MESSAGES:
            return


def _length(conversation: Any) -> int:
    return conversation.length or 0


def _last_messages(
    using: str, selected: Sequence[ConversationRow], filters: Filters
) -> dict[UUID, list[Any]]:
    """The last messages of each conversation that the filters admit, newest first."""
    last = [
        Q(conversation_id=each.pk, position__gt=_length(each) - LAST_MESSAGES)
        for each in selected
        if not filters.before or each.created_at < filters.before
    ]
    if not last:
        return {}
    rows = MessageRow.objects.using(using).filter(reduce(or_, last), filters.condition)
    of_key: dict[UUID, list[Any]] = {}
    for row in _with_beginning(rows.filter(NOT_ERASED))[:MAX_MESSAGES_READ]:
        of_key.setdefault(row.conversation_id, []).append(row)
    for found in of_key.values():
        found.sort(key=lambda row: row.position, reverse=True)
    return of_key


def _with_beginning(rows: QuerySet[MessageRow]) -> QuerySet[Any]:
    """Rows with the `beginning` of their body where the text of the search was not written."""
    beginning = Case(When(words__isnull=True, then=Substr("body", 1, SEARCHED_CHARACTERS)))
    fields = ("position", "role", "created_at", "words")
    return rows.annotate(beginning=beginning).only(*fields)


def text_of_row(row: Any) -> str:
    """The folded text of a row, whose first line it is where it was written with the row."""
    if row.words is None:
        return searched_text(texts_in(row.beginning or ""))
    text: str = row.words.partition("\n")[0]
    return text
