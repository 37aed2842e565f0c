"""`convstore find ID`: the conversation of a memory_id, or of a UUID that the log has."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, Error

from convstore.archive.conversations import ConversationRow, conversation_with_key
from convstore.database.vendors import describe_database
from convstore.request_log import quoted
from convstore.store import conversation_key
from memory_api.memories import memories


class Command(BaseCommand):
    help = (
        "Show which conversation has this memory_id, or this UUID, as the log names it. Looks into"
        " the database of DATABASE_URL and that of each memory."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", help="a memory_id, or the UUID of a conversation")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted: str = options["id"]
        keys = [conversation_key(wanted)]
        with suppress(ValueError):
            keys.append(UUID(wanted))
        found = [self.describe(row) for key in keys for row in self.rows(key)]
        if not found:
            raise CommandError(
                f"no database has this conversation; as a memory_id, its UUID would be {keys[0]}"
            )
        self.stdout.write("\n\n".join(found))

    def rows(self, key: UUID) -> Iterator[ConversationRow]:
        for using in dict.fromkeys([DEFAULT_DB_ALIAS, *(each.store.using for each in memories())]):
            try:
                row = conversation_with_key(using, key)
            except Error as error:
                self.stderr.write(f"{describe_database(using)} cannot be read: {error}")
                continue
            if row:
                yield row

    def describe(self, row: Any) -> str:
        names = [each.name for each in memories() if each.store.using == row._state.db]
        fields = {
            "conversation": row.pk,
            "memory_id": quoted(row.memory_id),
            "database": describe_database(row._state.db),
            "memories": ", ".join(names),
            "messages": f"{row.message_count}, the last at position {row.length or 0}",
            "created": row.created_at.isoformat(),
            "last active": f"{row.active_at.isoformat()}, within the hour after it",
        }
        return "\n".join(f"{name + ':':14}{value}" for name, value in fields.items())
