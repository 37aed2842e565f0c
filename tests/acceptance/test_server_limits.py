"""What the server itself refuses, with `{"error": ...}`, and what it reads of HTTP."""

from __future__ import annotations

import json
import resource
import select
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psutil
import pytest
import requests

from memory_api.gunicorn import MAX_HEADER_BYTES
from testing.bodies import append_request, new_id
from testing.processes import process_group
from testing.service import Service
from tests.bad_clients import open_connections
from tests.wire import CHUNKED, END, Reply, Wire, chunk, head

pytestmark = [pytest.mark.one_database, pytest.mark.slow]

INFER = "/v2/models/filesys-memory/infer"
LIVE = head("GET", "/v2/health/live")
MAX_CONNECTIONS = 20
MAX_BODY = 4_000_000
MAX_BUFFERED = 6_000_000


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {
        "MAX_CONNECTIONS": str(MAX_CONNECTIONS),
        "MAX_BODY_BYTES": str(MAX_BODY),
        "MAX_BUFFERED_BYTES": str(MAX_BUFFERED),
        "DATABASE_TIMEOUT": "30",
    }
    with Service(tmp_path_factory.mktemp("limited"), THREADS="4", **limits) as service:
        yield service


@pytest.fixture
def wire(limited: Service) -> Iterator[Wire]:
    with Wire(limited) as wire:
        yield wire


def told(wire: Wire) -> Reply:
    reply = wire.reply()
    assert reply, "the connection was closed"
    assert reply.document.keys() == {"error"}
    return reply


def body_of(memory_id: str, size: int = 0) -> bytes:
    return json.dumps(append_request(memory_id, "Hi")).encode().ljust(size)


# --- Malformed requests ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"\x16\x03\x01\n\n", 400),
        (b"GET /v2\r\n\r\n", 400),
        (b"GET /v2 HTTP/3.0\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nNo colon\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nBad name : x\r\n\r\n", 400),
        (head("POST", INFER, content_length="5", transfer_encoding="chunked"), 400),
        (b"POST /v2 HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (head("POST", INFER, content_length="-1"), 400),
        (head("POST", INFER, content_length="1e3"), 400),
        (head("POST", INFER, transfer_encoding="chunked, chunked"), 400),
        (b"POST /v2 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (head("POST", INFER, transfer_encoding="zip"), 501),
        (head("POST", INFER, content_length="5", expect="miracles"), 417),
        (b"GET /" + b"x" * 5000, 414),
        (head("GET", "/v2", x="y" * 66_000), 431),
        (head("GET", "/v2", **{f"x{n}": "y" for n in range(200)}), 431),
        (head("POST", INFER, **CHUNKED) + b"zz\r\n", 400),
        (head("POST", INFER, **CHUNKED) + b"1" * 9000, 400),
        (head("POST", INFER, **CHUNKED) + b"0\r\n" + b"X: y\r\n" * 2000, 431),
    ],
)
def test_what_is_not_http_gets_one_sentence_and_the_connection_ends(wire, request_bytes, status):
    wire.send(request_bytes, LIVE)
    assert told(wire).status == status
    assert wire.is_closed()


@pytest.mark.parametrize(
    ("request_bytes", "limits"),
    [
        (b"GET /" + b"x" * 5000, ["4094"]),
        (head("GET", "/v2", x="y" * 66_000), ["100", str(MAX_HEADER_BYTES)]),
        (head("GET", "/v2", **{f"x{n}": "y" for n in range(200)}), ["100", str(MAX_HEADER_BYTES)]),
    ],
)
def test_a_head_that_is_too_large_is_told_the_limit(wire, request_bytes, limits):
    wire.send(request_bytes)
    sentence = told(wire).document["error"]
    assert [limit for limit in limits if limit not in sentence] == []


def test_a_header_may_be_as_long_as_a_token_of_an_identity_provider(wire):
    token = "a" * (MAX_HEADER_BYTES - 100)
    assert wire.ask("GET", "/v2/health/live", authorization=f"Bearer {token}").status == 200
    assert wire.infer(append_request(new_id(), "Hi"), INFER).status == 200


def test_a_head_may_come_byte_by_byte(wire):
    for byte in LIVE:
        wire.send(bytes([byte]))
        time.sleep(0.001)
    reply = wire.reply()
    assert reply
    assert reply.document == {"live": True}


# --- HTTP/1.0, 100-continue, large bodies ------------------------------------------------


@pytest.mark.parametrize(("header", "stays"), [(b"", False), (b"Connection: keep-alive\r\n", True)])
def test_http_1_0_is_closed_unless_the_client_asks_otherwise(wire, header, stays):
    wire.send(b"GET /v2/health/live HTTP/1.0\r\n" + header + b"\r\n")
    assert wire.file.readline() == b"HTTP/1.0 200 OK\r\n"
    while wire.file.readline() != b"\r\n":
        pass
    assert wire.file.read(len(b'{"live":true}')) == b'{"live":true}'
    if stays:
        assert wire.ask("GET", "/v2/health/live").status == 200
    else:
        assert wire.is_closed()


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_body_that_waits_to_be_wanted_is_asked_for(wire, chunked):
    body = body_of(new_id())
    framing = CHUNKED if chunked else {"content_length": str(len(body))}
    for _ in range(2):
        wire.send(head("POST", INFER, expect="100-continue", **framing))
        assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert wire.file.readline() == b"\r\n"
        wire.send(chunk(body) + END if chunked else body)
        reply = wire.reply()
        assert reply
        assert reply.status == 200


def test_a_body_that_has_come_is_not_asked_for(wire):
    body = body_of(new_id())
    wire.send(head("POST", INFER, expect="100-continue", content_length=str(len(body))) + body)
    reply = wire.reply()
    assert reply
    assert reply.status == 200


def test_a_body_that_is_too_large_is_not_asked_for(wire):
    wire.send(head("POST", INFER, expect="100-continue", content_length=str(MAX_BODY + 1)))
    assert told(wire).status == 413
    assert wire.is_closed()


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_body_that_is_kept_in_a_file_is_read_whole(wire, chunked):
    body = body_of(new_id(), MAX_BODY)
    if chunked:
        wire.send(head("POST", INFER, **CHUNKED))
        wire.send(*[chunk(body[at : at + 9999]) for at in range(0, MAX_BODY, 9999)], END)
    else:
        wire.send(head("POST", INFER, content_length=str(MAX_BODY)), body)
    reply = wire.reply()
    assert reply
    assert reply.status == 200
    assert wire.ask("GET", "/v2/health/live").status == 200


def test_a_line_end_after_a_body_begins_no_request(tmp_path):
    with Service(tmp_path, CLIENT_TIMEOUT="1") as service, Wire(service) as wire:
        body = body_of(new_id())
        wire.send(head("POST", INFER, content_length=str(len(body))), body, b"\r\n")
        reply = wire.reply()
        assert reply
        assert reply.status == 200
        time.sleep(2.5)  # a request that had begun would be late
        assert wire.ask("GET", "/v2/health/live").status == 200


# --- Connections and bytes ---------------------------------------------------------------


def test_many_idle_connections_stop_no_other(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with Service(tmp_path) as service, ExitStack() as idle:
            for _ in range(1_100):
                wire = idle.enter_context(Wire(service))
                assert wire.ask("GET", "/v2/health/live").status == 200
            assert open_connections(service) == 1_100
            assert requests.get(f"{service.url}/v2/health/live", timeout=30).status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_idle_connection_makes_room_for_a_new_one(limited):
    with ExitStack() as stack:
        idle = [stack.enter_context(Wire(limited)) for _ in range(MAX_CONNECTIONS)]
        for wire in idle:
            assert wire.ask("GET", "/v2/health/live").status == 200
        time.sleep(1.5)  # until they are idle
        with Wire(limited) as new:
            assert new.ask("GET", "/v2/health/live").status == 200
        assert idle[0].is_closed()


def test_above_the_limit_of_connections_a_client_is_told_to_try_again(limited):
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            busy = stack.enter_context(Wire(limited))
            busy.send(head("POST", INFER, content_length="9"), b"1")
        assert_told_to_try_again(stack.enter_context(Wire(limited)))
        busy.send(b"12345678")
        reply = busy.reply()
        assert reply
        assert reply.status == 400


def test_without_a_file_for_another_connection_the_worker_waits_for_one(tmp_path):
    with Service(tmp_path) as service, ExitStack() as stack:
        served = stack.enter_context(Wire(service))
        assert served.ask("GET", "/v2/health/live").status == 200
        worker = max(process_group(service.process.pid), key=lambda each: each.num_threads())
        soft, hard = worker.rlimit(psutil.RLIMIT_NOFILE)
        served.send(head("POST", INFER, content_length="9"), b"1")  # so that it is not idle
        worker.rlimit(psutil.RLIMIT_NOFILE, (0, hard))
        waiting = stack.enter_context(Wire(service))
        waiting.send(LIVE)
        time.sleep(2)
        worker.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        reply = waiting.reply()
        assert reply
        assert reply.status == 200
        assert 0 < service.log.read_text().count("The limit on open files is reached") < 20


def test_when_too_much_is_buffered_the_largest_request_goes(limited):
    with Wire(limited) as large, Wire(limited) as larger, Wire(limited) as small:
        announced = head("POST", INFER, content_length=str(MAX_BODY))
        large.send(announced, b" " * (MAX_BUFFERED // 2 - 100_000))
        larger.send(announced, b" " * (MAX_BUFFERED // 2 + 200_000))
        assert_told_to_try_again(larger)
        assert small.infer(append_request(new_id(), "Hi"), INFER).status == 200
        large.send(b" " * (MAX_BODY - MAX_BUFFERED // 2 + 100_000))
        reply = large.reply()
        assert reply
        assert reply.status == 400  # blanks are no document


def test_large_bodies_are_worked_on_one_at_a_time(limited):
    """MAX_BYTES_IN_WORK is as large as the largest body; a lock of the database holds the first."""
    file = limited.folder / "data" / "conversations.sqlite3"
    with ExitStack() as stack:
        first, second, small = (stack.enter_context(Wire(limited)) for _ in range(3))
        writer = stack.enter_context(closing(sqlite3.connect(file, isolation_level=None)))
        writer.execute("BEGIN IMMEDIATE")
        large = body_of(new_id(), MAX_BODY - 100_000)
        announced = head("POST", INFER, content_length=str(len(large)))
        first.send(announced, large)
        blanks = b" " * (MAX_BODY // 2)  # no document
        while (reply := second.ask("POST", INFER, blanks)).status == 400:
            # The first is not worked on yet, or was refused because these blanks were.
            if select.select([first.socket], [], [], 0.1)[0]:
                assert told(first).status == 503
                first.send(announced, large)
        assert reply.status == 503
        assert reply.document == {"error": "too many large requests are being served; try again"}
        assert int(reply.headers["Retry-After"]) > 0
        body = body_of(new_id())
        small.send(head("POST", INFER, content_length=str(len(body))), body)
        writer.execute("ROLLBACK")
        for wire in (first, small):
            answer = wire.reply()
            assert answer
            assert answer.status == 200
        assert second.ask("POST", INFER, large).status == 200


def assert_told_to_try_again(wire: Wire) -> None:
    reply = told(wire)
    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) > 0
    assert wire.is_closed()
