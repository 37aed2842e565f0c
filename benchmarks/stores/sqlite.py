"""The floor on SQLite: statements by hand through `sqlite3`, one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from datetime import UTC, datetime, timedelta

from benchmarks.scenario import TextMessage
from benchmarks.stores.conversation import (
    Elements,
    HandWritten,
    body_of,
    conversation_key,
    fingerprint,
    pinned,
)

LOCK = """
INSERT INTO convstore_conversation (id, memory_id, created_at, active_at) VALUES (?1, ?2, ?3, ?3)
ON CONFLICT (id) DO UPDATE SET active_at = ?3 WHERE active_at < ?4"""
ADD = """
INSERT INTO convstore_message
  (conversation_id, position, role, body, request_key, fingerprint, created_at)
SELECT ?1, 1 + COALESCE(
    (SELECT MAX(position) FROM convstore_message WHERE conversation_id = ?1), 0),
  ?3, ?4, ?5, ?6, ?7
WHERE (SELECT memory_id FROM convstore_conversation WHERE id = ?1) = ?2
ON CONFLICT (conversation_id, request_key) DO NOTHING RETURNING position"""
OWN = "SELECT position FROM convstore_message WHERE conversation_id = ? AND request_key = ?"
RANGE = """SELECT position, body FROM convstore_message
  WHERE conversation_id = ? AND position <= ? ORDER BY position DESC LIMIT ?"""
PINNED = """SELECT position, body FROM convstore_message
  WHERE conversation_id = ? AND position = 1 AND role IN ('system', 'developer')"""
LARGEST = 2**63 - 1


class Session(Elements):
    def __init__(self, url: str, lock: threading.Lock) -> None:
        path = url.removeprefix("sqlite:///")
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=6)
        self.execute = self.connection.execute
        self.execute("PRAGMA journal_mode=WAL")
        self.execute("PRAGMA synchronous=FULL")
        self.lock = lock

    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        key, body, request = conversation_key(conversation).hex, body_of(message), uuid.uuid4().hex
        now = datetime.now(UTC).replace(tzinfo=None)
        stale, text = str(now - timedelta(hours=1)), str(now)
        values = (key, conversation, message.role, body, request, fingerprint(body).hex, text)
        with self.lock:
            self.execute("BEGIN IMMEDIATE")
            try:
                self.execute(LOCK, (key, conversation, text, stale))
                rows = self.execute(ADD, values).fetchall()
                last = rows or self.execute(OWN, (key, request)).fetchall()
                found = self._window(key, last[0][0], window) if last else []
                self.execute("COMMIT")
            except BaseException:
                self.connection.rollback()
                raise
        return found

    def read(self, conversation: str, window: int) -> list[str]:
        return self._window(conversation_key(conversation).hex, LARGEST, window)

    def _window(self, key: str, last: int, window: int) -> list[str]:
        rows = self.execute(RANGE, (key, last, window)).fetchall()
        if len(rows) == window > 1 and rows[-1][0] > 1:
            rows += self.execute(PINNED, (key,)).fetchall()
        return pinned(rows, window)

    def close(self) -> None:
        self.connection.close()


class Store(HandWritten):
    lock = threading.Lock()

    def session(self) -> Session:
        return Session(self.url, self.lock)
