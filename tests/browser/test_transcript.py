"""The transcript in a browser: every kind of part, all links and forms, every screen size."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from convstore.archive.history import MessageRow
from convstore.exchange.metadata import metadata_json
from convstore.messages import Message, Part
from convstore.models import Conversation
from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import (
    DARK,
    DARK_PHONE,
    LIGHT,
    PHONE,
    each_look,
    follow,
    press,
    serious_faults,
)
from tests.browser.conversations import (
    CHINESE,
    CODE,
    LINES,
    LINK,
    MARKDOWN,
    PDF,
    PICTURES,
    SOUNDS,
    SentConversation,
    database_of,
    date_back,
    in_base64,
    of_many_messages,
    say,
    say_at_once,
    small,
    text,
    transcript_of,
    with_a_long_text,
    with_media,
    with_texts,
    with_tools,
)

pytestmark = pytest.mark.needs("chromium", "axe", "media")
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


BOXES = """(all) => all.map((each) => each.getBoundingClientRect()).map(
    (box) => [box.top, box.left, box.right]
)"""
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
WEATHER = '1 of 2 weather(city="Bern") {"celsius": 7}'
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
    ways = ("Show rendered text", "Show raw text")
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


@each_look(DARK_PHONE)
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
    kinds = {2: ["html", *["image"] * 5], 4: ["html", "audio", "audio"], 6: ["file", "link"]}
    for position, expected in kinds.items():
        classes = (
            turn(page, position)
            .locator(".part")
            .evaluate_all("(parts) => parts.map((part) => part.className)")
        )
        assert classes == [f"part part-{kind}" for kind in expected]
    # On a wide screen, images lie beside each other.
    boxes = turn(page, 2).locator(".part-image").evaluate_all(BOXES)
    assert len({top for top, *_ in boxes}) < len(boxes)
    for (top, _, right), (next_top, left, _) in pairwise(boxes):
        assert next_top > top or (next_top == top and left >= right)


def test_an_image_is_enlarged_and_opens_on_a_page_of_its_own(
    cookies, chromium, admin_service, media
):
    # Without what watches pages: where no script may run, that would be heard itself.
    with LIGHT.context(chromium) as context:
        said: list[str] = []
        context.on("console", lambda message: said.append(message.text))
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto(transcript_of(admin_service, media))
        expect(turn(page, 2)).to_contain_text(
            "image, 451 \N{MULTIPLICATION SIGN} 300 pixels, 234.9"
        )
        large = page.get_by_role("dialog", name="Image")
        for _ in range(2):
            turn(page, 2).get_by_role("img").first.click()
            expect(large.get_by_role("img", name="Image, part 2 of message 2")).to_be_visible()
            page.keyboard.press("ArrowRight")
            expect(large.get_by_role("img", name="Image, part 3 of message 2")).to_be_visible()
            large.get_by_role("button", name="Previous image").click()
            expect(large.get_by_role("img", name="Image, part 2 of message 2")).to_be_visible()
            page.keyboard.press("Escape")
            expect(large).to_be_hidden()
        turn(page, 2).get_by_role("img").first.click()
        follow(large.get_by_role("link"))
        assert page.title() == "2 (451\N{MULTIPLICATION SIGN}300)"
        assert said == []


@each_look(LIGHT)
def test_audio_is_played_in_the_page(opened, media):
    page = opened(media)
    sounds = turn(page, 4).locator("audio")
    expect(sounds).to_have_count(len(SOUNDS))
    for sound, seconds in zip(sounds.all(), SOUNDS.values(), strict=True):
        assert style(sound, "display") != "none"
        assert sound.evaluate(PLAY) == pytest.approx(seconds, abs=0.01)
        # What is asked for then is a range of the bytes.
        assert sound.evaluate(SEEK, seconds - 0.5) == pytest.approx(seconds - 0.5, abs=0.01)


def test_anything_else_is_a_download_with_its_size(opened, media, admin_service):
    page = opened(media)
    expect(turn(page, 6)).to_contain_text(f"Download file, {len(PDF)} bytes")
    with page.expect_download() as download:
        turn(page, 6).get_by_role("link", name="Download file").click()
    assert download.value.suggested_filename == "6-1.bin"
    assert Path(download.value.path()).read_bytes() == PDF
    file = {"filename": "of/2026/Übersicht 1.pdf", "file_data": in_base64(PDF)}
    named = Message("user", [Part("file", json.dumps(file))])
    page = opened(say(admin_service, SentConversation(f"named-{new_id()}", [named])))
    link = turn(page, 1).get_by_role("link", name="Download Übersicht 1.pdf")
    answer = page.request.get(f"{admin_service.url}{link.get_attribute('href')}")
    manner = "attachment; filename*=utf-8''%C3%9Cbersicht%201.pdf"
    assert answer.headers["content-disposition"] == manner


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
    page = opened(texts)
    with_markdown(page, wished=False)
    shown = turn(page, 7).locator(".text")
    assert shown.inner_text() == LINES
    assert style(shown, "whiteSpace") == "pre-wrap"


@each_look(LIGHT)
def test_markdown_is_rendered_unless_the_user_wishes_raw_text(opened, texts, long):
    page = opened(texts)
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
    assert answer.locator(".hl-keyword").first.inner_text() == "def"
    with_markdown(page, wished=False)
    expect(turn(page, 8)).to_contain_text("# How to *wait*")
    assert page.url == f"{page.url.partition('?')[0]}?start=1"
    # The choice is remembered, also for other conversations.
    expect(opened(long).get_by_role("link", name="Show rendered text")).to_be_visible()
    with_markdown(page)
    follow(page.get_by_role("navigation", name="Pages, above").get_by_role("link", name="First"))
    expect(page.get_by_role("link", name="Show raw text")).to_be_visible()
    # Another user's choice in the same browser is theirs.
    (own,) = (c for c in page.context.cookies() if c.get("name", "").startswith("inspection_text"))
    assert re.fullmatch(r"inspection_text_\d+", own["name"])
    other = {"name": "inspection_text_0", "value": "raw"}
    page.context.add_cookies([{**other, "domain": own["domain"], "path": own["path"]}])
    expect(opened(long).get_by_role("link", name="Show raw text")).to_be_visible()


def test_code_is_monospaced_with_and_without_markdown(opened, texts):
    page = opened(texts)
    code = turn(page, 8).locator("pre code")
    assert code.evaluate(IS_MONOSPACE)
    assert not turn(page, 8).locator(".markdown").evaluate(IS_MONOSPACE)
    with_markdown(page, wished=False)
    assert code.inner_text().rstrip("\n") == CODE
    assert code.evaluate(IS_MONOSPACE)
    assert not turn(page, 8).locator(".text").first.evaluate(IS_MONOSPACE)


@each_look(DARK_PHONE)
def test_the_direction_of_a_text_follows_its_letters(opened, texts):
    page = opened(texts)
    for raw in (False, True):
        if raw:
            with_markdown(page, wished=False)
        directions = {
            n: style(turn(page, n).locator("[dir=auto]"), "direction") for n in range(1, 6)
        }
        assert directions == {1: "rtl", 2: "rtl", 3: "ltr", 4: "ltr", 5: "ltr"}
    expect(turn(page, 3)).to_contain_text(CHINESE)
    right, left = (turn(page, n).locator(".text") for n in (1, 3))
    assert style(right, "textAlign") == style(left, "textAlign") == "start"


def test_a_message_without_text_says_so(opened, texts):
    expect(turn(opened(texts), 6)).to_contain_text("No text.")


def test_a_long_text_is_folded_and_cut_with_a_link_to_all_of_it(opened, admin_service):
    talk = say(admin_service, with_a_long_text())
    whole = talk.messages[0].parts[0].value
    assert len(whole) == 1_000_000
    page = opened(talk)
    text = turn(page, 1).locator(".markdown")
    assert text.inner_text() == whole[:10_000].rstrip()
    folded = turn(page, 1).locator(".fold")
    lines = folded.evaluate(
        "(fold) => fold.clientHeight / parseFloat(getComputedStyle(fold).fontSize)"
    )
    assert lines < 40
    turn(page, 1).get_by_text("Show more").click()
    assert folded.evaluate("(fold) => fold.clientHeight === fold.scrollHeight")
    assert serious_faults(page) == []
    follow(page.get_by_role("link", name=re.compile("^Show all 1,000,000 characters")))
    assert page.locator("body").text_content() == whole
    page.go_back()  # no script runs there, not even one that hears the page out


# --- Tools -------------------------------------------------------------------------------


@each_look(DARK_PHONE)
def test_tool_calls_are_lines_that_open_with_their_results(opened, tools):
    page = opened(tools)
    assert positions(page) == [1, 2, 3, 4, 5]
    weather, clock = turn(page, 2).locator("details").all()
    for call, line, answer in (
        (weather, '1 of 2 weather(city="Bern") {"celsius": 7}', 3),
        (clock, '2 of 2 clock(zone="Asia/Tokyo") {"time": "21:40"}', 4),
    ):
        assert " ".join(call.locator("summary").inner_text().split()) == line
        expect(turn(page, answer)).to_be_hidden()
    weather.locator("summary").click()
    expect(weather.locator("pre").first).to_have_text('{\n  "city": "Bern"\n}')
    result = weather.get_by_role("article", name="Message 3, tool")
    expect(result.locator("pre")).to_have_text('{\n  "celsius": 7\n}')
    expect(turn(page, 4)).to_be_hidden()
    assert serious_faults(page) == []
    clock.locator("summary").click()
    expect(clock.get_by_role("article", name="Message 4, tool")).to_contain_text('"21:40"')


# --- A message ---------------------------------------------------------------------------


@each_look(LIGHT)
def test_the_json_of_a_message_is_indented_with_a_way_back(opened, tools):
    page = opened(tools)
    for position in (1, 2):
        link = turn(page, position).get_by_role("link", name=f"JSON of message {position}")
        follow(link)
        shown = page.locator("pre").inner_text()
        assert json.loads(shown) == json.loads(tools.messages[position - 1].to_json())
        assert "\n" in shown
        assert serious_faults(page) == []
        with page.expect_navigation() as reply:
            page.get_by_role("link", name="as stored").click()
        assert reply.value.text() == tools.messages[position - 1].to_json()
        page.go_back()
        follow(page.get_by_role("link", name=f"Back to message {position}"))
        expect(turn(page, position)).to_be_in_viewport()


def test_a_message_shows_its_position_and_time(chromium, cookies, opened, long, admin_service):
    page = opened(long)
    message = turn(page, 90)
    expect(message.locator("time")).to_have_text("23:59:00")
    expect(message.locator("time")).to_have_attribute("datetime", "2024-02-29T23:59:00+00:00")
    expect(page.locator(".day:visible")).to_contain_text(["February 29", "March 1"])
    ends = page.locator(".talk .about time").evaluate_all("(all) => all.map((t) => t.dateTime)")
    assert ends == [at.isoformat() for at in (BEGUN, BEGUN + timedelta(minutes=119))]
    # Its link works from anywhere.
    link = str(message.get_by_role("link", name="90", exact=True).get_attribute("href"))
    assert link.endswith("?position=90#message-90")
    with chromium.new_context(
        timezone_id="Asia/Tokyo", viewport={"width": 1280, "height": 800}
    ) as far:
        far.add_cookies(cookies)
        page = far.new_page()
        page.goto(f"{admin_service.url}{link}")
        assert positions(page) == list(range(85, 121))
        assert page.evaluate("document.querySelector(':target').id") == "message-90"
        expect(turn(page, 90)).to_be_in_viewport()
        expect(turn(page, 90).locator("time")).to_have_text("08:59:00")
        title = str(turn(page, 90).locator("time").get_attribute("title"))
        assert title.endswith(" ago, 29 Feb 2024, 23:59:00 UTC")
        expect(page.locator(".day:visible")).to_contain_text(["March 1"])
        page.get_by_label("Time", exact=True).fill("2024-03-01T08:00")
        follow(page.get_by_role("form", name="Jump to a time").get_by_role("button"))
        assert page.url.endswith("#message-31")


def test_what_people_pass_on_is_copied(page, admin_service, texts):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{transcript_of(admin_service, texts)}?list=by%3Dactive")
    copied = "navigator.clipboard.readText()"
    page.get_by_role("button", name="Copy the id").click()
    expect(page.get_by_role("button", name="Copied the id")).to_be_visible()
    assert page.evaluate(copied) == texts.memory_id
    answer = turn(page, 8)
    answer.get_by_role("button", name="Copy message 8").click()
    expect(answer.get_by_role("button", name="Copied message 8")).to_be_visible()
    assert page.evaluate(copied) == MARKDOWN
    answer.get_by_role("button", name="Link to message 8").click()
    page.wait_for_function(f"async () => (await {copied}).startsWith('http')")
    assert page.evaluate(copied) == f"{transcript_of(admin_service, texts)}?position=8#message-8"
    answer.get_by_role("button", name="Copy the code").click()
    page.wait_for_function(f"async () => (await {copied}).startsWith('def')")
    assert page.evaluate(copied).rstrip("\n") == CODE
    follow(answer.get_by_role("link", name="JSON of message 8"))
    page.get_by_role("button", name="Copy the JSON").click()
    expect(page.get_by_role("button", name="Copied the JSON")).to_be_visible()
    assert page.evaluate(copied) == texts.messages[7].to_json()


def test_calls_and_items_are_copied_too(page, admin_service, tools):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    talk = say(admin_service, small(f"thought-{new_id()}"))
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Think first."}]}
    rows = MessageRow.objects.using(database_of(admin_service)).filter(conversation_id=talk.key)
    assert rows.update(body=Message("assistant", [], {"item": item}).to_json()) == 1
    for opened, position in ((tools, 2), (talk, 1)):
        page.goto(transcript_of(admin_service, opened))
        turn(page, position).get_by_role("button", name=f"Copy message {position}").click()
        expect(page.get_by_role("button", name=f"Copied message {position}")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        if opened is tools:
            assert json.loads(copied) == tools.messages[1].extra["tool_calls"]
        else:
            assert copied == "Think first."


@each_look(DARK)
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


@each_look(DARK_PHONE)
def test_the_form_jumps_to_a_position(opened, long):
    page = opened(long)
    page.get_by_label("Position", exact=True).fill("57")
    follow(page.get_by_role("form", name="Jump to a position").get_by_role("button"))
    assert positions(page) == list(range(52, 102))
    expect(turn(page, 57)).to_be_in_viewport()
    assert serious_faults(page) == []


def test_the_form_jumps_to_a_time(opened, long):
    page = opened(long)
    for time, position in (
        ("2024-02-29T23:00", 31),
        ("2024-03-01T00:00", 91),  # the next day
        ("2023-01-01T00:00", 1),
        ("2025-01-01T00:00", 120),  # after the last one
    ):
        page.get_by_label("Time", exact=True).fill(time)
        follow(page.get_by_role("form", name="Jump to a time").get_by_role("button"))
        assert page.url.endswith(f"?position={position}#message-{position}"), time
        expect(turn(page, position)).to_be_in_viewport()


# --- Every screen ------------------------------------------------------------------------


@each_look(DARK_PHONE)
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
        with_markdown(page, wished=False)
        assert page.evaluate("document.documentElement.scrollWidth") <= look.width
        assert serious_faults(page) == []
        with_markdown(page)


@each_look(DARK)
def test_the_page_follows_the_light_or_dark_setting(look, opened, texts):
    page = opened(texts)
    assert brightness(page, "body", "backgroundColor") == look.scheme
    for position in (1, 2):
        assert brightness(page, f"#message-{position}", "backgroundColor") == look.scheme
    other = "dark" if look.scheme == "light" else "light"
    assert brightness(page, "#message-1 .markdown", "color") == other


@each_look(DARK)
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
    for label in ("Position", "Time", "Words"):
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
    reached = [focused(page) for _ in range(45) if not page.keyboard.press("Tab")]
    expected = [
        "Skip to the messages",
        "Conversations",
        "Copy the id",
        "Export",
        "Delete …",
        "Position",
        "Go",
        "Time",
        "Go",
        "Words",
        "Search",
        "Show raw text",
        "Keys",
        "1",
        "Link to message 1, to copy",
        "Copy message 1",
        "JSON of message 1",
        "2",
        "Link to message 2, to copy",
        "Copy message 2",
        "JSON of message 2",
        WEATHER,
        '2 of 2 clock(zone="Asia/Tokyo") {"time": "21:40"}',
        "5",
        "Link to message 5, to copy",
        "Copy message 5",
        "JSON of message 5",
    ]
    stops = [name for name, before in zip(reached, ["", *reached], strict=False) if name != before]
    assert stops[: len(expected)] == expected


def test_keys_lead_through_messages_calls_and_conversations(page, admin_service, tools, texts):
    """j and k, n and p, / and ?; and a call opens with Enter."""
    say(admin_service, small(f"newer-{new_id()}"))
    page.goto(f"{transcript_of(admin_service, texts)}?list=by%3Dcreated")
    newer = page.get_by_role("link", name="Previous").get_attribute("href")
    press(page, "p")
    assert page.url == f"{admin_service.url}{newer}"
    press(page, "n")
    expect(page.locator(".talk h1")).to_have_text(texts.memory_id)
    page.goto(transcript_of(admin_service, tools))
    for key, position in (("j", 1), ("j", 2), ("j", 5), ("k", 2)):
        page.keyboard.press(key)
        expect(turn(page, position)).to_be_focused()
    reached = [focused(page) for _ in range(5) if not page.keyboard.press("Tab")]
    assert reached[-1] == WEATHER
    page.keyboard.press("Enter")
    expect(turn(page, 3)).to_be_visible()
    page.get_by_role("button", name="Keys").click()
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(keys).to_contain_text("next and previous message")
    assert serious_faults(page) == []
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Words")).to_be_focused()
    page.keyboard.type("j?")
    expect(page.get_by_label("Words")).to_have_value("j?")


@each_look(PHONE)
def test_the_talk_begins_at_the_top_and_the_header_stays(look, opened, long):
    page = opened(long)
    follow(page.get_by_role("navigation", name="Pages, above").get_by_role("link", name="First"))
    assert page.locator(".day").first.evaluate("(day) => day.getBoundingClientRect().top") < 200
    turn(page, 50).scroll_into_view_if_needed()
    expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
    expect(page.locator("summary", has_text="Export")).to_be_in_viewport()


@each_look(PHONE)
def test_metadata_take_no_room_from_the_talk(look, opened, admin_service, long):
    talk = say(admin_service, small(f"pairs-{new_id()}"))
    pairs = {"title": "A long trip " * 20, **{f"name-{n}": "value " * 20 for n in range(15)}}
    rows = Conversation.objects.using(database_of(admin_service)).filter(pk=talk.key)
    assert rows.update(metadata=metadata_json(pairs)) == 1
    page = opened(talk)
    assert page.locator(".day").first.evaluate("(day) => day.getBoundingClientRect().top") < 200
    expect(page.locator(".talk .name")).to_be_in_viewport()
    page.locator("summary", has_text="Metadata").click()
    link = page.locator(".menu.pairs").get_by_role("link", name="name-14: value")
    link.scroll_into_view_if_needed()
    expect(link).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= look.width
    assert serious_faults(page) == []
    follow(link)
    assert "pair=name-14" in page.url


def focused(page: Page) -> str:
    """The name of the focused element."""
    return str(page.evaluate(FOCUSED))


# --- What a screen reader says -----------------------------------------------------------

# The accessibility tree, from the top: where one can skip to, what can be done, who says what.
TREE = """
- link "Skip to main content"
- banner:
  - link "convstore"
  - button "Log out"
- main:
  - link "Skip to the messages"
  - navigation "Breadcrumbs":
    - link "Conversations"
  - heading /with-tools-.+/ [level=1]
  - button "Copy the id"
  - group: Export
  - link "Delete …"
  - form "Jump to a position":
    - spinbutton "Position"
    - button "Go"
  - form "Jump to a time":
    - textbox "Time"
    - button "Go"
  - search "Search this conversation":
    - searchbox "Words"
    - button "Search"
  - link "Show raw text"
  - button "Keys"
  - navigation "Pages, above"
  - list:
    - listitem:
      - article "Message 1, user":
        - strong: user
        - button "Link to message 1, to copy"
        - button "Copy message 1"
        - link "JSON of message 1"
        - paragraph: How warm is it in Bern, and how late in Tokyo?
    - listitem:
      - article "Message 2, assistant":
        - button "Copy message 2"
        - group:
          - text: 1 of 2
          - code: weather(city="Bern")
        - group:
          - text: 2 of 2
          - code: clock(zone="Asia/Tokyo")
    - listitem:
      - article "Message 5, assistant":
        - paragraph: It is 7 °C in Bern, and 21:40 in Tokyo.
  - navigation "Pages, below"
"""


def test_a_screen_reader_says_where_one_is_and_what_can_be_done(page, admin_service, tools):
    page.goto(f"{transcript_of(admin_service, tools)}?text=rendered")
    expect(page.locator("body")).to_match_aria_snapshot(TREE)
