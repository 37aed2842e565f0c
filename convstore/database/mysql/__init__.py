"""Everything that convstore knows about MySQL or MariaDB."""

from __future__ import annotations

from functools import partial

from convstore.database.mysql import faults, server, url
from convstore.database.server import WRITE_NOTHING, close_for_good, session_lock
from convstore.database.vendor import Vendor

MYSQL = Vendor(
    name="MySQL or MariaDB",
    django_name="mysql",
    url_names=("mysql", "mariadb"),
    database_settings=url.database_settings,
    prepare=url.prepare,
    location=url.location,
    non_identifying_options=url.NON_IDENTIFYING_OPTIONS,
    without_time_limits=url.without_time_limits,
    error_code=faults.error_code,
    faults=faults.FAULTS,
    is_own_mistake=faults.is_own_mistake,
    close_for_good=close_for_good,
    check_settings=server.check_settings,
    check_server=server.check_server,
    write_nothing=WRITE_NOTHING,
    migration_lock=partial(session_lock, server.try_migration_lock),
    row_estimates=server.ROW_ESTIMATES,
    size=server.SIZE,
    like_ignores_case=False,
    byte_order=None,
    text_length="CHAR_LENGTH",
    utf8_length="OCTET_LENGTH(%(expressions)s)",
    is_for_one_host=False,
    of_tenant=server.OF_TENANT,
    word_index=None,
    partitions=None,
)
