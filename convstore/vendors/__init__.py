"""One module a vendor: a parsed URL and engine options to an entry of Django's DATABASES.

They open nothing and import no driver that may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.engine import URL

from convstore.vendors.mssql import mssql
from convstore.vendors.mysql import mysql
from convstore.vendors.options import Unused
from convstore.vendors.oracle import oracle
from convstore.vendors.postgresql import postgresql
from convstore.vendors.sqlite import sqlite

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
