"""One module a vendor: a parsed URL and engine options to an entry of Django's DATABASES.

They open nothing and import no driver that may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.engine import URL

from convstore.database.mysql.url import mysql
from convstore.database.options import Unused
from convstore.database.oracle.url import oracle
from convstore.database.postgresql.url import postgresql
from convstore.database.sqlite.url import sqlite
from convstore.database.sqlserver.url import mssql

# SQLAlchemy's name for a vendor, or one that other software has for it.
VENDORS: Mapping[str, Callable[[URL, Unused, int], dict[str, Any]]] = {
    "sqlite": sqlite,
    "postgresql": postgresql,
    "postgres": postgresql,
    "mysql": mysql,
    "mariadb": mysql,
    "mssql": mssql,
    "oracle": oracle,
}
