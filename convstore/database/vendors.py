"""The table of vendors, and how one is found: by a URL, or by a Django connection."""

from __future__ import annotations

from django.db import connections

from convstore.database.mysql import MYSQL
from convstore.database.oracle import ORACLE
from convstore.database.postgresql import POSTGRESQL
from convstore.database.sqlite import SQLITE
from convstore.database.sqlserver import SQL_SERVER
from convstore.database.vendor import Vendor
from convstore.errors import DatabaseUrlError

VENDORS = (SQLITE, POSTGRESQL, MYSQL, SQL_SERVER, ORACLE)
BY_URL_NAME = {name: vendor for vendor in VENDORS for name in vendor.url_names}
BY_DJANGO_NAME = {vendor.django_name: vendor for vendor in VENDORS}


def vendor_of_url(url_name: str) -> Vendor:
    """The vendor of a URL that begins with `url_name`. Raises DatabaseUrlError."""
    if url_name not in BY_URL_NAME:
        supported = ", ".join(BY_URL_NAME)
        raise DatabaseUrlError(f"database {url_name!r} is not supported; supported are {supported}")
    return BY_URL_NAME[url_name]


def vendor_for(alias: str) -> Vendor:
    """The vendor of the database `alias` in Django's `connections`. Raises DatabaseUrlError."""
    django_name = connections[alias].vendor
    if django_name not in BY_DJANGO_NAME:
        supported = ", ".join(vendor.name for vendor in VENDORS)
        raise DatabaseUrlError(
            f"database {alias!r} is of the kind {django_name!r}; supported are {supported}"
        )
    return BY_DJANGO_NAME[django_name]


def describe_database(alias: str) -> str:
    """The vendor and the location of a database, for people: no user and no password."""
    vendor = vendor_for(alias)
    return f"{vendor.name}, {vendor.location(connections[alias].settings_dict)}"
