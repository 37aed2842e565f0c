"""The table of messages in partitions: a conversation is in one, by a hash of its key."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.server import fetch_row
from convstore.database.vendor import Partitions

TABLE = "convstore_message"
COUNT = """
SELECT (SELECT count(t.relid) FROM pg_class c
  LEFT JOIN pg_partition_tree(c.oid) t ON t.isleaf AND t.level > 0
  WHERE c.oid = to_regclass('convstore_message') GROUP BY c.oid)"""
KEYS = """
SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = to_regclass('convstore_message') AND contype IN ('p', 'u', 'f')"""


def count(connection: BaseDatabaseWrapper) -> int | None:
    found: int | None = fetch_row(connection, COUNT)[0]
    return found


def divide(connection: BaseDatabaseWrapper, number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(KEYS)
        keys = [f"ADD CONSTRAINT {name} {definition}" for name, definition in cursor.fetchall()]
        for statement in _division(number, keys):
            cursor.execute(statement)


def _division(number: int, keys: list[str]) -> Iterator[str]:
    """The statements that put an empty table of `number` partitions in the place of the table."""
    yield f"ALTER TABLE {TABLE} RENAME TO {TABLE}_undivided"
    yield f"""CREATE TABLE {TABLE} (LIKE {TABLE}_undivided INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
      PARTITION BY HASH (conversation_id)"""
    # Names of keys are taken once in a schema.
    yield f"DROP TABLE {TABLE}_undivided"
    for n in range(number):
        yield f"""CREATE TABLE {TABLE}_p{n} PARTITION OF {TABLE}
          FOR VALUES WITH (MODULUS {number}, REMAINDER {n})"""
    yield f"ALTER TABLE {TABLE} {', '.join(keys)}"


PARTITIONS = Partitions(count=count, divide=divide)
