"""Which requests are refused for overload without gunicorn's parser, and when they are told."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from memory_api.server.connection import Connection
from memory_api.server.overload import (
    HOLD_SECONDS,
    MOST_REFUSED_AT_ONCE,
    REFUSED_PER_SERVED,
    STALL_SECONDS,
    HeldRefusals,
    is_plain_request,
)
from tests.wire import CHUNKED, END, head

INFER = "/v2/models/memory/infer"
SIZED = head("POST", INFER, content_type="application/json", content_length="2", x_request_id="a")


@pytest.mark.parametrize(
    "data",
    [
        head("GET", INFER),
        head("GET", INFER, content_length="0"),
        head("GET", INFER, connection="keep-alive", accept="*/*"),
        SIZED + b"{}",
        head("POST", f"{INFER}?a=b", CONTENT_LENGTH="2") + b"{}",
    ],
)
def test_one_whole_request_is_plain(data):
    assert is_plain_request(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SIZED[:-1],
        SIZED,
        SIZED + b"{",
        SIZED + b"{}\r\n",
        head("GET", INFER) * 2,
        head("GET", "/v2/health/live"),
        head("GET", "/v2/%68ealth/live"),
        head("HEAD", INFER),
        head("GET", INFER).replace(b"HTTP/1.1", b"HTTP/1.0"),
        head("GET", INFER, connection="close"),
        head("GET", INFER, connection="keep-alive, upgrade"),
        head("POST", INFER, expect="100-continue", content_length="0"),
        head("POST", INFER, **CHUNKED) + END,
        head("GET", INFER, upgrade="h2c"),
        # Where gunicorn sees an error, or might see another end.
        head("POST", INFER, content_length="2 ") + b"{}",
        head("POST", INFER, content_length="+2") + b"{}",
        head("POST", INFER, content_length="2, 2") + b"{}",
        head("POST", INFER, content_length="2", **{"Content-length": "2"}) + b"{}",
        head("POST", INFER, content_length="2", transfer_encoding="chunked") + b"{}",
        head("GET", INFER).replace(b"Host: ", b"Host : "),
        head("GET", INFER).replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n"),
        head("GET", INFER).replace(b"\r\n", b"\n"),
        head("GET", INFER, x="a\nb"),
    ],
)
def test_what_gunicorns_parser_has_to_judge_is_not(data):
    assert not is_plain_request(data)


def test_many_headers_take_no_longer_for_being_malformed():
    headers = b"a: \r\n" * 200_000
    assert not is_plain_request(b"GET / HTTP/1.1\r\n" + headers + b"\0\r\n\r\n")


@pytest.fixture
def connection() -> Iterator[Connection]:
    ours, clients = socket.socketpair()
    with ours, clients:
        yield Connection(ours, None, None)


def test_a_refusal_is_held_for_a_moment_and_no_longer(connection):
    held = HeldRefusals()
    assert held.seconds_left(100, at_most=9) == 9
    held.add(connection, 100)
    assert list(held.due(100, 0)) == []
    assert held.seconds_left(100, at_most=9) == pytest.approx(HOLD_SECONDS)
    assert list(held.due(100 + HOLD_SECONDS, 0)) == [connection]
    assert list(held.due(200, 0)) == []


def test_while_requests_are_served_only_some_are_refused_for_each(connection):
    held = HeldRefusals()
    for _ in range(3 * MOST_REFUSED_AT_ONCE):
        held.add(connection, 100)
    assert len(list(held.due(101, 1))) == MOST_REFUSED_AT_ONCE
    assert len(list(held.due(101, 1))) == 0
    assert len(list(held.due(101, 3))) == 2 * REFUSED_PER_SERVED
    assert held.seconds_left(101, at_most=9) > 0  # the loop does not spin
    # While nothing is served, there is time to refuse.
    assert len(list(held.due(101 + 2 * STALL_SECONDS, 3))) == MOST_REFUSED_AT_ONCE
