"""Permissions, tested with direct requests: by URL, with forms, after permissions were removed.

What three users see in a browser is in test_rights.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.urls import URLPattern, URLResolver
from playwright.sync_api import expect

from inspection.models import AuditEntry
from testing.service import Service
from tests.browser.browser import (
    Watched,
    follow,
    make_user,
    serious_faults,
    sign_in,
    signed_in,
)
from tests.browser.conversations import (
    SentConversation,
    database_of,
    say,
    text,
    write_memories_to_inspect,
)
from tests.full_log import full_log
from tests.visitor import PASSWORD

pytestmark = pytest.mark.needs("chromium", "axe", "media")

LIST, READ, DELETE, LOG = (
    "convstore.view_conversation",
    "convstore.view_message",
    "convstore.delete_conversation",
    "inspection.view_auditentry",
)
USERS = {
    "lister": [LIST],
    "reader": [LIST, READ],
    "deleter": [LIST, DELETE],
    "officer": [LOG],
    "nobody": [],
}
SECRET = "xyzzy"


LISTED, LOGGED = "/admin/convstore/conversation/", "/admin/inspection/auditentry/"


def secret(memory_id: str) -> SentConversation:
    return SentConversation(
        memory_id, [text("user", f"The password is {SECRET}."), text("assistant", "Oh.")]
    )


TALK, IMAGE = secret("a secret"), SentConversation("an image", [])
PAGE = f"{LISTED}{TALK.key}/"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with some users and two conversations, one of them secret."""
    folder = tmp_path_factory.mktemp("permissions")
    with Service(folder, MODELS_DIR=str(write_memories_to_inspect(folder))) as service:
        say(service, TALK)
        say(service, SentConversation(IMAGE.memory_id, [text("user", "Look!")]))
        for name, permissions in USERS.items():
            make_user(service, name, PASSWORD, permissions)
        make_user(service, "root", PASSWORD, superuser=True)
        yield service


Cookies = dict[str, Any]


@pytest.fixture(scope="module")
def cookies(service: Service) -> Cookies:
    """The cookies of each user after signing in."""
    return {name: signed_in(service, name) for name in (*USERS, "root")}


@dataclass
class Visitor:
    """A client that knows every URL and sends forms without opening their pages."""

    service: Service
    session: requests.Session

    def get(self, path: str, **how: Any) -> requests.Response:
        how = {"timeout": 30, "allow_redirects": False, **how}
        return self.session.get(self.service.url + path, **how)

    def post(self, path: str, **form: Any) -> requests.Response:
        token = {"X-CSRFToken": self.session.cookies.get("csrftoken", "")}
        address = self.service.url + path
        return self.session.post(
            address, data=form, headers=token, timeout=30, allow_redirects=False
        )


@pytest.fixture
def visitor(service: Service, cookies: Cookies) -> Iterator[Callable[..., Visitor]]:
    """The visitor with that name; without a name, one who has not signed in."""
    with requests.Session() as signed_out:
        sessions = [signed_out]

        def made(name: str | None = None) -> Visitor:
            session = requests.Session()
            sessions.append(session)
            for cookie in cookies[name] if name else ():
                session.cookies.set(cookie["name"], cookie["value"], domain=cookie["domain"])
            return Visitor(service, session)

        yield made
        for session in sessions:
            session.close()


def entries(service: Service) -> list[tuple[str, str, str, str]]:
    """The audit log, oldest first, read from the database."""
    rows = AuditEntry.objects.using(database_of(service)).order_by("pk")
    return list(rows.values_list("username", "action", "memory_id", "detail"))


OF_ONE = f"first lines; ids that begin with {TALK.memory_id}"
# Every address at which something that was said is sent, and what the log says of it.
CONTENT: dict[str, tuple[str, str]] = {
    f"{LISTED}?q={quote(TALK.memory_id)}": ("list", OF_ONE),
    f"{LISTED}?q={quote(TALK.memory_id)}&by=active": ("list", OF_ONE),
    PAGE: ("read", "1 to 2"),
    f"{PAGE}?position=2": ("read", "1 to 2"),
    f"{PAGE}?start=2": ("read", "2 to 2"),
    f"{PAGE}?before=2": ("read", "1 to 1"),
    f"{PAGE}1/": ("JSON", "1"),
    f"{PAGE}1/json/": ("JSON", "1"),
    f"{PAGE}1/text/": ("part", "1"),
    f"{PAGE}1/1/": ("part", "1/1"),
    f"{LISTED}search/?q={SECRET}": ("search", SECRET),
    f"{LISTED}search/?q={SECRET}&last=1": ("search", SECRET),
    f"{LISTED}search/?q={SECRET}&conversation={TALK.key}": ("search", SECRET),
    f"{PAGE}export/openai/": ("export", "openai"),
    f"{PAGE}export/markdown/": ("export", "markdown"),
    f"{PAGE}export/stored/": ("export", "stored"),
}
EXPORTS = ("export_openai", "export_markdown", "export_stored")


# --- Every opening is logged, before anything is sent ----------------------------------------


@pytest.mark.parametrize("path", CONTENT)
def test_opening_a_page_writes_one_entry_with_user_conversation_and_detail(path, visitor, service):
    before = entries(service)
    answer = visitor("reader").get(path)
    assert answer.status_code == 200
    assert "start=2" in path or SECRET in answer.text
    action, detail = CONTENT[path]
    assert entries(service)[len(before) :] == [("reader", action, TALK.memory_id, detail)]


@pytest.mark.parametrize("action", EXPORTS)
def test_an_export_of_several_conversations_writes_an_entry_for_each(action, visitor, service):
    before = entries(service)
    keys = [str(TALK.key), str(IMAGE.key)]
    answer = visitor("reader").post(LISTED, action=action, _selected_action=keys)
    assert SECRET in answer.text
    kind = action.removeprefix("export_")
    assert sorted(entries(service)[len(before) :]) == [
        ("reader", "export", each.memory_id, kind) for each in (TALK, IMAGE)
    ]


@pytest.mark.parametrize("path", CONTENT)
def test_nothing_is_shown_if_it_cannot_be_logged(path, visitor, service):
    with full_log(database_of(service)):
        answer = visitor("reader").get(path)
    assert answer.status_code == 503
    assert SECRET not in answer.text.replace(f'value="{SECRET}"', "")


def test_nothing_is_exported_or_deleted_if_it_cannot_be_logged(visitor, service):
    root = visitor("root")
    with full_log(database_of(service)):
        for action in EXPORTS:
            answer = root.post(LISTED, action=action, _selected_action=str(TALK.key))
            assert answer.status_code == 503
            assert SECRET not in answer.text
        answer = root.post(f"{LISTED}delete/", id=str(TALK.key), reason="a wish")
        assert answer.status_code == 503
    assert SECRET in root.get(PAGE).text


def test_a_deletion_is_logged_before_and_after_with_its_reason(visitor, service):
    talk = say(service, secret("to be deleted"))
    before = entries(service)
    visitor("deleter").post(f"{LISTED}delete/", id=str(talk.key), reason="a wish")
    begun, deleted = entries(service)[len(before) :]
    assert begun[:3] == ("deleter", "deletion begun", talk.memory_id)
    assert deleted[:3] == ("deleter", "deleted", talk.memory_id)
    assert begun[3].endswith("; a wish")
    assert deleted[3].endswith("; a wish")


# --- Who may not, by address -----------------------------------------------------------------

WITHOUT_READING = ("lister", "deleter", "officer", "nobody")


@pytest.mark.parametrize("name", WITHOUT_READING)
@pytest.mark.parametrize("path", [path for path in CONTENT if "?q=a" not in path])
def test_without_permission_to_read_every_url_is_refused_and_not_logged(
    path, name, visitor, service
):
    before = entries(service)
    for method in ("get", "head", "post"):
        ask = visitor(name)
        token = {"X-CSRFToken": ask.session.cookies["csrftoken"]}
        answer = ask.session.request(method, service.url + path, headers=token, timeout=30)
        assert answer.status_code == 403
        assert method == "head" or f"This page needs the permission {READ}" in answer.text
        assert SECRET not in answer.text
    assert entries(service) == before


def test_a_list_without_first_lines_writes_an_entry_that_says_so(visitor, service):
    for name in ("lister", "deleter"):
        for path in CONTENT:
            if path.startswith(f"{LISTED}?"):
                before = entries(service)
                answer = visitor(name).get(path)
                assert TALK.memory_id in answer.text
                assert SECRET not in answer.text
                (entry,) = entries(service)[len(before) :]
                detail = OF_ONE.replace("first lines", "ids")
                assert entry == (name, "list", TALK.memory_id, detail)


@pytest.mark.parametrize("name", WITHOUT_READING)
def test_without_permission_to_read_a_direct_export_is_refused(name, visitor, service):
    before = entries(service)
    ask = visitor(name)
    for action in EXPORTS:
        for more in ({}, {"select_across": "1"}, {"index": "0"}):
            answer = ask.post(LISTED, action=action, _selected_action=str(TALK.key), **more)
            assert "Content-Disposition" not in answer.headers
            assert SECRET not in answer.text
    assert {each[1] for each in entries(service)[len(before) :]} <= {"list"}


@pytest.mark.parametrize("name", ["lister", "reader", "officer", "nobody"])
def test_without_permission_to_delete_a_direct_deletion_is_refused(name, visitor, service):
    before = entries(service)
    ask = visitor(name)
    for answer in (
        ask.get(f"{LISTED}delete/?id={TALK.key}"),
        ask.post(f"{LISTED}delete/", id=str(TALK.key), reason="because"),
        ask.post(f"{LISTED}delete/?id={TALK.key}", id=str(TALK.key), reason="because", total="2"),
    ):
        assert answer.status_code == 403
    ask.post(LISTED, action="delete", _selected_action=str(TALK.key))
    ask.post(LISTED, action="delete_selected", _selected_action=str(TALK.key), post="yes")
    assert [each for each in entries(service) if each not in before and "delet" in each[1]] == []
    assert SECRET in visitor("root").get(PAGE).text


GUESSES = [
    "messages__body__contains={word}",
    "messages__role={word}",
    "opening__contains={word}",
    "opening__startswith={word}",
    "last_role={word}",
    "memory_id__in=a+secret&messages__body__icontains={word}",
    "q={word}",
    "o={word}",
    "_to_field={word}",
]


@pytest.mark.parametrize("guess", GUESSES)
def test_without_permission_to_read_a_search_reveals_no_words(guess, visitor):
    """A right word and a wrong one get the same answer."""
    ask = visitor("lister")
    answers = []
    for word in ("password", "nonsense"):
        answer = ask.get(f"{LISTED}?{guess.format(word=word)}", allow_redirects=True)
        rows = re.findall(r"field-conversation[^>]*><bdi>(.*?)</bdi>", answer.text)
        answers.append((answer.status_code, rows))
    assert answers[0] == answers[1]


def test_without_permission_for_the_list_no_id_is_shown(visitor):
    for path in ("/admin/", "/admin/convstore/", LISTED, f"{LISTED}?q=a"):
        for name in ("officer", "nobody"):
            assert TALK.memory_id not in visitor(name).get(path).text


# --- The log is only ever added to ---------------------------------------------------------


def test_no_request_can_change_or_delete_an_entry(visitor, service):
    visitor("reader").get(PAGE)
    before = entries(service)
    row = AuditEntry.objects.using(database_of(service)).latest("pk").pk
    for name in ("root", "officer"):
        ask = visitor(name)
        for path in ("", "add/", f"{row}/", f"{row}/change/", f"{row}/delete/", f"?id={row}"):
            deletion = {"action": "delete_selected", "_selected_action": str(row), "post": "yes"}
            change = {"username": "somebody else", "form-TOTAL_FORMS": "1", "form-0-id": str(row)}
            for form in (deletion, {**deletion, "index": "0"}, {**change, "_save": "1"}):
                answer = ask.post(f"{LOGGED}{path}", **form)
                assert answer.status_code in (200, 302, 403, 404)
    assert entries(service)[: len(before)] == before
    assert {action for _, action, *_ in entries(service)[len(before) :]} <= {"log read"}


def test_an_entry_stays_when_its_user_is_deleted(visitor, service):
    make_user(service, "leaver", PASSWORD, [LIST, READ])
    users = get_user_model().objects.using(database_of(service))
    leaver = users.get(username="leaver")
    AuditEntry.objects.using(database_of(service)).create(
        at=leaver.date_joined, user=leaver, username="leaver", action="read", database="x"
    )
    answer = visitor("root").post(f"/admin/auth/user/{leaver.pk}/delete/", post="yes")
    assert answer.status_code == 302
    assert not users.filter(username="leaver").exists()
    assert "leaver" in visitor("officer").get(LOGGED).text


# --- Who has not signed in, or no more -------------------------------------------------------

# What everybody may open.
OPEN = {"login", "logout"}
VALUES = {
    "key": str(TALK.key),
    "position": "1",
    "number": "1",
    "kind": "openai",
    "object_id": "1",
    "pk": "1",
    "id": "1",
    "app_label": "convstore",
    "content_type_id": "1",
    "url": "anything",
}


def every_address(patterns: Any, prefix: str = "/admin/") -> Iterator[tuple[str, str]]:
    """The name and the path of each URL of the admin, with arguments."""
    for each in patterns:
        route = re.sub(r"^\^|\$$", "", str(each.pattern))
        route = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route)
        path = prefix + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES[found[1]], route)
        if isinstance(each, URLResolver):
            yield from every_address(each.url_patterns, path)
        elif isinstance(each, URLPattern):
            yield each.name or path, path


def test_every_url_redirects_to_the_sign_in_page(visitor, service):
    before = entries(service)
    addresses = [*every_address(admin.site.get_urls()), *((path, path) for path in CONTENT)]
    assert len(addresses) > 30
    ask = visitor()
    for name, path in addresses:
        for answer in (ask.get(path), ask.session.head(service.url + path, timeout=10)):
            if name in OPEN:
                continue
            assert answer.status_code == 302, path
            assert answer.headers["Location"].startswith("/admin/login/?next="), path
            assert SECRET not in answer.text
    assert entries(service) == before


def test_a_removed_permission_takes_effect_at_once(visitor, service, cookies):
    make_user(service, "mover", PASSWORD, [LIST, READ])
    cookies["mover"] = signed_in(service, "mover")
    mover = get_user_model().objects.using(database_of(service)).filter(username="mover")
    ask = visitor("mover")
    assert SECRET in ask.get(PAGE).text
    for field in ("is_staff", "is_active"):
        mover.update(**{field: False})
        assert ask.get(PAGE).headers["Location"].startswith("/admin/login/")
        mover.update(**{field: True})
    assert SECRET in ask.get(PAGE).text
    mover.get().user_permissions.clear()
    assert ask.get(PAGE).status_code == 403


def test_going_back_after_signing_out_shows_nothing(watched, service, visitor, cookies):
    page = watched.page
    sign_in(page, service.url, "reader", PASSWORD)
    cookies["left"] = watched.context.cookies()
    page.goto(f"{service.url}{PAGE}")
    expect(page.get_by_text(SECRET)).to_be_visible()
    follow(page.get_by_role("button", name="Log out"))
    expect(page.get_by_text("Logged out")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Password")).to_be_visible()
    assert SECRET not in page.content()
    assert visitor("left").get(PAGE).headers["Location"].startswith("/admin/login/")


def test_no_response_of_the_admin_may_be_cached(visitor):
    ask = visitor("root")
    for path in ("/admin/", LISTED, LOGGED, f"{LISTED}delete/?id={TALK.key}", *CONTENT):
        assert "no-store" in ask.get(path).headers["Cache-Control"], path


# --- Attempts to sign in are limited ---------------------------------------------------------


def attempt(watched: Watched, service: Service, name: str, password: str) -> None:
    watched.page.goto(f"{service.url}/admin/login/?next=/admin/")
    watched.page.get_by_label("Username").fill(name)
    watched.page.get_by_label("Password").fill(password)
    follow(watched.page.get_by_role("button", name="Log in"))


def test_after_five_wrong_passwords_even_the_right_one_is_refused(watched, service):
    make_user(service, "guessed", PASSWORD, [LIST])
    for n in range(4):
        attempt(watched, service, "guessed", f"wrong {n}")
        expect(watched.page.get_by_text("Please enter the correct username")).to_be_visible()
    for password in ("wrong", PASSWORD):
        attempt(watched, service, "guessed", password)
        expect(watched.page.get_by_text("Too many attempts").first).to_be_visible()
        expect(watched.page.get_by_text("Wait 15 minutes")).to_be_visible()
        watched.take("console", "429")
    assert serious_faults(watched.page) == []
    sign_in(watched.page, service.url, "lister", PASSWORD)
    follow(watched.page.get_by_role("button", name="Log out"))
    attempt(watched, service, "guessed", PASSWORD)
    expect(watched.page.get_by_text("Too many attempts").first).to_be_visible()
    watched.take("console", "429")


def test_the_sign_in_limit_is_the_same_for_unknown_names(watched, service):
    for n in range(4):
        attempt(watched, service, "no such user", f"wrong {n}")
        expect(watched.page.get_by_text("Please enter the correct username")).to_be_visible()
    attempt(watched, service, "no such user", "wrong")
    expect(watched.page.get_by_text("Too many attempts").first).to_be_visible()
    watched.take("console", "429")


def test_the_sign_in_limit_ignores_forwarded_headers(service, visitor):
    statuses = []
    for n in range(7):
        ask = visitor()
        page = ask.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": "sought", "password": str(n), "csrfmiddlewaretoken": token[1]}
        there = {
            "X-Forwarded-For": f"10.0.0.{n}",
            "X-Real-IP": f"10.0.0.{n}",
            "Forwarded": f"for=10.0.0.{n}",
        }
        answer = ask.session.post(
            f"{service.url}/admin/login/", data=form, headers=there, timeout=10
        )
        statuses.append(answer.status_code)
    assert statuses == [200] * 4 + [429] * 3
