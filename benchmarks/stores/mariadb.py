"""The floor on MariaDB: a procedure in the database, called by the driver that convstore uses."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pymysql

from benchmarks.scenario import TextMessage
from benchmarks.stores.conversation import (
    Elements,
    HandWritten,
    body_of,
    conversation_key,
    fingerprint,
    pinned,
)

PROCEDURE = """
CREATE OR REPLACE PROCEDURE floor_exchange(
  k UUID, m VARCHAR(510) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  r VARCHAR(510) CHARACTER SET utf8mb4, b LONGTEXT CHARACTER SET utf8mb4,
  rk UUID, f UUID, t DATETIME(6), w INTEGER
)
BEGIN
  DECLARE last BIGINT;
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
  START TRANSACTION;
  INSERT INTO convstore_conversation (id, memory_id, created_at, active_at) VALUES (k, m, t, t)
    ON DUPLICATE KEY UPDATE active_at = IF(active_at < t - INTERVAL 1 HOUR, t, active_at);
  IF (SELECT CAST(memory_id AS BINARY) FROM convstore_conversation WHERE id = k)
      = CAST(m AS BINARY) THEN
    SELECT position INTO last FROM convstore_message
      WHERE conversation_id = k AND request_key = rk;
    IF last IS NULL THEN
      SELECT COALESCE(MAX(position), 0) + 1 INTO last FROM convstore_message
        WHERE conversation_id = k;
      INSERT INTO convstore_message
        (conversation_id, position, role, body, request_key, fingerprint, created_at)
        VALUES (k, last, r, b, rk, f, t);
    END IF;
    COMMIT;
    SELECT position, body FROM convstore_message
      WHERE conversation_id = k AND position <= last ORDER BY position DESC LIMIT w;
    IF last > w AND w > 1 THEN
      SELECT position, body FROM convstore_message
        WHERE conversation_id = k AND position = 1 AND role IN ('system', 'developer');
    END IF;
  ELSE
    ROLLBACK;
  END IF;
END"""
CALL = "CALL floor_exchange(%s, %s, %s, %s, %s, %s, %s, %s)"
RANGE = """SELECT position, body FROM convstore_message
  WHERE conversation_id = %s ORDER BY position DESC LIMIT %s"""
PINNED = """SELECT position, body FROM convstore_message
  WHERE conversation_id = %s AND position = 1 AND role IN ('system', 'developer')"""


def connect(url: str) -> Any:
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        database=parts.path[1:],
        autocommit=True,
        charset="utf8mb4",
        init_command="SET SESSION innodb_lock_wait_timeout = 6, tx_isolation = 'READ-COMMITTED'",
    )


class Session(Elements):
    def __init__(self, url: str) -> None:
        self.connection = connect(url)
        self.cursor = self.connection.cursor()

    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        body, now = body_of(message), datetime.now(UTC).replace(tzinfo=None)
        key, request = str(conversation_key(conversation)), str(uuid.uuid4())
        values = (
            key,
            conversation,
            message.role,
            body,
            request,
            str(fingerprint(body)),
            now,
            window,
        )
        self.cursor.execute(CALL, values)
        rows = list(self.cursor.fetchall())
        while self.cursor.nextset():
            rows += self.cursor.fetchall()
        return pinned(rows, window)

    def read(self, conversation: str, window: int) -> list[str]:
        key = str(conversation_key(conversation))
        self.cursor.execute(RANGE, (key, window))
        rows = list(self.cursor.fetchall())
        if len(rows) == window > 1 and rows[-1][0] > 1:
            self.cursor.execute(PINNED, (key,))
            rows += self.cursor.fetchall()
        return pinned(rows, window)

    def close(self) -> None:
        self.connection.close()


class Store(HandWritten):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        connection = connect(url)
        with connection.cursor() as cursor:
            cursor.execute(PROCEDURE)
        connection.close()

    def session(self) -> Session:
        return Session(self.url)
