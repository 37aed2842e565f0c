"""The table of messages in partitions: a conversation is in one, by a hash of its key."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.backends.base.base import BaseDatabaseWrapper

from convstore.database.server import MESSAGE_TABLE, fetch_row
from convstore.database.vendor import Partitions

COUNT = f"""
SELECT (SELECT count(t.relid) FROM pg_class c
  LEFT JOIN pg_partition_tree(c.oid) t ON t.isleaf AND t.level > 0
  WHERE c.oid = to_regclass('{MESSAGE_TABLE}') GROUP BY c.oid)"""
KEYS = f"""
SELECT quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
WHERE conrelid = to_regclass('{MESSAGE_TABLE}') AND contype IN ('p', 'u', 'f')"""


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
    table = MESSAGE_TABLE
    yield f"ALTER TABLE {table} RENAME TO {table}_undivided"
    yield f"""CREATE TABLE {table} (LIKE {table}_undivided INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
      PARTITION BY HASH (conversation_id)"""
    # Names of keys are taken once in a schema.
    yield f"DROP TABLE {table}_undivided"
    for n in range(number):
        yield f"""CREATE TABLE {table}_p{n} PARTITION OF {table}
          FOR VALUES WITH (MODULUS {number}, REMAINDER {n})"""
    yield f"ALTER TABLE {table} {', '.join(keys)}"


PARTITIONS = Partitions(count=count, divide=divide)
