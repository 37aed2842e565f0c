"""Everything that convstore knows about SQLite."""

from __future__ import annotations

from convstore.database.server import close_for_good
from convstore.database.sqlite import faults, server, url
from convstore.database.vendor import Vendor

SQLITE = Vendor(
    name="SQLite",
    django_name="sqlite",
    url_names=("sqlite",),
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
    write_nothing="",
    migration_lock=server.migration_lock,
    row_estimates=server.ROW_ESTIMATES,
    size=server.SIZE,
    like_ignores_case=True,
    byte_order=None,
    text_length="LENGTH",
    utf8_length="LENGTH(CAST(%(expressions)s AS BLOB))",
    is_for_one_host=True,
    of_tenant=server.OF_TENANT,
    word_index=None,
    partitions=None,
)
