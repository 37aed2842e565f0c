"""Exports in a browser: the files are compared with the messages that were sent."""

from __future__ import annotations

import base64
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from testing.bodies import new_id
from testing.service import Service
from tests.browser.browser import LIGHT, PHONE, Watched, each_look, follow, serious_faults
from tests.browser.conversations import (
    ELSEWHERE,
    ELSEWHERE_FILE,
    LINK,
    MARKDOWN,
    PDF,
    PICTURES,
    SOUNDS,
    SentConversation,
    list_of,
    of_many_messages,
    say,
    say_at_once,
    text,
    transcript_of,
    with_media,
    with_texts,
    with_tools,
)
from tests.browser.media import media

pytestmark = pytest.mark.needs("chromium", "axe", "media")

STORED, OPENAI, AS_MARKDOWN = "as stored (JSONL)", "OpenAI chat (JSONL)", "Markdown"
SHAREGPT, PAGE, ZIP = "ShareGPT (JSONL)", "page to hand over (HTML)", "Markdown with files (ZIP)"
EXTENSIONS = {
    STORED: "jsonl",
    OPENAI: "jsonl",
    SHAREGPT: "jsonl",
    AS_MARKDOWN: "md",
    PAGE: "html",
    ZIP: "zip",
}
FORMATS = pytest.mark.parametrize("form", EXTENSIONS)
KINDS = pytest.mark.parametrize("made", [with_media, with_tools, with_texts])
# What the pictures, the sounds and the document are, in the order in which they are sent.
PICTURE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/jpeg", "image/jpeg")
MEDIA = (*PICTURES, *SOUNDS)
NAMED = (
    *(("image", "image/png"), ("image", "image/jpeg"), ("image_base64", "image/gif")),
    *(("image_url", "image/jpeg"), ("image_url", "image/jpeg")),
    *(("audio", "audio/wav"), ("input_audio", "audio/mpeg")),
)

Exported = Callable[[SentConversation, str], str]


@pytest.fixture
def exported(page: Page, admin_service: Service) -> Exported:
    """Export a conversation with the link on its page, check the file's name, return its text."""

    def export(talk: SentConversation, form: str) -> str:
        page.goto(transcript_of(admin_service, talk))
        return downloaded(page, talk, form)

    return export


def downloaded(page: Page, talk: SentConversation, form: str) -> str:
    return read(file_of(page, talk, form))


def file_of(page: Page, talk: SentConversation, form: str) -> Path:
    """The file that the link on the page of a conversation leads to."""
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Export: {form}", exact=True).click()
    assert download.value.suggested_filename == f"{talk.memory_id}.{EXTENSIONS[form]}"
    return download.value.path()


def read(path: Path) -> str:
    """The text of the file; of a ZIP, the texts in it."""
    if not zipfile.is_zipfile(path):
        return path.read_bytes().decode()
    with zipfile.ZipFile(path) as archive:
        return "".join(archive.read(name).decode() for name in texts_in(archive))


def texts_in(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.endswith(".md")]


# --- As stored ---------------------------------------------------------------------------


@KINDS
def test_as_stored_each_line_is_exactly_one_message(made, exported, admin_service):
    talk = say(admin_service, made())
    lines = list(map(json.loads, exported(talk, STORED).splitlines()))
    assert [line["body"] for line in lines] == [message.to_json() for message in talk.messages]
    assert [line["position"] for line in lines] == list(range(1, len(talk.messages) + 1))
    assert {line["memory_id"] for line in lines} == {talk.memory_id}


def test_an_export_has_more_messages_than_one_page(exported, admin_service):
    talk = say_at_once(admin_service, of_many_messages(1200))
    lines = exported(talk, STORED).splitlines()
    sent = [message.to_json() for message in talk.messages]
    assert [json.loads(line)["body"] for line in lines] == sent


# --- OpenAI chat -------------------------------------------------------------------------


def chat(shown: str, talk: SentConversation) -> list[Any]:
    """The messages in a file with one conversation."""
    (line,) = shown.splitlines()
    document = json.loads(line)
    assert document["metadata"] == {"memory_id": talk.memory_id}
    messages: list[Any] = document["messages"]
    assert [each["role"] for each in messages] == [message.role for message in talk.messages]
    return messages


def test_as_openai_chat_texts_are_equal(exported, admin_service):
    talk = say(admin_service, with_texts())
    messages = chat(exported(talk, OPENAI), talk)
    assert [each["content"] for each in messages] == [
        message.parts[0].value for message in talk.messages
    ]


def test_as_openai_chat_images_have_the_same_bytes(exported, admin_service):
    talk = say(admin_service, with_media())
    asked, *pictures = chat(exported(talk, OPENAI), talk)[1]["content"]
    assert asked == {"type": "text", "text": talk.messages[1].parts[0].value}
    for picture, name, mime in zip(pictures, PICTURES, PICTURE_TYPES, strict=True):
        assert picture["type"] == "image_url"
        assert in_data_url(picture["image_url"]["url"], mime) == media(name)


def test_as_openai_chat_audio_has_the_same_bytes(exported, admin_service):
    talk = say(admin_service, with_media())
    asked, *sounds = chat(exported(talk, OPENAI), talk)[3]["content"]
    assert asked == {"type": "text", "text": talk.messages[3].parts[0].value}
    for sound, name, form in zip(sounds, SOUNDS, ("wav", "mp3"), strict=True):
        assert (sound["type"], sound["input_audio"]["format"]) == ("input_audio", form)
        assert base64.b64decode(sound["input_audio"]["data"], validate=True) == media(name)


def test_as_openai_chat_a_document_has_the_same_bytes_and_a_link_stays(exported, admin_service):
    talk = say(admin_service, with_media())
    document, link = chat(exported(talk, OPENAI), talk)[5]["content"]
    assert document["type"] == "file"
    assert document["file"]["filename"] == "file.bin"
    assert in_data_url(document["file"]["file_data"], "application/octet-stream") == PDF
    assert link == {"type": "image_url", "image_url": {"url": LINK}}


def in_data_url(url: str, mime: str) -> bytes:
    beginning = f"data:{mime};base64,"
    assert url.startswith(beginning)
    return base64.b64decode(url.removeprefix(beginning), validate=True)


def test_as_openai_chat_calls_are_followed_by_their_results(exported, admin_service):
    talk = say(admin_service, with_tools())
    _, calling, *answers, _ = chat(exported(talk, OPENAI), talk)
    called = talk.messages[1].extra["tool_calls"]
    assert calling == {"role": "assistant", "content": None, "tool_calls": called}
    assert answers == [
        {"role": "tool", "content": message.parts[0].value, **message.extra}
        for message in talk.messages[2:4]
    ]


# --- Markdown ----------------------------------------------------------------------------


def test_as_markdown_each_message_has_a_heading_and_its_text(exported, admin_service):
    talk = say(admin_service, with_texts())
    shown = exported(talk, AS_MARKDOWN)
    assert shown.startswith(f"# {talk.memory_id}\n")
    headings = re.findall(r"^## (\d+)\. (\w+), \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", shown, re.M)
    assert headings == [(str(n), message.role) for n, message in enumerate(talk.messages, 1)]
    said = [message.parts[0].value for message in talk.messages[:-1]]
    sections = shown.split("\n## ")[1:]
    for value, section in zip(said, sections[:-1], strict=True):
        assert section.partition("\n\n")[2].strip("\n") == quoted(value)


def test_as_markdown_code_is_kept_and_html_and_links_are_escaped(exported, admin_service):
    talk = say(admin_service, with_texts())
    answer = MARKDOWN.replace("<b>", "&lt;b>").replace("</b>", "&lt;/b>").replace("](", "]\\(")
    assert quoted(answer) in exported(talk, AS_MARKDOWN)


def test_as_markdown_media_are_named_with_their_size(exported, admin_service):
    talk = say(admin_service, with_media())
    shown = exported(talk, AS_MARKDOWN)
    named = [
        f"> {kind}: {mime}, {len(media(name))} bytes"
        for (kind, mime), name in zip(NAMED, MEDIA, strict=True)
    ]
    named.append(f"> file: application/octet-stream, {len(PDF)} bytes")
    assert re.findall("^> .* bytes$", shown, re.M) == named
    assert quoted(talk.messages[1].parts[0].value) in shown
    assert "> image_url: " + LINK.replace("&", "&amp;") in shown.splitlines()
    assert len(shown) < 5000


def test_as_markdown_calls_are_json(exported, admin_service):
    talk = say(admin_service, with_tools())
    shown = exported(talk, AS_MARKDOWN)
    kept = re.findall("^> ```json\n((?:> .*\n)*?)> ```$", shown, re.M)
    found = [json.loads("\n".join(line[2:] for line in block.splitlines())) for block in kept]
    assert found == [message.extra for message in talk.messages if message.extra]


def quoted(value: str) -> str:
    return "\n".join(f"> {line}" for line in value.split("\n"))


# --- For people --------------------------------------------------------------------------


@each_look(LIGHT)
def test_a_page_to_hand_over_shows_everything_from_one_file(page, watched, look, admin_service):
    talk = say(admin_service, with_media())
    page.goto(transcript_of(admin_service, talk))
    path = file_of(page, talk, PAGE)
    whole = path.with_suffix(".html")
    whole.write_bytes(path.read_bytes())
    watched.context.set_offline(True)
    page.goto(whole.as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text(talk.memory_id)
    expect(page.get_by_role("article")).to_have_count(len(talk.messages))
    for picture in page.get_by_role("img").all():
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert page.get_by_role("img").count() == len(PICTURES)
    for sound in page.locator("audio").all():
        assert sound.evaluate(PLAYABLE) > 0
    with page.expect_download() as download:
        page.locator("a[download]").click()
    assert download.value.path().read_bytes() == PDF
    assert page.evaluate("getComputedStyle(document.body).maxWidth") == "800px"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert serious_faults(page) == []
    watched.context.set_offline(False)


# How long a sound is, as soon as the browser knows.
PLAYABLE = """sound => new Promise((done, fail) => {
    sound.addEventListener("loadedmetadata", () => done(sound.duration));
    sound.addEventListener("error", () => fail(sound.error));
    sound.load();
})"""


def test_a_zip_has_each_file_with_its_bytes(page, admin_service):
    talk = say(admin_service, with_media())
    page.goto(transcript_of(admin_service, talk))
    with zipfile.ZipFile(file_of(page, talk, ZIP)) as archive:
        assert archive.testzip() is None
        (text,) = texts_in(archive)
        files = {name: archive.read(name) for name in archive.namelist() if name != text}
        links = re.findall(r"\]\((files/[^)]+)\)", archive.read(text).decode())
    assert list(files.values()) == [*map(media, MEDIA), PDF]
    assert [f"{text.removesuffix('conversation.md')}{link}" for link in links] == list(files)


def test_as_sharegpt_each_text_is_a_turn(exported, admin_service):
    talk = say(admin_service, with_texts())
    turns = json.loads(exported(talk, SHAREGPT))["conversations"]
    assert [turn["value"] for turn in turns] == [each.parts[0].value for each in talk.messages]


# --- A selection -------------------------------------------------------------------------


def listed(page: Page, talk: SentConversation) -> Locator:
    """The checkbox of a conversation in the list."""
    row = page.get_by_role("row").filter(has_text=talk.memory_id)
    return row.get_by_role("checkbox")


def selection(watched: Watched, talks: list[SentConversation], form: str) -> tuple[str, str]:
    """Export conversations from the list; return the file's name and text."""
    page = watched.page
    for talk in talks:
        listed(page, talk).check()
    page.get_by_role("combobox", name="Action").select_option(label=f"Export: {form}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Go", exact=True).click()
    watched.take("request", "ERR_ABORTED")  # what becomes a download shows no page
    return download.value.suggested_filename, read(download.value.path())


@each_look(PHONE)
def test_a_selection_of_the_list_is_one_file(page, watched, admin_service):
    talks = [say(admin_service, made()) for made in (with_tools, with_texts, with_tools)]
    page.goto(list_of(admin_service))
    assert serious_faults(page) == []
    for form in EXTENSIONS:
        name, shown = selection(watched, [talks[0], talks[1]], form)
        assert name == f"conversations.{EXTENSIONS[form]}"
        assert ids(shown, form) == {talks[0].memory_id, talks[1].memory_id}
        assert talks[2].memory_id not in shown


def ids(shown: str, form: str) -> set[str]:
    """The ids of the conversations in a file."""
    if form in (AS_MARKDOWN, ZIP):
        return set(re.findall("^# (.+)$", shown, re.M))
    if form == PAGE:
        return set(re.findall("<h1><bdi>(.+)</bdi></h1>", shown))
    lines = map(json.loads, shown.splitlines())
    if form == SHAREGPT:
        return {line["id"] for line in lines}
    return {(line["metadata"] if form == OPENAI else line)["memory_id"] for line in lines}


def test_a_selection_as_stored_holds_every_message_of_each(page, watched, admin_service):
    talks = [say(admin_service, made()) for made in (with_media, with_tools)]
    page.goto(list_of(admin_service))
    _, shown = selection(watched, talks, STORED)
    lines = list(map(json.loads, shown.splitlines()))
    for talk in talks:
        bodies = [line["body"] for line in lines if line["memory_id"] == talk.memory_id]
        assert bodies == [message.to_json() for message in talk.messages]
    assert len(lines) == sum(len(talk.messages) for talk in talks)


def test_an_export_of_one_conversation_is_named_after_it(page, watched, admin_service):
    talk = say(admin_service, with_tools())
    page.goto(list_of(admin_service))
    name, shown = selection(watched, [talk], OPENAI)
    assert name == f"{talk.memory_id}.jsonl"
    assert len(chat(shown, talk)) == len(talk.messages)


# --- Another database --------------------------------------------------------------------


def elsewhere(page: Page, service: Service) -> None:
    """Open the list of the other database with the filter."""
    page.goto(f"{service.url}/admin/")
    region = page.get_by_role("region", name=f"SQLite, {ELSEWHERE_FILE}", exact=True)
    follow(region.get_by_role("link", name="All conversations"))


@FORMATS
def test_a_conversation_of_another_database_is_exported(form, page, admin_service):
    talk = say(admin_service, with_tools(), ELSEWHERE)
    elsewhere(page, admin_service)
    follow(page.get_by_role("link", name=talk.memory_id))
    expect(page.get_by_role("heading", level=1)).to_have_text(talk.memory_id)
    shown = downloaded(page, talk, form)
    assert ids(shown, form) == {talk.memory_id}
    for words in ("How warm is it in Bern, and how late in Tokyo?", "weather", "21:40"):
        assert words in shown


@FORMATS
def test_a_selection_of_another_database_is_exported(form, page, watched, admin_service):
    # The same id in both databases: what was said in the other one is not to be in the file.
    there = [
        say(admin_service, with_tools(), ELSEWHERE),
        say(admin_service, with_texts(), ELSEWHERE),
    ]
    say(admin_service, SentConversation(there[0].memory_id, [text("user", "pomegranate")]))
    elsewhere(page, admin_service)
    name, shown = selection(watched, there, form)
    assert name == f"conversations.{EXTENSIONS[form]}"
    assert ids(shown, form) == {talk.memory_id for talk in there}
    assert "pomegranate" not in shown


def test_the_audit_log_says_who_exported_what(exported, page, admin_service, inspector):
    talk = say(admin_service, SentConversation(f"logged-{new_id()}", with_tools().messages))
    exported(talk, AS_MARKDOWN)
    page.goto(f"{admin_service.url}/admin/inspection/auditentry/?q={talk.memory_id}")
    row = page.get_by_role("row").filter(has_text="export")
    expect(row).to_contain_text(inspector)
    expect(row).to_contain_text("markdown")
