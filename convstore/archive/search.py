"""Search for words in messages: in one conversation, or in all conversations of a database.

A message matches if its texts contain every word of the query; upper and lower case are the same.
Every search reads a limited number of messages and bytes, and returns where the next one continues.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Substr

from convstore.archive.conversations import (
    ConversationRow,
    conversations,
    older_rows,
    with_length,
)
from convstore.archive.history import History, MessageRow
from convstore.database.vendors import vendor_for
from convstore.messages import Message, Part, dumps, parts_in
from convstore.models import NOT_ERASED

MAX_QUERY_CHARACTERS = 200
# The most hits that one search returns, and the most messages that it reads.
MAX_HITS, MAX_MESSAGES_READ = 50, 1_000
# A search in all conversations reads so many conversations, so many of the last messages of each,
# and so many characters of each message's JSON.
MAX_CONVERSATIONS, LAST_MESSAGES, BEGINNING_CHARACTERS = 50, 100, 16_384
# The most matches of the full-text index that are read.
MAX_INDEX_MATCHES = 500
# How many characters an excerpt shows before and after the first word.
EXCERPT_MARGIN = 80

# Every message, or every message of a role, has these words in its JSON. The index is asked for the
# other words of a query only, and these are then searched in the messages that it returns.
COMMON_WORDS = frozenset(
    {"role", "content", "type", "text", "value", "tool_calls"}
    | {"user", "assistant", "system", "developer", "tool"}
)
# A value that begins like base64 is not searched.
BASE64 = re.compile(r"(?:data:[\w/+.;=-]*,)?[\w+/-]{200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that contains the words; `excerpt` is the text around the first word."""

    key: UUID
    memory_id: str
    position: int
    role: str
    created_at: datetime
    excerpt: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits, newest first, and how many `messages` of how many `conversations` were read.

    `below` and `after` say where the next search continues: in one conversation, below that
    position; in all conversations, after that conversation. If nothing is left, both are None.
    `more_hits` is true if the messages that were read have more hits than MAX_HITS.
    """

    hits: list[Hit]
    messages: int
    conversations: int
    below: int | None = None
    after: ConversationRow | None = None
    more_hits: bool = False


def query_words(query: str) -> list[str]:
    """The words of the query in lower case, without repetition."""
    return list(dict.fromkeys(query.casefold().split()))


# --- In one conversation -----------------------------------------------------------------


def search_conversation(
    using: str, conversation: ConversationRow, words: Sequence[str], below: int
) -> SearchResult:
    """Search the chunk of messages before the position `below`; each message is read in full."""
    hits: list[Hit] = []
    read = 0
    for row in reversed(History(using, conversation.pk).chunk_up_to(below - 1, MAX_MESSAGES_READ)):
        below, read = row.position, read + 1
        message = Message.from_json(row.body)
        extra = [dumps(message.extra)] if message.extra else []
        if excerpt := _excerpt([*_texts(message.parts), *extra], words):
            hits.append(_hit(conversation, row, excerpt))
        if len(hits) == MAX_HITS:
            break
    return SearchResult(hits, read, 1, below=below if read and below > 1 else None)


# --- In all conversations ----------------------------------------------------------------


def search_word_index(using: str, words: Sequence[str]) -> SearchResult | None:
    """Search the beginning of every message with the database's full-text index.

    None if there is no such index, or if all the words are in every message's JSON anyway.
    """
    selective = [word for word in words if not COMMON_WORDS.issuperset(re.findall(r"\w+", word))]
    vendor = vendor_for(using)
    if not selective or not vendor.has_word_index(connections[using]):
        return None
    condition = vendor.word_condition.format(characters=BEGINNING_CHARACTERS)
    match: Any = RawSQL(  # noqa: S611 - the words are a parameter
        condition, [" ".join(selective)], BooleanField()
    )
    found_rows = MessageRow.objects.using(using).filter(match)
    matches = _beginnings(found_rows, MAX_INDEX_MATCHES + 1)
    keys = {row.conversation_id for row in matches}
    found = conversations(using).in_bulk(keys) if keys else {}
    hits = _hits(matches[:MAX_INDEX_MATCHES], found, words)
    more_hits = len(matches) > MAX_INDEX_MATCHES or len(hits) > MAX_HITS
    read = min(len(matches), MAX_INDEX_MATCHES)
    return SearchResult(hits[:MAX_HITS], read, len(keys), more_hits=more_hits)


def search_last_messages(
    using: str, words: Sequence[str], after: ConversationRow | None
) -> SearchResult:
    """Search the last messages of several conversations, the most recently active ones first.

    `after` is the last conversation that the previous search read.
    """
    rows = with_length(conversations(using)).order_by("-active_at", "-id")
    if after:
        rows = older_rows(rows, "active_at", after.active_at, after.pk)
    following = list(rows[: MAX_CONVERSATIONS + 1])
    selected, read = [], 0
    for conversation in following[:MAX_CONVERSATIONS]:
        selected.append(conversation)
        read += min(_length(conversation), LAST_MESSAGES)
        if read > MAX_MESSAGES_READ - LAST_MESSAGES:
            break
    if not selected:
        return SearchResult([], 0, 0)
    last = [Q(conversation_id=c.pk, position__gt=_length(c) - LAST_MESSAGES) for c in selected]
    rows_to_read = MessageRow.objects.using(using).filter(reduce(or_, last))
    matches = _beginnings(rows_to_read, MAX_MESSAGES_READ)
    hits = _hits(matches, {each.pk: each for each in selected}, words)
    return SearchResult(
        hits[:MAX_HITS],
        read,
        len(selected),
        after=selected[-1] if len(selected) < len(following) else None,
        more_hits=len(hits) > MAX_HITS,
    )


def _length(conversation: Any) -> int:
    return conversation.length or 0


def _beginnings(rows: QuerySet[MessageRow], limit: int) -> list[Any]:
    """At most `limit` messages, each with the `beginning` of its body instead of the body."""
    annotated = rows.filter(NOT_ERASED).annotate(beginning=Substr("body", 1, BEGINNING_CHARACTERS))
    return list(annotated.only("position", "role", "created_at")[:limit])


def _hits(
    rows: Iterable[Any], found: Mapping[UUID, ConversationRow], words: Sequence[str]
) -> list[Hit]:
    hits = [
        _hit(found[row.conversation_id], row, excerpt)
        for row in rows
        if row.conversation_id in found  # it may just have been deleted
        and (excerpt := _excerpt(list(_texts(parts_in(row.beginning))), words))
    ]
    return sorted(hits, key=lambda hit: (hit.created_at, hit.position), reverse=True)


# --- One message -------------------------------------------------------------------------


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    return (part.value for part in parts if part.type == "text" or not BASE64.match(part.value))


def _excerpt(texts: Sequence[str], words: Sequence[str]) -> str:
    """The text around the first word, on one line; "" if a word is missing."""
    text = "\n".join(texts)
    folded = text.casefold()
    if not all(word in folded for word in words):
        return ""
    at = folded.find(words[0])
    # casefold() can change the length of a text, so `at` may be slightly wrong in `text`.
    around = text[max(0, at - EXCERPT_MARGIN) : at + len(words[0]) + EXCERPT_MARGIN]
    return " ".join(around.split()) or text[:EXCERPT_MARGIN]


def _hit(conversation: ConversationRow, row: MessageRow, excerpt: str) -> Hit:
    memory_id = conversation.memory_id
    return Hit(conversation.pk, memory_id, row.position, row.role, row.created_at, excerpt)
