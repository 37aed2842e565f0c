"""The log at MLServer's door: one line for each request to a memory, and nothing that was sent."""

from __future__ import annotations

import re
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
import requests

from convstore.store import conversation_key
from testing.bodies import append_request, new_id, read_request
from testing.mlserver import MLServer
from tests.doors import infer_request

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.one_database]


def lines_of(mlserver: MLServer, request_id: str) -> list[str]:
    deadline = time.monotonic() + 30
    while True:
        lines = [line for line in mlserver.log.read_text().splitlines() if request_id in line]
        if lines or time.monotonic() > deadline:
            return lines
        time.sleep(0.02)


def over_grpc(
    mlserver: MLServer, document: dict[str, Any], memory: str, *metadata: tuple[str, str]
) -> tuple[str, str]:
    """The id that comes back, and the error's sentence."""
    call = mlserver.grpc.ModelInfer.with_call
    name, _, version = memory.partition("/versions/")
    request = infer_request(document, False, model_name=name, model_version=version)
    try:
        _, done = call(request, metadata=metadata)
    except grpc.RpcError as error:
        done = error
    trailing = dict(done.trailing_metadata())
    return trailing.get("x-request-id", ""), done.details()


def over_rest(
    mlserver: MLServer, document: dict[str, Any], memory: str, *metadata: tuple[str, str]
) -> tuple[str, str]:
    url = f"{mlserver.url}/v2/models/{memory}/infer"
    reply = requests.post(url, json=document, headers=dict(metadata), timeout=30)
    return reply.headers.get("X-Request-Id", ""), reply.json().get("error", "")


WAYS = {"rest": over_rest, "grpc": over_grpc}


@pytest.mark.parametrize("way", WAYS)
def test_a_request_has_one_line_and_its_id_comes_back(mlserver, way):
    memory_id, request_id = new_id(), new_id()
    document = append_request(memory_id, "Nobody may read this")
    assert WAYS[way](mlserver, document, "memory", ("x-request-id", request_id))[0] == request_id
    (line,) = lines_of(mlserver, request_id)
    for field in (f"door={way}", "status=200", "memory=memory", "stored=1", "client=127.0.0.1"):
        assert f" {field} " in line
    assert f"conversation={conversation_key(memory_id)}" in line
    assert re.search(r" ms=[\d.]+ .*database_ms=[\d.]+ retries=0 bytes_in=\d+ ", line)
    made, _ = WAYS[way](mlserver, read_request(memory_id), "memory")
    assert len(lines_of(mlserver, made)) == 1
    log = mlserver.log.read_text()
    assert memory_id not in log
    assert "Nobody may read this" not in log


@pytest.mark.parametrize("way", WAYS)
def test_a_clients_mistake_has_one_line_and_no_traceback(mlserver, way):
    before = mlserver.log.read_text().count("Traceback")
    request_id = new_id()
    document: dict[str, Any] = {"inputs": []}
    came_back, sentence = WAYS[way](mlserver, document, "memory", ("x-request-id", request_id))
    assert came_back == request_id
    (line,) = lines_of(mlserver, request_id)
    assert "status=422" in line
    assert "tensor 'memory_id' is missing" in sentence
    assert sentence in line
    assert mlserver.log.read_text().count("Traceback") == before


def test_what_is_refused_before_the_memory_is_asked_has_a_line(mlserver):
    request_id = new_id()
    reply = requests.post(
        f"{mlserver.url}/v2/models/memory/infer",
        data=b"[" * 2_000_000,
        headers={"X-Request-Id": request_id, "Content-Type": "application/json"},
        timeout=30,
    )
    assert (reply.status_code, reply.headers["X-Request-Id"]) == (422, request_id)
    (line,) = lines_of(mlserver, request_id)
    assert "status=422" in line
    assert "bytes_in=2000000" in line


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "missing at body"),
        (b'{"Nobody may read this', "json_invalid at body.22"),
        (b'["Nobody may read this"]', "model_attributes_type at body"),
        (b'{"inputs": "Nobody may read this"}', "list_type at body.inputs"),
    ],
)
def test_a_body_that_mlserver_refuses_itself_has_a_line_and_is_counted(mlserver, body, reason):
    request_id = new_id()
    counted = refused_as_bad(mlserver)
    headers = {"X-Request-Id": request_id, "Content-Type": "application/json"}
    url = f"{mlserver.url}/v2/models/memory/infer"
    reply = requests.post(url, data=body, headers=headers, timeout=30)
    assert (reply.status_code, reply.headers["X-Request-Id"]) == (422, request_id)
    (line,) = lines_of(mlserver, request_id)
    for field in ("memory=memory", "status=422", f"bytes_in={len(body)}"):
        assert f" {field} " in line
    assert line.endswith(f' error="MLServer does not accept the body: {reason}"')
    assert refused_as_bad(mlserver) == counted + 1
    assert "Nobody may read this" not in mlserver.log.read_text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/health/ready"),
        ("GET", "/v2/models/memory"),
        ("GET", "/v2/models/memory/ready"),
        ("GET", "/v2/models/memory/infer"),
        ("GET", "/v2/models/no-model"),
        ("POST", "/v2/repository/index"),
        ("GET", "/nowhere"),
    ],
)
def test_every_reply_over_rest_has_the_requests_id_or_a_new_one(mlserver, method, path):
    sent = new_id()
    for headers in ({"X-Request-Id": sent}, {}):
        reply = requests.request(method, mlserver.url + path, json={}, headers=headers, timeout=30)
        assert len(reply.headers["X-Request-Id"]) == len(sent)
        assert (reply.headers["X-Request-Id"] == sent) == bool(headers)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "version"), [("no-model-{}", ""), ("versioned", "no-{}")])
def test_a_request_for_an_unknown_model_has_one_line_a_counter_and_no_label(
    mlserver, way, name, version
):
    request_id, mark = new_id(), new_id()
    name, version = name.format(mark), version.format(mark)
    counted = unknown_models(mlserver)
    where = f"{name}/versions/{version}" if version else name
    sent = read_request("x"), where, ("x-request-id", request_id)
    came_back, sentence = WAYS[way](mlserver, *sent)
    assert came_back == request_id
    of_version = f" with version {version}" if version else ""
    assert sentence == f"Model {name}{of_version} not found"
    (line,) = lines_of(mlserver, request_id)
    for field in (f"door={way}", "client=127.0.0.1", "status=404", f'error="{sentence}"'):
        assert f" {field}" in line
    assert (" memory=" in line) == (name == "versioned")
    assert mark not in mlserver.log.read_text().replace(line, "")
    assert unknown_models(mlserver) == counted + 1
    assert mark not in metrics(mlserver)


def test_the_body_for_an_unknown_model_is_not_read(mlserver):
    with closing(HTTPConnection(urlsplit(mlserver.url).netloc, timeout=10)) as connection:
        connection.putrequest("POST", "/v2/models/no-model/infer")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "1000000000")
        connection.endheaders(b'{"inputs": [')
        assert connection.getresponse().status == 404


def metrics(mlserver: MLServer) -> str:
    return requests.get(f"http://127.0.0.1:{mlserver.metrics_port}/metrics", timeout=30).text


def unknown_models(mlserver: MLServer) -> float:
    return counter(mlserver, "memory_unknown_models_total")


def refused_as_bad(mlserver: MLServer) -> float:
    labels = '{model="memory",reason="bad_request",version=""}'
    return counter(mlserver, f"memory_requests_refused_total{labels}")


def counter(mlserver: MLServer, name: str) -> float:
    found = re.search(f"^{re.escape(name)} (.+)$", metrics(mlserver), re.MULTILINE)
    assert found, name
    return float(found[1])


def test_nobody_forges_a_line_by_the_name_of_a_model(mlserver):
    before = mlserver.log.read_text().count("Traceback")
    forged = "2026-01-01 00:00:00,000 [mlserver] INFO - all is well \x1b[31m"
    mark = new_id()
    _, sentence = over_grpc(mlserver, read_request("x"), f"{mark}\n{forged}")
    assert "not found" in sentence
    assert lines_of(mlserver, mark)
    log = mlserver.log.read_text()
    assert not re.search("^2026-01-01", log, re.MULTILINE)
    assert "\x1b[31m" not in log
    assert log.count("Traceback") == before
