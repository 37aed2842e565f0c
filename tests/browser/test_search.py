"""Search for words in a browser: in all conversations, and in one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from convstore.messages import Message, Part
from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import DARK_PHONE, LIGHT, each_look, follow, press, serious_faults
from tests.browser.conversations import (
    ELSEWHERE,
    ELSEWHERE_FILE,
    SentConversation,
    date_back,
    list_of,
    of_many_messages,
    say,
    say_at_once,
    small,
    text,
    transcript_of,
    with_tools,
)

pytestmark = pytest.mark.needs("chromium", "axe", "media")

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def new_word() -> str:
    """A word that is in no message yet."""
    return "".join(chr(ord("a") + int(digit, 16)) for digit in new_id().replace("-", ""))


def saying(word: str, length: int, *positions: int) -> SentConversation:
    """A conversation with the word in the messages at these positions only."""
    talk = of_many_messages(length)
    messages = list(talk.messages)
    for position in positions:
        messages[position - 1] = text("user", f"Here I say {word} once.")
    return SentConversation(talk.memory_id, messages)


@pytest.fixture
def searching(page: Page, admin_service: Service) -> Page:
    """The page that searches all conversations, opened from the list."""
    page.goto(list_of(admin_service))
    follow(page.get_by_role("link", name="Search messages"))
    return page


def search(page: Page, words: str) -> None:
    page.get_by_label("Words").fill(words)
    press(page, "Enter")


def hits(page: Page) -> Locator:
    return page.locator(".hits > li")


def positions(page: Page) -> list[int]:
    links = page.locator(".hits .hit > a").all_inner_texts()
    return [int(link.split()[1].replace(",", "")) for link in links]


def groups(page: Page) -> Locator:
    return page.locator(".hit-group h2")


def open_hit(page: Page, number: int = 1) -> None:
    follow(page.locator(f"#hit-{number} .hit").get_by_role("link"))


def further(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Pages").get_by_role("link")


# --- Across conversations ----------------------------------------------------------------


@each_look(LIGHT)
def test_a_message_is_found_and_its_words_are_marked(look, searching, admin_service):
    one, two = new_word(), new_word()
    said = [
        text("user", f"Not {one} alone."),
        text("assistant", f"First {two.title()},\nthen {one}."),
        text("user", "Thank you."),
    ]
    talk = say(admin_service, SentConversation(f"found-{new_id()}", said))
    search(searching, f"{one.upper()} {two}")
    expect(searching.get_by_role("status")).to_contain_text("1 hit")
    expect(searching.get_by_role("status")).to_contain_text(" searched: the last 100 messages")
    expect(groups(searching)).to_have_text(talk.memory_id)
    expect(hits(searching).locator(".hit")).to_contain_text("Message 2")
    expect(hits(searching).locator(".hit")).to_contain_text("assistant, ")
    around = [f"1 user Not {one} alone.", "3 user Thank you."]
    expect(hits(searching).locator(".neighbour")).to_have_text(around)
    assert searching.locator("mark").all_inner_texts() == [two.title(), one]
    expect(searching.locator(".hits .text")).to_have_text(f"First {two.title()}, then {one}.")
    assert searching.evaluate("document.documentElement.scrollWidth") <= look.width
    assert serious_faults(searching) == []


def test_a_hit_links_to_the_position_of_its_message(searching, admin_service):
    word = new_word()
    say_at_once(admin_service, saying(word, 90, 30))
    search(searching, word)
    open_hit(searching)
    first = searching.locator("article:target")
    expect(first).to_have_attribute("aria-label", "Message 30, user")
    expect(first).to_contain_text(word)


def test_the_transcript_leads_to_the_other_hits_and_back_to_the_results(searching, admin_service):
    word = new_word()
    one, two = (saying(word, 90, *at) for at in ((30, 60), (5,)))
    for talk in (one, two):
        say_at_once(admin_service, talk)
    search(searching, word)
    expect(groups(searching)).to_have_text([two.memory_id, one.memory_id])
    open_hit(searching, 2)
    links = searching.get_by_role("navigation", name="Hits")
    expect(links).to_contain_text("Hit 2 of 3")
    expect(searching.locator("article:target")).to_contain_text(word)
    follow(links.get_by_role("link", name="Next hit"))
    expect(searching.locator("article:target")).to_have_attribute("aria-label", "Message 30, user")
    expect(links.get_by_role("link", name="Next hit")).to_have_count(0)
    for _ in range(2):
        follow(links.get_by_role("link", name="Previous hit"))
    expect(searching.get_by_role("heading", level=1)).to_have_text(two.memory_id)
    assert serious_faults(searching) == []
    follow(links.get_by_role("link", name="Back to the results"))
    assert searching.url.endswith("#hit-1")
    expect(groups(searching)).to_have_text([two.memory_id, one.memory_id])


def test_a_hit_is_marked_in_the_transcript_also_far_down_and_in_a_call(page, admin_service):
    word, lines = new_word(), "\n\n".join(f"Line {n} of a long text." for n in range(60))
    calls = [{"id": "1", "function": {"name": "look", "arguments": f'{{"q": "{word}"}}'}}]
    talk = SentConversation(
        f"marked-{new_id()}",
        [
            text("user", f"{lines}\n\nAnd **{word}** & more."),
            text("user", f"{'x ' * 6_000}\n\n{word} comes late."),
            Message("assistant", [Part("text", "")], {"tool_calls": calls}),
        ],
    )
    say(admin_service, talk)
    page.goto(transcript_of(admin_service, talk))
    search(page, word)
    assert positions(page) == [3, 2, 1]
    open_hit(page)
    mark = page.locator("article:target mark")
    expect(mark.last).to_have_text(word)
    expect(mark.last).to_be_visible()
    links = page.get_by_role("navigation", name="Hits")
    follow(links.get_by_role("link", name="Next hit"))
    expect(page.locator("article:target .further")).to_contain_text("Found here: …")
    expect(mark).to_have_text(word)
    follow(links.get_by_role("link", name="Next hit"))
    expect(mark).to_have_text(word)
    expect(mark).to_be_in_viewport()
    expect(page.locator("mark")).to_have_count(1)
    assert serious_faults(page) == []


def test_filters_narrow_a_search_and_stay(searching, admin_service):
    word = new_word()
    say(
        admin_service,
        SentConversation(f"roles-{new_id()}", [text("user", word), text("tool", word)]),
    )
    searching.get_by_label("Role").select_option("tool")
    search(searching, word)
    assert positions(searching) == [2]
    expect(searching.get_by_label("Role")).to_have_value("tool")
    searching.get_by_label("To (UTC)").fill("2020-01-01")
    search(searching, word)
    expect(searching.get_by_role("status")).to_contain_text("was not found in what was searched.")


def test_without_javascript_a_search_goes_on_with_a_click_and_is_stopped(page, admin_service):
    word = new_word()
    talk = say_at_once(admin_service, saying(word, 2_500, 3))
    state, browser = page.context.storage_state(), page.context.browser
    with browser.new_context(java_script_enabled=False, storage_state=state) as context:
        still = context.new_page()
        still.goto(transcript_of(admin_service, talk))
        search(still, word)
        status = still.get_by_role("status")
        expect(status).to_contain_text("No hits so far. 1,000 messages searched")
        follow(further(still).filter(has_text="Stop"))
        expect(status).to_contain_text("No hits so far. 1,000 messages searched")
        for _ in range(2):
            follow(further(still).filter(has_text="Search further back"))
        expect(status).to_contain_text("1 hit. 2,500 messages searched")
        assert positions(still) == [3]


@each_look(DARK_PHONE)
def test_a_search_without_hits_says_that_nothing_is_left(look, searching):
    word = new_word()
    search(searching, word)
    # The page continues by itself until everything was searched.
    expect(searching.get_by_role("status")).to_contain_text("No older conversations are left.")
    expect(searching.get_by_role("status")).to_contain_text(
        f"“{word}” was not found in what was searched."
    )
    expect(searching.get_by_role("status")).to_contain_text(
        "What was said before was not searched: open a conversation to search all of it."
    )
    expect(further(searching)).to_have_count(0)
    expect(searching.get_by_label("Words")).to_have_value(word)
    assert serious_faults(searching) == []


def test_a_search_without_hits_continues_by_itself(searching, admin_service):
    word = new_word()
    old = say(admin_service, small(f"old-{new_id()}", f"Who still knows {word}?"))
    date_back(admin_service, old, LONG_AGO, timedelta())
    for n in range(50):
        say(admin_service, small(f"new-{n}-{new_id()}"))
    search(searching, word)
    expect(groups(searching)).to_have_text(old.memory_id)
    assert positions(searching) == [1]
    assert "step=" in searching.url
    expect(hits(searching).locator("time")).to_have_attribute("title", re.compile(" ago, .* UTC$"))
    searched = searching.get_by_role("status").inner_text()
    (count,) = re.findall(r"([\d,]+) conversations searched", searched)
    assert int(count.replace(",", "")) > 50
    # The pages between are none to go back to.
    searching.go_back()
    assert "q=" not in searching.url


def test_a_search_with_hits_continues_with_a_click(searching, admin_service):
    word = new_word()
    old, new = (say(admin_service, small(f"{n}-{new_id()}", word)) for n in ("old", "new"))
    date_back(admin_service, old, LONG_AGO, timedelta())
    for n in range(49):
        say(admin_service, small(f"newer-{n}-{new_id()}"))
    search(searching, word)
    expect(groups(searching)).to_have_text(new.memory_id)
    assert positions(searching) == [1]
    status = searching.get_by_role("status")
    expect(status.locator("time")).to_have_attribute("title", re.compile(" UTC$"))
    expect(status).to_contain_text(
        "1 hit so far. 50 conversations searched: the last 100 messages of each, 50 messages in all"
    )
    follow(further(searching))
    expect(groups(searching)).to_have_text(old.memory_id)
    assert positions(searching) == [1]
    expect(status).to_contain_text("2 hits")


def test_arabic_is_found_and_shown_from_right_to_left(searching, admin_service):
    talk = say(admin_service, small(f"arabic-{new_id()}", f"الرباط {new_word()} أليس كذلك؟"))
    search(searching, "الرباط")
    found = searching.locator(".hit-group").filter(has_text=talk.memory_id).locator(".text")
    assert found.evaluate("(text) => getComputedStyle(text).direction") == "rtl"
    expect(found.locator("mark")).to_have_text("الرباط")


def test_each_database_is_searched_separately(searching, admin_service):
    word = new_word()
    here, there = (small(f"{where}-{new_id()}", word) for where in ("here", "there"))
    say(admin_service, here)
    say(admin_service, there, ELSEWHERE)
    search(searching, word)
    expect(groups(searching)).to_have_text(here.memory_id)
    assert positions(searching) == [1]
    expect(searching.get_by_label("Memory").locator("option")).to_have_count(2)
    searching.goto(list_of(admin_service))
    filters = searching.get_by_role("navigation", name="Filter")
    follow(filters.get_by_role("link", name=ELSEWHERE_FILE))
    follow(searching.get_by_role("link", name="Search messages"))
    search(searching, word)
    expect(groups(searching)).to_have_text(there.memory_id)
    assert positions(searching) == [1]
    open_hit(searching)
    expect(searching.get_by_role("article")).to_contain_text(word)


# --- In one conversation -----------------------------------------------------------------


@each_look(DARK_PHONE)
def test_one_conversation_is_searched_from_its_page(look, page, admin_service):
    word = new_word()
    talk = say_at_once(admin_service, saying(word, 120, 1, 60))
    say(admin_service, small(f"other-{new_id()}", word))
    page.goto(transcript_of(admin_service, talk))
    search(page, word)
    assert positions(page) == [60, 1]
    expect(page.get_by_role("status")).to_contain_text("2 hits.")
    expect(page.get_by_role("status")).to_contain_text(
        "120 messages searched, back to the first message."
    )
    expect(page.locator("mark")).to_have_text([word, word])
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert serious_faults(page) == []
    follow(page.locator(".about").get_by_role("link", name=talk.memory_id))
    expect(page.get_by_role("heading", level=1)).to_have_text(talk.memory_id)


def test_only_a_search_in_one_conversation_says_that_no_message_contains_the_words(
    searching, admin_service
):
    word = new_word()
    talk = say_at_once(admin_service, saying(word, 120, 3))  # before the last 100
    search(searching, word)
    status = searching.get_by_role("status")
    expect(status).to_contain_text(f"“{word}” was not found in what was searched.")
    searching.goto(transcript_of(admin_service, talk))
    search(searching, word)
    assert positions(searching) == [3]
    search(searching, f"{word}x")
    expect(status).to_contain_text(f"No message contains “{word}x”. 120 messages searched")
    searching.get_by_label("Role").select_option("tool")
    search(searching, word)
    expect(status).to_contain_text(f"No message of that role and time contains “{word}”.")


def test_a_search_in_a_long_conversation_continues_by_itself(page, admin_service):
    word = new_word()
    talk = say_at_once(admin_service, saying(word, 2_500, 3))
    page.goto(transcript_of(admin_service, talk))
    search(page, word)
    expect(page.get_by_role("status")).to_contain_text("2,500 messages searched, back to the first")
    assert positions(page) == [3]
    open_hit(page)
    expect(page.locator("article:target")).to_contain_text(word)


def test_many_hits_are_shown_in_pages_each_once(page, admin_service):
    talk = say_at_once(admin_service, of_many_messages(120))
    page.goto(transcript_of(admin_service, talk))
    search(page, "message number")
    found = positions(page)
    assert found == list(range(120, 100, -1))
    expect(page.get_by_role("status")).to_contain_text(
        "20 hits so far. 20 messages searched, back to message 101."
    )
    for _ in range(5):
        follow(further(page))
        found += positions(page)
    assert found == list(range(120, 0, -1))
    expect(further(page)).to_have_count(0)


def test_tool_calls_are_searched_in_one_conversation_too(page, admin_service):
    talk = say(admin_service, with_tools())
    page.goto(transcript_of(admin_service, talk))
    search(page, "asia/tokyo")
    assert positions(page) == [2]
    open_hit(page)
    expect(page.locator("summary").filter(has_text="clock")).to_be_visible()


# --- Without eyes, without a mouse -------------------------------------------------------


def test_elements_of_the_search_page_have_accessible_names(searching, admin_service):
    word = new_word()
    say(admin_service, small(f"named-{new_id()}", word))
    expect(searching.get_by_role("heading", level=1)).to_have_text("Search messages")
    form = searching.get_by_role("main").get_by_role("search")
    expect(form.get_by_role("searchbox", name="Words")).to_be_visible()
    form.get_by_role("searchbox", name="Words").fill(word)
    follow(form.get_by_role("button", name="Search"))
    expect(searching.get_by_role("main").get_by_role("listitem")).to_have_count(1)
    expect(searching.get_by_role("status")).to_be_visible()
