"""Indexes for the lists of one tenant, whose ids begin with its name and a slash.

The database computes the beginning of each id, so whatever writes a row, of any version, writes
into these indexes, too. They are none of the models', since each vendor has its own way: an index
of an expression, which leaves out ids without a slash, or a column that is computed when it is
read. SQL Server and Oracle have none; see docs/decisions/0025-lists-of-tenants.md.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import migrations

from convstore.database.postgresql.indexes import NewIndex, build
from convstore.migrations._indexes import drop_index
from convstore.migrations._locks import change_briefly

TABLE = "convstore_conversation"
INDEXES = {"conversation_tenant_created": "created_at", "conversation_tenant_active": "active_at"}

# The same expressions as in OF_TENANT of each vendor, or no query uses the index.
ON_POSTGRESQL = "(left(memory_id, strpos(memory_id, '/')), {}, id) WHERE strpos(memory_id, '/') > 0"
ON_SQLITE = """CREATE INDEX IF NOT EXISTS {} ON {}
  (substr(memory_id, 1, instr(memory_id, '/')), {}, id) WHERE instr(memory_id, '/') > 0"""
# MariaDB has no indexes of expressions. Adding a virtual column writes no row. A name of a tenant
# has up to 63 characters, so what is longer and has lost its slash is no tenant's.
COLUMN = "id_prefix"
ADD_COLUMN = f"""ALTER TABLE {TABLE} ADD COLUMN {COLUMN} VARCHAR(64)
  CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  GENERATED ALWAYS AS (LEFT(LEFT(memory_id, LOCATE('/', memory_id)), 64)) VIRTUAL"""
ON_MYSQL = f"CREATE INDEX {{}} ON {TABLE} ({COLUMN}, {{}}, id)"


def create(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "mysql":
        _change_mysql(schema_editor, make=True)
    for name, column in INDEXES.items():
        if connection.vendor == "postgresql":
            build(connection, NewIndex(name, TABLE, ON_POSTGRESQL.format(column)))
        elif connection.vendor == "sqlite":
            schema_editor.execute(ON_SQLITE.format(name, TABLE, column))


def drop(apps: Any, schema_editor: Any) -> None:
    connection = schema_editor.connection
    if connection.vendor == "mysql":
        _change_mysql(schema_editor, make=False)
    for name in INDEXES:
        if connection.vendor == "postgresql":
            drop_index(schema_editor, NewIndex(name, TABLE, ""))
        elif connection.vendor == "sqlite":
            schema_editor.execute(f"DROP INDEX IF EXISTS {name}")


def _change_mysql(schema_editor: Any, *, make: bool) -> None:
    """Make the column and the indexes, or drop them; but for those where that is done."""
    connection = schema_editor.connection
    steps = {COLUMN: ADD_COLUMN}
    steps |= {name: ON_MYSQL.format(name, column) for name, column in INDEXES.items()}
    if not make:
        steps = {name: f"DROP INDEX {name} ON {TABLE}" for name in INDEXES}
        steps[COLUMN] = f"ALTER TABLE {TABLE} DROP COLUMN {COLUMN}"
    for name, statement in steps.items():
        if (name in _names(connection)) != make:
            change_briefly(connection, partial(schema_editor.execute, statement))


def _names(connection: Any) -> set[str]:
    """Of the table's columns and indexes."""
    introspection = connection.introspection
    with connection.cursor() as cursor:
        columns = introspection.get_table_description(cursor, TABLE)
        return {each.name for each in columns} | set(introspection.get_constraints(cursor, TABLE))


class Migration(migrations.Migration):
    atomic = False  # see _indexes.py

    # Behind it, since PostgreSQL would build an index of an expression anew when a column of it
    # gets another type.
    dependencies = [("convstore", "0011_longer_ids")]

    operations = [migrations.RunPython(create, drop, elidable=False)]
