"""One line for each request: what it says, what it never says, and that nobody can forge one."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest
import requests

from convstore.store import conversation_key
from testing.bodies import append_request, new_id, read_request
from testing.processes import ROOT
from testing.service import Service, write_memories
from tests.wire import head

pytestmark = [pytest.mark.one_database]

INFER = "/v2/models/memory/infer"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


def lines_of(service: Service, request_id: str, count: int = 1) -> list[str]:
    """The lines of one request; waits for `count`."""
    deadline = time.monotonic() + 30
    while True:
        lines = [line for line in service.log.read_text().splitlines() if request_id in line]
        if len(lines) >= count or time.monotonic() > deadline:
            return lines
        time.sleep(0.02)


def fields_of(line: str) -> dict[str, str]:
    found = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)
    return {name: json.loads(value) if value[0] == '"' else value for name, value in found}


def line_of(service: Service, request_id: str) -> dict[str, str]:
    (line,) = lines_of(service, request_id)
    assert re.match(TIME + " INFO convstore.request_log: request_id=", line), line
    return fields_of(line)


def test_an_exchange_has_one_line_that_joins_with_the_database(service):
    memory_id, request_id = new_id(), new_id()
    body = json.dumps(append_request(memory_id, "Nobody may read this"))
    reply = requests.post(
        service.url + INFER, data=body, headers={"X-Request-Id": request_id}, timeout=30
    )
    assert reply.headers["X-Request-Id"] == request_id
    line = line_of(service, request_id)
    assert line["conversation"] == str(conversation_key(memory_id))
    numbers = {name: float(line.pop(name)) for name in ("ms", "queue_ms", "database_ms")}
    assert numbers["ms"] >= numbers["database_ms"] > 0
    assert line == {
        "request_id": request_id,
        "door": "http",
        "client": "127.0.0.1",
        "method": "POST",
        "route": "/v2/models/<name>/infer",
        "memory": "memory",
        "conversation": line["conversation"],
        "status": "200",
        "retries": "0",
        "bytes_in": str(len(body)),
        "bytes_out": reply.headers["Content-Length"],
        "stored": "1",
        "bytes_stored": str(len(reply.json()["outputs"][1]["data"][0])),
        "window": "1",
    }
    log = service.log.read_text()
    assert "Nobody may read this" not in log
    assert memory_id not in log

    command = [sys.executable, "-m", "convstore", "find"]
    for wanted in (memory_id, line["conversation"]):
        found = subprocess.run(
            [*command, wanted],
            cwd=ROOT,
            env={**os.environ, **service.environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"conversation: {line['conversation']}\n" in found.stdout
        assert f'memory_id:    "{memory_id}"\n' in found.stdout
    missing = subprocess.run(
        [*command, "nobody"], cwd=ROOT, env={**os.environ, **service.environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.returncode == 1
    assert str(conversation_key("nobody")) in missing.stderr


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 101, "é", 'a"b'])
def test_a_request_without_a_well_formed_id_is_given_one(service, sent):
    headers = {} if sent is None else {"X-Request-Id": sent.encode()}
    reply = requests.get(f"{service.url}/v2", headers=headers, timeout=30)
    request_id = reply.headers["X-Request-Id"]
    assert str(uuid.UUID(request_id)) == request_id
    assert line_of(service, request_id)["status"] == "200"


REFUSED: dict[str, tuple[int, str, bytes | None]] = {
    "no such route": (404, "/nowhere", None),
    "no such memory": (404, "/v2/models/nobody/infer", b"{}"),
    "not JSON": (400, INFER, b"{"),
    "a wrong method": (405, INFER, None),
    "a database that is down": (503, "/v2/models/down/infer", b""),
    "an admin who has not signed in": (302, "/admin/", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_has_its_id_and_its_sentence(service, name):
    status, path, body = REFUSED[name]
    request_id = new_id()
    headers = {"X-Request-Id": request_id}
    body = json.dumps(read_request("x")).encode() if body == b"" else body
    method = "GET" if body is None else "POST"
    reply = requests.request(
        method, service.url + path, data=body, headers=headers, timeout=30, allow_redirects=False
    )
    assert (reply.status_code, reply.headers["X-Request-Id"]) == (status, request_id)
    lines = lines_of(service, request_id)
    assert "Traceback" not in service.log.read_text()
    line = fields_of(lines[-1])
    assert line["status"] == str(status)
    assert line.get("error") == (reply.json()["error"] if status != 302 else None)
    # An operator's own line says what the driver said, and names the request too.
    assert len(lines) == (2 if status == 503 else 1)


def told(service: Service, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        reply = b""
        while piece := client.recv(65536):
            reply += piece
        return reply


def test_what_the_server_itself_refuses_has_a_line_and_an_id(service):
    sent = new_id()
    reply = told(service, head("POST", INFER, content_length="9" * 12, x_request_id=sent))
    assert reply.startswith(b"HTTP/1.1 413 ")
    assert f"X-Request-Id: {sent}\r\n".encode() in reply
    line = line_of(service, sent)
    assert (line["status"], line["client"]) == ("413", "127.0.0.1")
    assert "over the limit" in line["error"]

    sent = new_id()
    reply = told(service, head("POST", INFER, content_length="5", x_request_id=sent) + b"{")
    assert f"X-Request-Id: {sent}\r\n".encode() in reply
    assert line_of(service, sent)["error"].startswith("the client closed the connection")


def test_a_client_cannot_forge_a_line(service):
    forged = "2026-01-01 00:00:00,000 INFO forged: all is well"
    request_id = new_id()
    attempts = [
        f"/v2/models/a%0a{forged.replace(' ', '%20')}/infer",
        f"/v2/models/a%1b[31m%c2%9b%e2%80%ae{forged.replace(' ', '%20')}/ready",
    ]
    for path in attempts:
        requests.get(service.url + path, headers={"X-Request-Id": request_id}, timeout=30)
    told(service, head("GET", "/v2", x_request_id=f"a\r{forged}"))
    told(service, f"GET /v2 HTTP/1.1\r\nHost: a\r\nX: b\n{forged}\r\n\r\n".encode())
    lines_of(service, request_id, 2)
    log = service.log.read_bytes()
    assert not re.search(rb"^2026-01-01", log, re.MULTILINE)
    assert b"\x1b" not in log
    assert "\x9b".encode() not in log
    assert "\u202e".encode() not in log


def test_probes_have_a_line_only_where_they_fail(service):
    request_id = new_id()
    for path in ("/v2/health/live", "/v2/health/ready", "/metrics"):
        reply = requests.get(service.url + path, headers={"X-Request-Id": request_id}, timeout=30)
        assert reply.headers["X-Request-Id"] == request_id
    requests.get(f"{service.url}/v2", headers={"X-Request-Id": request_id}, timeout=30)
    assert line_of(service, request_id)["route"] == "/v2"


@pytest.mark.slow
def test_as_json_every_line_is_an_object(tmp_path):
    write_memories(tmp_path / "models")
    environment = {"MODELS_DIR": str(tmp_path / "models"), "REQUEST_LOG": "json"}
    with Service(tmp_path, **environment) as service:
        request_id = new_id()
        requests.post(
            f"{service.url}/v2/models/down/infer",
            json=read_request("x"),
            headers={"X-Request-Id": request_id},
            timeout=30,
        )
        lines_of(service, request_id, 2)
        text = service.log.read_text()
    objects: list[dict[str, Any]] = [
        json.loads(line) for line in text.splitlines() if not line.startswith("exec ")
    ]
    ours = [each for each in objects if each.get("request_id") == request_id]
    (line,) = [each for each in ours if each["logger"] == "convstore.request_log"]
    assert (line["status"], line["memory"], line["level"]) == (503, "down", "INFO")
    assert isinstance(line["ms"], float)
    (cause,) = [each for each in ours if each["logger"] == "memory_api.errors"]
    assert cause["level"] == "WARNING"
    assert any("Booting worker" in str(each.get("message")) for each in objects)


def test_one_setting_turns_the_lines_off(tmp_path):
    script = """
import django, logging
django.setup()
print(logging.getLogger("convstore.request_log").isEnabledFor(logging.INFO))
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "REQUEST_LOG": "off", "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "False\n"
