"""The floor on PostgreSQL: a function in the database, prepared, by the bare driver.

It uses convstore's tables and indexes and gives the same guarantees: one transaction, the
conversation's row as the lock, a guard against two ids with one key, a request that is stored
once, the pinned first message, and a time limit for the lock.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import psycopg

from benchmarks.scenario import TextMessage
from benchmarks.stores.conversation import (
    Elements,
    HandWritten,
    body_of,
    conversation_key,
    fingerprint,
    pinned,
)

FUNCTION = """
CREATE OR REPLACE FUNCTION floor_exchange(
  k uuid, m text, r text, b text, rk uuid, f uuid, t timestamptz, w integer
) RETURNS TABLE (o_position bigint, o_body text) LANGUAGE plpgsql AS $$
DECLARE found_id text; active timestamptz; last bigint;
BEGIN
  SELECT c.memory_id, c.active_at INTO found_id, active
    FROM convstore_conversation c WHERE c.id = k FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
      VALUES (k, m, t, t) ON CONFLICT (id) DO NOTHING;
    SELECT c.memory_id, c.active_at INTO found_id, active
      FROM convstore_conversation c WHERE c.id = k FOR NO KEY UPDATE;
  END IF;
  IF found_id <> m THEN RETURN; END IF;
  IF active < t - interval '1 hour' THEN
    UPDATE convstore_conversation SET active_at = t WHERE id = k;
  END IF;
  INSERT INTO convstore_message AS new
    (conversation_id, position, role, body, request_key, fingerprint, created_at)
    VALUES (k, 1 + COALESCE(
        (SELECT MAX(o.position) FROM convstore_message o WHERE o.conversation_id = k), 0),
      r, b, rk, f, t)
    ON CONFLICT (conversation_id, request_key) DO NOTHING RETURNING new.position INTO last;
  IF last IS NULL THEN
    SELECT o.position INTO last FROM convstore_message o
      WHERE o.conversation_id = k AND o.request_key = rk;
  END IF;
  RETURN QUERY SELECT o.position, o.body FROM convstore_message o
    WHERE o.conversation_id = k AND o.position <= last ORDER BY o.position DESC LIMIT w;
  IF last > w AND w > 1 THEN
    RETURN QUERY SELECT o.position, o.body FROM convstore_message o
      WHERE o.conversation_id = k AND o.position = 1 AND o.role IN ('system', 'developer');
  END IF;
END $$"""
EXCHANGE = "SELECT o_position, o_body FROM floor_exchange(%s, %s, %s, %s, %s, %s, %s, %s)"
RANGE = """SELECT position, body FROM convstore_message
  WHERE conversation_id = %s ORDER BY position DESC LIMIT %s"""
PINNED = """SELECT position, body FROM convstore_message
  WHERE conversation_id = %s AND position = 1 AND role IN ('system', 'developer')"""


class Session(Elements):
    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(
            url, autocommit=True, prepare_threshold=0, options="-c lock_timeout=6s"
        )
        self.cursor: psycopg.Cursor[Any] = self.connection.cursor(binary=True)

    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        body = body_of(message)
        values = (
            *(conversation_key(conversation), conversation, message.role, body),
            *(uuid.uuid4(), fingerprint(body), datetime.now(UTC), window),
        )
        return pinned(self.cursor.execute(EXCHANGE, values).fetchall(), window)

    def read(self, conversation: str, window: int) -> list[str]:
        key = conversation_key(conversation)
        rows = self.cursor.execute(RANGE, (key, window)).fetchall()
        if len(rows) == window > 1 and rows[-1][0] > 1:
            rows += self.cursor.execute(PINNED, (key,)).fetchall()
        return pinned(rows, window)

    def close(self) -> None:
        self.connection.close()


class Store(HandWritten):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        with psycopg.connect(url) as connection:
            connection.execute(FUNCTION)

    def session(self) -> Session:
        return Session(self.url)


class RangeSession(Session):
    def read(self, conversation: str, window: int) -> list[str]:
        rows = self.cursor.execute(RANGE, (conversation_key(conversation), window)).fetchall()
        return [body for _, body in reversed(rows)]


class RangeStore(Store):
    """Reads the plain range of the key, and pins no message."""

    exact = False

    def session(self) -> RangeSession:
        return RangeSession(self.url)
