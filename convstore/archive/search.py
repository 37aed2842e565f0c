"""Search for words in messages: in one conversation, or across all of one database.

A message matches if its texts contain every word of the query, in upper or lower case. Each
search reads a bounded number of messages and bytes, and returns how far it got.
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

# The longest query, in characters.
LONGEST_QUERY = 200
# The most hits in one result, and the most messages that one search reads.
HITS, MESSAGES_READ = 50, 1_000
# Across conversations: how many conversations, how many of the last messages of each, and how
# many characters of a message's JSON.
CONVERSATIONS, LAST_MESSAGES, BEGINNING = 50, 100, 16_384
# The most matches of the word index that are read.
INDEX_MATCHES = 500
# How many characters an excerpt has on each side of the first word.
AROUND = 80

# The expression that PostgreSQL's word index is made on: the words in the beginning of each
# message. In JSON a line break is the two characters \n, which would stick to the word after it.
# The migration that makes the index has the same expression.
WORDS = rf"to_tsvector('simple', replace(replace(left(body, {BEGINNING}), '\n', ' '), '\t', ' '))"
# The index would match every message, or every message of a role, by these words. So they are
# only looked for in the messages that match by the other words.
COMMON = frozenset(
    {"role", "content", "type", "text", "value", "tool_calls"}
    | {"user", "assistant", "system", "developer", "tool"}
)
# How base64 begins; it is not searched as text.
BINARY = re.compile(r"(?:data:[\w/+.;=-]*,)?[\w+/-]{200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hit:
    """A message whose texts contain the words; `excerpt` is the text around the first word."""

    key: UUID
    memory_id: str
    position: int
    role: str
    created_at: datetime
    excerpt: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits, newest first, and how many `messages` of how many `conversations` were read.

    The next search continues `below` a position of the one conversation or, across
    conversations, `after` the last one that was read. Both are None if nothing is left.
    `more_hits`: there are more hits than HITS among the messages that were read.
    """

    hits: list[Hit]
    messages: int
    conversations: int
    below: int | None = None
    after: ConversationRow | None = None
    more_hits: bool = False


def query_words(query: str) -> list[str]:
    """The words of the query in lower case, each once."""
    return list(dict.fromkeys(query.casefold().split()))


# --- In one conversation -----------------------------------------------------------------


def search_conversation(
    using: str, conversation: ConversationRow, words: Sequence[str], below: int
) -> SearchResult:
    """Search a piece of the messages before the position `below`, each in full."""
    hits: list[Hit] = []
    read = 0
    for row in reversed(History(using, conversation.pk).piece_up_to(below - 1, MESSAGES_READ)):
        below, read = row.position, read + 1
        message = Message.from_json(row.body)
        extra = [dumps(message.extra)] if message.extra else []
        if excerpt := _excerpt([*_texts(message.parts), *extra], words):
            hits.append(_hit(conversation, row, excerpt))
        if len(hits) == HITS:
            break
    return SearchResult(hits, read, 1, below=below if read and below > 1 else None)


# --- Across conversations ----------------------------------------------------------------


def search_word_index(using: str, words: Sequence[str]) -> SearchResult | None:
    """Search the beginnings of all messages through the database's word index.

    None if the database has no such index, or if these words would match too many messages.
    """
    selective = [word for word in words if not COMMON.issuperset(re.findall(r"\w+", word))]
    if not selective or not vendor_for(using).has_word_index(connections[using]):
        return None
    match: Any = RawSQL(  # noqa: S611 - the words are a parameter
        f"{WORDS} @@ plainto_tsquery('simple', %s)", [" ".join(selective)], BooleanField()
    )
    matches = _beginnings(MessageRow.objects.using(using).filter(match)[: INDEX_MATCHES + 1])
    keys = {row.conversation_id for row in matches}
    found = conversations(using).in_bulk(keys) if keys else {}
    hits = _hits(matches[:INDEX_MATCHES], found, words)
    more_hits = len(matches) > INDEX_MATCHES or len(hits) > HITS
    read = min(len(matches), INDEX_MATCHES)
    return SearchResult(hits[:HITS], read, len(keys), more_hits=more_hits)


def search_last_messages(
    using: str, words: Sequence[str], after: ConversationRow | None
) -> SearchResult:
    """Search the last messages of some conversations, the most recently active ones first.

    `after` is the conversation that the previous search read last.
    """
    rows = with_length(conversations(using)).order_by("-active_at", "-id")
    if after:
        rows = older_rows(rows, "active_at", after.active_at, after.pk)
    following = list(rows[: CONVERSATIONS + 1])
    selected, read = [], 0
    for conversation in following[:CONVERSATIONS]:
        selected.append(conversation)
        read += min(_length(conversation), LAST_MESSAGES)
        if read > MESSAGES_READ - LAST_MESSAGES:
            break
    if not selected:
        return SearchResult([], 0, 0)
    last = [Q(conversation_id=c.pk, position__gt=_length(c) - LAST_MESSAGES) for c in selected]
    matches = _beginnings(MessageRow.objects.using(using).filter(reduce(or_, last))[:MESSAGES_READ])
    hits = _hits(matches, {each.pk: each for each in selected}, words)
    return SearchResult(
        hits[:HITS],
        read,
        len(selected),
        after=selected[-1] if len(selected) < len(following) else None,
        more_hits=len(hits) > HITS,
    )


def _length(conversation: Any) -> int:
    return conversation.length or 0


def _beginnings(rows: QuerySet[MessageRow]) -> list[Any]:
    """The rows, each with the `beginning` of its body in place of all of it."""
    begun = rows.annotate(beginning=Substr("body", 1, BEGINNING))
    return list(begun.only("position", "role", "created_at"))


def _hits(
    rows: Iterable[Any], found: Mapping[UUID, ConversationRow], words: Sequence[str]
) -> list[Hit]:
    hits = [
        _hit(found[row.conversation_id], row, excerpt)
        for row in rows
        if row.conversation_id in found  # or it has just been deleted
        and (excerpt := _excerpt(list(_texts(parts_in(row.beginning))), words))
    ]
    return sorted(hits, key=lambda hit: (hit.created_at, hit.position), reverse=True)


# --- One message -------------------------------------------------------------------------


def _texts(parts: Iterable[Part]) -> Iterator[str]:
    return (part.value for part in parts if part.type == "text" or not BINARY.match(part.value))


def _excerpt(texts: Sequence[str], words: Sequence[str]) -> str:
    """The text around the first word, on one line, if all words are found; else ""."""
    text = "\n".join(texts)
    folded = text.casefold()
    if not all(word in folded for word in words):
        return ""
    at = folded.find(words[0])
    # casefold() can change the length of a text, so `at` may be a little off in `text`.
    around = text[max(0, at - AROUND) : at + len(words[0]) + AROUND]
    return " ".join(around.split()) or text[:AROUND]


def _hit(conversation: ConversationRow, row: MessageRow, excerpt: str) -> Hit:
    memory_id = conversation.memory_id
    return Hit(conversation.pk, memory_id, row.position, row.role, row.created_at, excerpt)
