"""The transcript in a browser: every kind of part, all links and forms, every screen size."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from convstore.messages import Message, Part
from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import DARK, DARK_PHONE, LIGHT, PHONE, follow, press, serious_faults
from tests.browser.conversations import (
    CHINESE,
    CODE,
    LINES,
    LINK,
    PDF,
    PICTURES,
    SOUNDS,
    SentConversation,
    date_back,
    of_many_messages,
    say,
    say_at_once,
    text,
    transcript_of,
    with_a_long_text,
    with_media,
    with_texts,
    with_tools,
)

pytestmark = pytest.mark.needs("chromium", "axe", "media")
LOOKS = pytest.mark.parametrize("look", [LIGHT, DARK, PHONE, DARK_PHONE], ids=str)
SIZES = pytest.mark.parametrize("look", [LIGHT, DARK_PHONE], ids=str)

# When the long conversation began; its messages came a minute after each other.
BEGUN = datetime(2024, 2, 29, 22, 30, tzinfo=UTC)
ROLES = ("system", "user", "assistant", "tool", "critic")
# Whether narrow and wide letters are equally wide.
IS_MONOSPACE = """(element) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.font = getComputedStyle(element).font;
    return canvas.measureText("iiii").width === canvas.measureText("MMMM").width;
}"""
# Play, and go to another place: where the sound then is.
PLAY = """async (audio) => {
    audio.muted = true;
    await audio.play();
    while (audio.currentTime < 0.2) await new Promise((done) => setTimeout(done, 20));
    return audio.duration;
}"""
SEEK = """async (audio, to) => {
    audio.pause();
    const sought = new Promise((done) => audio.addEventListener("seeked", done, {once: true}));
    audio.currentTime = to;
    await sought;
    return audio.currentTime;
}"""


# A colour as it is painted, whatever it is written as.
PAINTED = """(element, name) => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = getComputedStyle(element)[name];
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
}"""
FOCUSED = """() => {
    const element = document.activeElement;
    const name = element.labels?.length ? element.labels[0].innerText : element.innerText;
    return name.replaceAll(/\\s+/g, " ").trim();
}"""
# Lines and a table that are wider than any screen.
WIDE = f"""\
```
{"wide " * 200}
```

|{" column |" * 60}
|{"---|" * 60}
|{" cell |" * 60}

`{"w" * 500}`"""


@pytest.fixture(scope="module")
def media(admin_service) -> SentConversation:
    return say(admin_service, with_media())


@pytest.fixture(scope="module")
def tools(admin_service) -> SentConversation:
    return say(admin_service, with_tools())


@pytest.fixture(scope="module")
def texts(admin_service) -> SentConversation:
    return say(admin_service, with_texts())


@pytest.fixture(scope="module")
def long(admin_service) -> SentConversation:
    """120 messages, one a minute."""
    talk = say_at_once(admin_service, of_many_messages(120))
    date_back(admin_service, talk, BEGUN, timedelta(minutes=1))
    return talk


@pytest.fixture
def opened(page: Page, admin_service: Service) -> Callable[[SentConversation], Page]:
    """Open a transcript, which shows the end of the conversation."""

    def opened_page(talk: SentConversation) -> Page:
        page.goto(transcript_of(admin_service, talk))
        return page

    return opened_page


def with_markdown(page: Page, wished: bool = True) -> None:
    """Show the texts as rendered Markdown, or raw."""
    ways = ("Show Markdown", "Show raw text")
    before, after = ways if wished else reversed(ways)
    follow(page.get_by_role("link", name=before))
    expect(page.get_by_role("link", name=after)).to_be_visible()


def turn(page: Page, position: int) -> Locator:
    return page.locator(f"#message-{position}")


def style(element: Locator, name: str) -> str:
    return str(element.evaluate("(element, name) => getComputedStyle(element)[name]", name))


def positions(page: Page) -> list[int]:
    """The positions of the messages on the page, in order."""
    return [int(text) for text in page.locator("article .position").all_text_contents()]


# --- Parts -------------------------------------------------------------------------------


@SIZES
def test_images_are_shown_in_order_and_completely(opened, media):
    page = opened(media)
    images = turn(page, 2).get_by_role("img")
    expect(images).to_have_count(len(PICTURES))
    for image in images.all():
        image.scroll_into_view_if_needed()
        image.evaluate("(image) => image.decode()")
    sizes = images.evaluate_all("(all) => all.map((i) => [i.naturalWidth, i.naturalHeight])")
    assert [tuple(size) for size in sizes] == list(PICTURES.values())
    widths = images.evaluate_all("(all) => all.map((i) => i.getBoundingClientRect().width)")
    assert all(0 < width <= page.evaluate("innerWidth") for width in widths)


def test_the_parts_of_a_message_are_in_order(opened, media):
    page = opened(media)
    kinds = {2: ["text", *["image"] * 5], 4: ["text", "audio", "audio"], 6: ["file", "link"]}
    for position, expected in kinds.items():
        classes = (
            turn(page, position)
            .locator(".part")
            .evaluate_all("(parts) => parts.map((part) => part.className)")
        )
        assert classes == [f"part part-{kind}" for kind in expected]


def test_an_image_opens_on_a_page_of_its_own(cookies, chromium, admin_service, media):
    # Without what watches pages: where no script may run, that would be heard itself.
    with LIGHT.context(chromium) as context:
        said: list[str] = []
        context.on("console", lambda message: said.append(message.text))
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto(transcript_of(admin_service, media))
        follow(turn(page, 2).get_by_role("img").first)
        assert page.title() == "2 (451\N{MULTIPLICATION SIGN}300)"
        assert said == []


@SIZES
def test_audio_is_played_in_the_page(opened, media):
    page = opened(media)
    sounds = turn(page, 4).locator("audio")
    expect(sounds).to_have_count(len(SOUNDS))
    for sound, seconds in zip(sounds.all(), SOUNDS.values(), strict=True):
        assert style(sound, "display") != "none"
        assert sound.evaluate(PLAY) == pytest.approx(seconds, abs=0.01)
        # What is asked for then is a range of the bytes.
        assert sound.evaluate(SEEK, seconds - 0.5) == pytest.approx(seconds - 0.5, abs=0.01)


def test_anything_else_is_a_download_with_its_size(opened, media):
    page = opened(media)
    expect(turn(page, 6)).to_contain_text(f"Download file, {len(PDF)} bytes")
    with page.expect_download() as download:
        turn(page, 6).get_by_role("link", name="Download file").click()
    assert download.value.suggested_filename == "6-1.bin"
    assert Path(download.value.path()).read_bytes() == PDF


def test_an_image_on_the_web_is_a_link_and_is_not_loaded(opened, watched, media):
    asked: list[str] = []
    watched.context.on("request", lambda request: asked.append(request.url))
    page = opened(media)
    link = turn(page, 6).get_by_role("link", name=LINK)
    expect(link).to_have_attribute("href", LINK)
    expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    assert asked
    assert not [url for url in asked if "pictures.example" in url]


# --- Texts -------------------------------------------------------------------------------


def test_a_text_keeps_its_line_breaks(opened, texts):
    shown = turn(opened(texts), 7).locator(".text")
    assert shown.inner_text() == LINES
    assert style(shown, "whiteSpace") == "pre-wrap"


@SIZES
def test_markdown_is_rendered_on_request(opened, texts):
    page = opened(texts)
    expect(turn(page, 8)).to_contain_text("# How to *wait*")
    with_markdown(page)
    answer = turn(page, 8)
    expect(answer.get_by_role("heading", name="How to wait", level=1)).to_be_visible()
    expect(answer.get_by_role("cell", name="retry")).to_be_visible()
    expect(answer.get_by_role("link", name="the guide")).to_have_attribute(
        "href", "https://guide.example/wait"
    )
    # HTML of the text's own is text.
    expect(answer.get_by_role("listitem").nth(1)).to_have_text("Ask <b>nobody</b>.")
    assert answer.locator("pre code").inner_text().rstrip("\n") == CODE
    assert serious_faults(page) == []
    with_markdown(page, wished=False)
    expect(turn(page, 8)).to_contain_text("# How to *wait*")


def test_code_is_monospaced_with_and_without_markdown(opened, texts):
    page = opened(texts)
    code = turn(page, 8).locator("pre code")
    assert code.inner_text().rstrip("\n") == CODE
    assert code.evaluate(IS_MONOSPACE)
    assert not turn(page, 8).locator(".text").first.evaluate(IS_MONOSPACE)
    with_markdown(page)
    assert code.evaluate(IS_MONOSPACE)
    assert not turn(page, 8).locator(".markdown").evaluate(IS_MONOSPACE)


@SIZES
def test_the_direction_of_a_text_follows_its_letters(opened, texts):
    page = opened(texts)
    for wished in (True, False):
        directions = {
            n: style(turn(page, n).locator("[dir=auto]"), "direction") for n in range(1, 6)
        }
        assert directions == {1: "rtl", 2: "rtl", 3: "ltr", 4: "ltr", 5: "ltr"}
        with_markdown(page, wished)
    expect(turn(page, 3)).to_contain_text(CHINESE)
    right, left = (turn(page, n).locator(".text") for n in (1, 3))
    assert style(right, "textAlign") == style(left, "textAlign") == "start"


def test_a_message_without_text_says_so(opened, texts):
    expect(turn(opened(texts), 6)).to_contain_text("No text.")


def test_a_long_text_is_cut_with_a_link_to_all_of_it(opened, admin_service):
    talk = say(admin_service, with_a_long_text())
    whole = talk.messages[0].parts[0].value
    assert len(whole) == 1_000_000
    page = opened(talk)
    assert turn(page, 1).locator(".text").inner_text() == whole[:10_000]
    follow(page.get_by_role("link", name=re.compile("^Show all 1,000,000 characters")))
    assert page.locator("body").text_content() == whole
    page.go_back()  # no script runs there, not even one that hears the page out


# --- Tools -------------------------------------------------------------------------------


@SIZES
def test_tool_calls_are_collapsed_together_with_their_results(opened, tools):
    page = opened(tools)
    assert positions(page) == [1, 2, 3, 4, 5]
    weather, clock = turn(page, 2).locator("details").all()
    for call, answer in ((weather, 3), (clock, 4)):
        expect(call.locator("summary")).to_contain_text("with result")
        expect(turn(page, answer)).to_be_hidden()
    weather.locator("summary").click()
    expect(weather.locator("pre").first).to_have_text('{\n  "city": "Bern"\n}')
    expect(weather.get_by_role("article", name="Message 3, tool")).to_contain_text('{"celsius": 7}')
    expect(turn(page, 4)).to_be_hidden()
    assert serious_faults(page) == []
    clock.locator("summary").click()
    expect(clock.get_by_role("article", name="Message 4, tool")).to_contain_text('"21:40"')


# --- A message ---------------------------------------------------------------------------


def test_the_json_of_a_message_is_the_stored_json(opened, tools):
    page = opened(tools)
    for position in (1, 2):
        link = turn(page, position).get_by_role("link", name=f"JSON of message {position}")
        with page.expect_navigation() as reply:
            link.click()
        assert reply.value.text() == tools.messages[position - 1].to_json()
        assert "tool_calls" in json.loads(page.locator("pre").inner_text()) or position == 1
        page.go_back()


def test_a_message_shows_its_position_and_time(opened, long):
    page = opened(long)
    message = turn(page, 90)
    expect(message.locator("time")).to_have_text("29 Feb 2024, 23:59:00")
    expect(message.locator("time")).to_have_attribute("datetime", "2024-02-29T23:59:00+00:00")
    follow(message.get_by_role("link", name="90", exact=True))  # within the page
    assert page.evaluate("document.querySelector(':target').id") == "message-90"


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=str)
def test_roles_differ_in_their_name_and_their_bar(opened, admin_service):
    said = [Message(role, [Part("text", "Said.")]) for role in ROLES]
    page = opened(say(admin_service, SentConversation(f"roles-{new_id()}", said)))
    bars = []
    for n, role in enumerate(ROLES, 1):
        message = page.get_by_role("article", name=f"Message {n}, {role}", exact=True)
        expect(message.locator(".role")).to_have_text(role)
        bars.append(style(message, "borderInlineStartColor"))
    assert len(set(bars)) == len(ROLES)


# --- The way through a long one ----------------------------------------------------------


def test_pages_of_a_long_conversation_are_linked_in_both_directions(opened, long):
    page = opened(long)
    ways = page.get_by_role("navigation", name="Pages, below")
    assert positions(page) == list(range(71, 121))
    expect(ways.get_by_role("link", name="Later")).to_have_count(0)
    for way, first, last in (
        ("Earlier", 21, 70),
        ("Earlier", 1, 20),
        ("Later", 21, 70),
        ("Later", 71, 120),
        ("First", 1, 50),
        ("Later", 51, 100),
        ("Last", 71, 120),
    ):
        follow(ways.get_by_role("link", name=way))
        expect(page.locator(".about")).to_contain_text(f"showing {first} to {last}")
        assert positions(page) == list(range(first, last + 1))
    assert serious_faults(page) == []


def test_the_first_page_has_no_link_to_an_earlier_one(opened, long):
    page = opened(long)
    ways = page.get_by_role("navigation", name="Pages, above")
    follow(ways.get_by_role("link", name="First"))
    expect(ways.get_by_role("link")).to_have_text(["Later", "Last"])


@SIZES
def test_the_form_jumps_to_a_position(opened, long):
    page = opened(long)
    page.get_by_label("Position", exact=True).fill("57")
    follow(page.get_by_role("form", name="Jump to a position").get_by_role("button"))
    assert positions(page) == list(range(57, 107))
    assert serious_faults(page) == []


def test_the_form_jumps_to_a_time(opened, long):
    page = opened(long)
    for time, position in (
        ("2024-02-29T23:00", 31),
        ("2024-03-01T00:00", 91),  # the next day
        ("2023-01-01T00:00", 1),
        ("2025-01-01T00:00", 120),  # after the last one
    ):
        page.get_by_label("Time (UTC)").fill(time)
        follow(page.get_by_role("form", name="Jump to a time").get_by_role("button"))
        assert positions(page)[0] == position, time


def test_jumps_and_page_links_keep_markdown(opened, long):
    page = opened(long)
    with_markdown(page)
    page.get_by_label("Position", exact=True).fill("1")
    press(page, "Enter")
    follow(page.get_by_role("navigation", name="Pages, above").get_by_role("link", name="Later"))
    expect(page.get_by_role("link", name="Show raw text")).to_be_visible()
    assert positions(page)[0] == 51


# --- Every screen ------------------------------------------------------------------------


@LOOKS
def test_every_kind_of_conversation_fits_the_screen(
    look, opened, admin_service, media, tools, texts, long
):
    wide = say(
        admin_service, SentConversation("w" * 255, [text("user", "w" * 500), text("w" * 255, WIDE)])
    )
    for talk in (media, tools, texts, long, wide):
        page = opened(talk)
        for details in page.locator("main details").all():
            details.evaluate("(details) => { details.open = true; }")
        assert page.evaluate("document.documentElement.scrollWidth") <= look.width
        assert serious_faults(page) == []
    for talk in (texts, wide):
        page = opened(talk)
        with_markdown(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= look.width
        assert serious_faults(page) == []


@LOOKS
def test_the_page_follows_the_light_or_dark_setting(look, opened, texts):
    page = opened(texts)
    assert brightness(page, "body", "backgroundColor") == look.scheme
    for position in (1, 2):
        assert brightness(page, f"#message-{position}", "backgroundColor") == look.scheme
    other = "dark" if look.scheme == "light" else "light"
    assert brightness(page, "#message-1 .text", "color") == other


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=str)
def test_people_can_select_the_other_theme(look, opened, texts):
    page = opened(texts)
    bar = style(turn(page, 1), "borderInlineStartColor")
    other = "dark" if look.scheme == "light" else "light"
    toggle = page.get_by_role("button", name=re.compile("Toggle theme"))
    while page.locator("html").get_attribute("data-theme") != other:
        toggle.click()
    assert brightness(page, "#message-1", "backgroundColor") == other
    assert style(turn(page, 1), "borderInlineStartColor") != bar
    page.evaluate("Promise.all(document.getAnimations().map((change) => change.finished))")
    assert serious_faults(page) == []


def brightness(page: Page, selector: str, name: str) -> str:
    """Whether a colour of an element is light or dark."""
    colour = page.locator(selector).evaluate(PAINTED, name)
    return "light" if sum(colour[:3]) > 3 * 128 else "dark"


# --- Without eyes, without a mouse -------------------------------------------------------


def test_the_elements_of_a_transcript_have_roles_and_names(opened, media):
    page = opened(media)
    main = page.get_by_role("main")
    expect(main.get_by_role("heading", level=1)).to_have_text(media.memory_id)
    expect(page.get_by_role("navigation", name="Breadcrumbs")).to_contain_text("Conversations")
    for form in ("Jump to a position", "Jump to a time"):
        expect(main.get_by_role("form", name=form)).to_be_visible()
    expect(main.get_by_role("search", name="Search this conversation")).to_be_visible()
    for label in ("Position", "Time (UTC)", "Words"):
        expect(main.get_by_label(label, exact=True)).to_be_visible()
    expect(main.get_by_role("list")).to_have_count(1)
    names = [f"Message {n}, {message.role}" for n, message in enumerate(media.messages, 1)]
    articles = main.get_by_role("listitem").get_by_role("article")
    assert [article.get_attribute("aria-label") for article in articles.all()] == names
    expect(main.get_by_role("img", name="Image, part 3 of message 2")).to_be_visible()
    expect(main.get_by_label("Audio, part 2 of message 4")).to_be_visible()


def test_the_keyboard_reaches_all_elements_in_order(opened, tools):
    page = opened(tools)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to main content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    press(page, "Enter")  # within the page
    reached = [focused(page) for _ in range(40) if not page.keyboard.press("Tab")]
    expected = [
        "Position",
        "Go",
        "Time (UTC)",
        "Go",
        "Words",
        "Search",
        "Show Markdown",
        "Export: OpenAI chat (JSONL)",
        "Export: Markdown",
        "Export: as stored (JSONL)",
        "Delete …",
        "1",
        "JSON of message 1",
        "2",
        "JSON of message 2",
        "Calls weather, with result",
        "Calls clock, with result",
        "5",
        "JSON of message 5",
    ]
    stops = [name for name, before in zip(reached, ["", *reached], strict=False) if name != before]
    assert stops[: len(expected)] == expected


def test_calls_can_be_expanded_with_the_keyboard_alone(opened, tools):
    page = opened(tools)
    page.get_by_label("Position", exact=True).focus()
    while focused(page) != "Calls weather, with result":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(turn(page, 3)).to_be_visible()
    reached = [focused(page) for _ in range(3) if not page.keyboard.press("Tab")]
    assert reached[1:] == ["3", "JSON of message 3"]
    with page.expect_navigation() as reply:
        page.keyboard.press("Enter")
    assert reply.value.text() == tools.messages[2].to_json()
    page.go_back()


def focused(page: Page) -> str:
    """The name of the focused element."""
    return str(page.evaluate(FOCUSED))
