"""MariaDB's procedures for the exchange and the window: one call, whose statements are parsed once.

They stand in the tables' database. Where the user may not create procedures, exchanges go on as a
batch of statements. MySQL goes on with the batch, too.

A procedure that cannot serve ends in an error that says why. The caller rolls back, as after any
other error; so what ends without an error is stored.

A released procedure stays as it is. A later version of the program gets procedures of another
name, since both versions serve the database while the later one is rolled out.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

from convstore.migrations._rights import log_missing_right

# No right to create in this database; none that the server's settings ask for.
CANNOT_CREATE = (1044, 1227)

# Parameters have the types of the columns: the caller's session is strict, and refuses what is too
# long for them, but a procedure runs in the mode of the session that made it. Without this, they
# would have the database's character set.
TEXT = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
NAME = f"VARCHAR(510) {TEXT}"

# A variable wins over a column of the same name, which a later version may add; so every column
# is written with its table. `=` on text ignores trailing blanks, so texts are compared as bytes.
EXCHANGE = """
CREATE PROCEDURE IF NOT EXISTS convstore_exchange_v1(
  for_key {uuid}, for_id {name}, for_time DATETIME(6), wanted BIGINT, max_bytes BIGINT,
  mark {uuid}, new_role {name}, new_body LONGTEXT {text}, new_key {uuid}, new_size INTEGER,
  new_tokens INTEGER
)
MODIFIES SQL DATA SQL SECURITY INVOKER
BEGIN
  DECLARE held_by {name};
  DECLARE active DATETIME(6);
  DECLARE outcome VARCHAR(20) {text};
  DECLARE last, first BIGINT DEFAULT 0;
  START TRANSACTION;
  SELECT c.memory_id, c.active_at INTO held_by, active FROM convstore_conversation c
    WHERE c.id = for_key FOR UPDATE;
  IF held_by IS NULL OR active < for_time - INTERVAL 1 HOUR THEN
    -- Locks the row also where it changes nothing, if somebody else was first.
    INSERT INTO convstore_conversation (id, memory_id, created_at, active_at)
      VALUES (for_key, for_id, for_time, for_time)
      ON DUPLICATE KEY UPDATE active_at = IF(
        convstore_conversation.active_at < for_time - INTERVAL 1 HOUR,
        for_time, convstore_conversation.active_at);
    SELECT c.memory_id INTO held_by FROM convstore_conversation c WHERE c.id = for_key;
  END IF;
  IF CAST(held_by AS BINARY) <> CAST(for_id AS BINARY) THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'id clash';
  END IF;

  SELECT m.position, CASE WHEN m.kind <> 0 THEN 'measure first'
      WHEN m.fingerprint <> mark THEN 'key reused' ELSE 'done' END INTO last, outcome
    FROM convstore_message m WHERE m.conversation_id = for_key AND m.request_key = new_key;
  IF outcome IS NULL THEN
    SELECT COALESCE(MAX(m.position), 0) + 1 INTO last
      FROM convstore_message m WHERE m.conversation_id = for_key;
    INSERT INTO convstore_message
      (conversation_id, position, role, body, request_key, fingerprint, created_at,
      size, tokens, kind)
      VALUES (for_key, last, new_role, new_body, new_key, mark, for_time,
      new_size, new_tokens, 0);
  ELSEIF outcome <> 'done' THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = outcome;
  END IF;
{read}
  COMMIT;
END"""

WINDOW = """
CREATE PROCEDURE IF NOT EXISTS convstore_window_v1(
  for_key {uuid}, for_id {name}, wanted BIGINT, max_bytes BIGINT
)
READS SQL DATA SQL SECURITY INVOKER
BEGIN
  DECLARE held_by {name};
  DECLARE last, first BIGINT DEFAULT 0;
  -- A query inside of IF would wait for the lock of whoever adds a message.
  SELECT c.memory_id INTO held_by FROM convstore_conversation c WHERE c.id = for_key;
  IF CAST(held_by AS BINARY) = CAST(for_id AS BINARY) THEN
    SELECT COALESCE(MAX(m.position), 0) INTO last
      FROM convstore_message m WHERE m.conversation_id = for_key;
  END IF;
{read}
END"""

# Newest first; the pinned message, if `first` is 1, is the last row. Position and role are one
# column, since each costs the driver time.
READ = """
  IF wanted > 1 AND last > wanted THEN
    SELECT COUNT(*) INTO first FROM convstore_message m
      WHERE m.conversation_id = for_key AND m.position = 1
        AND CAST(m.role AS BINARY) IN ('system', 'developer') AND m.kind = 0;
    SET wanted = wanted - first;
  END IF;
  SET @convstore_bytes = 0;
  IF first THEN
    ({newest}) UNION ALL ({rows} AND m.position = 1);
  ELSE
    {newest};
  END IF;
  IF @convstore_bytes > max_bytes THEN
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'measure first';
  END IF;"""
# Bodies over the limit on replies are left out. A sum by a window function would be a temporary
# table; one of its own costs as much as the rows. Rows that were written before there was the
# column have size 0.
ROWS = """SELECT CONCAT(m.position, ' ', m.role), IF(max_bytes >= (@convstore_bytes :=
      @convstore_bytes + IF(m.size > 0, m.size, OCTET_LENGTH(m.body))), m.body, NULL)
    FROM convstore_message m WHERE m.conversation_id = for_key AND m.kind = 0"""
NEWEST = f"""{ROWS} AND m.position > first AND m.position <= last
    ORDER BY m.position DESC LIMIT wanted"""

# DROP ... IF EXISTS needs a right even where there is nothing to drop.
IS_THERE = """
SELECT COUNT(*) FROM information_schema.routines
WHERE routine_schema = DATABASE() AND routine_name = %s"""


def create(apps: Any, schema_editor: Any) -> None:
    create_procedures(schema_editor, EXCHANGE, WINDOW)


def create_procedures(schema_editor: Any, *texts: str) -> None:
    """Make the procedures that are missing, on MariaDB; a later migration makes others."""
    connection = schema_editor.connection
    if connection.vendor != "mysql" or not connection.mysql_is_mariadb:
        return
    uuid = "UUID" if connection.features.has_native_uuid_field else f"CHAR(32) {TEXT}"
    parts = {"uuid": uuid, "name": NAME, "text": TEXT}
    parts["read"] = READ.format(rows=ROWS, newest=NEWEST)
    with log_missing_right(connection, "procedures", CANNOT_CREATE):
        for text in texts:
            schema_editor.execute(text.format(**parts), params=None)


def drop(apps: Any, schema_editor: Any) -> None:
    drop_procedures(schema_editor, "convstore_exchange_v1", "convstore_window_v1")


def drop_procedures(schema_editor: Any, *names: str) -> None:
    connection = schema_editor.connection
    if connection.vendor != "mysql":
        return
    for name in names:
        with connection.cursor() as cursor:
            cursor.execute(IS_THERE, [name])
            ((is_there,),) = cursor.fetchall()
        if is_there:
            schema_editor.execute(f"DROP PROCEDURE {name}", params=None)


class Migration(migrations.Migration):
    dependencies = [("convstore", "0005_postgresql_functions")]

    # MariaDB commits each of these statements.
    operations = [migrations.RunPython(create, drop, atomic=False, elidable=False)]
