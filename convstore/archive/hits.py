"""Hits: messages that contain the words of a search, with the messages before and after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Substr

from convstore.archive.history import MessageRow
from convstore.messages import parts_in
from convstore.models import NOT_ERASED
from convstore.words import SEARCHED_CHARACTERS, fold_text, texts_in, texts_of_parts, word_segments

# The most hits of a page, and the most of one conversation if all conversations are searched.
MAX_HITS, MAX_HITS_OF_ONE = 20, 5
# How many characters an excerpt shows before and after the first word.
EXCERPT_MARGIN = 80
# How much is shown of the message before a hit, and of the one after.
NEIGHBOUR_CHARACTERS = 160
# A long text is looked through in pieces, since the marks of an excerpt need its characters.
PIECE, OVERLAP = 4_096, 512


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The beginning of the message before or after a hit."""

    position: int
    role: str
    beginning: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that contains the words; `excerpt` is the text around the first word.

    `is_beside` says that this is not in its content, but in a call or another field beside it.
    """

    key: UUID
    memory_id: str
    position: int
    role: str
    created_at: datetime
    excerpt: str
    is_beside: bool
    before: Neighbour | None = None
    after: Neighbour | None = None


@dataclass(frozen=True, slots=True)
class HitGroup:
    """The hits of one conversation, newest first; `more` of them are not shown."""

    key: UUID
    memory_id: str
    hits: Sequence[Hit]
    more: int = 0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits by conversation, and how many `messages` of how many `conversations` were read.

    One of `below`, `after` and `skip` says where the next search continues: in one conversation,
    below that position; in all conversations, after the one with that time and key; by the index,
    after so many hits. If nothing is left, all are None. `is_cut` is true if the index has more
    matches than were read.
    """

    groups: Sequence[HitGroup]
    messages: int
    conversations: int
    below: int | None = None
    after: tuple[datetime, UUID] | None = None
    skip: int | None = None
    is_cut: bool = False

    @property
    def hits(self) -> list[Hit]:
        """The hits that are shown."""
        return [hit for group in self.groups for hit in group.hits]

    @property
    def found(self) -> int:
        """How many hits there are, those that are not shown among them."""
        return sum(len(group.hits) + group.more for group in self.groups)

    @property
    def goes_on(self) -> bool:
        return any(place is not None for place in (self.below, self.after, self.skip))


@dataclass(frozen=True, slots=True)
class Match:
    """A row that contains the words, and the text in which they were found.

    `content` is the text of its parts; "" if the beginning of its JSON is enough to know it.
    """

    conversation: Any
    row: Any
    text: str
    content: str = ""


def hit_groups(
    using: str, matches: Iterable[Match], words: Sequence[str], limit: int
) -> list[HitGroup]:
    """The hits, at most `limit` of each conversation, in the order in which the matches come."""
    of_key: dict[UUID, list[Match]] = {}
    for match in matches:
        of_key.setdefault(match.conversation.pk, []).append(match)
    shown = [match for group in of_key.values() for match in group[:limit]]
    around = _messages_around(using, shown)
    return [
        HitGroup(
            key,
            group[0].conversation.memory_id,
            [_hit(match, words, around) for match in group[:limit]],
            max(len(group) - limit, 0),
        )
        for key, group in of_key.items()
    ]


# By conversation and position; with the text of its parts, and with all that it says.
Around = dict[tuple[UUID, int], tuple[Neighbour, str, str]]


def _messages_around(using: str, matches: Sequence[Match]) -> Around:
    """The messages of the matches and those before and after."""
    if not matches:
        return {}
    wanted = [
        Q(
            conversation_id=match.conversation.pk,
            position__range=(match.row.position - 1, match.row.position + 1),
        )
        for match in matches
    ]
    rows = MessageRow.objects.using(using).filter(NOT_ERASED, reduce(or_, wanted))
    # JSON is longer than what it says.
    rows = rows.annotate(beginning=Substr("body", 1, 2 * SEARCHED_CHARACTERS))
    found: Around = {}
    for row in rows.values("conversation_id", "position", "role", "beginning"):
        content = "\n".join(texts_of_parts(parts_in(row["beginning"])))
        beginning = " ".join(content[: 2 * NEIGHBOUR_CHARACTERS].split())
        if len(beginning) > NEIGHBOUR_CHARACTERS:
            beginning = f"{beginning[:NEIGHBOUR_CHARACTERS]}…"
        neighbour = Neighbour(row["position"], row["role"], beginning)
        said = "\n".join(texts_in(row["beginning"]))
        found[row["conversation_id"], row["position"]] = neighbour, content, said
    return found


def _hit(match: Match, words: Sequence[str], around: Around) -> Hit:
    row, key = match.row, match.conversation.pk
    _, content, said = around.get((key, row.position), (None, "", ""))
    in_content = excerpt(match.content or content, words)
    hit = Hit(
        key,
        match.conversation.memory_id,
        row.position,
        row.role,
        row.created_at,
        in_content
        or excerpt(said, words)
        # The words may stand behind the beginning that was read here.
        or excerpt(match.text, words)
        or match.text[:EXCERPT_MARGIN],
        is_beside=not in_content,
    )
    neighbours = {n: around.get((key, row.position + n), (None,))[0] for n in (-1, 1)}
    return replace(hit, before=neighbours[-1], after=neighbours[1])


def excerpt(text: str, words: Sequence[str]) -> str:
    """The text around the first word, on one line; "" if the word is not there."""
    for piece in _pieces(text):
        line = " ".join(piece.split())
        if words[0] not in fold_text(line):
            continue
        segments = word_segments(line, words[:1])
        # Some words are found and cannot be marked, such as half-width ones with a voice mark.
        at = len(segments[0][1]) if len(segments) > 1 and not segments[0][0] else 0
        start = max(0, at - EXCERPT_MARGIN)
        end = at + len(words[0]) + EXCERPT_MARGIN
        return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"
    return ""


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, max(len(text), 1), PIECE - OVERLAP):
        yield text[start : start + PIECE]
        if start + PIECE >= len(text):
            return
