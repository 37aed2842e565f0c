"""Django's PostgreSQL backend, with a limit to how long an answer is waited for.

libpq has none: a server that is frozen, or hangs on its disk, would hold the thread for as
long as it is. OPTIONS["read_timeout"] is the limit in seconds; none where it is absent.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import _WaitTimeout


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        parameters.pop("read_timeout", None)
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = super().get_new_connection(conn_params)
        limit = self.settings_dict["OPTIONS"].get("read_timeout")

        def wait(generator: Any, interval: float = 0.1) -> Any:
            try:
                return psycopg.Connection.wait(connection, generator, interval, limit)
            except _WaitTimeout:
                if self.connection is connection:  # and not the pool's, which sees to it
                    self.close()  # or Django, leaving a transaction, would connect once more
                raise psycopg.OperationalError(f"no answer within {limit} s") from None

        connection.wait = wait  # type: ignore[assignment,method-assign]
        return connection
