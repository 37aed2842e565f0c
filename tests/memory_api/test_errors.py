"""Requests that the HTTP door refuses: with which status and sentence, and nothing written."""

from __future__ import annotations

import gzip
import json
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore.databases import connect
from convstore.models import Conversation
from tests.bodies import (
    binary,
    binary_tensor,
    document,
    new_id,
    packed,
    recall,
    said,
    several,
    tensor,
)
from tests.doors import HttpDoor, stored
from tests.service import Service, write_memories

# In each malformed request; never in the sentence that refuses it.
PRIVATE = "the kestrel flies at dawn"
LONGEST_SENTENCE = 300

MAX_BODY_BYTES = 20_000
MAX_PARTS = 10


@pytest.fixture
def unblocked(django_db_blocker):
    """Leave to ask the services' databases from here."""
    with django_db_blocker.unblock():
        yield
        for connection in connections.all(initialized_only=True):
            connection.close()


@pytest.fixture
def rows(service, unblocked):
    """How many conversations and messages there are now."""
    return lambda: stored(service)


@pytest.fixture(scope="module")
def limited(database_kind, new_database, tmp_path_factory) -> Iterator[Service]:
    """A service with low limits, and a database that nobody else uses."""
    folder = tmp_path_factory.mktemp("limited")
    write_memories(folder / "models")
    environment = {
        "DATABASE_URL": new_database(database_kind),
        "MODELS_DIR": str(folder / "models"),
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "MAX_PARTS": str(MAX_PARTS),
        "DATABASE_TIMEOUT": "1",
    }
    with Service(folder, **environment) as service:
        yield service


@pytest.fixture
def limited_door(limited) -> HttpDoor:
    return HttpDoor(limited)


@pytest.fixture
def limited_rows(limited, unblocked):
    return lambda: stored(limited)


def sentence(reply: Any) -> str:
    """The sentence of an error reply, which has nothing else in it."""
    assert list(reply.document) == ["error"]
    text = reply.document["error"]
    assert isinstance(text, str)
    assert 0 < len(text) < LONGEST_SENTENCE
    assert text.strip() == text
    assert "\n" not in text
    for never in (PRIVATE, "Traceback", 'File "', "SELECT", "INSERT", "convstore_", "secret"):
        assert never not in text
    return text


# --- Malformed requests ------------------------------------------------------------------


def saying(**changes: dict[str, Any] | None) -> dict[str, Any]:
    """A request that adds a message, some of its tensors changed, or left out where None."""
    request = said("malformed", PRIVATE, "again")
    tensors = []
    for sent in request["inputs"]:
        change = changes.get(sent["name"], {})
        if change is not None:
            tensors.append({**sent, **change})
    return {"inputs": tensors}


def without(name: str, field: str) -> dict[str, Any]:
    """A request that adds a message, one tensor of which lacks a field."""
    request = said("malformed", PRIVATE)
    for sent in request["inputs"]:
        if sent["name"] == name:
            del sent[field]
    return request


def also(*extra: Any, **fields: Any) -> dict[str, Any]:
    """A request that adds a message, with more in its inputs and beside them."""
    request = said("malformed", PRIVATE, **fields)
    return {**request, "inputs": [*request["inputs"], *extra]}


def asking(**parameters: Any) -> dict[str, Any]:
    return also(parameters=parameters)


def two(**tensors: list[list[Any] | str]) -> dict[str, Any]:
    """Two messages at once."""
    tensors = {"content": [[PRIVATE], ["b"]], **tensors}
    return several("malformed", ["user", "user"], **tensors)


def nested(levels: int, innermost: object) -> Any:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


DOCUMENTS: dict[str, Any] = {
    # The document
    "the document is null": None,
    "the document is a boolean": True,
    "the document is a number": 7,
    "the document is a string": PRIVATE,
    "the document is a list": [said("malformed", PRIVATE)],
    "the document is empty": {},
    "inputs missing": {"id": "1", "parameters": {}},
    "inputs null": {"inputs": None},
    "inputs an object": {"inputs": {"memory_id": ["malformed"]}},
    "inputs a string": {"inputs": PRIVATE},
    "inputs a number": {"inputs": 0},
    "inputs empty": {"inputs": []},
    "inputs nested": {"inputs": [said("malformed", PRIVATE)["inputs"]]},
    "id a number": also(id=7),
    "id a float": also(id=0.5),
    "id a boolean": also(id=False),
    "id a list": also(id=["a"]),
    "id an object": also(id={}),
    "parameters a list": also(parameters=[]),
    "parameters a string": also(parameters=PRIVATE),
    "parameters a number": also(parameters=0),
    "parameters false": also(parameters=False),
    # Tensors
    "an input null": also(None),
    "an input a string": also("memory_id"),
    "an input a number": also(1),
    "an input a list": also([]),
    "an input empty": also({}),
    "name missing": also({"shape": [1], "datatype": "BYTES", "data": ["a"]}),
    "name null": also(tensor(None, ["a"])),  # type: ignore[arg-type]
    "name a number": also(tensor(7, ["a"])),  # type: ignore[arg-type]
    "name a list": also(tensor(["role"], ["a"])),  # type: ignore[arg-type]
    "shape missing": without("content", "shape"),
    "shape null": saying(content={"shape": None}),
    "shape a number": saying(content={"shape": 1}),
    "shape a string": saying(content={"shape": "1"}),
    "shape an object": saying(content={"shape": {}}),
    "shape of strings": saying(content={"shape": ["1"]}),
    "shape of booleans": saying(content={"shape": [True]}),
    "shape of floats": saying(content={"shape": [1.0]}),
    "shape of lists": saying(content={"shape": [[1]]}),
    "shape of nulls": saying(content={"shape": [None]}),
    "shape negative": saying(content={"shape": [-1]}),
    "shape of another tensor": also(tensor("other", [], shape="1")),
    "datatype missing": without("role", "datatype"),
    "datatype null": saying(role={"datatype": None}),
    "datatype a number": saying(role={"datatype": 7}),
    "datatype a list": saying(role={"datatype": ["BYTES"]}),
    "datatype FP32 for content": saying(content={"datatype": "FP32"}),
    "datatype INT64 for role": saying(role={"datatype": "INT64"}),
    "datatype BOOL for type": saying(type={"datatype": "BOOL"}),
    "datatype UINT8 for memory_id": saying(memory_id={"datatype": "UINT8"}),
    "datatype in small letters": saying(content={"datatype": "bytes"}),
    "datatype empty": saying(content={"datatype": ""}),
    "datatype long": saying(content={"datatype": "é😀" * 5_000}),
    "tensor parameters a list": saying(content={"parameters": []}),
    "tensor parameters a string": saying(content={"parameters": "str"}),
    # Elements
    "data missing": without("content", "data"),
    "data null": saying(content={"data": None}),
    "data a bare number": saying(content={"data": 7}),
    "data a bare boolean": saying(content={"data": True}),
    "data an object": saying(content={"data": {"0": PRIVATE}}),
    "memory_id a bare number": saying(memory_id={"data": 1}),
    "memory_id a number": saying(memory_id={"data": [1]}),
    "memory_id null": saying(memory_id={"data": [None]}),
    "a number in role": saying(role={"data": [7]}),
    "null in role": saying(role={"data": [None]}),
    "a float in content": saying(content={"data": [PRIVATE, 0.5]}),
    "a boolean in content": saying(content={"data": [PRIVATE, False]}),
    "null in content": saying(content={"data": [PRIVATE, None]}),
    "an object in content": saying(content={"data": [PRIVATE, {"text": "x"}]}),
    "a number in nested content": saying(content={"data": [[[PRIVATE], [1]]]}),
    "a number in type": saying(type={"data": ["text", 1]}),
    "null in type": saying(type={"data": [None, None]}),
    # Which tensors, and how long
    "memory_id missing": saying(memory_id=None),
    "memory_id twice": also(tensor("memory_id", ["malformed"])),
    "memory_id without elements": saying(memory_id={"data": []}),
    "memory_id of two elements": saying(memory_id={"data": ["malformed", "other"]}),
    "memory_id of two nested elements": saying(memory_id={"data": [["malformed"], ["other"]]}),
    "memory_id the same twice": saying(memory_id={"data": ["malformed", "malformed"]}),
    "memory_id empty": saying(memory_id={"data": [""]}),
    "memory_id of 256 characters": saying(memory_id={"data": ["x" * 256]}),
    "memory_id of 256 emoji": saying(memory_id={"data": ["😀" * 256]}),
    "memory_id of a million characters": saying(memory_id={"data": ["x" * 1_000_000]}),
    "memory_id with a NUL": saying(memory_id={"data": ["a\0b"]}),
    "memory_id with a high surrogate": saying(memory_id={"data": ["a\ud800"]}),
    "memory_id with a low surrogate": saying(memory_id={"data": ["\udfffa"]}),
    "role missing": saying(role=None),
    "role twice": also(tensor("role", ["user"])),
    "role without elements": saying(role={"data": []}),
    "role nested and without elements": saying(role={"data": [[], [[]]]}),
    "content missing": saying(content=None),
    "content twice": also(tensor("content", [PRIVATE])),
    "content without elements": saying(content={"data": []}, type={"data": []}),
    "content and type missing": saying(content=None, type=None),
    "type alone": saying(role=None, content=None),
    "type twice": also(tensor("type", ["text"])),
    "type too short": saying(type={"data": ["text"]}),
    "type too long": saying(type={"data": ["text"] * 3}),
    "type without elements": saying(type={"data": []}),
    # Several messages
    "several: content too short": two(content=[[PRIVATE]]),
    "several: content too long": two(content=[[PRIVATE], ["b"], ["c"]]),
    "several: type too short": two(type=[["text"]]),
    "several: content not JSON": two(content=[PRIVATE, ["b"]]),
    "several: content cut off": two(content=[[PRIVATE], '["b"']),
    "several: content a JSON string": two(content=[[PRIVATE], '"b"']),
    "several: content a JSON object": two(content=[[PRIVATE], '{"text": "b"}']),
    "several: content JSON null": two(content=[[PRIVATE], "null"]),
    "several: content a list of numbers": two(content=[[PRIVATE], [1]]),
    "several: content a list of nulls": two(content=[[PRIVATE], [None]]),
    "several: content a list of lists": two(content=[[PRIVATE], [["b"]]]),
    "several: content a list of objects": two(content=[[PRIVATE], [{"text": "b"}]]),
    "several: content nested deeply": two(content=[[PRIVATE], "[" * 100_000]),
    "several: content with a NaN": two(content=[[PRIVATE], "[NaN]"]),
    "several: content a blank": two(content=[[PRIVATE], " "]),
    "several: a message without content": two(content=[[PRIVATE], []]),
    "several: a message with an empty list": two(content=[[PRIVATE], "[]"]),
    "several: type not JSON": two(type=["text", "text"]),
    "several: type a list of numbers": two(type=[["text"], [1]]),
    "several: type of one message too long": two(type=[["text"], ["text", "text"]]),
    "several: type of one message too short": two(
        content=[[PRIVATE], ["b", "c"]], type=[["text"], ["text"]]
    ),
    "several: content missing": document(
        tensor("memory_id", ["malformed"]), tensor("role", ["user", "user"])
    ),
    # Parameters
    "window_size 0": asking(window_size=0),
    "window_size -1": asking(window_size=-1),
    "window_size a string": asking(window_size="5"),
    "window_size an empty string": asking(window_size=""),
    "window_size true": asking(window_size=True),
    "window_size false": asking(window_size=False),
    "window_size 2.5": asking(window_size=2.5),
    "window_size 5.0": asking(window_size=5.0),
    "window_size 2**31": asking(window_size=2**31),
    "window_size 2**63": asking(window_size=2**63),
    "window_size of a thousand digits": asking(window_size=10**1000),
    "window_size a list": asking(window_size=[5]),
    "window_size an object": asking(window_size={}),
    "older window_size 0": asking(memory_parameters={"window_size": 0}),
    "older window_size a string": asking(memory_parameters={"window_size": "5"}),
    "memory_parameters a number": asking(memory_parameters=5),
    "memory_parameters a list": asking(memory_parameters=[{"window_size": 5}]),
    "memory_parameters wrong beside a window_size": asking(window_size=5, memory_parameters="5"),
    "binary_data_output a string": asking(binary_data_output="true"),
    "binary_data_output a number": asking(binary_data_output=1),
    "binary_data_output null": asking(binary_data_output=None),
    # Outputs
    "outputs an object": also(outputs={"name": "history"}),
    "outputs a string": also(outputs="history"),
    "outputs a number": also(outputs=2),
    "outputs false": also(outputs=False),
    "outputs of strings": also(outputs=["history"]),
    "outputs of nulls": also(outputs=[None]),
    "outputs of lists": also(outputs=[[]]),
    "an output without a name": also(outputs=[{}]),
    "an output whose name is a number": also(outputs=[{"name": 0}]),
    "an output whose name is null": also(outputs=[{"name": None}]),
    "an unknown output": also(outputs=[{"name": "history"}, {"name": "embedding"}]),
    "an unknown output in other letters": also(outputs=[{"name": "History"}]),
    "an unknown output with a long name": also(outputs=[{"name": "x" * 100_000}]),
    "an unknown output named in emoji": also(outputs=[{"name": "😀" * 60}]),
    "an unknown output with controls in its name": also(outputs=[{"name": "\x1b[2J\0\n" * 20}]),
    "an output twice": also(outputs=[{"name": "history"}, {"name": "history"}]),
    "an input asked for as an output": also(outputs=[{"name": "role"}]),
    "output parameters a list": also(outputs=[{"name": "history", "parameters": []}]),
    "binary_data a string": also(
        outputs=[{"name": "history", "parameters": {"binary_data": "yes"}}]
    ),
}

CALL = json.dumps({"id": "call_1", "function": {"name": PRIVATE}})


def calling(**tensors: list[Any]) -> dict[str, Any]:
    return also(*(tensor(name, data) for name, data in tensors.items()))


TOOL_DOCUMENTS = {
    "tool_calls not JSON": calling(tool_calls=[CALL, PRIVATE]),
    "tool_calls cut off": calling(tool_calls=[CALL, CALL[:-1]]),
    "tool_calls a JSON number": calling(tool_calls=["7"]),
    "tool_calls a JSON null": calling(tool_calls=["null"]),
    "tool_calls a JSON string": calling(tool_calls=[json.dumps(CALL)]),
    "tool_calls a JSON list": calling(tool_calls=[json.dumps([CALL])]),
    "tool_calls objects": calling(tool_calls=[{"id": "call_1"}]),
    "tool_calls with a NaN": calling(tool_calls=['{"temperature": NaN}']),
    "tool_calls with a number too large": calling(tool_calls=['{"temperature": 1e999}']),
    "tool_calls nested deeply": calling(tool_calls=[json.dumps({"a": nested(101, 1)})]),
    "tool_calls nested very deeply": calling(tool_calls=['{"a":' * 200_000]),
    "tool_calls of another datatype": also(tensor("tool_calls", [CALL], datatype="JSON")),
    "tool_calls twice": also(tensor("tool_calls", [CALL]), tensor("tool_calls", [CALL])),
    "tool_call_id of two elements": calling(tool_call_id=["call_1", "call_2"]),
    "tool_call_id a number": calling(tool_call_id=[1]),
    "name a number": calling(name=[1]),
    "tool_calls alone": document(tensor("memory_id", ["malformed"]), tensor("tool_calls", [CALL])),
    "several: tool_calls plain": two(tool_calls=[CALL, ""]),
    "several: tool_calls too short": two(tool_calls=[""]),
    "several: tool_calls a list of numbers": two(tool_calls=[[], [1]]),
    "several: tool_calls a list of other JSON": two(tool_calls=[[], ["[]"]]),
    "several: tool_calls a list of no JSON": two(tool_calls=[[], [PRIVATE]]),
    "several: tool_call_id of two elements": two(tool_call_id=["", ["a", "b"]]),
    "several: tool_call_id too long": two(tool_call_id=["", "", ""]),
    "several: tool_call_id a list of numbers": two(tool_call_id=["", [1]]),
    "several: name plain": two(name=["Ann", "Ben"]),
    "several: name too short": two(name=[["Ann"]]),
}

GOOD = json.dumps(said("malformed", PRIVATE)).encode()


def within(field: str, value: bytes) -> bytes:
    """A good request with one more field, its value being any bytes."""
    return b'{"' + field.encode() + b'": ' + value + b", " + GOOD[1:]


BODIES = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "a NUL": b"\0",
    "not JSON": PRIVATE.encode(),
    "a form": b"memory_id=malformed&role=user&content=hello",
    "XML": b"<inputs/>",
    "cut off": GOOD[:-1],
    "cut off in a string": GOOD[: GOOD.index(b"kestrel")],
    "trailing garbage": GOOD + b"}",
    "trailing NULs": GOOD + b"\0\0",
    "two documents": GOOD + b"\n" + GOOD,
    "a BOM": b"\xef\xbb\xbf" + GOOD,
    "a trailing comma": GOOD[:-1] + b",}",
    "a comment": b"/* hello */" + GOOD,
    "single quotes": GOOD.replace(b'"', b"'"),
    "an unquoted key": within("x", b"1").replace(b'"x"', b"x"),
    "a raw newline in a string": within("x", b'"a\nb"'),
    "a raw NUL in a string": within("x", b'"a\0b"'),
    "an unknown escape": within("x", rb'"\x41"'),
    "half an escape": within("x", rb'"\u12"'),
    "a leading zero": within("x", b"01"),
    "a hexadecimal number": within("x", b"0x1F"),
    "a plus sign": within("x", b"+1"),
    "a bare point": within("x", b".5"),
    "NaN": within("x", b"NaN"),
    "Infinity": within("x", b"Infinity"),
    "-Infinity": within("x", b"[-Infinity]"),
    "Python's None": within("x", b"None"),
    "1e999": within("x", b"1e999"),
    "-1e999 in data": GOOD.replace(json.dumps(PRIVATE).encode(), b"-1e999"),
    "an integer of 5000 digits": within("x", b"7" * 5000),
    "an id of 5000 digits": within("id", b"7" * 5000),
    "a megabyte of open lists": b"[" * 2**20,
    "a megabyte of open objects": b'{"a":' * (2**20 // 5),
    "a megabyte of nested lists in data": GOOD.replace(
        b'"data": ["the', b'"data": [' + b"[" * 2**19 + b"]" * 2**19 + b', "the'
    ),
    "UTF-16": json.dumps(said("malformed", PRIVATE)).encode("utf-16"),
    "UTF-16 without a BOM": json.dumps(said("malformed", PRIVATE)).encode("utf-16-le"),
    "UTF-32": json.dumps(said("malformed", PRIVATE)).encode("utf-32"),
    "Latin-1": json.dumps(said("malformed", "naïve"), ensure_ascii=False).encode("latin-1"),
    "a surrogate in UTF-8": within("x", b'"\xed\xa0\x80"'),
    "an overlong NUL": within("x", b'"\xc0\x80"'),
    "half a character": within("x", b'"\xf0\x9f\x98"'),
    "gzip that is not announced": gzip.compress(GOOD),
}

COMPRESSED = gzip.compress(GOOD)
ENCODED = {
    "an unknown encoding": ("br", GOOD),
    "an unknown encoding with a long name": ("x" * 5000, GOOD),
    "two encodings": ("gzip, gzip", gzip.compress(COMPRESSED)),
    "gzip of nothing": ("gzip", gzip.compress(b"")),
    "gzip that is empty": ("gzip", b""),
    "gzip that is not gzip": ("gzip", GOOD),
    "gzip cut off": ("gzip", COMPRESSED[:-20]),
    "gzip without its checksum": ("gzip", COMPRESSED[:-8]),
    "gzip with another checksum": ("gzip", COMPRESSED[:-8] + b"\0" * 8),
    "gzip damaged inside": ("gzip", COMPRESSED[:30] + b"\xff" * 8 + COMPRESSED[38:]),
    "gzip with garbage behind": ("gzip", COMPRESSED + PRIVATE.encode()),
    "gzip of no JSON": ("gzip", gzip.compress(PRIVATE.encode())),
    "gzip of Latin-1": ("gzip", gzip.compress("é".encode("latin-1"))),
    "deflate cut off": ("deflate", zlib.compress(GOOD)[:-5]),
    "deflate that is not deflate": ("deflate", GOOD),
    "deflate with garbage behind": ("deflate", zlib.compress(GOOD) + PRIVATE.encode()),
}

HEADER_LENGTHS = {
    "not a number": "abc",
    "empty": "",
    "negative": "-1",
    "a float": "10.0",
    "with a plus sign": f"+{len(GOOD)}",
    "hexadecimal": hex(len(GOOD)),
    "a superscript": "²",
    "two": f"{len(GOOD)}, {len(GOOD)}",
    "zero": "0",
    "one byte short": str(len(GOOD) - 1),
    "one byte long": str(len(GOOD) + 1),
    "2**64": str(2**64),
    "of 5000 digits": "9" * 5000,
}

# The size that is declared, and the bytes that follow.
TWO_WORDS = packed(b"one", b"two")
BINARY: dict[str, tuple[Any, bytes]] = {
    "size a string": (str(len(TWO_WORDS)), TWO_WORDS),
    "size a boolean": (True, TWO_WORDS),
    "size a float": (float(len(TWO_WORDS)), TWO_WORDS),
    "size a list": ([len(TWO_WORDS)], TWO_WORDS),
    "size null": (None, TWO_WORDS),
    "size negative": (-1, TWO_WORDS),
    "size one too large": (len(TWO_WORDS) + 1, TWO_WORDS),
    "size 2**70": (2**70, TWO_WORDS),
    "size one too small": (len(TWO_WORDS) - 1, TWO_WORDS),
    "size of one element of two": (len(packed(b"one")), TWO_WORDS),
    "size 0 with bytes behind": (0, TWO_WORDS),
    "size 0": (0, b""),
    "a length that is cut off": (2, b"\1\0"),
    "an element that is cut off": (len(TWO_WORDS) - 1, TWO_WORDS[:-1]),
    "a length beyond the end": (8, b"\xff\xff\xff\xffword"),
    "a length in the other byte order": (8, b"\0\0\0\4word"),
    "an element that is not UTF-8": (6, packed(b"\xff\xfe")),
    "an element that is a surrogate": (7, packed(b"\xed\xa0\x80")),
}


class Malformed(NamedTuple):
    body: bytes
    headers: dict[str, str]
    memory: str = "memory"


def with_binary(name: str, size: Any, blob: bytes) -> Malformed:
    """A request that adds a message, one tensor of which is binary."""
    plain = {"memory_id": ["malformed"], "role": ["user"], "content": [PRIVATE]}
    tensors = [tensor(other, data) for other, data in plain.items() if other != name]
    return Malformed(*binary(document(*tensors, binary_tensor(name, size)), blob))


MALFORMED = {
    **{name: Malformed(json.dumps(sent).encode(), {}) for name, sent in DOCUMENTS.items()},
    **{
        f"tools: {name}": Malformed(json.dumps(sent).encode(), {}, "tools")
        for name, sent in TOOL_DOCUMENTS.items()
    },
    **{f"body: {name}": Malformed(body, {}) for name, body in BODIES.items()},
    **{
        f"encoding: {name}": Malformed(body, {"Content-Encoding": coding})
        for name, (coding, body) in ENCODED.items()
    },
    **{
        f"header length: {name}": Malformed(GOOD, {"Inference-Header-Content-Length": length})
        for name, length in HEADER_LENGTHS.items()
    },
    **{f"binary: {name}": with_binary("content", *case) for name, case in BINARY.items()},
    "binary: two ids": with_binary("memory_id", len(TWO_WORDS), TWO_WORDS),
    "binary: an id with a NUL": with_binary("memory_id", 7, packed(b"a\0b")),
    "binary: no header": Malformed(binary(document(binary_tensor("memory_id", 7)))[0], {}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_with_a_sentence_and_writes_nothing(door, rows, name):
    case = MALFORMED[name]
    before = rows()

    reply = door.send(case.body, case.memory, **case.headers)

    assert reply.status == 400
    assert sentence(reply)
    assert rows() == before


def test_the_request_that_the_malformed_ones_are_made_of_is_a_good_one(door):
    for body in (GOOD, json.dumps(saying()).encode(), json.dumps(two()).encode()):
        assert door.send(body).status == 200
    for body in (json.dumps(calling(tool_calls=[CALL])).encode(), within("x", b"1")):
        assert door.send(body, "tools").status == 200
    good = with_binary("content", len(TWO_WORDS), TWO_WORDS)
    assert door.send(good.body, **good.headers).status == 200
    assert door.send(COMPRESSED, **{"Content-Encoding": "gzip"}).status == 200


NAMED = {
    "memory_id missing": ["memory_id", "missing"],
    "memory_id of two elements": ["memory_id", "2", "1"],
    "memory_id of 256 characters": ["memory_id", "256", "255"],
    "memory_id with a NUL": ["memory_id", "NUL"],
    "role missing": ["role", "missing"],
    "content twice": ["content", "2 times"],
    "type too short": ["type", "1", "content", "2"],
    "a boolean in content": ["element 1", "content", "boolean", "string"],
    "datatype FP32 for content": ["content", "FP32", "BYTES"],
    "shape a string": ["shape", "content", "string", "list"],
    "inputs missing": ["inputs", "missing"],
    "id a number": ["id", "number", "string"],
    "window_size 0": ["window_size", "integer", "1"],
    "an unknown output": ["embedding", "memory_id", "history"],
    "several: content too short": ["role", "2", "content", "1"],
    "several: content not JSON": ["element 0", "content", "JSON"],
    "tools: tool_calls a JSON number": ["element 0", "tool_calls", "object"],
    "tools: tool_call_id of two elements": ["tool_call_id", "2"],
    "body: NaN": ["NaN"],
    "body: cut off": ["JSON", "column"],
    "body: Latin-1": ["UTF-8"],
    "encoding: an unknown encoding": ["Content-Encoding", "br", "gzip"],
    "header length: one byte long": ["Inference-Header-Content-Length", str(len(GOOD))],
    "binary: size one too large": ["binary_data_size", "content", str(len(TWO_WORDS))],
}


@pytest.mark.parametrize("name", NAMED)
def test_a_refusal_names_what_came_and_what_is_wanted(door, name):
    case = MALFORMED[name]

    text = sentence(door.send(case.body, case.memory, **case.headers))

    for word in NAMED[name]:
        assert word in text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["memory_id", "role", "content", "type", "tool_calls", "tool_call_id"])
TENSORS = st.fixed_dictionaries(
    {"name": NAMES, "shape": st.just([1]), "datatype": st.just("BYTES")},
    optional={
        "data": st.lists(st.text(max_size=5) | st.just("[]"), max_size=3) | VALUES,
        "parameters": VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=6)},
    optional={
        "id": VALUES,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES})) | VALUES,
        "parameters": VALUES | st.fixed_dictionaries({"window_size": VALUES}),
    },
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request=REQUESTS | VALUES)
def test_whatever_the_document_it_is_answered_or_refused_and_never_a_fault(door, request):
    reply = door.infer(request, "tools")

    assert reply.status in (200, 400)
    if reply.status == 400:
        assert sentence(reply)


def test_after_many_refusals_the_service_still_answers(door):
    for name in ("body: a megabyte of open lists", "encoding: gzip cut off", "inputs null"):
        door.send(MALFORMED[name].body, **MALFORMED[name].headers)

    assert door.infer(said(new_id(), "hello")).texts == ["hello"]


def test_a_host_that_is_no_host_is_refused(door, rows):
    before = rows()

    reply = door.send(GOOD, Host="no host!")

    assert reply.status == 400
    assert sentence(reply)
    assert rows() == before


# --- Limits ------------------------------------------------------------------------------


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def filled(size: int) -> bytes:
    """A good request of so many bytes."""
    body = json.dumps(said(new_id(), PRIVATE)).encode()
    return body + b" " * (size - len(body))


def test_a_body_of_exactly_the_limit_is_read(limited_door):
    assert limited_door.send(filled(MAX_BODY_BYTES)).status == 200


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 100 * MAX_BODY_BYTES, 20_000_000])
def test_a_body_over_the_limit_is_too_large(limited_door, limited_rows, size):
    before = limited_rows()

    reply = limited_door.send(filled(size))

    assert reply.status == 413
    assert str(MAX_BODY_BYTES) in sentence(reply)
    assert limited_rows() == before


@pytest.mark.parametrize("coding", COMPRESSORS)
def test_an_inflated_body_of_exactly_the_limit_is_read(limited_door, coding):
    body = COMPRESSORS[coding](filled(MAX_BODY_BYTES))

    assert limited_door.send(body, **{"Content-Encoding": coding}).status == 200


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10_000_000], ids=["one byte over", "a bomb"])
@pytest.mark.parametrize("coding", COMPRESSORS)
def test_an_inflated_body_over_the_limit_is_too_large(limited_door, limited_rows, coding, size):
    before = limited_rows()
    body = COMPRESSORS[coding](filled(size))
    assert len(body) < MAX_BODY_BYTES

    reply = limited_door.send(body, **{"Content-Encoding": coding})

    assert reply.status == 413
    assert str(MAX_BODY_BYTES) in sentence(reply)
    assert limited_rows() == before


def test_a_chunked_body_is_too_large_only_over_the_limit(limited_door, limited_rows):
    before = limited_rows()

    within_it = limited_door.send(iter([filled(1000), b" " * 1000]))
    over_it = limited_door.send(iter([filled(1000)] + [b" " * 1000] * 20))

    assert over_it.status == 413
    assert sentence(over_it)
    assert within_it.status == 200
    assert limited_rows() == (before[0] + 1, before[1] + 1)


def test_as_many_parts_as_the_limit_are_stored(limited_door):
    parts = [str(n) for n in range(MAX_PARTS)]

    assert limited_door.infer(said(new_id(), *parts)).texts == parts
    every = several(new_id(), ["user"] * MAX_PARTS, content=[[part] for part in parts])
    assert limited_door.infer(every).texts == parts


MORE = MAX_PARTS + 1
TOO_MANY = {
    "parts of one message": said("limited", *["a"] * MORE),
    "messages": several("limited", ["user"] * MORE, content=[["a"]] * MORE),
    "parts of messages": several("limited", ["user", "user"], content=[["a"], ["b"] * MAX_PARTS]),
    "messages without parts": several(
        "limited", ["tool"] * MORE, content=[[]] * MORE, tool_call_id=["call_1"] * MORE
    ),
}


@pytest.mark.parametrize("sent", TOO_MANY.values(), ids=TOO_MANY)
def test_more_parts_than_the_limit_are_too_large(limited_door, limited_rows, sent):
    before = limited_rows()

    reply = limited_door.infer(sent, "tools")

    assert reply.status == 413
    assert str(MAX_PARTS) in sentence(reply)
    assert limited_rows() == before


# --- Names and routes --------------------------------------------------------------------

UNKNOWN = {
    "nope": "Model nope not found",
    "Memory": "Model Memory not found",
    "memory%20": "Model memory  not found",
    "n%C3%B6pe": "Model nöpe not found",
    "nope/versions/1": "Model nope with version 1 not found",
    "memory/versions/1": "Model memory with version 1 not found",
    "versioned/versions/9": "Model versioned with version 9 not found",
    "versioned/versions/03": "Model versioned with version 03 not found",
}


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("route", ["POST /infer", "GET /ready", "GET "], ids=str.strip)
def test_an_unknown_memory_or_version_is_not_found(door, rows, route, path):
    before = rows()
    method, _, end = route.partition(" ")

    reply = door.session.request(
        method, f"{door.service.url}/v2/models/{path}{end}", data=GOOD, timeout=60
    )

    assert reply.status_code == 404
    assert reply.json() == {"error": UNKNOWN[path]}
    assert rows() == before


def test_an_unknown_memory_is_not_found_whatever_the_body(door):
    reply = door.send(b"not JSON", "nope")

    assert (reply.status, reply.document) == (404, {"error": "Model nope not found"})


@pytest.mark.parametrize(
    "path", ["x" * 3000, "memory/versions/" + "9" * 3000, "%F0%9F%98%80" * 300]
)
def test_a_long_unknown_name_is_not_echoed_whole(door, path):
    reply = door.send(GOOD, path)

    assert reply.status == 404
    assert sentence(reply)


@pytest.mark.parametrize("path", ["%00", "%0A", "%FF", "a%2Fb", "%22%27", "..%2F..%2Fetc", "%s"])
def test_an_odd_name_is_not_found(door, path):
    reply = door.send(GOOD, path)

    assert reply.status == 404
    assert list(reply.document) == ["error"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/v2/nope",
        "/v2/models",
        "/v2/models/",
        "/v2/models/memory/nope",
        "/v2/models/memory/infer/nope",
        "/v2/models/memory/versions",
        "/v2/models/memory//infer",
        "//v2",
        "/V2",
        "/v2/health",
        "/v1/models/memory:predict",
        "/v2/%00",
        "/%FF",
    ],
)
def test_an_unknown_route_is_not_found(door, method, path):
    reply = door.session.request(method, door.service.url + path, data=GOOD, timeout=60)

    assert reply.status_code == 404
    assert reply.headers["Content-Type"] == "application/json"
    assert list(reply.json()) == ["error"]
    assert reply.json()["error"]


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
ROUTES = {
    "/": "GET",
    "/v2": "GET",
    "/v2/": "GET",
    "/v2/health/live": "GET",
    "/v2/health/ready": "GET",
    "/v2/models/memory": "GET",
    "/v2/models/memory/ready": "GET",
    "/v2/models/memory/infer": "POST",
    "/v2/models/nope/infer": "POST",
    "/v2/models/versioned/versions/3": "GET",
    "/v2/models/versioned/versions/3/ready": "GET",
    "/v2/models/versioned/versions/3/infer": "POST",
    "/v2/repository/index": "POST",
    "/metrics": "GET",
    "/v2/docs": "GET",
    "/v2/docs/openapi.json": "GET",
}
WRONG = [
    (method, route) for route, right in ROUTES.items() for method in METHODS if method != right
]


@pytest.mark.parametrize(("method", "route"), WRONG, ids=[" ".join(pair) for pair in WRONG])
def test_a_method_that_a_route_does_not_have_is_not_allowed(door, method, route):
    reply = door.session.request(
        method, door.service.url + route, data=GOOD, timeout=60, allow_redirects=False
    )

    assert reply.status_code == 405
    assert reply.headers["Content-Type"] == "application/json"
    assert list(reply.json()) == ["error"]
    assert method in reply.json()["error"]


def test_a_head_of_infer_is_not_allowed(door):
    reply = door.session.head(f"{door.service.url}/v2/models/memory/infer", timeout=60)

    assert reply.status_code == 405
    assert reply.content == b""


# --- The database ------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [said("x", PRIVATE), recall("x")], ids=["add", "read"])
def test_a_memory_whose_database_cannot_be_reached_is_unavailable(door, sent):
    reply = door.infer(sent, "down")

    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert "database" in sentence(reply)


def test_a_malformed_request_is_refused_even_while_the_database_is_down(door):
    assert door.infer(saying(content=None), "down").status == 400


def test_a_memory_that_is_down_does_not_take_the_others_along(door):
    door.infer(said("x", "lost"), "down")

    assert door.infer(said(new_id(), "hello")).texts == ["hello"]


def test_a_conversation_that_stays_locked_is_unavailable_for_writers(
    limited, limited_door, limited_rows
):
    alias = connect(limited.environment["DATABASE_URL"])
    memory_id = new_id()
    limited_door.infer(said(memory_id, "before"))
    before = limited_rows()

    with transaction.atomic(alias):  # on SQLite it locks the file, elsewhere the row
        locked = Conversation.objects.using(alias).filter(memory_id=memory_id)
        assert list(locked.select_for_update())
        reply = limited_door.infer(said(memory_id, PRIVATE))
        meanwhile = limited_door.infer(recall(memory_id))

    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) >= 1
    assert "busy" in sentence(reply)
    assert meanwhile.texts == ["before"]
    assert limited_rows() == before
    assert limited_door.infer(said(memory_id, "after")).texts == ["before", "after"]


# --- Faults ------------------------------------------------------------------------------


@contextmanager
def broken(service: Service) -> Iterator[None]:
    """A column of the service's table has another name than the service knows."""
    connection = connections[connect(service.environment["DATABASE_URL"])]
    rename = "ALTER TABLE convstore_message RENAME COLUMN {} TO {}"
    with connection.cursor() as cursor:
        cursor.execute(rename.format("body", "body_"))
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(rename.format("body_", "body"))


@pytest.mark.parametrize("sent", [said("x", PRIVATE), recall("x")], ids=["add", "read"])
def test_a_fault_is_one_generic_sentence_with_an_id_that_the_log_has(
    limited, limited_door, unblocked, sent
):
    request_id = f"test-{uuid.uuid4()}"

    with broken(limited):
        reply = limited_door.send(json.dumps(sent).encode(), **{"X-Request-Id": request_id})

    assert reply.status == 500
    assert request_id in sentence(reply)
    assert "body" not in sentence(reply)
    log = limited.log.read_text()
    assert "Traceback" in log[log.index(request_id) :]


def test_a_fault_without_a_request_id_is_given_one(limited, limited_door, unblocked):
    with broken(limited):
        reply = limited_door.infer(said("x", PRIVATE))

    assert reply.status == 500
    (request_id,) = [word for word in sentence(reply).split() if word.count("-") == 4]
    assert uuid.UUID(request_id).version == 4
    assert request_id in limited.log.read_text()


def test_a_long_request_id_is_not_echoed_whole(limited, limited_door, unblocked):
    with broken(limited):
        reply = limited_door.send(GOOD, **{"X-Request-Id": "x" * 5000})

    assert reply.status == 500
    assert sentence(reply)


def test_a_fault_writes_nothing_and_is_over_when_its_cause_is(limited, limited_door, limited_rows):
    memory_id = new_id()
    limited_door.infer(said(memory_id, "before"))
    before = limited_rows()

    with broken(limited):
        one = limited_door.infer(said(memory_id, "meanwhile"))
        three = limited_door.infer(several(new_id(), ["user"] * 3, content=[["a"]] * 3))

    assert [one.status, three.status] == [500, 500]
    assert limited_rows() == before
    assert limited_door.infer(said(memory_id, "after")).texts == ["before", "after"]
