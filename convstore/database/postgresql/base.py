"""Django's PostgreSQL backend with a limit on the wait for a reply.

libpq has none: a server that is frozen, or waits for its disk, would hold the thread as
long as that lasts. OPTIONS["read_timeout"] is the limit in seconds; by default there is none.
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
                if self.connection is connection:  # or else the pool closes it
                    self.close()  # or Django would open a new one to roll back
                raise psycopg.OperationalError(f"no answer within {limit} s") from None

        connection.wait = wait  # type: ignore[assignment,method-assign]
        return connection
