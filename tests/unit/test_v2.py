"""The grammar of V2 by itself: bytes, documents, tensors. No server, no memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memory_api import bodies, documents, errors, v2
from memory_api.errors import BadRequest, RequestError, TooLarge
from memory_api.json_text import parse_json
from testing.bodies import (
    append_request,
    binary_body,
    binary_tensor,
    document,
    pack_elements,
    read_request,
    tensor,
)


def refusal(action: Callable[..., object], *arguments: Any) -> str | None:
    """The sentence with which an action refuses; None where it does not. No other error."""
    try:
        action(*arguments)
    except RequestError as error:
        return str(error)
    return None


def is_none_or_a_sentence(text: str | None) -> bool:
    return text is None or 0 < len(text) < 300


# --- JSON --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"parameters": {"idempotency_key": "k"}, "parameters": {}}', "parameters"),
        (b'{"inputs": [{"data": ["first"], "data" : ["second"]}]}', "data"),
        (b'{"metadata": {"a": "1", "\\u0061": "2"}}', "a"),
        (b'{"items": [], "items": []}', "items"),
    ],
)
def test_a_name_that_is_twice_in_an_object_of_a_body_is_refused(body, name):
    assert refusal(bodies.parse, body, 100) == (
        f'the body has the name "{name}" twice in an object; send it once'
    )
    assert parse_json(body.decode(), "the text of a tool call")


# --- Content-Encoding --------------------------------------------------------------------

CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("spelling", ["{}", " {} ", "{}\t"])
def test_a_known_coding_is_undone_however_it_is_spelled(coding, spelling):
    body = CODINGS[coding](b"hello")

    for name in (coding, coding.upper(), coding.title()):
        assert bodies.decompress(body, spelling.format(name), 100) == b"hello"


@given(body=st.binary(), coding=st.sampled_from(list(CODINGS)))
@example(body=b"", coding="gzip")
@example(body=b"\x1f\x8b", coding="gzip")
def test_what_was_compressed_is_inflated(body, coding):
    assert bodies.decompress(CODINGS[coding](body), coding, 10_000_000) == body


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate"])
def test_exactly_the_limit_is_inflated_and_one_byte_more_is_too_large(coding):
    body = CODINGS[coding](b"x" * 1000)

    assert bodies.decompress(body, coding, 1000) == b"x" * 1000
    with pytest.raises(TooLarge, match="999"):
        bodies.decompress(body, coding, 999)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_bomb_is_refused_before_it_takes_its_memory(coding):
    bomb = CODINGS[coding](b"\0" * 100_000_000)
    tracemalloc.start()

    with pytest.raises(TooLarge):
        bodies.decompress(bomb, coding, 1000)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_that_was_cut_anywhere_is_refused(coding):
    body = CODINGS[coding](b"hello, hello, hello, world")

    for end in range(len(body)):
        with pytest.raises(BadRequest):
            bodies.decompress(body[:end], coding, 1000)


def test_a_gzip_body_of_several_members_is_read_whole():
    """RFC 1952, 2.2: a gzip file is a series of members, that simply follow each other."""
    body = gzip.compress(b"one ") + gzip.compress(b"two ") + gzip.compress(b"three")

    assert bodies.decompress(body, "gzip", 1000) == b"one two three"


def test_the_limit_holds_for_all_members_together():
    with pytest.raises(TooLarge):
        bodies.decompress(gzip.compress(b"x" * 600) * 2, "gzip", 1000)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bytes_behind_the_compressed_data_are_not_passed_over(coding):
    with pytest.raises(BadRequest):
        bodies.decompress(CODINGS[coding](b"hello") + b"garbage", coding, 1000)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip;q=1", "none", "é", "x" * 999])
def test_an_unknown_coding_is_refused(coding):
    text = refusal(bodies.decompress, b"hello", coding, 1000)

    assert text
    assert "Content-Encoding" in text
    assert len(text) < 300


@given(
    body=st.binary() | st.binary().map(lambda data: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + data),
    coding=st.sampled_from(list(CODINGS)) | st.text(),
    limit=st.integers(1, 100),
)
def test_any_bytes_are_inflated_or_refused(body, coding, limit):
    assert is_none_or_a_sentence(refusal(bodies.decompress, body, coding, limit))


# --- Bytes to document -------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(value=JSON)
def test_what_is_json_is_read_as_python_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, indent=2)):
        assert documents.read(text.encode()) == json.loads(text)


@given(value=JSON)
def test_what_was_written_is_read_again(value):
    assert documents.read(bodies.write({"value": value})) == {
        "value": json.loads(json.dumps(value))
    }


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "[1e999]", "-1e999", "1" * 5000, "[" * 100_000, ""]
)
def test_what_python_reads_beyond_json_is_refused(text):
    with pytest.raises(BadRequest, match=r"^the text (is|has) "):
        parse_json(text, "the text")
    with pytest.raises(BadRequest, match=r"^the body (is|has) "):
        documents.read(text.encode())


def test_numbers_at_their_ends_are_read():
    for text in ("1e308", "-1e308", "1e-999", "9" * 4000, "-0", "-0.0"):
        assert parse_json(text, "") == json.loads(text)


ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]))
WITHOUT_FLOATS = st.recursive(
    st.none() | st.booleans() | st.integers() | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=12,
)


@given(value=WITHOUT_FLOATS)
@example(value=['\0\x1f\x7f\u2028"\\/\b\f\n\r\t é 漢 😀'])
@example(value=["é", "\ud800"])
@example(value=[2**64, -(2**64)])
@example(value=[{"\ud800": 1}])
def test_what_is_written_is_spelled_as_pythons_json_spells_it(value):
    def spelled(ensure_ascii: bool) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, separators=(",", ":"))

    try:
        expected = spelled(False).encode()
    except UnicodeEncodeError:
        expected = spelled(True).encode()
    assert bodies.write(value) == expected


def test_binary_tensors_take_their_places_in_order():
    first, second = pack_elements(b"one", b""), pack_elements("zwölf".encode())
    sent = document(
        binary_tensor("content", len(first)),
        tensor("role", ["user"]),
        binary_tensor("type", 0),
        binary_tensor("memory_id", len(second)),
    )
    body, headers = binary_body(sent, first, second)

    request = v2.parse(documents.read(body, *headers.values()))

    assert request.strings("content") == ["one", ""]
    assert request.strings("role") == ["user"]
    assert request.strings("type") == []
    assert request.strings("memory_id") == ["zwölf"]


def test_binary_tensors_of_other_datatypes_are_passed_over():
    numbers, words = b"\0\0\0\0\0\0\x80\x3f", pack_elements(b"hello")
    sent = document(
        binary_tensor("logits", len(numbers), datatype="FP32", shape=[2]),
        binary_tensor("content", len(words)),
    )
    body, headers = binary_body(sent, numbers, words)

    request = v2.parse(documents.read(body, *headers.values()))

    assert request.strings("content") == ["hello"]


def test_a_header_length_of_the_whole_body_is_json_alone():
    body = json.dumps(read_request("a")).encode()

    assert documents.read(body, str(len(body))) == read_request("a")


@given(texts=st.lists(st.lists(st.text(), max_size=4), max_size=3))
@example(texts=[["", "\0", "😀"], [], ["x" * 70_000]])
def test_what_is_written_as_binary_is_read_again(texts):
    names = [f"tensor {n}" for n in range(len(texts))]
    outputs = [v2.text_tensor(name, values) for name, values in zip(names, texts, strict=True)]
    response: v2.InferResponse = {"model_name": "é", "id": "1", "outputs": outputs}

    for chosen in (names, names[1:], names[:1], []):
        body, length = documents.write_binary(response, chosen)
        written = json.loads(body[:length])
        # What comes out is what goes in, but for the name of the list.
        turned, headers = binary_body({"inputs": written["outputs"]}, body[length:])
        request = v2.parse(documents.read(turned, *headers.values()))

        assert [request.strings(name) for name in names] == texts
        assert ["data" not in output for output in written["outputs"]] == [
            name in chosen for name in names
        ]
        assert [output["shape"] for output in written["outputs"]] == [
            [len(values), 1] for values in texts
        ]


def test_binary_output_leaves_the_response_as_it_was():
    response: v2.InferResponse = {"id": "1", "outputs": [v2.text_tensor("history", ["a"])]}
    before = json.dumps(response)

    documents.write_binary(response, ["history"])

    assert json.dumps(response) == before


LENGTHS = st.none() | st.text() | st.integers(-1, 200).map(str)


@given(body=st.binary() | st.text(st.characters(codec="utf-8")).map(str.encode), length=LENGTHS)
@example(body=b"", length=None)
@example(body=b"", length="0")
@example(body=b"\xef\xbb\xbf{}", length=None)
@example(body=b"{}", length="2")
@example(body=b"{}", length="\u0662")
@example(body=b"{}", length="9" * 5000)
def test_any_bytes_are_read_or_refused(body, length):
    assert is_none_or_a_sentence(refusal(documents.read, body, length))


SIZES = st.integers(-2, 40) | JSON
BINARY_DOCUMENTS = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["content", "role"]) | JSON,
                    "shape": st.lists(st.integers()) | JSON,
                    "datatype": st.sampled_from(["BYTES", "FP32"]) | JSON,
                    "data": JSON,
                    "parameters": JSON | st.fixed_dictionaries({"binary_data_size": SIZES}),
                },
            )
            | JSON,
            max_size=4,
        )
        | JSON
    }
)


@given(
    sent=BINARY_DOCUMENTS,
    blob=st.binary(max_size=40)
    | st.lists(st.binary(max_size=8)).map(lambda all_: pack_elements(*all_)),
)
def test_any_binary_tensors_are_read_or_refused(sent, blob):
    body, headers = binary_body(sent, blob)

    def strings() -> None:
        request = v2.parse(documents.read(body, *headers.values()))
        for name in ("content", "role"):
            request.strings(name)

    assert is_none_or_a_sentence(refusal(strings))


# --- Document to request -----------------------------------------------------------------


def test_a_request_has_its_id_parameters_inputs_and_outputs():
    request = v2.parse(
        append_request(
            "a", "x", id="1", parameters={"window_size": 5}, outputs=[{"name": "history"}]
        )
    )

    assert request.id == "1"
    assert request.parameters == {"window_size": 5}
    assert [sent.name for sent in request.inputs] == ["memory_id", "role", "content", "type"]
    assert request.outputs == [v2.Output("history")]
    assert not request.binary


@pytest.mark.parametrize("fields", [{}, {"id": None, "parameters": None, "outputs": None}])
def test_what_is_absent_or_null_has_its_default(fields):
    request = v2.parse(read_request("a", **fields))

    assert request.id is None
    assert request.parameters == {}
    assert request.outputs is None


@pytest.mark.parametrize("all_binary", [True, False])
def test_an_output_is_binary_where_it_or_the_request_says_so(all_binary):
    outputs: list[dict[str, Any]] = [
        {"name": "a"},
        {"name": "b", "parameters": {"binary_data": True}},
        {"name": "c", "parameters": {"binary_data": False}},
    ]

    request = v2.parse(
        read_request("a", outputs=outputs, parameters={"binary_data_output": all_binary})
    )

    assert request.outputs
    assert [output.binary for output in request.outputs] == [all_binary, True, False]
    assert request.binary == all_binary


@pytest.mark.parametrize(
    ("data", "flat"),
    [
        ([], []),
        ([[], [[]]], []),
        ("a", ["a"]),
        ([["a", "b"], ["c"]], ["a", "b", "c"]),
        (["a", [["b"], "c"], []], ["a", "b", "c"]),
    ],
    ids=str,
)
def test_elements_are_flattened_row_major(data, flat):
    assert v2.parse(document(tensor("content", data))).strings("content") == flat


def test_data_that_is_nested_as_deep_as_json_is_read_goes_in():
    data: Any = "a"
    for _ in range(100_000):
        data = [data]

    assert v2.parse(document(tensor("content", data))).strings("content") == ["a"]


def test_a_tensor_that_was_not_sent_has_no_strings():
    assert v2.parse(read_request("a")).strings("content") is None


@pytest.mark.parametrize("element", [None, True, 0, 1.5, {}, {"a": "b"}], ids=str)
def test_an_element_that_is_no_string_is_refused_when_it_is_asked_for(element):
    request = v2.parse(document(tensor("content", ["a", [element]])))

    with pytest.raises(BadRequest, match="element 1 of tensor 'content'"):
        request.strings("content")


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "parameters": JSON | st.fixed_dictionaries({"binary_data_output": JSON}),
        "inputs": JSON | BINARY_DOCUMENTS.map(lambda sent: sent["inputs"]),
        "outputs": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.text() | JSON},
                optional={
                    "parameters": JSON | st.fixed_dictionaries({"binary_data": JSON}),
                },
            )
        ),
    },
)


@given(sent=DOCUMENTS | JSON)
def test_any_json_is_a_request_or_refused(sent):
    def strings() -> None:
        request = v2.parse(sent)
        for name in ("content", "role"):
            request.strings(name)

    assert is_none_or_a_sentence(refusal(strings))


# --- Words in sentences ------------------------------------------------------------------


@given(word=st.text(st.characters()) | st.text("😀\0é", min_size=30))
def test_a_clients_word_is_quoted_short_and_on_one_line(word):
    quoted = errors.quote(word)

    assert len(quoted) < 200
    assert not set(quoted) & {"\n", "\r", "\0", "\x1b"}
    assert quoted.startswith('"')
    assert quoted.endswith('"')


def test_a_short_word_is_quoted_whole():
    assert errors.quote("FP32") == '"FP32"'
    assert errors.quote('a"b') == r'"a\"b"'
