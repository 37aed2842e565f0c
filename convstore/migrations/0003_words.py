"""PostgreSQL's full-text index of messages, for the admin's search in all conversations."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from convstore.migrations._indexes import NewIndex, build, drop

# The same expression as WORD_CONDITION in convstore/database/postgresql/server.py. It covers only
# the beginning of a message: PostgreSQL refuses a row with too many words, and base64 has many.
WORDS = r"to_tsvector('simple', replace(replace(left(body, 16384), '\n', ' '), '\t', ' '))"


INDEX = NewIndex("message_words", "convstore_message", f"USING gin ({WORDS})")


def make(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        build(schema_editor, INDEX)


def remove(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        drop(schema_editor, INDEX)


class Migration(migrations.Migration):
    atomic = False  # see _indexes.py

    dependencies = [("convstore", "0002_find_by_memory_id")]

    operations = [migrations.RunPython(make, remove, elidable=False)]
