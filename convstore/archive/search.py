"""Words in what was said: in one conversation, or across all of a database.

A message is found when each word of the query stands in its texts, in whatever case. No
search reads more than a bounded number of messages and bytes; each says how far it looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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

from convstore.archive.history import Entry, History, older_rows, with_length
from convstore.messages import Message as Said
from convstore.messages import Part, dumps, parts_in
from convstore.models import Conversation, Message

# The most hits of one answer, and the most messages that one search looks at.
HITS, LOOKED_AT = 50, 1_000
# Across conversations: how many at once, how many of the last messages of each, and how much
# of a message's JSON, in characters.
CONVERSATIONS, LAST_MESSAGES, BEGINNING = 50, 100, 16_384
# The most messages that are read of those that the index names.
NAMED = 500
# Characters on each side of the first word of a hit.
AROUND = 80

# PostgreSQL's index: the words in the beginning of each message, whose line breaks are
# spelled in letters. The migration that makes it has these very words.
WORDS = rf"to_tsvector('simple', replace(replace(left(body, {BEGINNING}), '\n', ' '), '\t', ' '))"
# By these it would name every message, or each of a role, so only the reading looks for them.
COMMON = frozenset(
    {"role", "content", "type", "text", "value", "tool_calls"}
    | {"user", "assistant", "system", "developer", "tool"}
)
# What is not read as text: the beginning of something in base64.
BINARY = re.compile(r"(?:data:[\w/+.;=-]*,)?[\w+/-]{200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hit:
    """A message in whose texts the words stand; `excerpt` is what stands around the first."""

    key: UUID
    memory_id: str
    position: int
    role: str
    created_at: datetime
    excerpt: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits among `messages` that were looked at, newest first, of `conversations`.

    The search goes on `below` a position of one conversation, and across them `after` the one
    that was looked at last; both are None where nothing is left. `cut`: there are more hits.
    """

    hits: list[Hit]
    messages: int
    conversations: int
    below: int | None = None
    after: Conversation | None = None
    cut: bool = False


def query_words(query: str) -> list[str]:
    """The words that are looked for, each once."""
    return list(dict.fromkeys(query.casefold().split()))


# --- In one conversation -----------------------------------------------------------------


def search_conversation(
    using: str, conversation: Conversation, words: Sequence[str], below: int
) -> SearchResult:
    """Look through a piece of the messages before the position `below`, whole."""
    hits: list[Hit] = []
    looked_at = 0
    for entry in reversed(History(using, conversation.pk).up_to(below - 1, LOOKED_AT)):
        below, looked_at = entry.position, looked_at + 1
        said = Said.from_json(entry.body)
        also = [dumps(said.extra)] if said.extra else []
        if excerpt := _excerpt([*_readable(said.parts), *also], words):
            hits.append(_hit(conversation, entry, excerpt))
        if len(hits) == HITS:
            break
    return SearchResult(hits, looked_at, 1, below=below if looked_at and below > 1 else None)


# --- Across conversations ----------------------------------------------------------------


def search_word_index(using: str, words: Sequence[str]) -> SearchResult | None:
    """Those of all messages that the database's index of words names, up to a bound.

    None where there is no such index, or where it would name too many by these words.
    """
    telling = [word for word in words if not COMMON.issuperset(re.findall(r"\w+", word))]
    if not telling or not _has_index(using):
        return None
    match: Any = RawSQL(  # noqa: S611 - the words are a parameter
        f"{WORDS} @@ plainto_tsquery('simple', %s)", [" ".join(telling)], BooleanField()
    )
    named = _beginnings(Message.objects.using(using).filter(match)[: NAMED + 1])
    keys = {key for key, _ in named}
    conversations = Conversation.objects.using(using).in_bulk(keys) if keys else {}
    hits = _hits(named[:NAMED], conversations, words)
    cut = len(named) > NAMED or len(hits) > HITS
    return SearchResult(hits[:HITS], min(len(named), NAMED), len(keys), cut=cut)


def _has_index(using: str) -> bool:
    """Whether there is the index: on PostgreSQL, unless somebody did without it and dropped it."""
    if connections[using].vendor != "postgresql":
        return False
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT to_regclass('message_words')")
        return bool(cursor.fetchone() != (None,))


def search_last_messages(
    using: str, words: Sequence[str], after: Conversation | None
) -> SearchResult:
    """Look through the last messages of some conversations, those last active first.

    `after` is the one that was looked at last.
    """
    rows = with_length(Conversation.objects.using(using)).order_by("-active_at", "-id")
    if after:
        rows = older_rows(rows, "active_at", after.active_at, after.pk)
    following = list(rows[: CONVERSATIONS + 1])
    chosen, looked_at = [], 0
    for conversation in following[:CONVERSATIONS]:
        chosen.append(conversation)
        looked_at += min(_length(conversation), LAST_MESSAGES)
        if looked_at > LOOKED_AT - LAST_MESSAGES:
            break
    if not chosen:
        return SearchResult([], 0, 0)
    last = [Q(conversation_id=c.pk, position__gt=_length(c) - LAST_MESSAGES) for c in chosen]
    found = _beginnings(Message.objects.using(using).filter(reduce(or_, last))[:LOOKED_AT])
    hits = _hits(found, {each.pk: each for each in chosen}, words)
    last_one = chosen[-1] if len(chosen) < len(following) else None
    return SearchResult(hits[:HITS], looked_at, len(chosen), after=last_one, cut=len(hits) > HITS)


def _length(conversation: Any) -> int:
    return conversation.length or 0


def _beginnings(rows: QuerySet[Message]) -> list[tuple[UUID, Entry]]:
    begun = rows.annotate(beginning=Substr("body", 1, BEGINNING))
    columns = begun.values_list("conversation_id", "position", "role", "beginning", "created_at")
    return [(row[0], Entry(*row[1:])) for row in columns]


def _hits(
    entries: Iterable[tuple[UUID, Entry]],
    conversations: dict[UUID, Conversation],
    words: Sequence[str],
) -> list[Hit]:
    found = [
        _hit(conversations[key], entry, excerpt)
        for key, entry in entries
        if key in conversations  # or it was deleted meanwhile
        and (excerpt := _excerpt(list(_readable(parts_in(entry.body))), words))
    ]
    return sorted(found, key=lambda hit: (hit.created_at, hit.position), reverse=True)


# --- One message -------------------------------------------------------------------------


def _readable(parts: Iterable[Part]) -> Iterator[str]:
    return (part.value for part in parts if part.type == "text" or not BINARY.match(part.value))


def _excerpt(texts: Sequence[str], words: Sequence[str]) -> str:
    """What stands around the first word where all are found, on one line; else nothing."""
    text = "\n".join(texts)
    folded = text.casefold()
    if not all(word in folded for word in words):
        return ""
    at = folded.find(words[0])
    # Where folding made letters longer it is near enough.
    around = text[max(0, at - AROUND) : at + len(words[0]) + AROUND]
    return " ".join(around.split()) or text[:AROUND]


def _hit(conversation: Conversation, entry: Entry, excerpt: str) -> Hit:
    where = conversation.pk, conversation.memory_id, entry.position
    return Hit(*where, entry.role, entry.created_at, excerpt)
