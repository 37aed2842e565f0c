"""A pytest plugin for the Agents SDK's own tests: they get ConvstoreSession for two of its classes.

It runs in `.venv-agents`, in the folder of the SDK's source distribution. Tests of what only those
classes have are expected to fail: one that passes fails the run, and so does one that is gone.
"""

from __future__ import annotations

import itertools
import tempfile

import agents
import agents.extensions.memory
import agents.extensions.memory.sqlalchemy_session as of_sqlalchemy
import agents.memory
import agents.memory.sqlite_session as of_sqlite
import django
import pytest
from django.conf import settings
from django.core.management import call_command

from convstore.database.url import database_settings

URL = f"sqlite:///{tempfile.mkdtemp()}/db.sqlite3"
settings.configure(
    INSTALLED_APPS=["convstore"],
    DATABASES={"default": database_settings(URL, timeout=5, max_age=3600)},
)
django.setup()

from convstore.store import ConversationStore  # noqa: E402
from convstore_agents import ConvstoreSession  # noqa: E402

# Why a test is not for another class, and its name; one name may have several parameters.
LEFT_OUT = {
    "looks into the connections of SQLiteSession": (
        "test_sqlite_session_close_closes_worker_thread_connections",
        "test_sqlite_session_reaps_connections_from_exited_worker_threads",
        "test_sqlite_session_closes_retired_connections_before_the_next_allocation",
        "test_sqlite_session_keeps_connections_of_live_worker_threads",
        "test_sqlite_session_file_lock_is_shared_across_instances",
        "test_sqlite_session_rollback_failure_evicts_connection",
        "test_sqlite_session_close_retries_quarantined_connection",
        "test_sqlite_session_post_commit_cancellation_propagates_after_known_outcome",
    ),
    "opens the file and its tables itself, to break them": (
        "test_sqlite_session_pop_item_skips_corrupt_most_recent",
        "test_sqlite_session_pop_item_returns_none_after_dropping_only_corrupt_rows",
        "test_sqlite_session_get_items_limit_skips_corrupt_newest_rows",
        "test_sqlite_session_get_items_session_settings_limit_skips_corrupt_rows",
        "test_sqlite_session_failed_add_items_releases_write_lock",
        "test_sqlite_session_failed_clear_session_rolls_back",
        "test_sqlite_session_failed_pop_item_releases_write_lock",
    ),
    "a session of ours has nothing to close, and stays open": (
        "test_sqlite_session_closed_rejects_empty_add_items",
    ),
    "is about an option of SQLAlchemySession for its column": (
        "test_sqlalchemy_session_can_store_non_ascii_without_escaping",
    ),
    "looks into the tables, the engine or the locks of SQLAlchemySession": (
        "test_sqlalchemy_session_defaults_to_escaped_non_ascii_storage",
        "test_sqlite_fallback_reserves_writer_before_tail_claim",
        "test_pop_item_supports_unknown_delete_rowcount",
        "test_pop_item_retries_returning_claim_lost_to_concurrent_delete",
        "test_mutation_cancellation_waits_for_transaction_exit",
        "test_pop_item_skips_corrupt_most_recent",
        "test_get_items_limit_skips_corrupt_newest_rows",
        "test_pop_item_returns_none_after_dropping_only_corrupt_rows",
        "test_add_items_waits_for_transient_sqlite_write_lock",
        "test_add_items_concurrent_first_access_across_from_url_sessions",
        "test_add_items_concurrent_first_access_across_from_url_sessions_cross_loop",
        "test_add_items_concurrent_first_access_with_shared_session_cross_loop",
        "test_add_items_cancelled_waiter_does_not_strand_table_init_lock",
        "test_create_tables_false_does_not_allocate_shared_init_lock",
        "test_get_items_same_timestamp_consistent_order",
        "test_pop_item_same_timestamp_returns_latest",
        "test_get_items_orders_by_id_for_ties",
        "test_engine_property_from_url",
        "test_engine_property_from_external_engine",
        "test_engine_property_is_read_only",
        "test_sqlite_configuration_registry_releases_collected_engines",
        "test_sqlite_configuration_registry_does_not_grow_unbounded",
    ),
}
unnamed = itertools.count()


def pytest_collection_modifyitems(items):
    reasons = {name: reason for reason, names in LEFT_OUT.items() for name in names}
    found = {item.originalname for item in items}
    if gone := reasons.keys() - found:
        raise pytest.UsageError(f"there is no such test any more: {', '.join(sorted(gone))}")
    for item in items:
        if item.originalname in reasons:
            mark = pytest.mark.xfail(reason=reasons[item.originalname], strict=True)
            item.add_marker(mark)


def pytest_configure():
    call_command("migrate", verbosity=0)
    agents.SQLiteSession = agents.memory.SQLiteSession = of_sqlite.SQLiteSession = Sqlite
    agents.extensions.memory.SQLAlchemySession = of_sqlalchemy.SQLAlchemySession = Sqlalchemy


class Apart:
    """The store's conversations of one database of the test: all are in the same one of ours."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, method):
        def call(session_id, *given, **named):
            name = f"{self.name}/{session_id}"
            return getattr(ConversationStore(), method)(name, *given, **named)

        return call


class Sqlite(ConvstoreSession):
    def __init__(
        self,
        session_id,
        db_path=":memory:",
        sessions_table="agent_sessions",
        messages_table="agent_messages",
        session_settings=None,
    ):
        name = f"memory {next(unnamed)}" if str(db_path) == ":memory:" else db_path
        store = Apart(f"{name}/{sessions_table}/{messages_table}")
        super().__init__(session_id, store, session_settings)

    def close(self):
        """There is nothing to close."""


class Sqlalchemy(ConvstoreSession):
    def __init__(
        self,
        session_id,
        *,
        engine,
        create_tables=False,
        sessions_table="agent_sessions",
        messages_table="agent_messages",
        session_settings=None,
    ):
        store = Apart(f"{engine.url}/{id(engine)}/{sessions_table}/{messages_table}")
        super().__init__(session_id, store, session_settings)

    @classmethod
    def from_url(cls, session_id, *, url, engine_kwargs=None, session_settings=None, **named):
        engine = of_sqlalchemy.create_async_engine(url, **(engine_kwargs or {}))
        return cls(session_id, engine=engine, session_settings=session_settings, **named)
