"""Which requests share threads: by what they ask for, however they spell it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from gunicorn.config import Config

from memory_api.server.incoming import IncomingRequest
from memory_api.server.shares import group_of, is_health
from testing.bodies import append_request
from tests.wire import head

THREADS = 8
INFER = "/v2/models/m/infer"


@contextmanager
def incoming(
    method: str, path: str, body: bytes = b"", **headers: str
) -> Iterator[IncomingRequest]:
    request = IncomingRequest(Config(), ("127.0.0.1", 1), 1, 10_000)
    with closing(request.body):
        request.feed(head(method, path, content_length=str(len(body)), **headers) + body)
        assert request.is_whole
        yield request


def group(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[str, int] | None:
    with incoming(method, path, body, **headers) as request:
        found = group_of(request, THREADS)
    return (found.name, found.places) if found else None


def asks_for_health(path: str) -> bool:
    with incoming("GET", path) as request:
        return is_health(request.message)


@pytest.mark.parametrize("path", ["/admin/login/", "/%61dmin/login/", "/admin/%6Cogin/?next=/"])
def test_sign_ins_share_one_thread(path):
    found = group("POST", path)
    assert found is not None
    assert found == group("POST", "/admin/login/")
    assert found[1] == 1


@pytest.mark.parametrize("path", ["/admin/", "/%61dmin/convstore/"])
def test_the_admin_shares_half_of_the_threads(path):
    assert group("GET", path) == ("/admin/", THREADS // 2)


def test_a_conversation_shares_half_of_the_threads_on_every_route():
    body = json.dumps(append_request("a", "Hi")).encode()
    paths = INFER, "/v2/models/m/%69nfer", "/v2/models/m/versions/1/infer/"
    (found,) = {group("POST", path, body) for path in paths}
    assert found is not None
    assert found[1] == THREADS // 2
    other = json.dumps(append_request("b", "Hi")).encode()
    assert group("POST", paths[0], other) not in (None, found)


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_compressed_body_is_of_its_conversation(coding, compress):
    body = json.dumps(append_request("a", "Hi" * 1_000)).encode()
    found = group("POST", INFER, body)
    assert found == group("POST", INFER, compress(body), content_encoding=coding)


@pytest.mark.parametrize("body", [b"", b"[1, 2]", b'{"inputs": [{}, {}]}'])
def test_bodies_that_name_no_conversation_share_half_of_the_threads(body):
    found = group("POST", INFER, body)
    assert found == ("memory_id unknown", THREADS // 2)
    assert found == group("POST", INFER, body, content_encoding="gzip")


def test_the_conversations_api_has_its_shares_too():
    body = json.dumps(append_request("a", "Hi")).encode()
    for path in (
        "/v1/conversations/a/items",
        "/memories/m/v1/conversations/a",
        "/v1/conversations/%61",
    ):
        assert group("POST", path) == group("POST", INFER, body)
    assert group("POST", "/v1/conversations") is None


def test_health_is_asked_for_by_its_path():
    for path in ("/v2/health/live", "/v2/health/ready/", "/v2/%68ealth/live"):
        assert asks_for_health(path)
    assert not asks_for_health("/v2/models/live")
