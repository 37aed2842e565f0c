"""PostgreSQL's index of the terms of messages: made, dropped and asked without blocking writers."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.server import fetch_row
from convstore.database.vendor import WordIndex

NAME = "message_terms"
# The second line of a message's words has its terms. They are not parsed by PostgreSQL, whose
# parser takes a path or an address for one word. Those of one message are surely few enough.
EXPRESSION = "array_to_tsvector(string_to_array(split_part(words, E'\\n', 2), ' '))"
# The first part tells the planner that the index, which leaves out NULL, will do.
CONDITION = f"words IS NOT NULL AND {EXPRESSION} @@ %s::tsquery"
# Made beside writers, it has to be a statement of its own, outside of a transaction.
MAKE = f"""CREATE INDEX CONCURRENTLY {NAME} ON convstore_message USING gin (({EXPRESSION}))
  WHERE words IS NOT NULL"""
IS_VALID = "SELECT (SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s))"
IS_BEING_MADE = """SELECT EXISTS (SELECT 1 FROM pg_stat_progress_create_index
  WHERE index_relid = to_regclass(%s)::oid)"""


def query(whole: Iterable[str], beginnings: Iterable[str]) -> str:
    """A tsquery as text. Terms are letters, digits and symbols, so no quotation mark is in them."""
    return " & ".join(
        [*(f"'{term}'" for term in whole), *(f"'{term}':*" for term in beginnings)],
    )


def exists(connection: BaseDatabaseWrapper) -> bool:
    return _is_valid(connection) is True


def state(connection: BaseDatabaseWrapper) -> str:
    if _is_being_made(connection):
        return "an index that is being made"
    states = {None: "no index", False: "an unfinished index", True: "an index"}
    return states[_is_valid(connection)]


def make(connection: BaseDatabaseWrapper) -> None:
    if exists(connection):
        return
    drop(connection)  # a try may have been interrupted
    with connection.cursor() as cursor:
        cursor.execute(MAKE)


def drop(connection: BaseDatabaseWrapper) -> None:
    # Otherwise both would wait for each other, until PostgreSQL ends one of them.
    if _is_being_made(connection):
        raise OperationalError(f"another command is making the index {NAME}: wait until it ends")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {NAME}")


def _is_valid(connection: BaseDatabaseWrapper) -> bool | None:
    """Whether the index is finished; None if there is none."""
    valid: bool | None = fetch_row(connection, IS_VALID, [NAME])[0]
    return valid


def _is_being_made(connection: BaseDatabaseWrapper) -> bool:
    return bool(fetch_row(connection, IS_BEING_MADE, [NAME])[0])


WORD_INDEX = WordIndex(
    condition=CONDITION, query=query, state=state, exists=exists, make=make, drop=drop
)
