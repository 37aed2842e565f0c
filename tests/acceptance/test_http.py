"""HTTP itself: routes, methods, codings, and connections that are slow, cut or kept open.

Connections are opened here, and replies read by their Content-Length, so that a byte too
many or too few shows in the reply after it.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import closing

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from testing.bodies import append_request, new_id, read_request
from testing.service import MEMORIES, Service
from tests.wire import END, INFER, Wire, chunk, head

pytestmark = pytest.mark.one_database

LIMIT = 1_000_000
CHUNKED_HEAD = head("POST", INFER, transfer_encoding="chunked")


def history(service: Service, memory_id: str, path: str = INFER) -> list[str]:
    """The texts of a conversation."""
    response = requests.post(f"{service.url}{path}", json=read_request(memory_id), timeout=30)
    assert response.status_code == 200, response.text
    messages = map(json.loads, response.json()["outputs"][1]["data"])
    return [part["value"] for message in messages for part in message["content"]]


@pytest.fixture
def wire(service) -> Iterator[Wire]:
    with Wire(service) as wire:
        yield wire


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes bodies of at most LIMIT bytes."""
    with Service(tmp_path_factory.mktemp("limited"), MAX_BODY_BYTES=str(LIMIT)) as service:
        yield service


# --- Routes ------------------------------------------------------------------------------

JSON_ROUTES = [
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/memory",
    "/v2/models/memory/ready",
    "/v2/models/versioned/versions/3",
    "/v2/models/versioned/versions/3/ready",
]
INFER_ROUTES = [INFER, "/v2/models/versioned/infer", "/v2/models/versioned/versions/3/infer"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True})],
)
def test_health_is_json(wire, path, expected):
    reply = wire.ask("GET", path)
    assert reply.status == 200
    assert reply.document == expected


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_a_trailing_slash_makes_no_difference_to_what_is_read(wire, path):
    without, with_slash = wire.ask("GET", path), wire.ask("GET", f"{path}/")
    assert without.status == with_slash.status == 200
    assert without.document == with_slash.document != {}


@pytest.mark.parametrize(
    ("path", "content_type", "part"),
    [("/metrics", "text/plain", b"# TYPE"), ("/v2/docs", "text/html", b"<!DOCTYPE html>")],
)
def test_metrics_and_docs_are_there_with_and_without_a_trailing_slash(
    wire, path, content_type, part
):
    for route in (path, f"{path}/"):
        reply = wire.ask("GET", route)
        assert reply.status == 200
        assert reply.headers["Content-Type"].startswith(content_type)
        assert part in reply.body


@pytest.mark.parametrize("path", INFER_ROUTES)
def test_a_trailing_slash_makes_no_difference_to_an_inference(wire, path):
    memory_id = new_id()
    for n, route in enumerate((path, f"{path}/"), start=1):
        reply = wire.infer(append_request(memory_id, "Hi"), route)
        assert reply.status == 200
        assert len(reply.document["outputs"][1]["data"]) == n


def test_a_trailing_slash_makes_no_difference_to_the_index(wire):
    without = wire.ask("POST", "/v2/repository/index")
    with_slash = wire.ask("POST", "/v2/repository/index/")
    assert without.status == with_slash.status == 200
    assert without.document == with_slash.document


@pytest.mark.parametrize("path", [*JSON_ROUTES, "/v2/docs"])
def test_head_answers_as_get_does_without_the_body(wire, path):
    expected = wire.ask("GET", path)
    for _ in range(2):
        reply = wire.ask("HEAD", path)
        assert reply.status == expected.status == 200
        for header in ("Content-Type", "Content-Length"):
            assert reply.headers[header] == expected.headers[header]
    # Were there a body after all, it would stand before this reply.
    assert wire.ask("GET", path).body == expected.body


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize(
    "path", ["/admin-static/admin/css/base.css", "/admin/login/", "/v2/docs", "/metrics", "/no"]
)
def test_head_logs_no_warning(wire, service, path, encoding):
    before = len(service.log.read_text())
    wire.ask("HEAD", path, accept_encoding=encoding)
    wire.ask("GET", "/v2/health/live")  # by then, the first request is done
    lines = service.log.read_text()[before:].splitlines()
    assert all(" INFO convstore.request_log: " in line for line in lines), lines
    assert len(lines) <= 1


def test_a_file_that_a_browser_has_is_not_sent_again(service):
    url = f"{service.url}/admin-static/admin/css/base.css"
    before = len(service.log.read_text())
    with requests.Session() as browser:  # which accepts gzip
        known = {"If-None-Match": browser.get(url, timeout=30).headers["ETag"]}
        reply = browser.get(url, headers=known, timeout=30)
        assert (reply.status_code, reply.content) == (304, b"")
        browser.get(f"{service.url}/v2/health/live", timeout=30)
    assert service.log.read_text()[before:] == ""


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INFER, {"POST"}),
        ("HEAD", INFER, {"POST"}),
        ("PUT", INFER, {"POST"}),
        ("GET", "/v2/repository/index", {"POST"}),
        ("POST", "/v2/health/live", {"GET", "HEAD"}),
        ("POST", "/v2/models/memory", {"GET", "HEAD"}),
        ("DELETE", "/v2/models/memory", {"GET", "HEAD"}),
        ("PATCH", "/metrics", {"GET", "HEAD"}),
        ("OPTIONS", "/v2", {"GET", "HEAD"}),
        ("TRACE", "/v2", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_a_route_does_not_have_is_refused_with_those_it_has(
    wire, method, path, allowed
):
    reply = wire.ask(method, path)
    assert reply.status == 405
    assert {name.strip() for name in reply.headers["Allow"].split(",")} == allowed
    assert method == "HEAD" or reply.document.keys() == {"error"}
    assert wire.ask("GET", "/v2/health/live").document == {"live": True}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/v1/models/memory:predict",
        "/v2/nope",
        "/v2/models",
        "/v2/models/",
        "/v2/models//infer",
        "/v2/models/memory/nope",
        "/v2/models/memory/infer/more",
        "/v2/models/memory/versions/3/nope",
        "/v2/repository",
        "/v2/%00",
        "/%E2%82",
        "/favicon.ico",
    ],
)
def test_an_unknown_route_is_a_json_error(wire, method, path):
    reply = wire.ask(method, path)
    assert reply.status == 404
    assert reply.document.keys() == {"error"}
    assert reply.document["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/nope"),
        ("GET", "/v2/models/nope/ready"),
        ("POST", "/v2/models/nope/infer"),
    ],
)
def test_an_unknown_memory_is_named(wire, method, path):
    reply = wire.ask(method, path, json.dumps(read_request("a")).encode())
    assert reply.status == 404
    assert reply.document == {"error": "Model nope not found"}


# --- A database that is down -------------------------------------------------------------


def test_the_index_says_which_memories_can_serve(wire):
    index = wire.ask("POST", "/v2/repository/index").document
    assert sorted(index, key=lambda entry: entry["name"]) == [
        {
            "name": name,
            **({"version": version} if version else {}),
            "state": "UNAVAILABLE" if name == "down" else "READY",
            "reason": "the database cannot be reached" if name == "down" else "",
        }
        for name, (version, _) in sorted(MEMORIES.items())
    ]


def test_a_memory_whose_database_is_down_is_not_ready_and_takes_no_other_along(wire):
    down = wire.ask("GET", "/v2/models/down/ready")
    reason = "the database cannot be reached"
    assert (down.status, down.document) == (503, {"name": "down", "ready": False, "error": reason})
    up = wire.ask("GET", "/v2/models/memory/ready")
    assert (up.status, up.document) == (200, {"name": "memory", "ready": True})
    ready = wire.ask("GET", "/v2/health/ready")
    assert (ready.status, ready.document) == (200, {"ready": True})


def test_a_memory_whose_database_is_down_asks_to_try_later(wire):
    reply = wire.infer(append_request(new_id(), "Hi"), "/v2/models/down/infer")
    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) > 0
    assert "secret" not in reply.document["error"]
    assert wire.infer(append_request(new_id(), "Hi")).status == 200


# --- Metrics -----------------------------------------------------------------------------


def counted(wire: Wire, metric: str, **labels: str) -> float:
    """The value of a counter, 0 where there is none yet."""
    reply = wire.ask("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"].startswith("text/plain")
    return sum(
        sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


def test_inferences_are_counted_by_memory_and_version(wire):
    def counts(model: str, version: str) -> tuple[float, float]:
        labels = {"model": model, "version": version}
        success = counted(wire, "model_infer_request_success_total", **labels)
        failure = counted(wire, "model_infer_request_failure_total", **labels)
        return success, failure

    memory, versioned = counts("memory", ""), counts("versioned", "3")
    for _ in range(3):
        assert wire.infer(append_request(new_id(), "Hi")).status == 200
    for _ in range(2):
        assert wire.infer({}).status == 400
    assert wire.infer(append_request(new_id(), "Hi"), "/v2/models/versioned/infer").status == 200
    assert counts("memory", "") == (memory[0] + 3, memory[1] + 2)
    assert counts("versioned", "3") == (versioned[0] + 1, versioned[1])


def test_requests_are_counted_by_status(wire):
    before = counted(wire, "rest_server_requests_total", method="GET", status_code="405")
    wire.ask("GET", INFER)
    after = counted(wire, "rest_server_requests_total", method="GET", status_code="405")
    assert after == before + 1


def test_methods_that_a_client_invents_are_counted_as_one(wire):
    before = counted(wire, "rest_server_requests_total", method="other")
    for method in ("INVENTED", "ANOTHER"):
        assert wire.ask(method, INFER).status == 405
    assert counted(wire, "rest_server_requests_total", method="other") == before + 2


def test_requests_are_counted_by_the_template_of_their_route(wire):
    path = "/v2/models/<name>/versions/<version>/ready"
    before = counted(wire, "rest_server_requests_total", path=path)
    wire.ask("GET", "/v2/models/versioned/versions/3/ready")
    wire.ask("GET", "/v2/models/versioned/versions/4/ready/")
    assert counted(wire, "rest_server_requests_total", path=path) == before + 2


# --- Codings -----------------------------------------------------------------------------


@pytest.fixture
def long_history(wire) -> str:
    memory_id = new_id()
    for n in range(5):
        assert wire.infer(append_request(memory_id, f"{n} 🙂\n" * 500)).status == 200
    return memory_id


@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate", "br, gzip;q=0.5"])
def test_a_long_reply_is_gzipped_when_that_is_asked_for(wire, long_history, accepted):
    plain = wire.infer(read_request(long_history, id="mine"))
    reply = wire.infer(read_request(long_history, id="mine"), accept_encoding=accepted)
    assert reply.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in reply.headers["Vary"]
    assert len(reply.body) < len(plain.body) / 10
    assert gzip.decompress(reply.body) == plain.body


@pytest.mark.parametrize("accepted", [{}, {"accept_encoding": "identity"}, {"accept_encoding": ""}])
def test_a_reply_is_as_it_is_when_nothing_else_was_asked_for(wire, long_history, accepted):
    reply = wire.infer(read_request(long_history), **accepted)
    assert reply.headers["Content-Encoding"] is None
    assert len(reply.document["outputs"][1]["data"]) == 5


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_body_may_be_compressed(service, wire, coding, encode, chunked):
    memory_id = new_id()
    body = encode(json.dumps(append_request(memory_id, "🙂\n" * 1000)).encode())
    if chunked:
        start = head("POST", INFER, transfer_encoding="chunked", content_encoding=coding)
        wire.send(start, chunk(body[:10]), chunk(body[10:]), END)
    else:
        length = str(len(body))
        wire.send(head("POST", INFER, content_length=length, content_encoding=coding), body)
    reply = wire.reply()
    assert reply
    assert reply.status == 200, reply
    assert history(service, memory_id) == ["🙂\n" * 1000]


# --- Chunked bodies ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_a_body_in_chunks_of_any_size(service, wire, size):
    """Through the middle of characters, one packet a chunk."""
    memory_id = new_id()
    body = json.dumps(append_request(memory_id, "naïve 🙂\n"), ensure_ascii=False).encode()
    chunks = [chunk(body[n : n + size]) for n in range(0, len(body), size)]
    wire.send(CHUNKED_HEAD, *chunks, END)
    reply = wire.reply()
    assert reply
    assert reply.status == 200, reply
    assert history(service, memory_id) == ["naïve 🙂\n"]


def test_a_chunked_body_from_pythons_own_client(service):
    memory_id = new_id()
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        for text in ("one", "two"):
            body = json.dumps(append_request(memory_id, text)).encode()
            connection.request("POST", INFER, iter([body[:9], body[9:]]), encode_chunked=True)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            response.read()
    assert history(service, memory_id) == ["one", "two"]


def test_chunks_may_have_extensions_and_trailers(service, wire):
    memory_id = new_id()
    body = json.dumps(append_request(memory_id, "Hi")).encode()
    wire.send(CHUNKED_HEAD, b'%x;name="value"\r\n%b\r\n' % (len(body), body))
    wire.send(b"0\r\nX-Checksum: none\r\n\r\n")
    reply = wire.reply()
    assert reply
    assert reply.status == 200, reply
    assert history(service, memory_id) == ["Hi"]


def test_several_chunked_requests_are_answered_in_order_on_one_connection(service, wire):
    memory_id = new_id()
    texts = [str(n) for n in range(5)]
    bodies = [json.dumps(append_request(memory_id, text, id=text)).encode() for text in texts]
    wire.send(b"".join(CHUNKED_HEAD + chunk(body) + END for body in bodies))
    for text in texts:
        reply = wire.reply()
        assert reply
        assert reply.status == 200, reply
        assert reply.document["id"] == text
    assert history(service, memory_id) == texts


def test_an_empty_chunked_body_is_refused(wire):
    wire.send(CHUNKED_HEAD, END)
    reply = wire.reply()
    assert reply
    assert reply.status == 400
    assert reply.document.keys() == {"error"}


@pytest.mark.parametrize(
    "tail",
    [
        b"zz\r\n  \r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        b"2\r\n    \r\n0\r\n\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\nBad Name: x\r\n\r\n",
    ],
    ids=["no size", "empty size", "too long", "no colon", "bad name"],
)
def test_malformed_chunks_are_refused_with_all_that_follows_them(service, tail):
    """Nobody knows where the next request would begin."""
    memory_id = new_id()
    body = json.dumps(append_request(memory_id, "Hi")).encode()
    with Wire(service) as wire:
        wire.send(CHUNKED_HEAD, chunk(body), tail)
        reply = wire.reply()
        assert reply
        assert reply.status == 400, reply
        assert reply.document.keys() == {"error"}
        assert wire.reply_after(json.dumps(append_request(memory_id, "there")).encode()) is None
    assert history(service, memory_id) == []


# --- Connections that are kept open ------------------------------------------------------


def test_a_connection_serves_on_after_each_kind_of_refusal(service, wire):
    memory_id = new_id()
    refusals: list[tuple[str, str, bytes, int]] = [
        ("POST", INFER, b"{]", 400),
        ("POST", INFER, b"", 400),
        ("POST", INFER, json.dumps(append_request("", "Hi")).encode(), 400),
        (
            "POST",
            "/v2/models/nope/infer",
            json.dumps(append_request(memory_id, "Hi")).encode(),
            404,
        ),
        ("POST", "/nope", b"x" * 50_000, 404),
        ("GET", INFER, b"a body where none is due", 405),
        ("POST", "/v2/health/live", b"x" * 50_000, 405),
        (
            "POST",
            "/v2/models/down/infer",
            json.dumps(append_request(memory_id, "Hi")).encode(),
            503,
        ),
    ]
    for n, (method, path, body, status) in enumerate(refusals):
        assert wire.ask(method, path, body).status == status, (path, body[:20])
        reply = wire.infer(append_request(memory_id, str(n), id=f"id {n}"))
        assert reply.status == 200
        assert reply.document["id"] == f"id {n}"
    assert history(service, memory_id) == [str(n) for n in range(len(refusals))]


def test_requests_that_were_sent_at_once_are_answered_in_order(wire):
    good = json.dumps(read_request(new_id(), id="mine")).encode()
    bad = b"{]}"
    for body in (bad, good) * 3:
        wire.send(head("POST", INFER, content_length=str(len(body))), body)
    for _ in range(3):
        first, second = wire.reply(), wire.reply()
        assert first
        assert first.status == 400
        assert second
        assert second.document["id"] == "mine"


FILESYS = "/v2/models/filesys-memory/infer"


@pytest.mark.parametrize("size", [LIMIT + 1, LIMIT + 50_000, LIMIT * 40])
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_after_a_body_over_the_limit_a_connection_serves_on_or_is_closed(limited, size, chunked):
    memory_id = new_id()
    body = json.dumps(append_request(memory_id, "Hi")).encode().ljust(size)
    with Wire(limited) as wire:
        try:
            if chunked:
                chunks = [chunk(body[n : n + 65_536]) for n in range(0, size, 65_536)]
                wire.send(head("POST", FILESYS, transfer_encoding="chunked"), *chunks, END)
            else:
                wire.send(head("POST", FILESYS, content_length=str(size)), body)
        except ConnectionError:
            pass  # it does not listen to the end
        reply = wire.reply()
        assert reply
        assert reply.status == 413
        assert str(LIMIT) in reply.document["error"]
        after = wire.reply_after(json.dumps(read_request(memory_id, id="after")).encode(), FILESYS)
        assert after is None or after.document["id"] == "after"
    assert history(limited, memory_id, FILESYS) == []


def test_a_body_at_the_limit_is_taken(limited):
    memory_id = new_id()
    body = json.dumps(append_request(memory_id, "Hi")).encode().ljust(LIMIT)
    with Wire(limited) as wire:
        assert wire.ask("POST", FILESYS, body).status == 200
        wire.send(head("POST", FILESYS, transfer_encoding="chunked"), chunk(body), END)
        reply = wire.reply()
    assert reply
    assert reply.status == 200
    assert history(limited, memory_id, FILESYS) == ["Hi", "Hi"]


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_body_that_inflates_over_the_limit_is_refused_and_the_connection_serves_on(
    limited, coding, encode
):
    memory_id = new_id()
    body = json.dumps(append_request(memory_id, "Hi")).encode().ljust(LIMIT * 100)
    with Wire(limited) as wire:
        reply = wire.ask("POST", FILESYS, encode(body), content_encoding=coding)
        assert reply.status == 413
        assert str(LIMIT) in reply.document["error"]
        assert wire.infer(append_request(memory_id, "there"), FILESYS).status == 200
    assert history(limited, memory_id, FILESYS) == ["there"]


def test_a_client_that_announces_too_much_is_answered_before_it_sends_it(limited):
    with Wire(limited) as wire:
        wire.send(head("POST", FILESYS, content_length=str(10**18)))
        reply = wire.reply()
        assert reply
        assert reply.status == 413


def test_a_connection_is_closed_where_the_client_says_so(wire):
    reply = wire.infer(read_request(new_id()), connection="close")
    assert reply.status == 200
    assert reply.headers["Connection"] == "close"
    assert wire.is_closed()


# --- Slow and broken clients -------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_slow_body_is_waited_for_while_others_are_served(service, wire, chunked):
    memory_id, other = new_id(), new_id()
    body = json.dumps(append_request(memory_id, "Hi")).encode()
    fifth = len(body) // 5 + 1
    fifths = [body[n : n + fifth] for n in range(0, len(body), fifth)]
    assert len(fifths) == 5
    length = str(len(body))
    wire.send(CHUNKED_HEAD if chunked else head("POST", INFER, content_length=length))
    with Wire(service) as neighbour:
        for n, part in enumerate(fifths):
            time.sleep(0.3)
            wire.send(chunk(part) if chunked else part)
            assert neighbour.infer(append_request(other, str(n))).status == 200
    if chunked:
        wire.send(END)
    reply = wire.reply()
    assert reply
    assert reply.status == 200, reply
    assert history(service, memory_id) == ["Hi"]
    assert history(service, other) == ["0", "1", "2", "3", "4"]


def cut_bodies(memory_id: str) -> dict[str, bytes]:
    """Requests that are cut off after the message that is to be stored."""
    body = json.dumps(append_request(memory_id, "Hi")).encode()
    zipped = gzip.compress(body)
    sized = head("POST", INFER, content_length=str(len(body) + 10))
    zipped_head = head("POST", INFER, content_length=str(len(zipped)), content_encoding="gzip")
    return {
        "inside the document": sized + body[:-5],
        "after the document": sized + body,
        "in white space": sized + body + b"     ",
        "inside gzip": zipped_head + zipped[:-5],
        "inside a chunk": CHUNKED_HEAD + b"%x\r\n" % len(body) + body[:-5],
        "after a chunk": CHUNKED_HEAD + chunk(body),
        "before the last line": CHUNKED_HEAD + chunk(body) + b"0\r\n",
    }


@pytest.mark.parametrize("where", list(cut_bodies("")))
def test_a_body_that_ends_too_early_is_refused_and_nothing_is_written(service, wire, where):
    """The client closes its side only, so it hears what the service makes of it."""
    memory_id = new_id()
    wire.send(cut_bodies(memory_id)[where])
    wire.socket.shutdown(socket.SHUT_WR)
    reply = wire.reply()
    assert reply is None or (reply.status, list(reply.document)) == (400, ["error"])
    assert wire.is_closed()
    assert history(service, memory_id) == []


@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("where", list(cut_bodies("")))
def test_a_client_that_leaves_in_the_middle_of_its_body_writes_nothing(service, where, abruptly):
    memory_id = new_id()
    with Wire(service) as wire:
        wire.send(cut_bodies(memory_id)[where])
        time.sleep(0.05)  # so that it is being read
        if abruptly:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.3)
    assert history(service, memory_id) == []
    with Wire(service) as wire:
        assert wire.infer(append_request(memory_id, "again")).status == 200
    assert history(service, memory_id) == ["again"]
