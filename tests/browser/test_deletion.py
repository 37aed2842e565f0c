"""Deletion in a browser: the count, the reason, and the audit log."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from convstore.messages import Message
from testing.bodies import new_id, read_request
from testing.service import Service
from tests.browser.browser import (
    DARK_PHONE,
    LIGHT,
    Watched,
    each_look,
    follow,
    press,
    serious_faults,
)
from tests.browser.conversations import (
    WITH_TOOLS,
    SentConversation,
    list_of,
    of_many_messages,
    say,
    say_at_once,
    small,
    transcript_of,
)
from tests.doors import HttpDoor

pytestmark = pytest.mark.needs("chromium", "axe", "media")

COLOUR = "(button) => getComputedStyle(button).backgroundColor"
REASON = "asked for by its author, ticket 17"


def said(service: Service, talk: SentConversation) -> list[Message]:
    """The messages of the conversation, read through the API."""
    reply = HttpDoor(service).infer(read_request(talk.memory_id), WITH_TOOLS)
    return [Message.from_json(element) for element in reply.history]


def ask_to_delete(page: Page, service: Service, talk: SentConversation) -> None:
    page.goto(transcript_of(service, talk))
    follow(page.get_by_role("link", name="Delete …"))


def delete(page: Page, reason: str = REASON) -> None:
    page.get_by_label("Reason (for the audit log)").fill(reason)
    follow(page.get_by_role("button", name="Delete permanently"))


def logged(page: Page, service: Service, talk: SentConversation) -> list[list[str]]:
    """The log entries of the conversation (user, action, detail), newest first."""
    page.goto(f"{service.url}/admin/inspection/auditentry/?q={talk.memory_id}")
    rows = page.locator("#result_list tbody tr").all()
    cells = [row.locator("td, th").all_inner_texts() for row in rows]
    assert all(talk.memory_id in found[3] or "conversations" in found[3] for found in cells)
    return [[found[1], found[2], found[4]] for found in cells if found[2] != "list"]


# --- One ---------------------------------------------------------------------------------


@each_look(LIGHT)
def test_a_conversation_is_counted_and_then_deleted(look, page, admin_service):
    talk = say_at_once(admin_service, of_many_messages(3))
    ask_to_delete(page, admin_service, talk)
    main = page.get_by_role("main")
    expect(main).to_contain_text(
        "This permanently deletes 1 conversation with 3 messages in total."
    )
    expect(main.get_by_role("listitem")).to_have_text(f"{talk.memory_id}: 3 messages")
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert serious_faults(page) == []
    delete(page)
    expect(page.get_by_text(f"Deleted {talk.memory_id} (3 messages).")).to_be_visible()
    assert serious_faults(page) == []
    assert said(admin_service, talk) == []


def test_a_deleted_conversation_is_only_in_the_audit_log(page, watched, inspector, admin_service):
    talk = say_at_once(admin_service, of_many_messages(3))
    ask_to_delete(page, admin_service, talk)
    delete(page)
    expect(page.get_by_role("link", name=talk.memory_id)).to_have_count(0)
    page.get_by_role("searchbox").fill(talk.memory_id)
    press(page, "Enter")
    expect(page.get_by_text("Nothing was found.")).to_be_visible()
    page.goto(transcript_of(admin_service, talk))
    expect(page.get_by_text("There is no such conversation in this database")).to_be_visible()
    watched.take("console", "404 (Not Found)")
    assert serious_faults(page) == []
    assert logged(page, admin_service, talk) == [
        [inspector, "deleted", f"the last 3 messages; {REASON}"],
        [inspector, "deletion begun", f"3 messages; {REASON}"],
        [inspector, "read", "1 to 3"],
    ]
    assert serious_faults(page) == []


def test_without_a_reason_nothing_is_deleted(page, watched: Watched, admin_service):
    talk = say_at_once(admin_service, of_many_messages(3))
    ask_to_delete(page, admin_service, talk)
    reason = page.get_by_label("Reason (for the audit log)")
    page.get_by_role("button", name="Delete permanently").click()
    # The browser itself refuses what is empty,
    expect(reason).to_be_focused()
    assert reason.evaluate("(input) => input.validity.valueMissing")
    # and the server what only looks as if it were something.
    delete(page, "  ")
    expect(page.locator(".errornote")).to_have_text("This field is required.")
    watched.take("console", "400 (Bad Request)")
    assert serious_faults(page) == []
    assert said(admin_service, talk) == talk.messages
    delete(page)
    assert said(admin_service, talk) == []


def test_going_back_deletes_nothing(page, admin_service):
    talk = say_at_once(admin_service, of_many_messages(3))
    ask_to_delete(page, admin_service, talk)
    follow(page.get_by_role("link", name="Back"))
    expect(page.get_by_role("link", name=talk.memory_id)).to_be_visible()
    assert said(admin_service, talk) == talk.messages
    actions = {action for _, action, _ in logged(page, admin_service, talk)}
    assert actions == {"read"}


def test_a_conversation_can_be_deleted_with_the_keyboard_alone(page, admin_service):
    talk = say_at_once(admin_service, of_many_messages(3))
    page.goto(transcript_of(admin_service, talk))
    page.get_by_role("link", name="Delete …").focus()
    press(page, "Enter")
    page.get_by_label("Reason (for the audit log)").focus()
    page.keyboard.type(REASON)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Delete permanently")).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_text(f"Deleted {talk.memory_id} (3 messages).")).to_be_visible()


# --- Some --------------------------------------------------------------------------------


def test_a_selection_is_deleted_and_others_stay(page, inspector, admin_service):
    lengths = (2, 3, 4)
    talks = [say_at_once(admin_service, of_many_messages(length)) for length in lengths]
    page.goto(list_of(admin_service))
    for talk in (talks[0], talks[2]):
        link = page.get_by_role("link", name=talk.memory_id)
        page.get_by_role("row").filter(has=link).get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("Delete ...")
    follow(page.get_by_role("button", name="Go"))
    main = page.get_by_role("main")
    expect(main).to_contain_text(
        "This permanently deletes 2 conversations with 6 messages in total."
    )
    delete(page)
    expect(page.get_by_text("Deleted 2 conversations (6 messages).")).to_be_visible()
    assert [len(said(admin_service, talk)) for talk in talks] == [0, 3, 0]
    for talk, length in zip(talks, lengths, strict=True):
        entry = [inspector, "deleted", f"the last {length} messages; {REASON}"]
        assert (entry in logged(page, admin_service, talk)) == (length != 3)


@each_look(DARK_PHONE)
def test_all_of_a_list_are_deleted_by_one_job(look, page, admin_service):
    prefix = new_id()
    for n in range(3):
        say(admin_service, small(f"{prefix}/{n}"))
    page.goto(f"{list_of(admin_service)}?q={prefix}")
    follow(page.get_by_role("link", name="Export or delete all of this list"))
    main = page.get_by_role("main")
    expect(main).to_contain_text("This list has 3 conversations")
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    do = page.get_by_role("button", name="Do this with all of them")
    green = do.evaluate(COLOUR)
    page.get_by_label("What to do").select_option("Delete permanently")
    assert do.evaluate(COLOUR) != green
    page.get_by_label("Reason (for the audit log)").fill(REASON)
    follow(do)
    expect(main).to_contain_text("Deleted 3 conversations with 3 messages. The job has ended.")
    expect(main).to_contain_text(REASON)
    assert serious_faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    page.goto(f"{list_of(admin_service)}jobs/")
    assert serious_faults(page) == []


# --- A large one --------------------------------------------------------------------------


def test_a_large_conversation_is_deleted_completely(page, inspector, admin_service):
    talk = say_at_once(admin_service, of_many_messages(3_000))
    ask_to_delete(page, admin_service, talk)
    expect(page.get_by_role("main")).to_contain_text("1 conversation with 3,000 messages in total")
    delete(page)
    expect(page.get_by_text(f"Deleted {talk.memory_id} (3,000 messages).")).to_be_visible()
    assert said(admin_service, talk) == []
    (deleted, *_) = logged(page, admin_service, talk)
    assert deleted == [inspector, "deleted", f"the last 3,000 messages; {REASON}"]
