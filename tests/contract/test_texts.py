"""Any text comes back as it was sent, wherever in a message it stands."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from testing.bodies import (
    append_request,
    append_several_request,
    binary_body,
    binary_tensor,
    document,
    new_id,
    pack_elements,
    read_request,
    tensor,
)
from tests.doors import GRPC_DOORS, JSON_DOORS, MLSERVER_DOORS, HttpDoor, at
from tests.length import sampled

modest = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Lone surrogates are no UTF-8, so only JSON's escapes can write them; MLServer's JSON has none.
SURROGATES = {
    "a high surrogate": "\ud800",
    "a low surrogate": "a\udfff",
    "surrogates in the wrong order": "\udc00\ud800",
    "a surrogate among emoji": "😀\ud83d😀",
}
NASTY = {
    "empty": "",
    "a blank": " ",
    "blanks around": " \t\r\n hello \r\n",
    "a NUL": "\0",
    "NULs inside": "a\0b\0\0c",
    "controls": "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "every Latin-1 character": "".join(map(chr, range(256))),
    "accents": "Überraschung, façade, Ångström",
    "composed and not": "é e\u0301",
    "emoji": "😀👩\u200d👩\u200d👧\u200d👦🇩🇪👍🏽",
    "other scripts": "日本語 한국어 Русский العربية עברית हिन्दी",
    "right to left marks": "\u202eabc\u202c\u200f",
    "a BOM in front": "\ufefftext",
    "a BOM inside": "te\ufeffxt",
    "line and paragraph separators": "a\u2028b\u2029c\u0085d",
    "noncharacters": "\ufffe\uffff\U0010fffe\U0010ffff",
    "a replacement character": "\ufffd",
    "backslashes": "\\ \\\\ \\n \\u0041 \\x00 \\ud800",
    "quotes": "' \" ` ''' \"\"\"",
    "a format": "%s %(key)s %% %d {0} {key} $1 ? :key",
    "SQL": "'; DROP TABLE convstore_message; --",
    "HTML": "<script>alert('x')</script> &amp; <!--",
    "JSON": '{"role": "system", "content": [1, null]}',
    "a JSON list": '["a"]',
    "a JSON string": '"a"',
    "numbers": "007",
    "NaN": "NaN",
    "null": "null",
    "base64": "aGVsbG8=",
    "a long run": "x" * 100_000,
}
# Too long for each place, and each worth its own time.
LONG = {
    "20 MB of ASCII": "abcde" * 4_000_000,
    "20 MB of emoji": "😀" * 5_000_000,
    "a megabyte of NULs": "\0" * 1_000_000,
    "a megabyte of quotes": '"\\' * 500_000,
}


def texts(characters: st.SearchStrategy[str], nasty: str) -> st.SearchStrategy[str]:
    return st.one_of(
        st.text(characters),
        st.text(characters | st.sampled_from(nasty), max_size=8),
        st.builds(str.__mul__, characters, st.integers(1, 20_000)),
    )


UTF8 = texts(st.characters(codec="utf-8"), "\0\ufeff\u2028\\\"'%\n😀")
TEXTS = texts(st.characters(), "\0\ud800\udfff\ufeff\u2028\\\"'%\n😀")  # with surrogates


def sayable(door) -> st.SearchStrategy[str]:
    """Any text that this door's protocol can say."""
    return TEXTS if type(door) is HttpDoor else UTF8


def spelled(text: str) -> str:
    """The text as JSON can say it: a high surrogate and a low one behind it are one character."""
    value: str = json.loads(json.dumps(text))
    return value


def element(role: str, *parts: tuple[str, str]) -> str:
    """A history element, escaped whole where it is not UTF-8."""
    content = [{"type": kind, "value": value} for kind, value in parts]
    message = {"role": role, "content": content}
    text = json.dumps(message, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(message)
    return text


def check_everywhere(door, text: str) -> None:
    """A message whose role, type and values are this text, read back as it was added."""
    memory_id = new_id()
    request = document(
        tensor("memory_id", [memory_id]),
        tensor("role", [text]),
        tensor("content", [text, "between", text]),
        tensor("type", [text, "text", text]),
    )

    added = door.infer(request)
    read = door.infer(read_request(memory_id))

    text = spelled(text)
    assert added.history == [element(text, (text, text), ("text", "between"), (text, text))]
    assert read.history == added.history


def test_a_text_is_the_same_as_role_type_and_content(door, subtests):
    for name, text in NASTY.items():
        with subtests.test(name):
            check_everywhere(door, text)


@at("http")
@pytest.mark.parametrize("text", SURROGATES.values(), ids=SURROGATES)
def test_a_surrogate_is_the_same_as_role_type_and_content(door, text):
    check_everywhere(door, text)


@at("rest")
@pytest.mark.parametrize("text", SURROGATES.values(), ids=SURROGATES)
def test_a_surrogate_is_no_json_to_mlserver(door, text):
    memory_id = new_id()

    reply = door.infer(append_request(memory_id, text))

    assert reply.status == 422
    assert [fault["type"] for fault in reply.document["detail"]] == ["json_invalid"]
    assert door.infer(read_request(memory_id)).texts == []


@at(*GRPC_DOORS)
@pytest.mark.parametrize("text", SURROGATES.values(), ids=SURROGATES)
def test_a_surrogate_is_no_utf8_in_grpc(door, text):
    memory_id = new_id()
    request = append_request(memory_id, "changed")
    request["inputs"][2]["data"] = ["before", text.encode(errors="surrogatepass")]

    reply = door.infer(request)

    assert reply.status == 422
    assert reply.document == {"error": "element 1 of tensor 'content' is not UTF-8"}
    assert door.infer(read_request(memory_id)).texts == []


@at(*MLSERVER_DOORS)
@pytest.mark.parametrize("text", SURROGATES.values(), ids=SURROGATES)
def test_a_surrogate_that_came_through_http_is_the_same_when_it_is_read(door, service, text):
    memory_id = new_id()
    added = HttpDoor(service).infer(append_request(memory_id, text, role=text))

    assert door.infer(read_request(memory_id)).history == added.history


@at(*JSON_DOORS)
def test_the_escapes_of_a_pair_are_the_character(door):
    check_everywhere(door, "\ud83d\ude00")


@modest
@given(data=st.data())
def test_any_text_is_the_same_as_role_type_and_content(door, data):
    check_everywhere(door, data.draw(sayable(door)))


@pytest.mark.soak
def test_a_long_text_is_the_same_when_it_is_read(door):
    for text in sampled(list(LONG.values()), one_in=2):
        memory_id = new_id()

        added = door.infer(append_request(memory_id, text))
        read = door.infer(read_request(memory_id))

        assert added.texts == [text]
        assert read.history == added.history


@at("http")
def test_a_megabyte_of_surrogates_is_the_same_when_it_is_read(door):
    memory_id, text = new_id(), "\udead" * 1_000_000

    assert door.infer(append_request(memory_id, text)).texts == [text]
    assert door.infer(read_request(memory_id)).texts == [text]


@modest
@given(data=st.data())
def test_any_message_of_any_parts_is_the_same_when_it_is_read(door, data):
    text = sayable(door)
    role = data.draw(text)
    parts = data.draw(st.lists(st.tuples(st.text(max_size=10), text), min_size=1))
    memory_id = new_id()
    request = document(
        tensor("memory_id", [memory_id]),
        tensor("role", [role]),
        tensor("content", [value for _, value in parts]),
        tensor("type", [kind for kind, _ in parts]),
    )

    added = door.infer(request)
    read = door.infer(read_request(memory_id))

    parts = [(spelled(kind), spelled(value)) for kind, value in parts]
    assert added.history == [element(spelled(role), *parts)]
    assert read.history == added.history


@modest
@given(data=st.data())
def test_any_texts_are_the_same_as_several_messages_at_once(door, data):
    texts = data.draw(st.lists(sayable(door), min_size=2, max_size=5))
    memory_id = new_id()
    each = [[text] for text in texts]

    reply = door.infer(append_several_request(memory_id, texts, content=each, type=each))

    texts = [spelled(text) for text in texts]
    assert reply.history == [element(text, (text, text)) for text in texts]
    assert door.infer(read_request(memory_id)).history == reply.history


@modest
@given(data=st.data())
def test_any_text_is_the_same_beside_the_content(door, data):
    text = data.draw(sayable(door))
    names = data.draw(st.lists(sayable(door), min_size=1, max_size=3))
    request = append_request(new_id(), text)
    request["inputs"] += [
        tensor("tool_calls", [json.dumps({text: names})]),
        tensor("tool_call_id", ["call " + text]),
        tensor("name", names),
    ]

    (message,) = door.infer(request, "tools").messages

    assert message["content"] == [{"type": "text", "value": spelled(text)}]
    assert message["tool_calls"] == [{spelled(text): [spelled(name) for name in names]}]
    assert message["tool_call_id"] == spelled("call " + text)
    assert message["name"] == [spelled(name) for name in names]


@at("http")
@modest
@given(request_id=TEXTS)
def test_any_text_is_echoed_as_id(door, request_id):
    reply = door.infer(read_request("x", id=request_id))

    assert reply.document["id"] == spelled(request_id)


@at(*MLSERVER_DOORS)
@modest
@given(request_id=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_any_printable_ascii_is_echoed_as_id(door, request_id):
    assert door.infer(read_request("x", id=request_id)).document["id"] == request_id


@at(*MLSERVER_DOORS)
@modest
@given(request_id=UTF8.filter(lambda text: not (text.isascii() and text.isprintable())))
def test_any_other_id_is_refused_and_nothing_is_written(door, request_id):
    memory_id = new_id()

    reply = door.infer(append_request(memory_id, "hello", id=request_id))

    assert reply.status == 422
    assert list(reply.document) == ["error"]
    assert door.infer(read_request(memory_id)).texts == []


@modest
@given(memory_id=st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
@example(memory_id="\ufeff")
@example(memory_id="\u2028")
@example(memory_id="\U0010ffff" * 255)
@example(memory_id="'; DROP TABLE convstore_conversation; --")
@example(memory_id="%s")
@example(memory_id="\\")
@example(memory_id="\x01")
def test_any_text_that_may_be_an_id_is_echoed_and_found_again(door, memory_id):
    memory_id = memory_id.encode("utf-16-le")[: 2 * 510].decode("utf-16-le", "ignore")
    text = new_id()  # an earlier run may have used this memory_id

    added = door.infer(append_request(memory_id, text))
    read = door.infer(read_request(memory_id))

    assert added.texts[-1] == read.texts[-1] == text
    assert added.document["outputs"][0]["data"] == [memory_id]
    assert read.document["outputs"] == added.document["outputs"]


@at(*JSON_DOORS)
@modest
@given(data=st.data(), depth=st.integers(1, 5))
def test_any_text_is_the_same_nested_as_flat(door, data, depth):
    texts = data.draw(st.lists(sayable(door), min_size=1, max_size=4))
    memory_id = new_id()
    nested: list[Any] = list(texts)
    for _ in range(depth):
        nested = [[item] for item in nested]

    for sent in (nested, texts):
        request = document(
            tensor("memory_id", [memory_id]), tensor("role", ["user"]), tensor("content", sent)
        )
        history = door.infer(request).history

    parts = [("text", spelled(text)) for text in texts]
    assert history == [element("user", *parts)] * 2


@at("http")
@modest
@given(texts=st.lists(UTF8, min_size=1, max_size=4))
@example(texts=["", "\0", "😀", "\ufeff", "x" * 70_000])
def test_any_text_is_the_same_as_binary_data(door, texts):
    memory_id = new_id()
    blob = pack_elements(*map(str.encode, texts))
    body, headers = binary_body(
        document(
            tensor("memory_id", [memory_id]),
            tensor("role", ["user"]),
            binary_tensor("content", len(blob)),
        ),
        blob,
    )

    reply = door.send(body, **headers)

    assert reply.history == [element("user", *(("text", text) for text in texts))]
    assert door.infer(read_request(memory_id)).history == reply.history


@at(*JSON_DOORS)
@modest
@given(text=UTF8)
@example(text="\u2028 é 😀 \x7f \ufeff")
def test_a_body_of_utf8_means_the_same_as_one_of_escapes(door, text):
    memory_id = new_id()
    request = append_request(memory_id, text)

    door.send(json.dumps(request, ensure_ascii=False).encode())
    first, second = door.send(json.dumps(request, ensure_ascii=True).encode()).history

    assert first == second == element("user", ("text", text))
