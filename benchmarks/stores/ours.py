"""convstore's own store, in process: its fastest variant, and the one through Django's ORM."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convstore.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402

from benchmarks.scenario import TextMessage  # noqa: E402
from convstore.database.migration_lock import without_time_limits  # noqa: E402
from convstore.database.url import database_alias  # noqa: E402
from convstore.exchange.portable_orm import PortableOrm  # noqa: E402
from convstore.exchange.statements import Statements  # noqa: E402
from convstore.exchange.variants import statements_for  # noqa: E402
from convstore.messages import Message, Part  # noqa: E402
from convstore.store import ConversationStore, conversation_key  # noqa: E402

INSERT = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)"""
# The rows once more, behind those that are there.
COPY = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT conversation_id, position + %s, role, body, {key}, fingerprint, created_at
FROM convstore_message WHERE conversation_id = %s AND position <= %s"""
NEW_KEY = {
    "postgresql": "gen_random_uuid()",
    "sqlite": "lower(hex(randomblob(16)))",
    "mysql": "UUID()",
}


class Session:
    def __init__(self, store: ConversationStore) -> None:
        self.store = store

    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        new = Message(message.role, [Part(message.kind, message.text)])
        return [each.body for each in self.store.exchange(conversation, [new], window)]

    def read(self, conversation: str, window: int) -> list[str]:
        return [each.body for each in self.store.window(conversation, window)]

    def elements(self, answer: list[str]) -> list[str]:
        return answer

    def close(self) -> None:
        connections[self.store.using].close()


class Store:
    """The store as the service uses it."""

    exact = True
    variant: Callable[[str], Statements] = staticmethod(statements_for)

    def __init__(self, url: str) -> None:
        self.using = database_alias(url)
        call_command("migrate", "convstore", database=self.using, verbosity=0)
        connections[self.using].close()

    def session(self) -> Session:
        return Session(ConversationStore(self.using, self.variant))

    def fill(self, conversation: str, messages: Sequence[TextMessage], copies: int) -> None:
        """Write the rows past the store, which takes messages one by one."""
        if not messages:
            return
        first, *rest = messages
        with closing(self.session()) as session:
            if session.read(conversation, 1):
                return  # another subject has filled it
            session.append(conversation, first, 1)
        with without_time_limits(self.using):
            self._insert(conversation, rest)
            self._copy(conversation, len(messages), copies)

    def _insert(self, conversation: str, messages: Sequence[TextMessage]) -> None:
        connection = connections[self.using]
        now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
        key = self._column(conversation_key(conversation))
        rows = [
            (
                *(key, position, message.role),
                Message(message.role, [Part(message.kind, message.text)]).to_json(),
                *(self._column(uuid.uuid4()), self._column(uuid.uuid4()), now),
            )
            for position, message in enumerate(messages, start=2)
        ]
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, rows)

    def _copy(self, conversation: str, length: int, copies: int) -> None:
        connection = connections[self.using]
        copy = COPY.format(key=NEW_KEY[connection.vendor])
        key = self._column(conversation_key(conversation))
        there, wanted = length, length * copies
        with connection.cursor() as cursor:
            while there < wanted:
                more = min(there, wanted - there)
                cursor.execute(copy, [there, key, more])
                there += more
        if copies > 1:
            settle(self.using)

    def _column(self, value: uuid.UUID) -> uuid.UUID | str:
        native = connections[self.using].features.has_native_uuid_field
        return value if native else value.hex


class OrmStore(Store):
    """The same through Django's ORM, as somebody would write it for every database."""

    variant = staticmethod(PortableOrm)


def settle(using: str) -> None:
    """Let the database finish what filling has left for later."""
    with connections[using].cursor() as cursor:
        if connections[using].vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")
        elif connections[using].vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.fetchall()
