"""Signing in to the admin in a browser, on each screen size, light and dark."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from testing.bodies import new_id
from tests.browser.browser import PHONE, each_look, follow, make_user, serious_faults, sign_in
from tests.visitor import PASSWORD

pytestmark = pytest.mark.needs("chromium", "axe", "media")


@pytest.fixture(scope="module")
def superuser(admin_service):
    name = f"user-{new_id()[:8]}"
    make_user(admin_service, name, PASSWORD, superuser=True)
    return name


@each_look(PHONE)
def test_a_superuser_signs_in_and_sees_the_index(look, watched, admin_service, superuser):
    page = watched.page
    page.goto(f"{admin_service.url}/admin/")
    assert serious_faults(page) == []
    sign_in(page, admin_service.url, superuser, PASSWORD)
    expect(page.get_by_role("link", name="Conversations", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Users", exact=True)).to_be_visible()
    assert serious_faults(page) == []
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor")
    red = int(re.findall(r"\d+", brightness)[0])
    assert (red < 128) == (look.scheme == "dark")


def test_a_user_who_may_only_read_conversations_sees_nothing_else(watched, admin_service):
    name = f"reader-{new_id()[:8]}"
    make_user(admin_service, name, PASSWORD, ["convstore.view_conversation"])
    sign_in(watched.page, admin_service.url, name, PASSWORD)
    index = watched.page.locator("#content-main")
    expect(index.get_by_role("link", name="Conversations", exact=True)).to_be_visible()
    expect(index.get_by_role("link", name="Users", exact=True)).to_have_count(0)


def test_the_error_page_for_a_wrong_password_is_accessible(watched, admin_service, superuser):
    page = watched.page
    page.goto(f"{admin_service.url}/admin/")
    page.get_by_label("Username").fill(superuser)
    page.get_by_label("Password").fill("wrong")
    follow(page.get_by_role("button", name="Log in"))
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
    assert serious_faults(page) == []
