"""Users with different permissions in a browser: what each one sees, does and leaves in the log."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from playwright.sync_api import Page, expect

from inspection.export import FORMATS
from testing.bodies import new_id, read_request
from testing.service import Service
from tests.browser.browser import (
    DARK,
    LIGHT,
    PHONE,
    Look,
    Watched,
    each_look,
    follow,
    make_user,
    serious_faults,
    signed_in,
)
from tests.browser.conversations import (
    WITH_TOOLS,
    SentConversation,
    list_of,
    say,
    text,
    transcript_of,
)
from tests.doors import HttpDoor
from tests.visitor import PASSWORD

pytestmark = pytest.mark.needs("chromium", "axe", "media")

LIST, READ, DELETE, LOG = (
    "convstore.view_conversation",
    "convstore.view_message",
    "convstore.delete_conversation",
    "inspection.view_auditentry",
)
MADE = ("user", "group")
SECRET = "The password is xyzzy."


@pytest.fixture
def sign(
    watch: Callable[[Look], Watched], admin_service: Service
) -> Callable[..., tuple[str, Watched]]:
    """Create a user with these permissions; return the name and a page after signing in."""

    def made(*permissions: str, look: Look = LIGHT) -> tuple[str, Watched]:
        name = f"user-{new_id()[:8]}"
        make_user(admin_service, name, PASSWORD, permissions)
        watched = watch(look)
        watched.context.add_cookies(signed_in(admin_service, name))
        return name, watched

    return made


@pytest.fixture
def talk(admin_service: Service) -> SentConversation:
    """The newest conversation."""
    return say(admin_service, SentConversation(f"rights-{new_id()}", [text("user", SECRET)]))


def refused(watched: Watched, address: str, permission: str) -> None:
    """The URL shows an error page that names the permission, and no content."""
    watched.page.goto(address)
    expect(watched.page.get_by_text(f"This page needs the permission {permission}")).to_be_visible()
    assert "xyzzy" not in watched.page.content()
    watched.take("console", "403 (Forbidden)")


def contents(service: Service, talk: SentConversation) -> list[str]:
    """Every URL at which content of the conversation can be read."""
    page = transcript_of(service, talk)
    exports = [f"{page}export/{kind}/" for kind in FORMATS]
    search = f"{list_of(service)}search/?q=xyzzy"
    one = [f"{page}1/", f"{page}1/json/", f"{page}1/text/", f"{page}1/1/"]
    return [page, *one, *exports, search, f"{search}&conversation={talk.key}"]


def unzipped(body: bytes) -> bytes:
    """What is in a ZIP file; any other body as it is."""
    if not zipfile.is_zipfile(BytesIO(body)):
        return body
    with zipfile.ZipFile(BytesIO(body)) as file:
        return b"".join(map(file.read, file.namelist()))


def logged(
    page: Page, service: Service, talk: SentConversation, name: str
) -> list[tuple[str, str]]:
    """The log entries of a user and a conversation (action, detail), oldest first."""
    page.goto(f"{service.url}/admin/inspection/auditentry/?q={talk.memory_id}")
    rows = page.locator("#result_list tbody tr").all()
    cells = [
        [row.locator(f".field-{column}").inner_text() for column in ("username", "action")]
        + [row.locator(".field-detail_text").inner_text()]
        for row in reversed(rows)
    ]
    return [(action, detail) for username, action, detail in cells if username == name]


@each_look(PHONE)
def test_permission_for_the_list_shows_conversations_but_no_content(
    look, sign, talk, page, admin_service
):
    name, lister = sign(LIST, look=look)
    lister.page.goto(f"{admin_service.url}/admin/")
    expect(lister.page.get_by_text(talk.memory_id)).to_be_visible()
    expect(lister.page.get_by_role("link", name=talk.memory_id)).to_have_count(0)
    assert serious_faults(lister.page) == []
    lister.page.goto(list_of(admin_service))
    row = lister.page.get_by_role("row").filter(has_text=talk.memory_id)
    expect(row.locator(".field-messages")).to_have_text("1")
    expect(row.locator(".field-conversation")).to_have_text(talk.memory_id)
    expect(lister.page.get_by_role("link", name=talk.memory_id)).to_have_count(0)
    expect(lister.page.get_by_label("Action:")).to_have_count(0)
    for page_of_lister in (list_of(admin_service), f"{list_of(admin_service)}?q={talk.memory_id}"):
        lister.page.goto(page_of_lister)
        assert "xyzzy" not in lister.page.content()
    assert serious_faults(lister.page) == []
    for address in contents(admin_service, talk):
        refused(lister, address, READ)
    refused(lister, f"{list_of(admin_service)}delete/?id={talk.key}", DELETE)
    assert serious_faults(lister.page) == []
    seen = {action for action, _ in logged(page, admin_service, talk, name)}
    assert seen == {"list"}


def test_permission_to_read_does_not_allow_deletion(sign, talk, admin_service):
    _, reader = sign(LIST, READ)
    reader.page.goto(list_of(admin_service))
    row = reader.page.get_by_role("row").filter(has_text=talk.memory_id)
    expect(row.locator(".first-line")).to_have_text(SECRET)
    options = reader.page.get_by_label("Action:").locator("option").all_inner_texts()
    assert [option.partition(":")[0] for option in options[1:]] == ["Export"] * len(FORMATS)
    follow(reader.page.get_by_role("link", name=talk.memory_id))
    expect(reader.page.get_by_text(SECRET)).to_be_visible()
    expect(reader.page.get_by_role("link", name="Delete …")).to_have_count(0)
    refused(reader, f"{list_of(admin_service)}delete/?id={talk.key}", DELETE)
    refused(reader, f"{admin_service.url}/admin/inspection/auditentry/", LOG)


def test_permission_to_delete_does_not_allow_reading(sign, talk, admin_service):
    _, deleter = sign(LIST, DELETE)
    deleter.page.goto(list_of(admin_service))
    row = deleter.page.get_by_role("row").filter(has_text=talk.memory_id)
    row.get_by_role("checkbox").check()
    deleter.page.get_by_label("Action:").select_option("Delete ...")
    follow(deleter.page.get_by_role("button", name="Go"))
    expect(deleter.page.get_by_text("1 conversation with 1 message in total")).to_be_visible()
    assert "xyzzy" not in deleter.page.content()
    for address in contents(admin_service, talk):
        refused(deleter, address, READ)
    deleter.page.goto(f"{list_of(admin_service)}delete/?id={talk.key}")
    deleter.page.get_by_label("Reason").fill("a wish")
    follow(deleter.page.get_by_role("button", name="Delete permanently"))
    success = f"Deleted {talk.memory_id} (1 message)."
    expect(deleter.page.get_by_text(success)).to_be_visible()
    assert HttpDoor(admin_service).infer(read_request(talk.memory_id), WITH_TOOLS).history == []


def test_permission_for_the_audit_log_shows_nothing_else(sign, talk, admin_service):
    name, reader = sign(LIST, READ, DELETE)
    _, officer = sign(LOG)
    for address in contents(admin_service, talk):
        answer = reader.context.request.get(address)
        assert b"xyzzy" in unzipped(answer.body()), address
    reader.page.goto(f"{list_of(admin_service)}delete/?id={talk.key}")
    reader.page.get_by_label("Reason").fill("a wish")
    follow(reader.page.get_by_role("button", name="Delete permanently"))
    found = logged(officer.page, admin_service, talk, name)
    # The first page has the conversation only if few others were active in the same hour.
    assert [each for each in found if each != ("list", "ids; on the first page")] == [
        ("read", "1 to 1"),
        ("JSON", "1"),
        ("JSON", "1"),
        ("part", "1"),
        ("part", "1/1"),
        *(("export", kind) for kind in FORMATS),
        ("search", "xyzzy"),
        ("search", "xyzzy"),
        ("list", "ids; asked whether to delete them"),
        ("deletion begun", "1 message; a wish"),
        ("deleted", "the last 1 message; a wish"),
    ]
    assert serious_faults(officer.page) == []
    expect(officer.page.locator("#result_list a")).to_have_count(0)
    moment = officer.page.locator(".field-time").first.inner_text()
    assert datetime.now(UTC) - datetime.fromisoformat(f"{moment}+00:00") < timedelta(minutes=5)
    refused(officer, list_of(admin_service), LIST)
    refused(officer, transcript_of(admin_service, talk), READ)


@each_look(DARK)
def test_the_forms_of_users_and_groups_offer_what_the_admin_asks_for(page, admin_service):
    asked_for = {
        *("Can view conversation", "Can view message", "Can delete conversation"),
        *("Can view audit entry", "Can view API key", "Can add API key", "Can change API key"),
        *(f"Can {do} {what}" for do in ("add", "change", "delete", "view") for what in MADE),
    }
    for path, field in (("group/add", "permissions"), ("user/1/change", "user_permissions")):
        page.goto(f"{admin_service.url}/admin/auth/{path}/")
        labels = page.locator(f"#id_{field} label").all_inner_texts()
        offered = [label.strip() for label in labels]
        assert (set(offered), len(offered)) == (asked_for, len(asked_for))
        assert serious_faults(page, preload=False) == []
    expect(page.get_by_text("May open these pages")).to_be_visible()
    assert "Designates" not in page.get_by_role("main").inner_text()
    made = page.locator(".field-made time")
    expect(made).to_have_attribute("title", re.compile(" ago, .* UTC$"))
    page.goto(f"{admin_service.url}/admin/password_change/")
    assert serious_faults(page, preload=False) == []


def test_nobody_can_change_the_audit_log(page, admin_service):
    """Not even a superuser."""
    log = f"{admin_service.url}/admin/inspection/auditentry/"
    page.goto(log)
    expect(page.get_by_label("Action:")).to_have_count(0)
    for path in ("1/change/", "1/delete/", "add/", "1/history/"):
        assert page.request.get(f"{log}{path}").status == 404, path


def test_after_signing_out_pages_redirect_to_the_sign_in_page(sign, talk, admin_service):
    _, reader = sign(LIST, READ)
    reader.page.goto(transcript_of(admin_service, talk))
    follow(reader.page.get_by_role("button", name="Log out"))
    for address in contents(admin_service, talk):
        reader.page.goto(address)
        expect(reader.page.get_by_label("Password")).to_be_visible()
