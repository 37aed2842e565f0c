"""PostgreSQL's index of the terms of messages: made, dropped and asked without blocking writers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.postgresql import indexes
from convstore.database.server import MESSAGE_TABLE, fetch_row
from convstore.database.vendor import WordIndex

NAME = "message_terms"
# The second line of a message's words has its terms. They are not parsed by PostgreSQL, whose
# parser takes a path or an address for one word. Those of one message are surely few enough.
EXPRESSION = "array_to_tsvector(string_to_array(split_part(words, E'\\n', 2), ' '))"
# The first part tells the planner that the index, which leaves out NULL, will do.
CONDITION = f"words IS NOT NULL AND {EXPRESSION} @@ %s::tsquery"
# The planner takes no index for this one.
FILTER = f"({CONDITION}) IS TRUE"
# The beginning of the table, where the index's matches come from first, too.
SAMPLE = f"SELECT * FROM {MESSAGE_TABLE} WHERE ctid < '(2000,0)' LIMIT {{0}}"
# The beginning of a message is looked at first: that is quicker than to ask for its terms.
IS_FREQUENT = """
(SELECT count(*) > {most} FROM (
  SELECT 1 FROM (SELECT words, left(words, 1000) AS beginning FROM ({sample}) a) b
  WHERE {conditions} LIMIT {most} + 1) c)"""
INDEX = indexes.NewIndex(NAME, MESSAGE_TABLE, f"USING gin (({EXPRESSION})) WHERE words IS NOT NULL")


def query(whole: Iterable[str], beginnings: Iterable[str]) -> str:
    """A tsquery as text. Terms are letters, digits and symbols, so no quotation mark is in them."""
    return " & ".join(
        [*(f"'{term}'" for term in whole), *(f"'{term}':*" for term in beginnings)],
    )


def are_frequent(
    connection: BaseDatabaseWrapper, groups: Sequence[tuple[Mapping[str, str], int, int]]
) -> list[bool]:
    answers, parameters = list[str](), list[str]()
    for queries, most, size in groups:
        terms = [query for query in queries.values() if query]
        found = ["strpos(beginning, %s) > 0"] * len(queries)
        conditions = " AND ".join([*found, *[CONDITION] * len(terms)])
        sample = SAMPLE.format(size)
        answers.append(IS_FREQUENT.format(most=most, sample=sample, conditions=conditions))
        parameters += [*queries, *terms]
    statement = f"SELECT {', '.join(answers)} WHERE {indexes.VALID}"
    return list(fetch_row(connection, statement, [*parameters, NAME]) or ())


def exists(connection: BaseDatabaseWrapper) -> bool:
    return indexes.is_valid(connection, INDEX) is True


def state(connection: BaseDatabaseWrapper) -> str:
    if indexes.is_being_built(connection, INDEX):
        return "an index that is being made"
    if exists(connection):
        return "an index"
    return "an unfinished index" if indexes.is_begun(connection, INDEX) else "no index"


def make(connection: BaseDatabaseWrapper) -> None:
    if not exists(connection):
        _require_that_nobody_makes_it(connection)
        indexes.build(connection, INDEX)


def drop(connection: BaseDatabaseWrapper) -> None:
    _require_that_nobody_makes_it(connection)
    indexes.drop(connection, INDEX)


def _require_that_nobody_makes_it(connection: BaseDatabaseWrapper) -> None:
    # Otherwise both would wait for each other, until PostgreSQL ends one of them.
    if indexes.is_being_built(connection, INDEX):
        raise OperationalError(f"another command is making the index {NAME}: wait until it ends")


WORD_INDEX = WordIndex(
    condition=CONDITION,
    filter=FILTER,
    sample=SAMPLE,
    query=query,
    are_frequent=are_frequent,
    state=state,
    make=make,
    drop=drop,
)
