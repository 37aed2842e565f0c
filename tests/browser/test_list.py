"""The list of conversations in a browser: its rows, its pages, its filters, its search."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from convstore.models import Conversation, Kind
from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import DARK_PHONE, LIGHT, PHONE, each_look, follow, press, serious_faults
from tests.browser.conversations import (
    ELSEWHERE,
    ELSEWHERE_FILE,
    SHIPPED_FILE,
    SentConversation,
    call,
    database_of,
    date_back,
    list_of,
    of_many_messages,
    say,
    small,
    text,
)

pytestmark = pytest.mark.needs("chromium", "axe", "media")

PAGE = 50
COLUMNS = ["", "Conversation", "Messages", "Last activity", "Created"]
SOUND = Message("user", [Part("text", "Hear"), Part("input_audio", "https://x.test/a.mp3")])
KINDS = [
    [Message("user", [Part("text", "See"), Part("image_url", "https://x.test/a.png")]), SOUND],
    [text("user", "Now?"), Message("assistant", [], {"tool_calls": [call("1", "clock")]})],
    [text("user", "Now?"), text("tool", "12:00")],
    [text("user", 'An "image", "tool_calls": [1] and "audio"')],
]
LEAP_DAY = datetime(2024, 2, 29, 23, 58, tzinfo=UTC)


@pytest.fixture(scope="module")
def talks(admin_service) -> list[SentConversation]:
    """60 conversations, so that there are two pages of them, the last one the newest."""
    prefix = new_id()
    return [say(admin_service, small(f"{prefix}-{n:02}", f"Line {n}.")) for n in range(60)]


@pytest.fixture
def listed(page: Page, admin_service: Service, talks: list[SentConversation]) -> Page:
    page.goto(list_of(admin_service))
    return page


def ids(page: Page) -> list[str]:
    return page.locator("#result_list tbody .field-conversation bdi").all_inner_texts()


def row(page: Page, memory_id: str) -> Locator:
    return page.get_by_role("row").filter(
        has=page.locator("bdi").get_by_text(memory_id, exact=True)
    )


def find(page: Page, text: str) -> None:
    page.get_by_role("searchbox", name=re.compile("Conversation id")).fill(text)
    press(page, "Enter")


def filtered(page: Page, name: str) -> None:
    filters = page.get_by_role("navigation", name="Filter")
    follow(filters.get_by_role("link", name=name))
    selected = filters.locator(".selected")
    expect(selected.filter(has_text=name)).to_be_visible()


# --- Rows --------------------------------------------------------------------------------


@each_look(LIGHT)
def test_the_newest_conversation_is_first(look, page, admin_service):
    first, second = (say(admin_service, small(f"{n}-{new_id()}")).memory_id for n in (1, 2))
    page.goto(list_of(admin_service))
    assert ids(page)[:2] == [second, first]
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert serious_faults(page) == []


def test_a_row_shows_the_first_line_and_the_number_of_messages(listed, admin_service):
    said = [
        text("system", "You are brief."),
        text("user", "\n  What is a database?\nIn one line."),
        text("assistant", "A place for facts."),
    ]
    talk = say(admin_service, SentConversation(f"row-{new_id()}", said))
    date_back(admin_service, talk, LEAP_DAY, timedelta(minutes=1))
    find(listed, talk.memory_id)
    assert listed.get_by_role("columnheader").all_text_contents() == COLUMNS
    cells = row(listed, talk.memory_id).get_by_role("cell").all_inner_texts()
    begins, changed, created = "What is a database?", "Mar 1, 2024, 00:00", "Feb 29, 2024, 23:58"
    assert cells[1:] == [f"{begins}\n{talk.memory_id}", "3", changed, created]
    title = str(row(listed, talk.memory_id).locator("time").first.get_attribute("title"))
    assert title.endswith(" ago, 1 Mar 2024, 00:00:00 UTC")


def test_a_row_counts_the_messages_that_are_left_as_the_transcript_does(listed, admin_service):
    talk = say(admin_service, of_many_messages(3))
    alias = database_of(admin_service)
    rows = MessageRow.objects.using(alias).filter(conversation_id=talk.key, position=2)
    assert rows.update(kind=Kind.ERASED, body="") == 1
    Conversation.objects.using(alias).filter(pk=talk.key).update(erased=1)
    find(listed, talk.memory_id)
    shown = row(listed, talk.memory_id).get_by_role("cell").all_inner_texts()[2]
    follow(listed.get_by_role("link", name=talk.memory_id))
    count = listed.get_by_role("article").count()
    assert shown == str(count) == str(len(talk.messages) - 1)


def test_a_row_names_what_there_is_beside_text(listed, admin_service):
    talks = [say(admin_service, SentConversation(f"kinds-{new_id()}", said)) for said in KINDS]
    listed.reload()
    shown = [row(listed, talk.memory_id).locator(".kind").all_inner_texts() for talk in talks]
    assert shown == [["audio", "image"], ["tools"], ["tools"], []]


def test_a_row_links_to_the_transcript(listed, talks):
    follow(listed.get_by_role("link", name=talks[-1].memory_id))
    expect(listed.get_by_role("heading", level=1)).to_have_text(talks[-1].memory_id)
    expect(listed.get_by_role("article")).to_contain_text("Line 59.")


@each_look(PHONE)
@pytest.mark.parametrize("path", ["convstore/conversation", "inspection/auditentry"])
def test_on_a_phone_nothing_of_a_row_is_beside_the_screen(look, path, listed, admin_service):
    listed.goto(f"{admin_service.url}/admin/{path}/")
    cells = listed.get_by_role("row").nth(1).get_by_role("cell")
    assert cells.count() > 3
    for cell in cells.all():
        box = cell.bounding_box()
        assert box is None or box["x"] + box["width"] <= look.width
    tools = listed.locator(".object-tools a").all()
    if look.touch:
        lefts = [tool.bounding_box()["x"] for tool in tools]
        assert min(lefts) == lefts[0]
        label = "(cell) => getComputedStyle(cell, '::before').content"
        shown = (
            listed.locator("tbody tr")
            .first.locator("[data-label]")
            .evaluate_all(f"(cells) => cells.map({label})")
        )
        assert any(": " in each for each in shown)
    assert serious_faults(listed) == []


# --- Pages -------------------------------------------------------------------------------


def test_pages_show_each_conversation_once_in_both_directions(listed, admin_service):
    rows = Conversation.objects.using(database_of(admin_service)).order_by("-created_at", "-id")
    stored = list(rows.values_list("memory_id", flat=True))
    pages = [stored[n : n + PAGE] for n in range(0, len(stored), PAGE)]
    assert len(pages) > 1
    for way, back, expected in (("Older", "Newer", pages), ("Newer", "Older", pages[::-1])):
        link = listed.get_by_role("navigation", name="Pages").get_by_role("link", name=way)
        for n, page in enumerate(expected):
            assert ids(listed) == page
            expect(link).to_have_count(1 if n < len(expected) - 1 else 0)
            if n < len(expected) - 1:
                follow(link)
        expect(listed.get_by_role("link", name=back, exact=True)).to_be_visible()


def test_the_list_can_be_sorted_by_last_activity(listed, admin_service):
    talk = say(admin_service, small(f"revived-{new_id()}"))
    date_back(admin_service, talk, LEAP_DAY, timedelta(minutes=1))
    filtered(listed, "Last activity first")
    assert talk.memory_id not in ids(listed)
    say(admin_service, talk)
    listed.reload()
    assert ids(listed)[0] == talk.memory_id
    filtered(listed, "Newest first")
    assert talk.memory_id not in ids(listed)


# --- Filters -----------------------------------------------------------------------------


def test_a_period_includes_its_first_and_last_day(listed, admin_service):
    day = datetime(2022, 5, 17, tzinfo=UTC)
    times = {"before": -1, "first": 0, "last": 2 * 24 * 60 - 1, "after": 2 * 24 * 60}
    made = {name: say(admin_service, small(f"{name}-{new_id()}")) for name in times}
    for name, minutes in times.items():
        date_back(admin_service, made[name], day + timedelta(minutes=minutes), timedelta())
    listed.get_by_label("From").fill("2022-05-17")
    listed.get_by_label("To", exact=True).fill("2022-05-18")
    follow(listed.get_by_role("button", name="Apply"))
    assert ids(listed) == [made["last"].memory_id, made["first"].memory_id]
    expect(listed.get_by_label("From")).to_have_value("2022-05-17")
    assert serious_faults(listed) == []


@each_look(DARK_PHONE)
def test_a_period_without_conversations_says_so(look, listed):
    listed.get_by_label("To", exact=True).fill("2001-01-01")
    follow(listed.get_by_role("button", name="Apply"))
    expect(listed.get_by_text("Nothing was found.")).to_be_visible()
    assert serious_faults(listed) == []


def test_another_database_has_its_own_list_and_stays_selected(listed, admin_service, talks):
    talk = say(admin_service, small(f"elsewhere-{new_id()}", "Far away."), ELSEWHERE)
    filtered(listed, ELSEWHERE_FILE)
    assert ids(listed)[0] == talk.memory_id
    assert talks[-1].memory_id not in ids(listed)
    find(listed, talk.memory_id)
    assert ids(listed) == [talk.memory_id]
    follow(listed.get_by_role("link", name=talk.memory_id))
    expect(listed.locator(".about")).to_contain_text(ELSEWHERE_FILE)
    listed.get_by_label("Position", exact=True).fill("1")
    press(listed, "Enter")
    expect(listed.get_by_role("article")).to_contain_text("Far away.")
    breadcrumbs = listed.get_by_role("navigation", name="Breadcrumbs")
    follow(breadcrumbs.get_by_role("link", name="Conversations"))
    assert ids(listed)[0] == talk.memory_id
    filtered(listed, SHIPPED_FILE)
    assert talk.memory_id not in ids(listed)


def test_a_conversation_leads_back_to_the_list_as_it_was_left(page, admin_service):
    talk = say(admin_service, small(f"left-{new_id()}"))
    date_back(admin_service, talk, datetime(2021, 1, 5, tzinfo=UTC), timedelta())
    address = f"{list_of(admin_service)}?by=active&from=2021-01-05&to=2021-01-05"
    page.goto(address)
    follow(page.get_by_role("link", name=talk.memory_id))
    follow(page.get_by_role("link", name="Conversations"))
    assert page.url == address
    follow(page.get_by_role("link", name=talk.memory_id))
    follow(page.get_by_role("link", name="Delete …"))
    page.get_by_label("Reason").fill("to come back")
    follow(page.get_by_role("button", name="Delete permanently"))
    assert page.url == address
    assert ids(page) == []


# --- Search ------------------------------------------------------------------------------


def test_the_exact_id_is_found_before_longer_ids(listed, admin_service):
    prefix = f"Find/{new_id()}"
    for suffix in ("-2", "", "-1", "\N{LATIN SMALL LETTER E WITH ACUTE}"):
        say(admin_service, small(prefix + suffix))
    find(listed, prefix)
    assert ids(listed) == [prefix, f"{prefix}-1", f"{prefix}-2", f"{prefix}\xe9"]
    find(listed, f"{prefix}-1")
    assert ids(listed) == [f"{prefix}-1"]
    find(listed, prefix.lower())
    expect(listed.get_by_text("Nothing was found.")).to_be_visible()
    assert serious_faults(listed) == []


def test_a_search_with_more_results_than_a_page_goes_on(listed, talks):
    find(listed, talks[0].memory_id[:36])
    assert ids(listed) == [talk.memory_id for talk in talks[:PAGE]]
    follow(listed.get_by_role("link", name="More matches"))
    assert ids(listed) == [talk.memory_id for talk in talks[PAGE:]]
    expect(listed.get_by_role("link", name="More matches")).to_have_count(0)
    assert serious_faults(listed) == []
    follow(listed.get_by_role("link", name="First matches"))
    assert ids(listed) == [talk.memory_id for talk in talks[:PAGE]]
    follow(listed.get_by_role("link", name="Clear search"))
    expect(listed.get_by_role("link", name="Older")).to_be_visible()


# --- Selection ---------------------------------------------------------------------------


@each_look(PHONE)
def test_an_action_applies_to_the_selected_rows(look, listed, talks):
    chosen = [talks[-1].memory_id, talks[-3].memory_id]
    for memory_id in chosen:
        row(listed, memory_id).get_by_role("checkbox").check()
    expect(listed.get_by_text(f"2 of {PAGE} selected")).to_be_visible()
    assert serious_faults(listed) == []
    act(listed, "Delete ...")
    expect(listed).to_have_title(re.compile("Delete conversations"))
    expect(listed.locator("#content li")).to_have_text(
        [f"{memory_id}: 1 message" for memory_id in sorted(chosen)]
    )


def test_a_whole_page_can_be_selected_at_once(listed, talks):
    listed.get_by_role("checkbox", name="Select all objects on this page").check()
    expect(listed.get_by_text(f"{PAGE} of {PAGE} selected")).to_be_visible()
    act(listed, "Delete ...")
    expect(listed).to_have_title(re.compile("Delete conversations"))
    expect(listed.locator("#content li")).to_have_count(PAGE)


def test_an_action_without_a_selection_is_refused(listed):
    act(listed, "Delete ...")
    expect(listed.get_by_text("Items must be selected")).to_be_visible()
    assert serious_faults(listed) == []


def act(page: Page, action: str) -> None:
    page.get_by_label("Action:").select_option(action)
    follow(page.get_by_role("button", name="Go"))


# --- Without a mouse ---------------------------------------------------------------------


def test_the_list_can_be_used_with_the_keyboard_alone(page, admin_service):
    talk = say(admin_service, small(f"typed-{new_id()}", "Typed."))
    page.goto(list_of(admin_service))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    press(page, "Enter")  # within the page
    first = row(page, talk.memory_id)
    tab_to(page, first.get_by_role("checkbox"))
    page.keyboard.press("Space")
    expect(page.get_by_text(re.compile("^1 of"))).to_be_visible()
    tab_to(page, first.get_by_role("link"))
    press(page, "Enter")
    expect(page.get_by_role("article")).to_contain_text("Typed.")


def tab_to(page: Page, element: Locator) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if element.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"30 steps do not lead to {element}")
