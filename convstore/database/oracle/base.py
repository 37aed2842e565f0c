"""Django's Oracle backend over python-oracledb in its thin mode.

It adds three things: an error at COMMIT is one of Django's errors, as on other backends; a
body is fetched with its row, not by a round trip of its own; and a statement has a time
limit in milliseconds, CALL_TIMEOUT in the entry of DATABASES.
"""

from __future__ import annotations

from typing import Any

import oracledb
from django.db.backends.oracle import base


class DatabaseWrapper(base.DatabaseWrapper):
    def init_connection_state(self) -> None:
        self.connection.call_timeout = self.settings_dict.get("CALL_TIMEOUT", 0)
        super().init_connection_state()

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)
        cursor.cursor.outputtypehandler = _output_type
        return cursor

    def _commit(self) -> None:
        with self.wrap_database_errors:
            super()._commit()  # type: ignore[misc]


def _output_type(cursor: Any, name: str, kind: Any, *details: Any) -> Any:
    if kind == oracledb.DB_TYPE_NCLOB:
        return cursor.var(oracledb.DB_TYPE_LONG_NVARCHAR, arraysize=cursor.arraysize)
    djangos: Any = base.FormatStylePlaceholderCursor
    return djangos._output_type_handler(cursor, name, kind, *details)
