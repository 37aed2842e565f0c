"""Bodies, encodings, routes and methods, which HTTP alone has: how the HTTP door refuses them.

And what becomes of them at MLServer's REST, as far as that is of this kind.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from testing.bodies import (
    append_request,
    binary_body,
    binary_tensor,
    document,
    new_id,
    pack_elements,
    tensor,
)
from tests.doors import HttpDoor, RestDoor
from tests.refusals import MAX_BODY_BYTES, PRIVATE, refusal_sentence

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(service) -> HttpDoor:
    return HttpDoor(service)


@pytest.fixture
def rest(mlserver) -> RestDoor:
    return RestDoor(mlserver)


@pytest.fixture
def limited_door(limited) -> HttpDoor:
    return HttpDoor(limited)


# --- Bodies ------------------------------------------------------------------------------

GOOD = json.dumps(append_request("malformed", PRIVATE)).encode()


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
    "UTF-16": json.dumps(append_request("malformed", PRIVATE)).encode("utf-16"),
    "UTF-16 without a BOM": json.dumps(append_request("malformed", PRIVATE)).encode("utf-16-le"),
    "UTF-32": json.dumps(append_request("malformed", PRIVATE)).encode("utf-32"),
    "Latin-1": json.dumps(append_request("malformed", "naïve"), ensure_ascii=False).encode(
        "latin-1"
    ),
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
TWO_WORDS = pack_elements(b"one", b"two")
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
    "size of one element of two": (len(pack_elements(b"one")), TWO_WORDS),
    "size 0 with bytes behind": (0, TWO_WORDS),
    "size 0": (0, b""),
    "a length that is cut off": (2, b"\1\0"),
    "an element that is cut off": (len(TWO_WORDS) - 1, TWO_WORDS[:-1]),
    "a length beyond the end": (8, b"\xff\xff\xff\xffword"),
    "a length in the other byte order": (8, b"\0\0\0\4word"),
    "an element that is not UTF-8": (6, pack_elements(b"\xff\xfe")),
    "an element that is a surrogate": (7, pack_elements(b"\xed\xa0\x80")),
}


class Malformed(NamedTuple):
    body: bytes
    headers: dict[str, str]


def with_binary(name: str, size: Any, blob: bytes) -> Malformed:
    """A request that adds a message, one tensor of which is binary."""
    plain = {"memory_id": ["malformed"], "role": ["user"], "content": [PRIVATE]}
    tensors = [tensor(other, data) for other, data in plain.items() if other != name]
    return Malformed(*binary_body(document(*tensors, binary_tensor(name, size)), blob))


MALFORMED = {
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
    "binary: an id with a NUL": with_binary("memory_id", 7, pack_elements(b"a\0b")),
    "binary: no header": Malformed(binary_body(document(binary_tensor("memory_id", 7)))[0], {}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_body_is_refused_with_a_sentence_and_writes_nothing(door, rows, name):
    case = MALFORMED[name]
    before = rows()

    reply = door.send(case.body, **case.headers)

    assert reply.status == 400
    assert refusal_sentence(reply)
    assert rows() == before


def test_the_body_that_the_malformed_ones_are_made_of_is_a_good_one(door, rest):
    for each in (door, rest):
        for body in (GOOD, within("x", b"1")):
            assert each.send(body).status == 200
        assert each.send(COMPRESSED, **{"Content-Encoding": "gzip"}).status == 200
    good = with_binary("content", len(TWO_WORDS), TWO_WORDS)
    assert door.send(good.body, **good.headers).status == 200


TWICE = [
    (b'"parameters": {"idempotency_key": "k"}, "parameters": {}', "parameters"),
    (b'"id": "one", "i\\u0064": "two"', "id"),
    (b'"parameters": {"trace_id": "1", "trace_id": "2"}', "trace_id"),
    (b'"outputs": [{"name": "history", "name": "content"}]', "name"),
]


@pytest.mark.parametrize(("fields", "name"), TWICE)
def test_a_name_that_is_twice_in_an_object_is_refused(door, rest, rows, fields, name):
    before = rows()
    for each, status in ((door, 400), (rest, 422)):
        reply = each.send(b"{" + fields + b", " + GOOD[1:])

        assert reply.status == status
        sentence = f'the body has the name "{name}" twice in an object; send it once'
        assert refusal_sentence(reply) == sentence
    assert rows() == before


NAMED = {
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

    text = refusal_sentence(door.send(case.body, **case.headers))

    for word in NAMED[name]:
        assert word in text


def test_after_many_refusals_the_service_still_answers(door):
    for name in ("body: a megabyte of open lists", "encoding: gzip cut off"):
        door.send(MALFORMED[name].body, **MALFORMED[name].headers)

    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


def test_a_host_that_is_no_host_is_refused(door, rows):
    before = rows()

    reply = door.send(GOOD, Host="no host!")

    assert reply.status == 400
    assert refusal_sentence(reply)
    assert rows() == before


# --- MLServer's REST ---------------------------------------------------------------------


def test_a_body_that_is_no_json_is_refused_by_mlserver_and_writes_nothing(rest, rows, subtests):
    before = rows()
    for name, body in BODIES.items():
        with subtests.test(name):
            reply = rest.send(body)

            assert reply.status == 422
            assert rows() == before
            if "error" in reply.document:  # our limit, before MLServer reads the body
                assert "nested" in refusal_sentence(reply)
                continue
            (fault,) = reply.document["detail"]
            assert fault["type"] == ("json_invalid" if body else "missing")
    assert rest.infer(append_request(new_id(), "hello")).texts == ["hello"]


BROKEN_GZIP = [
    "gzip that is not gzip",
    "gzip cut off",
    "gzip without its checksum",
    "gzip with another checksum",
    "gzip damaged inside",
    "gzip with garbage behind",
]


@pytest.mark.parametrize("name", BROKEN_GZIP)
def test_a_gzip_that_is_broken_is_refused_at_mlserver_and_writes_nothing(rest, rows, name):
    coding, body = ENCODED[name]
    before = rows()

    reply = rest.send(body, **{"Content-Encoding": coding})

    assert reply.status == 422
    assert refusal_sentence(reply) == "the body is not valid gzip, or was cut off"
    assert rows() == before
    assert rest.infer(append_request(new_id(), "hello")).texts == ["hello"]


@pytest.mark.parametrize("name", ["size of one element of two", "an id with a NUL", "two ids"])
def test_mlserver_reads_no_binary_tensors_and_writes_nothing(rest, rows, name):
    case = MALFORMED[f"binary: {name}"]
    before = rows()

    reply = rest.send(case.body, **case.headers)

    assert reply.status == 422
    assert [fault["type"] for fault in reply.document["detail"]] == ["json_invalid"]
    assert rows() == before


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_says_to_be_no_json_is_refused_by_mlserver(rest, rows, content_type):
    before = rows()

    reply = rest.send(GOOD, **{"Content-Type": content_type})

    assert reply.status == 422
    assert [fault["type"] for fault in reply.document["detail"]] == ["model_attributes_type"]
    assert rows() == before


# --- Limits ------------------------------------------------------------------------------

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def filled(size: int) -> bytes:
    """A good request of so many bytes."""
    body = json.dumps(append_request(new_id(), PRIVATE)).encode()
    return body + b" " * (size - len(body))


def test_a_body_of_exactly_the_limit_is_read(limited_door):
    assert limited_door.send(filled(MAX_BODY_BYTES)).status == 200


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 100 * MAX_BODY_BYTES, 20_000_000])
def test_a_body_over_the_limit_is_too_large(limited_door, limited_rows, size):
    before = limited_rows()

    reply = limited_door.send(filled(size))

    assert reply.status == 413
    assert str(MAX_BODY_BYTES) in refusal_sentence(reply)
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
    assert str(MAX_BODY_BYTES) in refusal_sentence(reply)
    assert limited_rows() == before


def test_a_chunked_body_is_too_large_only_over_the_limit(limited_door, limited_rows):
    before = limited_rows()

    within_it = limited_door.send(iter([filled(1000), b" " * 1000]))
    over_it = limited_door.send(iter([filled(1000)] + [b" " * 1000] * 20))

    assert over_it.status == 413
    assert refusal_sentence(over_it)
    assert within_it.status == 200
    assert limited_rows() == (before[0] + 1, before[1] + 1)


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
    assert refusal_sentence(reply)


@pytest.mark.parametrize("path", ["%00", "%0A", "%FF", "a%2Fb", "%22%27", "..%2F..%2Fetc", "%s"])
def test_an_odd_name_is_not_found(door, path):
    reply = door.send(GOOD, path)

    assert reply.status == 404
    assert list(reply.document) == ["error"]


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
def test_an_unknown_route_is_not_found(door, path, subtests):
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        with subtests.test(method):
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


@pytest.mark.parametrize(("route", "right"), ROUTES.items(), ids=ROUTES)
def test_a_method_that_a_route_does_not_have_is_not_allowed(door, route, right, subtests):
    url = door.service.url + route
    for method in METHODS:
        if method == right:
            continue
        with subtests.test(method):
            reply = door.session.request(method, url, data=GOOD, timeout=60, allow_redirects=False)

            assert reply.status_code == 405
            assert reply.headers["Content-Type"] == "application/json"
            assert list(reply.json()) == ["error"]
            assert method in reply.json()["error"]


def test_a_head_of_infer_is_not_allowed(door):
    reply = door.session.head(f"{door.service.url}/v2/models/memory/infer", timeout=60)

    assert reply.status_code == 405
    assert reply.content == b""
