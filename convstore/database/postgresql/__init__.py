"""Everything that convstore knows about PostgreSQL."""

from __future__ import annotations

from functools import partial

from convstore.database.postgresql import faults, partitions, server, url, word_index
from convstore.database.server import WRITE_NOTHING, session_lock
from convstore.database.vendor import Vendor

POSTGRESQL = Vendor(
    name="PostgreSQL",
    django_name="postgresql",
    url_names=("postgresql", "postgres"),
    database_settings=url.database_settings,
    prepare=url.prepare,
    location=url.location,
    non_identifying_options=url.NON_IDENTIFYING_OPTIONS,
    without_time_limits=url.without_time_limits,
    error_code=faults.error_code,
    faults=faults.FAULTS,
    is_own_mistake=faults.is_own_mistake,
    close_for_good=server.close_for_good,
    check_settings=server.check_settings,
    check_server=server.check_server,
    write_nothing=WRITE_NOTHING,
    migration_lock=partial(session_lock, server.try_migration_lock),
    row_estimates=server.ROW_ESTIMATES,
    size=server.SIZE,
    like_ignores_case=False,
    byte_order=server.BYTE_ORDER,
    text_length="OCTET_LENGTH",
    utf8_length="OCTET_LENGTH(%(expressions)s)",
    is_for_one_host=False,
    of_tenant=server.OF_TENANT,
    word_index=word_index.WORD_INDEX,
    partitions=partitions.PARTITIONS,
)
