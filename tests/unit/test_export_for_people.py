"""The exports that people open: a page of HTML, a ZIP; and the form for fine-tuning."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from conversations_api.items import messages_of
from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from inspection.export import FORMATS
from inspection.export.sharegpt import sharegpt_line
from inspection.export.zip_file import safe_name
from inspection.parts import MAX_SHOWN_CHARACTERS
from tests.unit.exports import CONVERSATION, JPEG, MP3, NOW, PNG, WAV, conversation, encoded, rows


def exported(kind: str, *talks: tuple[str, Any]) -> bytes:
    """The file with conversations, each a memory_id and its rows."""
    named = ((conversation(memory_id), said) for memory_id, said in talks)
    return b"".join(FORMATS[kind].chunks(named))


# --- Metadata ----------------------------------------------------------------------------

PAIRS = {"title": "Trip\n## 9. user", "# 9. <b>": "</script> \u202e]("}


@pytest.mark.parametrize("name", ["openai", "sharegpt", "stored"])
def test_metadata_are_in_each_format_of_json_once(name):
    talk = conversation("a", PAIRS), rows(CONVERSATION)
    lines = b"".join(FORMATS[name].chunks([talk])).splitlines()
    found = [line["metadata"] for line in map(json.loads, lines) if "metadata" in line]
    assert found == [PAIRS | ({"memory_id": "a"} if name == "openai" else {})]


def test_metadata_are_at_the_head_of_markdown_and_act_as_no_heading():
    talk = conversation("a", PAIRS), rows(CONVERSATION[:1])
    text = b"".join(FORMATS["markdown"].chunks([talk])).decode()
    assert text.startswith(
        "# a\n\n- *title*: Trip ## 9. user\n- *# 9. &lt;b>*: &lt;/script> [U+202E]]\\(\n\n## 1. "
    )


def test_metadata_are_at_the_head_of_a_page():
    talk = conversation("a", PAIRS), rows(CONVERSATION[:1])
    shown = Page(b"".join(FORMATS["page"].chunks([talk])).decode())
    assert len(shown.all("dt")) == len(shown.all("dd")) == 2
    assert "Trip\n## 9. user" in shown.text.partition("Be kind.")[0]
    assert not shown.all("script")


# --- Names and types of files --------------------------------------------------------------

NAMED_FILE = Part(
    "input_file",
    json.dumps(
        {
            "type": "input_file",
            "filename": "a](b.pdf",
            "file_data": f"data:application/pdf;base64,{encoded(b'%PDF-1.7')}",
        }
    ),
)


@pytest.mark.parametrize("kind", ["markdown", "zip"])
def test_markdown_names_a_file_with_its_type(kind):
    data = exported(kind, ("a", rows([Message("user", [NAMED_FILE])])))
    about = "a]\\(b.pdf, application/pdf, 8 bytes"
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (path, text) = sorted(archive.namelist())
            data = archive.read(path)
            about = f"[{about}]({text.partition('/')[2]})"
    assert f"> input_file: {about}\n" in data.decode()


def test_a_page_names_a_file_with_its_type_and_lets_nothing_open_it_as_that():
    shown = page(Message("user", [NAMED_FILE]), CONVERSATION[1])
    named, *_ = shown.all("a")
    assert named["download"] == "a](b.pdf"
    assert (named["href"] or "").startswith("data:application/octet-stream;base64,")
    assert "a](b.pdf, application/pdf, 8" in shown.text
    assert "image, image/png, " in shown.text


# --- ShareGPT ----------------------------------------------------------------------------


def sharegpt(messages: list[Message]) -> Any:
    return json.loads("".join(sharegpt_line(conversation(), rows(messages))))


def test_sharegpt_has_a_turn_for_each_text_and_each_call():
    found = sharegpt([each for n, each in enumerate(CONVERSATION) if n != 1])
    assert found.keys() == {"id", "conversations"}
    assert [turn["from"] for turn in found["conversations"]] == [
        *("system", "function_call", "function_call", "observation", "observation", "gpt", "human")
    ]
    assert [turn["value"] for turn in found["conversations"][:4]] == [
        "Be kind.",
        '{"name": "get_weather", "arguments": {}}',
        '{"name": "get_time", "arguments": {"zone": "UTC"}}',
        "21 degrees",
    ]
    assert found["conversations"][5]["value"] == "A cat and a lion.\n\nIt is noon."


def test_what_sharegpt_has_no_form_for_is_beside():
    found = sharegpt([CONVERSATION[1], Message("user", [Part("text", "a")], {"name": ["ada"]})])
    assert [turn["value"] for turn in found["conversations"]] == ["What are these?", "a"]
    assert [entry.get("part") for entry in found["left_out"]] == [2, 3, 4, 5, 6, 7, 8, None]
    assert found["left_out"][0]["value"] == encoded(PNG)
    assert found["left_out"][-1] == {"position": 2, "field": "name", "value": ["ada"]}


@pytest.mark.parametrize("call", [{"id": "1"}, "f()", {"function": {"name": 1}}])
def test_calls_that_sharegpt_has_no_form_for_are_beside(call):
    found = sharegpt([Message("assistant", [Part("text", "")], {"tool_calls": [call]})])
    assert found["conversations"] == [{"from": "gpt", "value": ""}]
    assert found["left_out"] == [{"position": 1, "field": "tool_calls", "value": [call]}]


def test_sharegpt_has_no_empty_turn_for_what_has_no_parts():
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    refused = Message("assistant", [], {"refusal": "No."})
    found = sharegpt([*messages_of([reasoning]), Message("user", [Part("text", "")]), refused])
    assert found["conversations"] == [{"from": "human", "value": ""}]
    assert [(entry["position"], entry["message"]["role"]) for entry in found["left_out"]] == [
        (1, "assistant"),
        (3, "assistant"),
    ]
    assert found["left_out"][0]["message"]["item"] == reasoning


@pytest.mark.parametrize("arguments", ["", "f(", "[1]", '{"a": 1e999}'])
def test_arguments_that_are_no_object_stay_as_they_are(arguments):
    calls = [{"id": "1", "function": {"name": "f", "arguments": arguments}}]
    (turn,) = sharegpt([Message("assistant", [], {"tool_calls": calls})])["conversations"]
    assert json.loads(turn["value"]) == {"name": "f", "arguments": arguments}


# --- A page ------------------------------------------------------------------------------


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and all of its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]


def page(*messages: Message) -> Page:
    return Page(exported("page", ("a", rows(messages))).decode())


def test_a_page_shows_items_of_the_conversations_api_as_what_they_are():
    summary = [{"type": "summary_text", "text": "a" * (MAX_SHOWN_CHARACTERS + 1)}]
    file = {"type": "input_file", "filename": "plan.pdf", "file_data": encoded(b"%PDF-1.7")}
    asked = {"type": "message", "role": "user", "content": [file]}
    items: list[dict[str, Any]] = [
        asked,
        {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "x" * 99},
        {"type": "web_search_call", "status": "failed", "action": {"query": "tea"}},
        {"type": "function_call", "call_id": "1", "name": "clock", "arguments": '{"zone": "UTC"}'},
    ]
    shown = page(*messages_of(items))
    (link,) = shown.all("a")
    assert link["download"] == "plan.pdf"
    said = ("reasoning", summary[0]["text"], "Encrypted, 99 characters", "web search call")
    for words in (*said, "Status: failed", 'clock(zone="UTC")'):
        assert words in shown.text
    assert len(shown.all("details")) == 2


def test_a_page_has_what_was_said_and_all_media_in_one_file():
    shown = page(*CONVERSATION)
    assert len(shown.all("article")) == len(CONVERSATION)
    for words in ("Be kind.", "get_weather()", "21 degrees", '{"a": 1}', "A cat and a lion."):
        assert words in shown.text
    images, sounds = shown.all("img"), shown.all("audio")
    assert [image["src"] for image in images] == [
        f"data:image/png;base64,{encoded(PNG)}",
        f"data:image/jpeg;base64,{encoded(JPEG)}",
    ]
    assert [sound["src"] for sound in sounds] == [
        f"data:audio/wav;base64,{encoded(WAV)}",
        f"data:audio/mpeg;base64,{encoded(MP3)}",
    ]
    links = {link["href"]: link.get("download") for link in shown.all("a")}
    assert links == {
        "https://example.org/a.png": None,
        f"data:application/octet-stream;base64,{encoded(b'%PDF-1.7')}": "file.bin",
    }


def test_the_policy_of_a_page_allows_its_own_style_and_nothing_from_elsewhere():
    shown = page(*CONVERSATION)
    (policy,) = (
        each["content"]
        for each in shown.all("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    )
    html = exported("page", ("a", rows(CONVERSATION))).decode()
    (style,) = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; media-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


HOSTILE = """</article><script>alert(1)</script><style>*{}</style><img src="https://a.example/x">
![pixel](https://a.example/pixel.png) <a href="javascript:alert(1)">x</a>
[x](javascript:alert(1))"""


@pytest.mark.parametrize(
    "message",
    [
        Message("user", [Part("text", HOSTILE)]),
        Message("user", [Part("text", HOSTILE + "x" * 20_000)]),
        Message(f'x" onload="{HOSTILE}', [Part(HOSTILE, HOSTILE)], {HOSTILE: [HOSTILE]}),
        Message("tool", [Part("text", HOSTILE)], {"tool_call_id": HOSTILE}),
        Message("assistant", [], {"tool_calls": [{"id": HOSTILE, "function": {"name": HOSTILE}}]}),
        Message("user", [Part("image", encoded(b"<svg onload=alert(1)>"))]),
        Message("user", [Part("file", json.dumps({"file_data": "YQ==", "filename": HOSTILE}))]),
    ],
    ids=range(7),
)
def test_nothing_in_a_message_becomes_an_element_that_acts(message):
    shown = page(message)
    tags = [tag for tag, _ in shown.elements]
    assert tags.count("article") == tags.count("style") == 1
    assert not {"script", "iframe", "object", "form", "svg", "base", "link"} & set(tags)
    for _, attributes in shown.elements:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert re.match(r"https?://|data:[\w/-]+;base64,|$", attributes.get(name) or "")
    assert all((image["src"] or "").startswith("data:") for image in shown.all("img"))


def test_several_conversations_are_one_page():
    html = exported("page", ("a", rows(CONVERSATION[:1])), ("b", rows(CONVERSATION[:1]))).decode()
    assert html.count("<!doctype html>") == html.count("</html>") == 1
    assert re.findall("<h1><bdi>(.*?)</bdi></h1>", html) == ["a", "b"]


# --- A ZIP -------------------------------------------------------------------------------


def test_a_zip_has_each_conversation_as_markdown_and_its_files():
    data = exported("zip", ("user/../7", rows(CONVERSATION)), ("b", rows(CONVERSATION[:1])))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    folder = "1-user_.._7"
    text = found.pop(f"{folder}/conversation.md").decode()
    assert found.pop("2-b/conversation.md").decode().startswith("# b\n")
    assert found == {
        f"{folder}/files/2-2-file.png": PNG,
        f"{folder}/files/2-3-file.jpg": JPEG,
        f"{folder}/files/2-5-file.wav": WAV,
        f"{folder}/files/2-6-file.mp3": MP3,
        f"{folder}/files/2-7-file.bin": b"%PDF-1.7",
    }
    for path in found:
        assert f"]({path.removeprefix(f'{folder}/')})\n" in text
    assert f"> image: ![image/png, {len(PNG)} bytes](files/2-2-file.png)\n" in text


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "C:\\boot.ini", "a/b.txt", ".bashrc", "\u202egnp.exe", "", ".."]
)
def test_no_name_in_a_zip_leads_out_of_its_folder(name):
    part = Part("file", json.dumps({"file_data": encoded(b"a"), "filename": name}))
    data = exported("zip", (name, rows([Message("user", [part])])))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for path in archive.namelist():
            assert re.fullmatch(
                r"1-\w[\w.-]*/(conversation\.md|files/1-1-\w[\w.-]*)", path, re.ASCII
            )
    assert safe_name(name)


def test_a_zip_of_any_length_takes_the_memory_of_one_message():
    photo = PNG + bytes(range(256)) * 4_000

    def said(count: int) -> Iterator[MessageRow]:
        body = Message("user", [Part("image", encoded(photo))]).to_json()
        for n in range(count):
            yield MessageRow(position=n + 1, role="user", body=body, created_at=NOW)

    class Rows:
        def __iter__(self) -> Iterator[MessageRow]:
            return said(30)

    chunks = FORMATS["zip"].chunks([(conversation(), Rows())])
    tracemalloc.start()
    try:
        size = sum(map(len, chunks))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 30 * len(photo)
    assert peak < 10 * len(photo)
