"""API keys as values: their text, what a caller may do, what a process remembers, and rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_keys.cache import MAX_AGE_SECONDS, MAX_UNKNOWN, REFRESH_SECONDS, CallerCache
from api_keys.caller import SEPARATOR, TENANT, Caller
from api_keys.doors import is_right
from api_keys.errors import NotAllowed
from api_keys.rates import Bucket
from api_keys.tokens import digest_of, new_token, read_token
from convstore.errors import Unavailable

# --- The text ----------------------------------------------------------------------------


def test_a_new_key_is_read_out_of_the_header_again_and_no_two_are_alike():
    token = new_token()
    assert read_token(f"Bearer {token.text}") == token
    assert read_token(f"bearer  {token.text}") == token
    assert new_token() != token


@pytest.mark.parametrize(
    "header", ["{}", "Basic {}", "Bearer {}x", "Bearer x{}", "Bearer {},{}", "Bearer {} ", "Bearer"]
)
def test_what_is_nearly_a_key_is_none(header):
    text = new_token().text
    assert read_token(header.format(text, text)) is None


@given(st.text())
def test_any_header_is_read_without_an_error(header):
    assert read_token(header) is None


def test_another_secret_behind_the_same_prefix_is_wrong():
    token, other = new_token(), new_token()
    caller = Caller(prefix=token.prefix, digest=digest_of(token.text))
    assert is_right(caller, token.text)
    assert not is_right(caller, token.prefix + other.text.removeprefix(other.prefix))


# --- What a caller may do ----------------------------------------------------------------

TENANTS = st.text("ab0-", min_size=1, max_size=4)


@given(TENANTS, TENANTS, st.text(), st.text())
def test_no_two_ids_of_different_tenants_are_one_stored_id(one, other, id_one, id_other):
    stored = Caller(tenant=one).stored_id(id_one)
    is_same = stored == Caller(tenant=other).stored_id(id_other)
    assert is_same == ((one, id_one) == (other, id_other))
    assert Caller(tenant=one).own_id(stored) == id_one
    if one != other:
        with pytest.raises(ValueError, match="another tenant"):
            Caller(tenant=other).own_id(stored)


def test_a_tenant_has_no_separator_in_its_name():
    assert TENANT.fullmatch("acme-2")
    assert not TENANT.fullmatch(f"a{SEPARATOR}b")


def test_a_key_without_a_tenant_has_the_ids_as_they_are():
    assert Caller().stored_id("a/b") == Caller().own_id("a/b") == "a/b"


def test_a_key_without_memories_is_for_all_of_them():
    Caller().require_memory("any")
    Caller(memories={"one"}).require_memory("one_1", "one")
    with pytest.raises(NotAllowed):
        Caller(memories={"one"}).require_memory("other")


# --- What a process remembers ------------------------------------------------------------


class Database:
    """A table of callers that counts what it is asked, and a clock."""

    def __init__(self) -> None:
        self.callers: dict[str, Caller] = {"cs_a": Caller(name="a")}
        self.asked = 0
        self.is_away = False
        self.now = 1000.0
        self.cache = CallerCache(self.read, lambda: self.now)

    def read(self, prefix: str) -> Caller | None:
        self.asked += 1
        if self.is_away:
            raise Unavailable("away")
        return self.callers.get(prefix)


@pytest.fixture
def database() -> Database:
    return Database()


def test_a_known_key_is_asked_for_once_in_a_while(database):
    for _ in range(1000):
        assert database.cache.find("cs_a") == Caller(name="a")
    assert database.asked == 1
    database.now += REFRESH_SECONDS
    database.cache.find("cs_a")
    database.cache.find("cs_a")
    assert database.asked == 2


def test_a_revoked_key_is_forgotten_within_its_time_whenever_it_was_used(database):
    database.cache.find("cs_a")
    del database.callers["cs_a"]
    for _ in range(10):
        database.now += MAX_AGE_SECONDS / 10
        found = database.cache.find("cs_a")
    assert found is None


def test_without_the_database_a_known_key_works_for_its_time_and_then_nobody_can_say(database):
    database.cache.find("cs_a")
    database.is_away = True
    database.now += MAX_AGE_SECONDS - 0.1
    assert database.cache.find("cs_a")
    database.now += 0.2
    with pytest.raises(Unavailable):
        database.cache.find("cs_a")
    with pytest.raises(Unavailable):
        database.cache.find("cs_unknown")
    database.is_away = False
    database.now += 2
    assert database.cache.find("cs_a")


def test_a_database_that_is_away_is_not_asked_by_every_request(database):
    database.is_away = True
    for n in range(100):
        with pytest.raises(Unavailable):
            database.cache.find(f"cs_{n}")
    assert database.asked == 1


def test_unknown_keys_are_remembered_up_to_a_number_and_drive_no_known_one_out(database):
    database.cache.find("cs_a")
    for n in range(3 * MAX_UNKNOWN):
        assert database.cache.find(f"cs_{n}") is None
    asked = database.asked
    assert database.cache.find(f"cs_{3 * MAX_UNKNOWN - 1}") is None
    assert database.cache.find("cs_a")
    assert database.asked == asked
    assert len(database.cache._unknown) == MAX_UNKNOWN


def test_a_key_that_is_made_after_it_was_tried_works_soon(database):
    assert database.cache.find("cs_b") is None
    database.callers["cs_b"] = Caller(name="b")
    database.now += REFRESH_SECONDS
    assert database.cache.find("cs_b")


# --- Rates -------------------------------------------------------------------------------


@given(st.integers(1, 50), st.lists(st.floats(0, 2), max_size=300))
def test_a_key_never_gets_more_than_its_rate_over_any_time(rate, pauses):
    bucket, now, granted = Bucket(float(rate), 0.0), 0.0, []
    for pause in pauses:
        now += pause
        if bucket.take(rate, now):
            granted.append(now)
    for first in range(len(granted)):
        for last in range(first, len(granted)):
            most = rate + rate * (granted[last] - granted[first])
            assert last - first + 1 <= most + 1e-6


def test_who_waits_a_second_is_served_again():
    bucket = Bucket(2.0, 0.0)
    assert [bucket.take(2, 0.0) for _ in range(3)] == [True, True, False]
    assert bucket.take(2, 1.0)
