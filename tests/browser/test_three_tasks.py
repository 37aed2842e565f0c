"""What a support person, a QA person and an officer are asked for, with few clicks."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from playwright.sync_api import Locator, Page, expect

from convstore.messages import Message, Part
from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import follow, press, serious_faults
from tests.browser.conversations import SentConversation, call, say, small, text, transcript_of

pytestmark = [pytest.mark.needs("chromium", "axe"), pytest.mark.timeout(90)]

# More than a page of the list has.
TALKS_OF_ONE_USER = 52


@dataclass
class Person:
    """Somebody at the admin's first page, whose clicks are counted."""

    page: Page
    clicks: int = 0

    def click(self, element: Locator, *, leads_on: bool = True) -> None:
        self.clicks += 1
        follow(element) if leads_on else element.click()

    def enter(self, words: str) -> None:
        """Type into the field that has the focus, without a click."""
        self.page.keyboard.type(words)
        press(self.page, "Enter")


@pytest.fixture
def person(page: Page, admin_service: Service) -> Person:
    page.goto(f"{admin_service.url}/admin/")
    return Person(page)


def test_who_asked_for_an_order_and_what_was_answered_takes_one_click(person, admin_service):
    order, page = f"4711-{new_id()[:8]}", person.page
    for n in (1, 2):
        asked = text("user", f"Where is my order {order}?")
        answered = text("assistant", f"It is on its way, answer {n}.")
        say(admin_service, SentConversation(f"order-{n}-{new_id()}", [asked, answered]))
    person.click(page.get_by_role("link", name="Search messages").first)
    person.enter(order)
    expect(page.get_by_role("status")).to_contain_text("2 hits")
    for n in (1, 2):
        hit = page.locator(".hit-group", has=page.get_by_role("link", name=f"order-{n}-"))
        expect(hit.locator("mark")).to_have_text(order)
        expect(hit).to_contain_text(f"It is on its way, answer {n}.")
    assert person.clicks == 1


def test_the_link_to_what_went_wrong_takes_three_clicks(person, admin_service):
    word, page = f"E{new_id()[:8]}", person.page
    asked = call("c1", "track", parcel="ZX")
    failed = Message("tool", (Part("text", f"ERROR: {word}"),), {"tool_call_id": "c1"})
    messages = [text("user", "Where is it?"), Message("assistant", (), {"tool_calls": [asked]})]
    talk = SentConversation(
        f"wrong-{new_id()}", [*messages, failed, text("assistant", "I do not know.")]
    )
    say(admin_service, talk)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person.click(page.get_by_role("link", name="Search messages").first)
    person.enter(word)
    person.click(page.get_by_role("link", name="Message 3"))
    wrong = page.locator("#message-3")
    expect(wrong).to_be_visible()
    expect(page.get_by_text("Failed", exact=True).first).to_be_visible()
    expect(page.get_by_text("Where is it?")).to_be_visible()
    person.click(wrong.get_by_role("button", name="Link to message 3"), leads_on=False)
    expect(wrong.get_by_role("button", name="Copied to message 3")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == f"{transcript_of(admin_service, talk)}?position=3#message-3"
    assert person.clicks == 3


def test_all_of_a_user_is_erased_with_a_receipt_in_seven_clicks(person, admin_service):
    user, page = f"user-{new_id()}", person.page
    for n in range(TALKS_OF_ONE_USER):
        say(admin_service, small(f"{user}/{n}"))
    person.click(page.get_by_role("link", name="All conversations").first)
    person.click(page.get_by_role("searchbox"), leads_on=False)
    person.enter(f"{user}/")
    person.click(page.get_by_role("link", name="Export or delete all of this list"))
    person.clicks += 2  # one opens the choices
    page.get_by_label("What to do").select_option("Delete permanently")
    person.click(page.get_by_label("Reason"), leads_on=False)
    page.keyboard.type("Article 17, ticket 12")
    person.click(page.get_by_role("button", name="Do this with all of them"))
    receipt = page.locator(".receipt")
    expect(receipt).to_contain_text(f"ids that begin with {user}/")
    expect(receipt).to_contain_text("Article 17, ticket 12")
    expect(receipt.locator("div", has_text="In the list now")).to_contain_text("0 conversations")
    assert person.clicks == 7
    assert serious_faults(page) == []
    follow(page.get_by_role("link", name="the audit log"))
    expect(page.locator("#result_list")).to_contain_text(f"{TALKS_OF_ONE_USER} conversations")
    expect(page.locator("#result_list")).to_contain_text(f"{user}/9")
