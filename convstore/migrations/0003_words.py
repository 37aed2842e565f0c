"""PostgreSQL's full-text index of messages, for the admin's search in all conversations."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# The same expression as WORD_CONDITION in convstore/database/postgresql/server.py. It covers only
# the beginning of a message: PostgreSQL refuses a row with too many words, and base64 has many.
WORDS = r"to_tsvector('simple', replace(replace(left(body, 16384), '\n', ' '), '\t', ' '))"


def make(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            f"CREATE INDEX message_words ON convstore_message USING gin ({WORDS})"
        )


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX message_words")


class Migration(migrations.Migration):
    dependencies = [("convstore", "0002_find_by_memory_id")]

    operations = [migrations.RunPython(make, drop, elidable=False)]
