"""MariaDB's second procedure for the window, whose statements read one snapshot.

Its text is that of the first one (migration 0006), in a transaction. Without that, a reader could
find a conversation without its old end and without the new one, while both are changed by one
transaction. The first one stays, for the version of the program before this one.

The other procedures, and PostgreSQL's functions, have not changed; they are made here if they are
missing, as in a dump without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import migrations

first = import_module("convstore.migrations.0006_mariadb_procedures")
functions = import_module("convstore.migrations.0009_exchange_v2")

# The first statement that reads takes the snapshot. After an error, the caller's ROLLBACK ends the
# transaction; if none has begun, it takes the level back.
BEGIN = """
  SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
  START TRANSACTION READ ONLY;
  -- A query inside"""
WINDOW = (
    first.WINDOW.replace("convstore_window_v1(", "convstore_window_v2(")
    .replace("\n  -- A query inside", BEGIN)
    .replace("{read}\nEND", "{read}\n  COMMIT;\nEND")
)


def create(apps: Any, schema_editor: Any) -> None:
    first.create_procedures(schema_editor, first.EXCHANGE, first.WINDOW, WINDOW)


def drop(apps: Any, schema_editor: Any) -> None:
    first.drop_procedures(schema_editor, "convstore_window_v2")


class Migration(migrations.Migration):
    dependencies = [("convstore", "0013_pairs_of_tenants")]

    operations = [
        migrations.RunPython(functions.create, migrations.RunPython.noop, elidable=False),
        # MariaDB commits each of these statements.
        migrations.RunPython(create, drop, atomic=False, elidable=False),
    ]
