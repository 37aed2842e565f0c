"""Search for words in all messages of a database, by its index of words.

The index collects all places of a word before the first message can be read: for a word of 680,000
messages that takes 0.2 seconds. A frequent word is found sooner without it, in a sample of the
messages, so that is asked first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from convstore.archive.conversations import conversations
from convstore.archive.history import MessageRow
from convstore.archive.hits import MAX_HITS, Match, SearchResult, hit_groups
from convstore.archive.search import EVERYTHING, Filters, contains, text_of_row
from convstore.database.vendor import WordIndex
from convstore.database.vendors import vendor_for
from convstore.models import NOT_ERASED
from convstore.words import query_terms

# The most matches of the index of words that are read.
MAX_MATCHES = 500
# In a sample of so many, words are frequent that more than MAX_MATCHES messages have. How many
# words of a query are also looked for alone, in a smaller sample; each takes some milliseconds.
SAMPLE, SINGLE_WORDS, SMALLER = 10_000, 3, 5
FOUND_FIELDS = ("conversation_id", "position", "role", "created_at", "words")


def search_word_index(
    using: str, words: Sequence[str], filters: Filters = EVERYTHING, skip: int = 0
) -> SearchResult | None:
    """Search the beginning of every message with the database's index of words.

    None if there is no such index, or if the words have neither letters nor digits.
    """
    index = vendor_for(using).word_index
    if not index or not _query(index, words):
        return None
    frequencies = _frequencies(using, index, words)
    if frequencies is None:
        return None
    are_frequent, rare = frequencies
    rows = MessageRow.objects.using(using).filter(NOT_ERASED, filters.condition)
    read: list[MessageRow] = []
    if are_frequent:
        in_sample = rows.filter(_raw(index.condition, _query(index, words)))
        table, sample = MessageRow._meta.db_table, index.sample.format(SAMPLE)
        read = _some(in_sample, f"WITH {table} AS ({sample}) {{0}}")
    if len(read) <= MAX_MATCHES:  # the filters admit fewer, or the words are rare
        found_by_index = rows.filter(_raw(index.condition, _query(index, rare)))
        if rare != words:
            found_by_index = found_by_index.filter(_raw(index.filter, _query(index, words)))
        read = _matches(found_by_index)
    is_cut, read = len(read) > MAX_MATCHES, read[:MAX_MATCHES]
    keys = {row.conversation_id for row in read}
    found = conversations(using).in_bulk(keys) if keys else {}
    read.sort(key=lambda row: (row.created_at, row.position), reverse=True)
    matches = [
        Match(found[row.conversation_id], row, text)
        for row in read
        if row.conversation_id in found  # it may just have been deleted
        and contains(text := text_of_row(row), words)
    ]
    groups = hit_groups(using, matches[skip : skip + MAX_HITS], words, MAX_HITS)
    following = skip + MAX_HITS
    return SearchResult(
        groups,
        len(read),
        len(keys),
        skip=following if len(matches) > following else None,
        is_cut=is_cut,
    )


def _frequencies(
    using: str, index: WordIndex, words: Sequence[str]
) -> tuple[bool, Sequence[str]] | None:
    """Whether the words are frequent together, and those that the index is to be asked for.

    Where one word is rare, the frequent ones beside it are looked for in the messages that have it.
    None if there is no index.
    """
    queries = {word: _query(index, [word]) for word in words}
    smaller = MAX_MATCHES // SMALLER, SAMPLE // SMALLER
    single = [({word: queries[word]}, *smaller) for word in words[:SINGLE_WORDS] if len(words) > 1]
    groups = [(queries, MAX_MATCHES, SAMPLE), *single]
    answers = index.are_frequent(connections[using], groups)
    if not answers:
        return None
    frequent = {word for word, answer in zip(words, answers[1:], strict=False) if answer}
    rare = [word for word in words if word not in frequent]
    return answers[0], rare if _query(index, rare) else words


def _query(index: WordIndex, words: Sequence[str]) -> str:
    """A query for the terms of the words; "" if they have none."""
    terms = query_terms(words)
    return index.query(terms.whole, terms.beginnings)


def _raw(condition: str, query: str) -> Any:
    return RawSQL(condition, [query], BooleanField())  # noqa: S611 - no client's text


def _matches(rows: QuerySet[MessageRow]) -> list[MessageRow]:
    """The first rows, by the index.

    With a plain LIMIT the planner takes each word for a frequent one, and reads the table until it
    has met enough: 2,000,000 messages for a rare one. It plans this form for all matches, by the
    index, and still stops at the limit.
    """
    return _some(rows, "WITH found AS MATERIALIZED ({0}) SELECT * FROM found")


def _some(rows: QuerySet[MessageRow], form: str) -> list[MessageRow]:
    """One row more than MAX_MATCHES, with FOUND_FIELDS."""
    statement, parameters = rows.values_list(*FOUND_FIELDS).query.get_compiler(rows.db).as_sql()
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"{form.format(statement)} LIMIT {MAX_MATCHES + 1}", parameters)
        return [MessageRow(**dict(zip(FOUND_FIELDS, row, strict=True))) for row in cursor]
