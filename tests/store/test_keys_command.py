"""The command `keys`: a key is written once, listed without its secret, revoked and rotated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS

from api_keys import checks
from api_keys.doors import MLSERVER
from api_keys.making import all_keys
from api_keys.rows import read_caller
from api_keys.tokens import read_token
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from inspection.models import AuditEntry
from memory_api.memories import repository
from memory_api.start_log import what_is_asked
from testing.service import NOWHERE, write_memory
from tests.guarded import default_database

pytestmark = pytest.mark.one_database

Said = tuple[str, str]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the default database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('keys')}/a.db"
    with default_database(url):
        for app in ("convstore", "api_keys", "inspection"):
            call_command("migrate", app, verbosity=0)
        yield url


@pytest.fixture
def keys(tables: str, settings: Any, tmp_path: Path) -> Iterator[Callable[..., Said]]:
    """Run `keys`; what it writes to standard output, and beside it."""
    write_memory(tmp_path, "one", {"database": "sql", "config": {"url": tables}})
    settings.MODELS_DIR = tmp_path
    repository.cache_clear()

    def run(*arguments: str) -> Said:
        output, beside = StringIO(), StringIO()
        with redirect_stdout(StringIO()) as elsewhere:
            call_command("keys", *arguments, stdout=output, stderr=beside, no_color=True)
        assert elsewhere.getvalue() == ""
        return output.getvalue(), beside.getvalue()

    yield run
    for row in all_keys():
        row.delete()
    repository.cache_clear()


def prefix_of(key: str) -> str:
    token = read_token(f"Bearer {key.strip()}")
    assert token is not None
    return token.prefix


def test_the_key_alone_is_on_standard_output_and_in_no_list(keys):
    key, beside = keys("create", "a bot", "--tenant", "acme", "--rate", "5", "--memory", "nowhere")
    prefix = prefix_of(key)
    assert "shown only now" in beside
    assert "there is no memory 'nowhere'" in beside
    listed, _ = keys("list")
    (line,) = [line for line in listed.splitlines() if prefix in line]
    assert "a bot" in line
    assert "valid  read, append; memories nowhere; tenant acme, 5 requests a second" in line
    assert key.strip() not in listed


def test_a_rotated_key_and_its_successor_are_valid_until_the_old_one_is_revoked(keys):
    old, _ = keys("create", "a", "--scopes", "read", "--expires", "2999-01-01")
    new, beside = keys("rotate", prefix_of(old), "--overlap", "0.5")
    assert f"{prefix_of(old)} stays valid until" in beside
    assert [read_caller(prefix_of(key)) is not None for key in (old, new)] == [True, True]
    said, _ = keys("revoke", prefix_of(old))
    assert "is revoked" in said
    assert [read_caller(prefix_of(key)) is not None for key in (old, new)] == [False, True]


def test_each_change_of_a_key_is_in_the_audit_log(keys):
    AuditEntry.objects.all().delete()
    old, _ = keys("create", "a bot", "--scopes", "read", "--tenant", "acme")
    new, _ = keys("rotate", prefix_of(old))
    keys("revoke", prefix_of(old))
    keys("list")
    with pytest.raises(CommandError):
        keys("rotate", prefix_of(old))
    entries = AuditEntry.objects.order_by("pk").values_list("username", "action", "detail")
    rights = "read; all memories; tenant acme"
    made, rotated, revoked = list(entries)
    assert made == ("(command)", "key made", f"a bot ({prefix_of(old)}): {rights}")
    assert rotated[:2] == ("(command)", "key rotated")
    successor = f"a bot ({prefix_of(new)}): {rights}; {prefix_of(old)} stays valid until "
    assert rotated[2].startswith(successor)
    assert revoked == ("(command)", "key revoked", made[2])


def test_no_key_is_changed_without_its_entry_in_the_audit_log(keys, monkeypatch):
    key, _ = keys("create", "a")

    def fail(*entry: str) -> None:
        raise OSError("the log is away")

    monkeypatch.setattr("inspection.management.commands.keys.record_command", fail)
    for arguments in (("create", "b"), ("rotate", prefix_of(key)), ("revoke", prefix_of(key))):
        with pytest.raises(OSError, match="the log is away"):
            keys(*arguments)
    (left,) = all_keys()
    assert (left.name, left.revoked_at, left.expires_at) == ("a", None, None)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["revoke", "cs_1"], "there is no key 'cs_1'"),
        (["rotate", "cs_1"], "there is no key 'cs_1'"),
        (["create", "a", "--scopes", "write"], "there is no scope 'write'; the scopes are"),
        (["rotate", "cs_1", "--overlap", "nan"], "'nan' is no number of hours; write one from 0"),
        (["create", "a", "--tenant", "A/b"], "the tenant is 'A/b'"),
        (["create", "a", "--expires", "soon"], "'soon' is not a date; write it like 2027-12-31"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(keys, arguments, sentence):
    with pytest.raises(CommandError) as refused:
        keys(*arguments)
    assert sentence in str(refused.value)


def test_a_tenant_takes_over_conversations_only_if_it_is_told_to(keys):
    ConversationStore(DEFAULT_DB_ALIAS).append("taken/1", [Message("user", [Part("text", "x")])])
    with pytest.raises(CommandError, match="'taken/' exist already"):
        keys("create", "a", "--tenant", "taken")
    keys("create", "a", "--tenant", "taken", "--adopt")


def test_a_memory_whose_database_is_away_keeps_a_tenant_from_being_made(keys, tmp_path):
    write_memory(tmp_path, "down", {"database": "sql", "config": {"url": NOWHERE}})
    with pytest.raises(CommandError, match=r"PostgreSQL, nothing on .* cannot be asked") as refused:
        keys("create", "a", "--tenant", "new")
    assert "secret" not in str(refused.value)
    keys("create", "a", "--tenant", "new", "--adopt")


@pytest.mark.parametrize(
    ("asks", "open_doors"),
    [(set(), ["'http'"]), ({"conversations"}, ["'http'"]), ({"http"}, [])],
)
def test_check_warns_of_doors_that_ask_for_no_key_and_the_start_log_says_it(
    settings, monkeypatch, asks, open_doors
):
    settings.REQUIRE_API_KEYS = asks
    monkeypatch.setattr(checks, "find_spec", lambda name: None)  # as where MLServer is missing
    assert [message.msg.split()[2] for message in checks.check_doors()] == open_doors
    assert what_is_asked().startswith("V2 asks for no API key") == bool(open_doors)


def test_check_warns_of_mlservers_door_where_mlserver_is_installed(settings, monkeypatch):
    settings.REQUIRE_API_KEYS = {"http"}
    monkeypatch.setattr(checks, "find_spec", lambda name: object())
    assert what_is_asked(MLSERVER).startswith("Inference by MLServer asks for no API key")
    (message,) = checks.check_doors()
    assert message.id == "api_keys.W001"
    assert "MLServer's ports" in message.msg


def test_check_warns_of_a_door_that_ignores_the_keys_of_tenants(keys, settings, monkeypatch):
    monkeypatch.setattr(checks, "find_spec", lambda name: None)

    def warnings() -> list[str]:
        return [message.msg for message in checks.check_doors() if message.id == "api_keys.W002"]

    settings.REQUIRE_API_KEYS = set()
    keys("create", "of all")
    assert warnings() == []
    key, _ = keys("create", "a", "--tenant", "acme")
    (sentence,) = warnings()
    assert "by the door http: whoever comes in" in sentence
    settings.REQUIRE_API_KEYS = {"http"}
    assert warnings() == []
    settings.REQUIRE_API_KEYS = set()
    keys("revoke", key[:15])
    assert warnings() == []
