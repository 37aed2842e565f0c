"""API keys in a database: made, rotated, revoked, and what a tenant may not take over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS

from api_keys import rows
from api_keys.errors import KeyRefused
from api_keys.making import (
    KeyWish,
    all_keys,
    key_with_prefix,
    make_key,
    revoke_key,
    rights_of,
    rotate_key,
    state_of,
)
from api_keys.models import ApiKey
from api_keys.rows import read_caller
from api_keys.tokens import digest_of, read_token
from convstore.errors import Unavailable
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from tests.guarded import default_database

HELLO = [Message("user", [Part("text", "Hello!")])]
FULL = KeyWish(
    name="Zürich 🐙",
    scopes=["delete", "read"],
    memories=["b", 'a "quoted"'],
    tenant="a-1",
    rate=7,
    expires_at=datetime(2999, 1, 1, tzinfo=UTC),
)


@pytest.fixture(scope="module")
def default(database_kind: str, new_database) -> Iterator[None]:
    with default_database(new_database(database_kind)):
        make_tables()
        yield


def make_tables() -> None:
    for app in ("convstore", "api_keys"):
        call_command("migrate", app, verbosity=0)


@pytest.fixture
def keys(default) -> Iterator[None]:
    yield
    ApiKey.objects.all().delete()


def test_what_is_made_is_what_is_read_and_the_key_itself_is_nowhere(keys):
    row, text = make_key(FULL, [])
    token = read_token(f"Bearer {text}")
    assert token is not None
    assert token.prefix == row.prefix
    caller = read_caller(row.prefix)
    assert caller is not None
    assert (caller.name, caller.tenant, caller.rate) == (FULL.name, "a-1", 7)
    assert caller.scopes == {"delete", "read"}
    assert caller.memories == {"b", 'a "quoted"'}
    assert caller.expires == datetime(2999, 1, 1, tzinfo=UTC).timestamp()
    assert caller.digest == digest_of(text)
    stored = ApiKey.objects.values_list().get()
    assert not any(text.removeprefix(row.prefix + "_") in str(value) for value in stored)


def test_a_plain_key_reads_and_appends_everywhere(keys):
    row, _ = make_key(KeyWish(name="plain"), [])
    caller = read_caller(row.prefix)
    assert caller is not None
    assert (caller.scopes, caller.memories, caller.tenant) == ({"read", "append"}, set(), "")
    assert rights_of(row) == "read, append; all memories; every conversation"


def test_a_revoked_key_is_unknown_and_stays_in_the_list(keys):
    row, _ = make_key(KeyWish(name="a"), [])
    revoke_key(row)
    first = key_with_prefix(row.prefix).revoked_at
    revoke_key(row)
    assert read_caller(row.prefix) is None
    (listed,) = all_keys()
    assert listed.revoked_at == first
    assert state_of(listed, datetime.now(UTC)) == "revoked"


def test_a_rotated_key_has_the_same_rights_and_the_old_one_ends_later(keys):
    old, old_text = make_key(FULL, [])
    new, new_text = rotate_key(old, timedelta(hours=1))
    assert new_text != old_text
    before, after = read_caller(old.prefix), read_caller(new.prefix)
    assert before is not None
    assert after is not None
    own = {"prefix", "digest", "expires"}
    for field in {field.name for field in fields(after)} - own:
        assert getattr(before, field) == getattr(after, field)
    assert before.expires is not None
    left = before.expires - datetime.now(UTC).timestamp()
    assert 3500 < left <= 3600
    revoke_key(old)
    with pytest.raises(KeyRefused, match="revoked; make a new key"):
        rotate_key(key_with_prefix(old.prefix), timedelta(hours=1))


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"name": ""}, "the name has 0 characters"),
        ({"name": "a\nb"}, "printable"),
        ({"scopes": []}, "no scope"),
        ({"scopes": ["read", "write"]}, "there is no scope 'write'"),
        ({"tenant": "A"}, "the tenant is 'A'"),
        ({"tenant": "a/b"}, "a-z, 0-9 and -"),
        ({"tenant": "a" * 64}, "1 to 63"),
        ({"rate": 0}, "the rate is 0"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "2020-01-01 00:00 UTC, which is over"),
    ],
)
@pytest.mark.one_database
def test_a_wrong_wish_is_refused_with_a_sentence(keys, wish, sentence):
    with pytest.raises(KeyRefused, match=sentence):
        make_key(KeyWish(**{"name": "a", **wish}), [])
    assert all_keys() == []


def test_a_tenant_gets_no_conversations_that_were_there_before_it_unless_somebody_says_so(keys):
    tenant = f"t-{uuid4().hex[:8]}"
    store = ConversationStore(DEFAULT_DB_ALIAS)
    store.append(f"{tenant}x/1", HELLO)
    store.append(tenant.upper() + "/1", HELLO)
    store.append(tenant, HELLO)
    make_key(KeyWish(name="a", tenant=tenant), [DEFAULT_DB_ALIAS])
    store.append(f"{tenant}/1", HELLO)
    # A tenant that has a key has conversations, too.
    make_key(KeyWish(name="a second", tenant=tenant), [DEFAULT_DB_ALIAS])
    store.append(f"other-{tenant}/1", HELLO)
    taken = KeyWish(name="b", tenant=f"other-{tenant}")
    with pytest.raises(KeyRefused, match=r"exist already.*--adopt"):
        make_key(taken, [DEFAULT_DB_ALIAS])
    make_key(KeyWish(name="b", tenant=taken.tenant, adopt=True), [DEFAULT_DB_ALIAS])


@pytest.mark.one_database
def test_a_key_of_a_database_without_tables_cannot_be_checked(tmp_path):
    url = f"sqlite:///{tmp_path}/a.db"
    refused = pytest.raises(Unavailable, match=r"API keys cannot be checked.*migrate")
    with default_database(url), refused:
        read_caller("cs_0123456789ab")


def test_the_last_use_is_written_once_and_needs_no_request_to_wait(keys):
    row, _ = make_key(KeyWish(name="a"), [])
    rows._write_use(row.prefix)
    used = key_with_prefix(row.prefix).last_used_at
    assert used is not None
    assert datetime.now(UTC) - used < timedelta(minutes=1)
