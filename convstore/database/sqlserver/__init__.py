"""Everything that convstore knows about SQL Server."""

from __future__ import annotations

from functools import partial

from convstore.database.server import WRITE_NOTHING, close_for_good, session_lock
from convstore.database.sqlserver import faults, server, url
from convstore.database.vendor import Vendor

SQL_SERVER = Vendor(
    name="SQL Server",
    django_name="microsoft",
    url_names=("mssql",),
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
    text_length="LEN",
    utf8_length="3 * LEN(%(expressions)s)",
    is_for_one_host=False,
    of_tenant=None,
    word_index=None,
    partitions=None,
)
