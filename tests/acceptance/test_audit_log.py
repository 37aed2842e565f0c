"""The audit log of a running service: what is in it, for how long, and nothing without it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.db.models import F

from convstore.messages import Message, Part
from convstore.models import Conversation
from convstore.store import ConversationStore, conversation_key
from inspection.audit import PRUNED_AT_ONCE
from inspection.models import AuditEntry, Job, ListedConversation
from testing.bodies import append_request, new_id
from testing.service import Service
from tests.doors import HttpDoor
from tests.full_log import full_log
from tests.visitor import (
    CONVERSATIONS,
    PASSWORD,
    Visitor,
    default_alias,
    ids,
    signed_in,
    transcript,
)

pytestmark = pytest.mark.one_database

LOG, USERS, GROUPS = "/admin/inspection/auditentry/", "/admin/auth/user/", "/admin/auth/group/"
PROXY = {"X-Forwarded-For": "192.0.2.1"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n and a photo").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
HASHED = make_password(PASSWORD)
SUMMARY = [{"type": "summary_text", "text": "Think first."}]
REASONING = {"type": "reasoning", "summary": SUMMARY, "encrypted_content": "x" * 9}
THOUGHT = Message("assistant", [], {"item": REASONING}, in_windows=False)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("audited")
    with Service(folder, TRUSTED_PROXIES="127.0.0.1", CONVERSATIONS_API="open") as service:
        yield service


@pytest.fixture(scope="module")
def alias(service: Service) -> str:
    return default_alias(service)


@pytest.fixture(scope="module")
def root(service: Service) -> Iterator[Visitor]:
    with signed_in(service) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def sign(service: Service, alias: str) -> Callable[..., Visitor]:
    """Make a user with these permissions, and sign in."""

    def made(*permissions: str) -> Visitor:
        name = f"user-{new_id()[:8]}"
        user = User(username=name, password=HASHED, is_staff=True)
        user.save(using=alias)
        user.user_permissions.set(permission(alias, each) for each in permissions)
        visitor = Visitor(service, requests.Session())
        assert "Log out" in visitor.sign_in(name, PASSWORD).text
        return visitor

    return made


def permission(alias: str, name: str) -> Permission:
    app, codename = name.split(".")
    return Permission.objects.using(alias).get(content_type__app_label=app, codename=codename)


def entries(alias: str, **conditions: Any) -> list[tuple[str, str, str]]:
    """User, action and detail, oldest first."""
    rows = AuditEntry.objects.using(alias).filter(**conditions).order_by("pk")
    return list(rows.values_list("username", "action", "detail"))


def attempt(service: Service, name: str, address: str, password: str = PASSWORD[:4]) -> int:
    with requests.Session() as session:
        session.headers["X-Forwarded-For"] = address
        return Visitor(service, session).sign_in(name, password).status_code


# --- Lists -------------------------------------------------------------------------------


def test_a_view_of_a_list_is_one_entry_and_each_conversation_finds_it(service, alias, root):
    made = [f"{new_id()}-{n}" for n in range(3)]
    for memory_id in made:
        HttpDoor(service).infer(append_request(memory_id, "Hello!"), "filesys-memory")
    before = AuditEntry.objects.using(alias).count()
    root.get(CONVERSATIONS)
    assert AuditEntry.objects.using(alias).count() == before + 1
    for memory_id in made:
        page = root.get(LOG, q=memory_id)
        assert len(re.findall(r"<summary>\d+ conversations</summary>", page)) == 1
        assert f'<a href="{transcript(memory_id)}"><bdi>{memory_id}</bdi></a>' in page


def test_titles_and_metadata_are_for_readers_and_tenants_for_all(alias, root, sign):
    tenant, store = f"t-{new_id()[:8]}", ConversationStore(alias)
    made = [f"{tenant}/1", f"{tenant}/2", f"x-{tenant}/3"]
    for memory_id, user in zip(made, (tenant, "Bo", tenant), strict=True):
        said = [Message("user", [Part("text", f"Said by {user}.")]), THOUGHT]
        pairs = {"title": "Trip & more"} if memory_id == made[0] else {}
        store.create(memory_id, said, {**pairs, "user": user})
    page = root.get(CONVERSATIONS, tenant=tenant)
    assert ids(page) == made[1::-1]
    for text in ("Trip & more", f"user: {tenant}", "Said by Bo.", '<span class="kind">reasoning<'):
        assert text in page
    assert f"Said by {tenant}." not in page
    assert ids(root.get(CONVERSATIONS, pair="user", value=tenant)) == [made[2], made[0]]
    assert ids(root.get(CONVERSATIONS, pair="user", value=tenant, tenant=tenant)) == [made[0]]
    newest = AuditEntry.objects.using(alias).order_by("-pk")[0]
    assert newest.detail == f"first lines; of the tenant {tenant}; with metadata user: {tenant}"
    page = root.get(transcript(made[0]))
    for text in ("Trip & more", "<bdi>reasoning</bdi>", "Think first.", "Encrypted, 9 characters"):
        assert text in page
    assert f"{CONVERSATIONS}?pair=user&value={tenant}" in page
    assert "1 to 63 of the characters" in root.get(CONVERSATIONS, 400, tenant="A/b")

    lister = sign("convstore.view_conversation")
    page = lister.get(CONVERSATIONS, tenant=tenant)
    assert ids(page) == made[1::-1]
    for text in ("Trip", f"user: {tenant}", 'id="pair-name"'):
        assert text not in page
    refused = lister.get(CONVERSATIONS, 403, pair="user", value=tenant)
    assert "convstore.view_message" in refused


def test_a_job_of_a_list_by_metadata_is_for_readers_only(alias, root, sign):
    name = f"u-{new_id()[:8]}"
    store = ConversationStore(alias)
    store.create(new_id(), [Message("user", [Part("text", "Hello!")])], {"user": name})
    query = urlencode({"list": f"pair=user&value={name}"})
    root.post(f"{CONVERSATIONS}all/?{query}", action="openai", reason="asked for")
    job = Job.objects.using(alias).latest("pk")
    deleter = sign("convstore.view_conversation", "convstore.delete_conversation")
    for path in (f"{CONVERSATIONS}jobs/{job.pk}/", f"{CONVERSATIONS}all/?{query}"):
        page = deleter.get(path, 403)
        assert "No permission" in page
        assert "needs the permission convstore.view_message" in page


def test_the_entry_of_a_page_covers_its_images_until_something_is_erased(alias, root, sign):
    memory_id = new_id()
    said = [Part("image", PNG), Part("text", "Look."), Part("file", PDF)]
    store = ConversationStore(alias)
    store.append(memory_id, [Message("user", said), Message("user", said)])
    key = {"conversation": conversation_key(memory_id)}
    page = root.get(transcript(memory_id))
    images = re.findall(r'<img src="(/admin/convstore[^"]+)"', page)
    assert len(images) == 2
    for url in images:
        root.session.get(root.service.url + url, timeout=30).raise_for_status()
    assert [entry[1:] for entry in entries(alias, **key)] == [("read", "1 to 2")]

    covered, parts = images[0], []
    earlier = root.get(transcript(memory_id), before=2)
    (only_first,) = re.findall(r'<img src="(/admin/convstore[^"]+)"', earlier)
    other = f"{transcript(memory_id)}2/1/?{only_first.partition('?')[2]}"
    store.append(memory_id, [Message("user", said)])
    added = f"{transcript(memory_id)}3/1/?{covered.partition('?')[2]}"
    download = covered.replace("/1/1/", "/1/3/")
    for url in (other, added, download, covered.partition("?")[0], f"{covered}x"):
        root.session.get(root.service.url + url, timeout=30).raise_for_status()
        parts += [url.partition("?")[0].removeprefix(transcript(memory_id)).rstrip("/")]
    reader = sign("convstore.view_conversation", "convstore.view_message")
    reader.session.get(reader.service.url + covered, timeout=30).raise_for_status()
    Conversation.objects.using(alias).filter(memory_id=memory_id).update(changes=F("changes") + 1)
    root.session.get(root.service.url + covered, timeout=30).raise_for_status()
    found = [entry[2] for entry in entries(alias, **key, action="part")]
    assert found == [*parts, "1/1", "1/1"]


def test_a_search_that_finds_nothing_is_an_entry(alias, root):
    for path in (CONVERSATIONS, f"{CONVERSATIONS}search/"):
        word = new_id()
        root.get(path, q=word)
        assert len(entries(alias, detail__contains=word)) == 1


def test_a_search_that_goes_on_without_hits_says_how_far_it_came(alias, root):
    memory_id, word = new_id(), new_id()
    said = [Message("user", [Part("text", f"Number {n}.")]) for n in range(4_001)]
    ConversationStore(alias).append(memory_id, said)
    query = {"q": word, "conversation": conversation_key(memory_id)}
    pages = [root.get(f"{CONVERSATIONS}search/", **query)]
    while following := re.search(r'rel="next" href="([^"]+)"', pages[-1]):
        pages.append(root.get(following[1]))
    assert len(pages) == 5
    stop = re.search(r'<a href="([^"]+&stop=1)"', pages[2])
    assert stop
    assert "3,000 messages searched" in root.get(stop[1])
    assert [detail for *_, detail in entries(alias, detail__contains=word, action="search")] == [
        word,
        f"{word}; 2,000 messages searched",
        f"{word}; 4,000 messages searched",
        f"{word}; 4,001 messages searched",
        f"{word}; 3,000 messages searched, then stopped",
    ]
    found = AuditEntry.objects.using(alias).filter(detail__contains=word)
    assert {entry.memory_id for entry in found} == {memory_id}


def test_pages_that_show_only_ids_are_entries(service, alias, root):
    made = [new_id() for _ in range(2)]
    for memory_id in made:
        HttpDoor(service).infer(append_request(memory_id, "Hello!"), "filesys-memory")
    keys = [str(conversation_key(memory_id)) for memory_id in made]
    deletion = f"{CONVERSATIONS}delete/?id={keys[0]}&id={keys[1]}"
    for path, detail in (
        ("/admin/", "ids; on the first page"),
        (deletion, "ids; asked whether to delete them"),
    ):
        before = AuditEntry.objects.using(alias).latest("pk").pk
        shown = re.findall(r"<li>(?:<a [^>]*>)?<bdi>([^<]+)</bdi>", root.get(path))
        assert len(shown) >= 2
        (entry,) = AuditEntry.objects.using(alias).filter(pk__gt=before)
        assert (entry.action, entry.detail) == ("list", detail)
        listed = ListedConversation.objects.using(alias).filter(entry_id=entry.pk)
        assert sorted(listed.values_list("memory_id", flat=True)) == sorted(shown)
        with full_log(alias):
            assert shown[0] not in root.get(path, 503)


def test_reading_the_log_is_one_entry_in_an_hour_for_each_filter(alias, root):
    word = new_id()
    for _ in range(2):
        root.get(LOG, q=word)
        root.get(LOG, q=word, action="read")
        root.get(LOG, **{"q": word, "from": "2026-01-01", "nonsense": "1"})
    views = AuditEntry.objects.using(alias).filter(action="log read", detail__contains=word)
    details = [f"q {word}", f"q {word}, action read", f"q {word}, from 2026-01-01"]
    assert sorted(views.values_list("detail", flat=True)) == details
    views.update(at=datetime.now(UTC) - timedelta(minutes=61))
    root.get(LOG, q=word)
    assert views.count() == 4
    with full_log(alias):
        root.get(LOG, q=word)
        root.get(LOG, 503, q=word, action="read")


def test_a_list_that_answers_a_form_is_an_entry(service, alias, root):
    HttpDoor(service).infer(append_request(new_id(), "Hello!"), "filesys-memory")
    before = len(entries(alias, action="list"))
    assert "Hello!" in root.post(CONVERSATIONS, nonsense="1")
    assert len(entries(alias, action="list")) == before + 1


# --- Signing in --------------------------------------------------------------------------


def test_deletions_by_the_api_are_two_entries_with_an_address(service, alias):
    url = f"{service.url}/v1/conversations"
    with requests.Session() as session:
        session.headers["X-Forwarded-For"] = "203.0.113.7"
        items = [{"role": "user", "content": "Hi"}]
        created = session.post(url, json={"items": items}, timeout=30).json()["id"]
        stale = {"If-Match": '"0-1-0"'}
        refused = session.delete(f"{url}/{created}", headers=stale, timeout=30)
        assert refused.status_code == 412
        assert session.delete(f"{url}/{created}", timeout=30).status_code == 200
    told = AuditEntry.objects.using(alias).filter(memory_id=created).order_by("pk")
    detail = "by the API: conversation of 1 messages"
    assert list(told.values_list("username", "address", "action", "detail")) == [
        ("no key", "203.0.113.7", action, detail) for action in ("deletion begun", "deleted")
    ]


def test_sign_ins_are_in_the_log_with_their_address(service, alias, sign):
    sign()
    name = User.objects.using(alias).latest("pk").username
    assert attempt(service, name, "198.51.100.7") == 200
    assert attempt(service, f"hunter2-{name}", "198.51.100.7") == 200
    assert entries(alias, address="198.51.100.7") == [
        (name, "sign-in failed", ""),
        ("", "sign-in failed", "unknown name"),  # which may be a password in the wrong field
    ]
    assert entries(alias, username=name, action="signed in") == [(name, "signed in", "")]


def test_an_address_that_tries_many_names_must_wait_and_fills_no_log(service, alias, root):
    statuses = [attempt(service, f"name-{n}", "198.51.100.8") for n in range(22)]
    assert statuses == [200] * 20 + [429] * 2
    assert attempt(service, "name-1", "198.51.100.8", PASSWORD) == 429
    assert attempt(service, "name-1", "198.51.100.9") == 200
    assert len(entries(alias, address="198.51.100.8")) == 20


def test_without_the_log_nobody_signs_in(service, alias, sign):
    sign()
    user = User.objects.using(alias).latest("pk")
    with full_log(alias):
        assert attempt(service, user.username, "198.51.100.10", PASSWORD) == 503
    assert attempt(service, user.username, "198.51.100.10", PASSWORD) == 200


# --- Rights ------------------------------------------------------------------------------


def user_form(user: User, **more: Any) -> dict[str, Any]:
    """What the page of a user sends."""
    joined = {"date_joined_0": f"{user.date_joined:%Y-%m-%d}", "date_joined_1": "00:00:00"}
    return {"username": user.username, "is_active": "on", "is_staff": "on", **joined, **more}


@pytest.fixture
def other(alias: str) -> User:
    user = User(username=f"other-{new_id()[:8]}", is_staff=True)
    user.save(using=alias)
    return user


def test_who_may_change_users_gives_only_rights_that_they_have(alias, sign, other):
    own, foreign = "convstore.view_conversation", "convstore.view_message"
    boss = sign("auth.change_user", "auth.view_user", own)
    page = boss.get(f"{USERS}{other.pk}/change/")
    assert "Can view conversation" in page
    assert "Can view message" not in page
    foreign_key = permission(alias, foreign).pk
    forms: list[dict[str, Any]] = [{"is_superuser": "on"}, {"user_permissions": foreign_key}]
    for form in forms:
        boss.post(f"{USERS}{other.pk}/change/", **user_form(other, **form))
        assert not User.objects.using(alias).get(pk=other.pk).is_superuser
        assert not User.objects.using(alias).get(pk=other.pk).user_permissions.exists()
    given = {"user_permissions": permission(alias, own).pk}
    boss.post(f"{USERS}{other.pk}/change/", **user_form(other, **given))
    assert User.objects.using(alias).get(pk=other.pk).user_permissions.count() == 1
    assert entries(alias, detail__contains=other.username)[-1][1:] == (
        "rights changed",
        f"user {other}: + {own}",
    )


def test_who_may_change_users_gives_no_group_with_more_rights(alias, sign, other):
    group = Group.objects.using(alias).create(name=f"readers-{new_id()[:8]}")
    group.permissions.add(permission(alias, "convstore.view_message"))
    boss = sign("auth.change_user", "auth.view_user", "auth.change_group", "auth.view_group")
    assert group.name not in boss.get(f"{USERS}{other.pk}/change/")
    boss.post(f"{USERS}{other.pk}/change/", **user_form(other, groups=group.pk))
    assert not User.objects.using(alias).get(pk=other.pk).groups.exists()
    boss.post(f"{GROUPS}{group.pk}/change/", 403, name="mine")


@pytest.mark.parametrize("active", [True, False])
def test_a_user_with_more_rights_cannot_be_changed_by_one_with_fewer(alias, sign, other, active):
    """A new password would be enough to take their place."""
    other.user_permissions.add(permission(alias, "convstore.view_message"))
    User.objects.using(alias).filter(pk=other.pk).update(is_active=active)
    boss = sign("auth.change_user", "auth.view_user", "auth.delete_user")
    password = {"password1": "another long one", "password2": "another long one"}
    for path in ("password/", "delete/"):
        boss.post(f"{USERS}{other.pk}/{path}", 403, **password, post="yes")
    boss.post(f"{USERS}{other.pk}/change/", 403, **user_form(other))
    assert User.objects.using(alias).get(pk=other.pk).password == other.password


def test_each_change_of_rights_is_in_the_log(alias, root, other):
    group = Group.objects.using(alias).create(name=f"officers-{new_id()[:8]}")
    change = f"{USERS}{other.pk}/change/"
    root.post(change, **user_form(other, is_superuser="on", groups=group.pk))
    root.post(change, **user_form(other))
    password = {"password1": "another long one", "password2": "another long one"}
    root.post(f"{USERS}{other.pk}/password/", **password, **{"set-password": "1"})
    root.post(f"{USERS}{other.pk}/delete/", post="yes")
    details = [detail for *_, detail in entries(alias, detail__contains=other.username)]
    assert [detail.removeprefix(f"user {other}: ") for detail in details] == [
        f"+ is_superuser, + group {group}",
        f"- is_superuser, - group {group}",
        "password changed",
        "deleted",
    ]


# --- Export, retention -------------------------------------------------------------------


def test_the_log_is_exported_as_it_is_filtered(service, alias, root, sign):
    memory_id = new_id()
    HttpDoor(service).infer(append_request(memory_id, "Hello!"), "filesys-memory")
    root.get(CONVERSATIONS)
    root.get(transcript(memory_id))
    sign().get(f"{LOG}export/", 403)
    lines = [json.loads(line) for line in root.get(f"{LOG}export/", q=memory_id).splitlines()]
    assert [line["action"] for line in lines] == ["read", "list"]
    assert lines[0]["address"] == "127.0.0.1"
    assert [each["memory_id"] for each in lines[0]["conversations"]] == [memory_id]
    assert memory_id in [each["memory_id"] for each in lines[1]["conversations"]]
    assert entries(alias, action="log exported")[-1][2] == f"q {memory_id}"
    lines = [json.loads(line) for line in root.get(f"{LOG}export/", action="read").splitlines()]
    assert {line["action"] for line in lines} == {"read"}
    root.get(f"{LOG}export/", 400, **{"from": "soon"})


def prune(service: Service, *options: str) -> str:
    command = [".venv/bin/python", "manage.py", "prune_audit_log", *options]
    environment = {"PATH": "/usr/bin:/bin", **service.environment}
    done = subprocess.run(
        command, cwd=service.folder, env=environment, check=False, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def test_old_entries_are_pruned_and_that_is_an_entry(service, alias):
    assert Path(service.folder, "data").exists()
    old = datetime.now(UTC) - timedelta(days=366)
    count = PRUNED_AT_ONCE + 1
    for n in range(count):
        AuditEntry.objects.using(alias).create(at=old, username="old", action="list", detail=str(n))
    entry = AuditEntry.objects.using(alias).earliest("pk")
    first = AuditEntry.objects.using(alias).filter(username="old").earliest("pk")
    ListedConversation.objects.using(alias).create(
        entry_id=first.pk, conversation=new_id(), memory_id="a"
    )
    assert f"{count} entries older than 365 days were deleted." in prune(service)
    assert entries(alias, username="old") == []
    assert not ListedConversation.objects.using(alias).filter(entry_id=first.pk).exists()
    assert AuditEntry.objects.using(alias).filter(pk=entry.pk).exists()
    ((who, action, detail),) = entries(alias, action="log pruned")
    assert (who, action) == ("(command)", "log pruned")
    assert detail.startswith(f"{count} entries from before ")
    assert "--days is 0" in prune(service, "--days", "0")
