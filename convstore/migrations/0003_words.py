"""PostgreSQL's index of the words in messages, for the admin's search across conversations."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# As in convstore.archive.search. Only the beginning of a message: PostgreSQL refuses a row whose
# words it cannot hold, and a base64 image is one long word after another.
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
