"""Other people's V2 clients against the service, each sending a message and reading it back.

Those that are Python packages run in an environment of their own, `.venv-clients`.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from testing.bodies import append_request, document, new_id, read_request, tensor
from testing.processes import ROOT
from testing.service import Service

pytestmark = pytest.mark.one_database

CLIENTS = ROOT / ".venv-clients" / "bin"
MLSERVER = ROOT / ".venv-mlserver" / "bin" / "mlserver"
SCRIPTS = Path(__file__).parent / "clients"
TEXTS = [
    "👋🏽 first line\nsecond\r\n\tline, \"quoted\" \\ 'so' & so = 1+1 %41",
    "naïve 中文 \u2028",
]


def run(*command: str | Path, given: bytes = b"") -> str:
    """What a command writes; its complaints are the failure when it fails."""
    done = subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout.decode()


def endpoint(service: Service, memory: str = "memory") -> str:
    return f"{service.url}/v2/models/{memory}/infer"


def assert_stored_and_read(memory_id: str, replies: list[dict[str, Any]]) -> None:
    """The replies to a message of TEXTS and to the read after it."""
    parts = [{"type": "text", "value": text} for text in TEXTS]
    for reply in replies:
        ids, history = reply["outputs"]
        assert ids["data"] == [memory_id]
        assert [json.loads(element) for element in history["data"]] == [
            {"role": "user", "content": parts}
        ]


# --- Python packages ---------------------------------------------------------------------


@pytest.mark.needs("clients")
def test_tritonclient_in_binary_and_in_json_with_each_compression(service):
    script = SCRIPTS / "triton.py"
    output = run(CLIENTS / "python", script, service.url, "memory")
    assert output == "tritonclient: 27 conversations\n"


@pytest.mark.needs("clients")
def test_kserve_in_binary_and_in_json(service):
    script = SCRIPTS / "kserve_client.py"
    output = run(CLIENTS / "python", script, service.url, "memory")
    assert output == "kserve: 4 conversations\n"


def mlserver_infer(
    service: Service, folder: Path, requests: list[dict[str, Any]], *options: str
) -> list[dict[str, Any]]:
    """`mlserver infer` over a file of requests, one after another; what it wrote for each."""
    sent, received = folder / "requests.jsonl", folder / "replies.jsonl"
    sent.write_text("".join(json.dumps(request) + "\n" for request in requests))
    host = service.url.removeprefix("http://")
    files = ("--input-data-path", sent, "--output-data-path", received)
    where = ("--url", host, "--model-name", "memory")
    how = ("--workers", "1", "--retries", "1", *options)
    run(MLSERVER, "infer", *where, *files, *how)
    return [json.loads(line) for line in received.read_bytes().splitlines()]


@pytest.mark.needs("mlserver")
@pytest.mark.parametrize("options", [(), ("--binary-data",)], ids=["JSON", "binary"])
def test_mlserver_infer(service, tmp_path, options):
    """It takes a tensor for what its shape says, so here the shape is true."""
    memory_id = new_id()
    message = document(
        tensor("memory_id", [memory_id]),
        tensor("role", ["user"]),
        tensor("content", TEXTS, shape=[2]),
        tensor("type", ["text", "text"], shape=[2]),
    )
    replies = mlserver_infer(service, tmp_path, [message, read_request(memory_id)], *options)
    assert [reply["parameters"]["batch_index"] for reply in replies] == [0, 1]
    assert_stored_and_read(memory_id, replies)


@pytest.mark.needs("mlserver")
def test_mlserver_infer_in_batches_is_refused_and_mixes_no_conversations(service, tmp_path):
    ids = [new_id(), new_id(), new_id()]
    asked = [append_request(memory_id, "Hi") for memory_id in ids]
    replies = mlserver_infer(service, tmp_path, asked, "--batch-size", "3")
    assert len(replies) == 3
    for reply in replies:
        assert "'memory_id' has 3 elements" in reply["error"]["msg"]
    for memory_id in ids:
        read = requests.post(endpoint(service), json=read_request(memory_id), timeout=30).json()
        assert read["outputs"][1]["data"] == []


# --- curl --------------------------------------------------------------------------------

JSON = ("-H", "Content-Type: application/json")
CHUNKED = ("-H", "Transfer-Encoding: chunked")
GZIP = ("-H", "Content-Encoding: gzip")


@pytest.mark.parametrize(
    "options",
    [
        (),  # curl says then that it sends a form
        JSON,
        ("-H", "Content-Type: text/plain"),
        ("-H", "Content-Type:"),  # none at all
        ("-H", "Accept: text/html"),
        ("-H", "Expect: 100-continue"),
        ("--http1.0",),
        ("--compressed",),
        CHUNKED,
        (*JSON, *CHUNKED),
        (*GZIP, *CHUNKED),
        (*JSON, *GZIP, *CHUNKED, "--compressed"),
    ],
    ids=" ".join,
)
def test_curl(service, options):
    memory_id = new_id()
    replies = []
    for body in (append_request(memory_id, *TEXTS), read_request(memory_id)):
        given = json.dumps(body).encode()
        given = gzip.compress(given) if "Content-Encoding: gzip" in options else given
        command = ("curl", "-sS", "--fail-with-body", *options, "--data-binary", "@-")
        replies.append(json.loads(run(*command, endpoint(service), given=given)))
    assert_stored_and_read(memory_id, replies)


def test_curl_sends_a_long_body_in_many_chunks(service):
    memory_id = new_id()
    text = "A long line 🙂\n" * 200_000
    given = json.dumps(append_request(memory_id, text)).encode()
    reply = json.loads(run("curl", "-sS", *CHUNKED, "-d", "@-", endpoint(service), given=given))
    (element,) = reply["outputs"][1]["data"]
    assert json.loads(element)["content"] == [{"type": "text", "value": text}]


# --- requests ----------------------------------------------------------------------------


def chunks(body: bytes) -> Iterator[bytes]:
    """A body of unknown length: requests sends it in chunks, here through every character."""
    for n in range(0, len(body), 7):
        yield body[n : n + 7]


@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "UTF-8"])
@pytest.mark.parametrize("way", ["json", "bytes", "chunked"])
def test_requests(service, way, ascii_only):
    memory_id = new_id()
    replies = []
    with requests.Session() as session:
        for asked in (append_request(memory_id, *TEXTS), read_request(memory_id)):
            body = json.dumps(asked, ensure_ascii=ascii_only).encode()
            ways: dict[str, dict[str, Any]] = {
                "json": {"json": asked},
                "bytes": {"data": body},
                "chunked": {"data": chunks(body)},
            }
            response = session.post(endpoint(service), timeout=30, **ways[way])
            assert response.status_code == 200, response.text
            replies.append(response.json())
    assert_stored_and_read(memory_id, replies)
