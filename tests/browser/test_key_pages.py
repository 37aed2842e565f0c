"""The pages of API keys in a browser: the list, the form, a new key, its end."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from testing.bodies import new_id
from tests.browser.browser import DARK_PHONE, Look, each_look, follow, serious_faults

pytestmark = pytest.mark.needs("chromium", "axe")

# The colour of a button, and the heights of a field's label, of the field and of its help.
COLOUR = "(element) => getComputedStyle(element).backgroundColor"
TOPS = """(field) => {
  const help = document.getElementById(field.getAttribute("aria-describedby"));
  return [field.labels[0], field, help].map((each) => each.getBoundingClientRect().top);
}"""
BORDER = "(element) => getComputedStyle(element).borderTopWidth"


def check(page: Page, look: Look) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert serious_faults(page) == []


@each_look(DARK_PHONE)
def test_a_key_is_made_and_revoked_on_pages_that_look_like_the_others(
    look, page, watched, admin_service
):
    name = f"bot {new_id()[:8]}"
    page.goto(f"{admin_service.url}/admin/api_keys/apikey/")
    check(page, look)
    follow(page.get_by_role("link", name="Make an API key"))
    check(page, look)
    for label in ("Name", "Tenant", "Requests a second", "Expires"):
        tops = page.get_by_label(label, exact=True).evaluate(TOPS)
        assert tops == sorted(tops), label
    assert page.locator("fieldset").first.evaluate(BORDER) == "0px"
    make = page.get_by_role("button", name="Make the key")
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Tenant", exact=True).fill("Not a tenant")
    follow(make)
    watched.take("console", "400 (Bad Request)")
    expect(page.locator(".errornote")).to_contain_text("This key cannot be made")
    expect(page.get_by_text("This key cannot be made")).to_have_count(1)
    check(page, look)
    green = make.evaluate(COLOUR)
    page.get_by_label("Tenant", exact=True).fill("")
    follow(make)
    expect(page.locator("#key")).to_contain_text("cs_")
    check(page, look)
    follow(page.get_by_role("link", name="Back to the list"))
    check(page, look)
    follow(page.get_by_role("row").filter(has_text=name).get_by_role("link", name="Revoke"))
    check(page, look)
    revoke = page.get_by_role("button", name="Revoke the key")
    red = revoke.evaluate(COLOUR)
    page.goto(f"{admin_service.url}/admin/convstore/conversation/")
    assert green == page.locator("#toolbar .button").evaluate(COLOUR) != red
