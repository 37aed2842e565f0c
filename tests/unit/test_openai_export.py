"""OpenAI's chat format. OpenAI's own types make the messages, and check what is exported."""

from __future__ import annotations

import json
import typing
from typing import Any, get_args

import pytest
from openai.types import chat
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter, ValidationError

from convstore.chat_form import ROLES, openai_message
from convstore.chat_form.parts import DETAILS
from convstore.messages import Message, Part
from inspection.export.openai_chat import openai_line
from memory_api import v2
from memory_api.message_tensors import read_messages
from testing.bodies import document, tensor
from testing.service import OPENAI_TENSORS
from tests.openai_messages import Dump, cases, fields_of, message_types
from tests.unit.exports import (
    CALLS,
    CONVERSATION,
    JPEG,
    MP3,
    PNG,
    WAV,
    conversation,
    encoded,
    rows,
)

MESSAGES: TypeAdapter[list[Any]] = TypeAdapter(list[ChatCompletionMessageParam])
REQUEST, REPLY = "Param", "Message"  # how the names of types of messages end
CASES = dict(cases())


def refused(messages: list[Any]) -> bool:
    """Whether OpenAI's own types reject the messages."""
    try:
        walk(MESSAGES.validate_python(messages))
    except ValidationError:
        return True
    return False


def walk(value: Any) -> None:
    """Iterate over everything: an item of an Iterable is validated only when it is read."""
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for inner in value:
            walk(inner)


# --- OpenAI's chat format ----------------------------------------------------------------


@pytest.fixture
def line() -> dict[str, Any]:
    text = "".join(openai_line(conversation(), rows(CONVERSATION)))
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    return found


def test_openais_own_types_accept_what_is_exported(line):
    assert line["metadata"] == {"memory_id": "a"}
    assert not refused(line["messages"])
    wrong = [{**line["messages"][1], "content": [{"type": "image_url", "image_url": "x"}]}]
    assert refused(wrong)


def test_one_text_becomes_a_string_and_a_message_with_only_calls_has_null(line):
    assert line["messages"][0] == {"role": "system", "content": "Be kind."}
    asks = line["messages"][2]
    assert asks["content"] is None
    assert asks["tool_calls"][0] == CALLS[0]
    assert asks["tool_calls"][1] == {
        "id": "2",
        "type": "function",
        "function": {"name": "get_time", "arguments": '{"zone": "UTC"}'},
    }
    assert line["messages"][3] == {"role": "tool", "content": "21 degrees", "tool_call_id": "1"}


def test_parts_are_exported_in_openais_format_with_their_bytes(line):
    found = line["messages"][1]["content"]
    assert [part["type"] for part in found] == [
        *("text", "image_url", "image_url", "image_url"),
        *("input_audio", "input_audio", "file"),
    ]
    assert found[1]["image_url"]["url"] == f"data:image/png;base64,{encoded(PNG)}"
    assert found[2]["image_url"]["url"] == f"data:image/jpeg;base64,{encoded(JPEG)}"
    assert found[3]["image_url"]["url"] == "https://example.org/a.png"
    assert found[4]["input_audio"] == {"data": encoded(WAV), "format": "wav"}
    assert found[5]["input_audio"] == {"data": encoded(MP3), "format": "mp3"}
    assert found[6]["file"]["file_data"].endswith(encoded(b"%PDF-1.7"))
    assert line["left_out"] == [{"position": 2, "part": 8, "type": "json", "value": '{"a": 1}'}]


def test_texts_are_exported_unchanged_and_the_file_has_no_control_characters(line):
    assert line["messages"][6]["content"] == CONVERSATION[6].parts[0].value
    text = "".join(openai_line(conversation("\x9b\u202e"), rows(CONVERSATION)))
    assert not set(text) & set("\x1b\x9b\u202e\ud800")


# --- There and back ----------------------------------------------------------------------


def request_cases() -> dict[str, Dump]:
    """The messages that a request may have, as OpenAI's types say it, and which say anything."""
    return {
        name: dump
        for name, dump in CASES.items()
        if name.split()[0].endswith(REQUEST)
        if any(value for field, value in dump.items() if field not in ("role", "name"))
        if not (dump["role"] == "tool" and dump["content"] is None)
    }


def stored(dump: Dump, *, whole: bool) -> Message:
    """The message that the tensors of a message of OpenAI's add.

    The value of a part is its text, the JSON of the whole part, or the JSON of what it holds.
    """
    fields = dict(dump)
    if isinstance(content := fields.get("content"), list):
        fields["type"] = [part["type"] for part in content]
        fields["content"] = [value_of(part, whole) for part in content]
    tensors = (
        tensor(name, value if isinstance(value, list) else [value])
        for name, value in fields.items()
    )
    (message,) = read_messages(v2.parse(document(*tensors)), OPENAI_TENSORS)
    return Message.from_json(message.to_json())


def value_of(part: Dump, whole: bool) -> str:
    held = part[part["type"]]
    if part["type"] == "text" or (part["type"] == "refusal" and not whole):
        return str(held)
    return json.dumps(part if whole else held)


def sent(dump: Dump, *, whole: bool) -> Dump:
    """The message as the export has it: nulls left out, and one text as a string.

    Of a text, only the text is kept; where `whole` is false, of any part only what it holds.
    """
    message = {name: value for name, value in dump.items() if value is not None}
    content = message.get("content")
    if isinstance(content, list):
        content = [
            part if whole and part["type"] != "text" else without_caching(part) for part in content
        ]
        if [part["type"] for part in content] == ["text"]:
            content = content[0]["text"]
    return {**message, "content": content}


def without_caching(part: Dump) -> Dump:
    return {name: value for name, value in part.items() if name != "prompt_cache_breakpoint"}


@pytest.mark.parametrize("whole", [True, False])
def test_every_message_of_openais_comes_back_as_it_was(whole):
    requests = request_cases()
    assert len(requests) > 50
    for name, dump in requests.items():
        exported, left_out = openai_message(stored(dump, whole=whole))
        assert exported == sent(dump, whole=whole), name
        assert left_out == [], name
        assert not refused([exported]), name


def test_of_every_answer_of_openais_a_request_takes_what_it_may_and_the_rest_is_beside():
    answers = {
        name: dump
        for name, dump in CASES.items()
        if name.split()[0].endswith(REPLY)
        if any(value for field, value in dump.items() if field not in ("role", "id"))
    }
    assert len(answers) > 20
    for name, dump in answers.items():
        message = stored(dump, whole=True)
        exported, left_out = openai_message(message)
        assert exported is not None, name
        assert not refused([exported]), name
        beside = {entry["field"]: entry["value"] for entry in left_out}
        assert beside.items() <= message.extra.items(), name
        for field in message.extra:
            assert field in beside or exported[field] == dump[field], (name, field)


def test_the_roles_have_the_parts_and_fields_of_openais_types():
    kinds = {
        role_of(kind): kind for name, kind in message_types().items() if name.endswith(REQUEST)
    }
    assert ROLES.keys() == kinds.keys()
    for name, role in ROLES.items():
        fields = fields_of(kinds[name]).keys()
        assert role.fields == fields - {"role", "content"}, name
        assert role.parts == parts_of(name), name


def role_of(kind: Any) -> str:
    return str(get_args(typing.get_type_hints(kind)["role"])[0])


def parts_of(role: str) -> set[str]:
    """The types of parts in the messages of this role; a text alone is one, too."""
    contents = (dump["content"] for dump in request_cases().values() if dump["role"] == role)
    lists = (content for content in contents if isinstance(content, list))
    return {"text", *(part["type"] for content in lists for part in content)}


def test_the_details_of_an_image_are_those_of_openais_types():
    image = typing.get_type_hints(chat.chat_completion_content_part_image_param.ImageURL)
    assert set(get_args(image["detail"])) == set(DETAILS)


# --- What has no form --------------------------------------------------------------------

JSON_PART, VIDEO = Part("json", "{}"), Part("video", encoded(b"a video"))


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("user", JSON_PART),
        ("user", VIDEO),
        ("user", Part("audio", encoded(b"OggS and a sound"))),
        ("user", Part("image", encoded(b"1234ftypavif and a photo"))),
        ("user", Part("image_url", '{"url": "https://example.org/a.png", "detail": "blurred"}')),
        ("user", Part("input_audio", '{"data": "UklGRg==", "format": "flac"}')),
        ("user", Part("audio_url", "https://example.org/a.wav")),
        ("user", Part("refusal", "No.")),
        ("assistant", Part("image", encoded(PNG))),
        ("system", Part("image", encoded(PNG))),
        ("tool", Part("file", encoded(b"a document"))),
    ],
    ids=str,
)
def test_a_part_without_a_form_is_beside_and_the_message_keeps_the_others(role, part):
    extra = {"tool_call_id": "1"} if role == "tool" else {}
    exported, left_out = openai_message(Message(role, [Part("text", "Look."), part], extra))
    assert exported == {"role": role, "content": "Look.", **extra}
    assert left_out == [{"part": 2, "type": part.type, "value": part.value}]


@pytest.mark.parametrize(
    ("role", "field", "value"),
    [
        ("user", "refusal", ["No."]),
        ("user", "name", ["ada", "bob"]),
        ("tool", "name", ["get_weather"]),
        ("assistant", "tool_call_id", "1"),
        ("assistant", "annotations", ['{"type": "url_citation"}']),
        ("assistant", "audio", ["not JSON"]),
        ("assistant", "function_call", ['{"name": "f"}']),
        ("assistant", "tool_calls", [{"id": "1", "name": "f"}]),
        ("assistant", "tool_calls", "f()"),
        ("assistant", "tool_calls", [{**CALLS[0], "index": 0}]),
    ],
)
def test_a_field_without_a_form_is_beside(role, field, value):
    extra = {"tool_call_id": "1"} if role == "tool" else {}
    exported, left_out = openai_message(Message(role, [Part("text", "a")], {**extra, field: value}))
    assert exported == {"role": role, "content": "a", **extra}
    assert left_out == [{"field": field, "value": value}]


def test_of_an_answer_in_audio_the_id_stays_and_its_bytes_are_beside():
    value = ['{"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "Hm."}']
    exported, left_out = openai_message(Message("assistant", [Part("text", "")], {"audio": value}))
    assert exported == {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}
    assert left_out == [{"field": "audio", "value": value}]


@pytest.mark.parametrize(
    "message",
    [
        Message("moderator", [Part("text", "Stop.")]),
        Message("tool", [Part("text", "An answer to nothing.")]),
        Message("function", [Part("text", "a"), Part("text", "b")], {"name": ["f"]}),
    ],
    ids=str,
)
def test_a_message_without_a_form_is_beside_with_its_position(message):
    said = [Message("user", [Part("text", "Hi.")]), message, Message("user", [JSON_PART])]
    found = json.loads("".join(openai_line(conversation(), rows(said))))
    assert [each["content"] for each in found["messages"]] == ["Hi.", ""]
    assert found["left_out"] == [
        {"position": 2, "message": json.loads(message.to_json())},
        {"position": 3, "part": 1, "type": "json", "value": "{}"},
    ]


def test_a_conversation_with_a_form_for_all_of_it_has_nothing_beside():
    line = "".join(openai_line(conversation(), rows(CONVERSATION[:1])))
    assert json.loads(line).keys() == {"metadata", "messages"}
