"""Every vendor answers every question that convstore asks about a kind of database."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

import convstore.database
from convstore.database.fault import Fault
from convstore.database.options import Options
from convstore.database.parsed_url import parse_url
from convstore.database.url import database_alias
from convstore.database.vendor import Vendor
from convstore.database.vendors import VENDORS, vendor_for, vendor_of_url
from convstore.errors import DatabaseUrlError
from testing.processes import PACKAGES, ROOT

FOLDER = Path(convstore.database.__file__).parent
SECRET = "TOPSECRET"
# A URL of each vendor with a password, where the vendor has one, and where it leads to.
URLS = {
    "sqlite": ("sqlite:////tmp/folder/file.sqlite3", "file.sqlite3"),
    "postgresql": (f"postgresql://user:{SECRET}@host:5/name", "name on host:5"),
    "mysql": (f"mysql://user:{SECRET}@host/name", "name on host"),
    "microsoft": (f"mssql://user:{SECRET}@host/name", "name on host"),
    "oracle": (f"oracle://user:{SECRET}@host/?service_name=name", "name on host:1521"),
}

each_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.django_name)


def entry_of(vendor: Vendor) -> dict[str, Any]:
    url, _ = URLS[vendor.django_name]
    options = Options({}, "connection_options.")
    return vendor.database_settings(parse_url(url), options, 5)


def test_no_question_has_an_answer_by_default():
    for question in dataclasses.fields(Vendor):
        assert question.default is dataclasses.MISSING
        assert question.default_factory is dataclasses.MISSING


def test_every_vendor_has_a_folder_with_the_same_files():
    """A Django backend of its own, indexes, partitions and clusters have files as well."""
    folders = [path.parent for path in FOLDER.glob("*/__init__.py")]
    assert len(folders) == len(VENDORS)
    for folder in folders:
        files = {path.name for path in folder.glob("*.py")}
        files -= {"base.py", "word_index.py", "indexes.py", "partitions.py", "cluster.py"}
        assert files == {"__init__.py", "faults.py", "server.py", "url.py"}


def test_statements_for_one_vendor_are_in_its_folder_or_the_exchange():
    """The exchange has a table of its variants; migrations keep what they did."""
    homes = (FOLDER, ROOT / "convstore/exchange", ROOT / "convstore/migrations")
    names = "|".join(vendor.django_name for vendor in VENDORS)
    for path in [path for name in PACKAGES for path in (ROOT / name).rglob("*.py")]:
        if any(map(path.is_relative_to, homes)):
            continue
        assert not re.search(rf"def as_({names})\b|vendor (==|!=|in) ", path.read_text()), path


def test_no_two_vendors_have_one_name():
    for names in (
        [vendor.name for vendor in VENDORS],
        [vendor.django_name for vendor in VENDORS],
        [name for vendor in VENDORS for name in vendor.url_names],
    ):
        assert len(set(names)) == len(names)
        assert all(names)


@each_vendor
def test_a_vendor_is_found_by_its_urls_and_by_djangos_connection(vendor):
    assert all(vendor_of_url(name) is vendor for name in vendor.url_names)
    assert vendor_for(database_alias(URLS[vendor.django_name][0])) is vendor


def test_a_vendor_that_is_not_supported_is_refused_with_the_list_of_those_that_are():
    with pytest.raises(DatabaseUrlError, match="'db2' is not supported; supported are sqlite"):
        vendor_of_url("db2")


@each_vendor
def test_a_location_has_the_host_and_no_password(vendor):
    assert vendor.location(entry_of(vendor)) == URLS[vendor.django_name][1]


@each_vendor
def test_options_that_do_not_say_which_database_it_is_are_real_options(vendor):
    assert entry_of(vendor)["OPTIONS"].keys() & vendor.non_identifying_options


@each_vendor
def test_migrations_have_no_time_limit_on_a_statement(vendor):
    entry = entry_of(vendor)
    unlimited = vendor.without_time_limits(entry)
    assert not {"read_timeout", "query_timeout"} & unlimited["OPTIONS"].keys()
    assert not unlimited.get("CALL_TIMEOUT")
    assert entry == entry_of(vendor), "the entry itself must not change"


@each_vendor
def test_error_codes_have_faults(vendor):
    assert vendor.faults
    assert all(isinstance(fault, Fault) for fault in vendor.faults.values())
    assert vendor.error_code(None) is None
    assert vendor.error_code(Exception("an error without a code")) is None


@each_vendor
def test_the_settings_that_a_url_gives_are_safe(vendor):
    assert list(vendor.check_settings(entry_of(vendor))) == []


@each_vendor
def test_row_estimates_name_both_tables(vendor):
    query = vendor.row_estimates.format("first_table", "second_table")
    assert "first_table" in query
    assert "second_table" in query
    assert "{" not in query


def test_questions_about_the_server_are_answered_by_a_real_one(database):
    """The others' statements are compared with recorded ones."""
    connection = connections[database]
    vendor = vendor_for(database)
    if index := vendor.word_index:
        answers = index.are_frequent(connection, [({"needle": "'needle'"}, 1, 1)])
        assert (answers, index.state(connection)) == ([], "no index")
    assert list(vendor.check_server(connection, ("convstore_message",))) == []
    waits: list[str] = []
    with vendor.migration_lock(connection, lambda: waits.append("waited")):
        pass
    assert waits == []
