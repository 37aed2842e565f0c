"""A column for what a message says, for searches, and the switch for writing it.

PostgreSQL's first index of words, which no search uses any more, is dropped: each append paid for
it. `convstore words on` makes its successor.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations, models

from convstore.database.postgresql.indexes import NewIndex
from convstore.migrations._indexes import drop_index
from convstore.migrations._operations import AddColumn, CreateTable

# What migration 0003 made, where it was applied before it did nothing.
FIRST_INDEX = NewIndex("message_words", "convstore_message", "")


def drop_first_index(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        drop_index(schema_editor, FIRST_INDEX)


class Migration(migrations.Migration):
    atomic = False  # as in 0004, and see _indexes.py

    dependencies = [("convstore", "0007_postgresql_plain_window")]

    operations = [
        AddColumn(
            model_name="message",
            name="words",
            field=models.TextField(null=True),
        ),
        migrations.RunPython(drop_first_index, migrations.RunPython.noop, elidable=False),
        CreateTable(
            name="WordSwitch",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("enabled", models.BooleanField(default=False)),
                ("filled", models.BooleanField(default=False)),
                ("filled_to", models.UUIDField(null=True)),
                ("filled_position", models.BigIntegerField(default=0)),
            ],
        ),
    ]
