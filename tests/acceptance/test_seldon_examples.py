"""The examples of Seldon's documentation, replayed against both services.

Each service is started the way the README says.

What that page prints is in the folder `seldon_examples`, line for line: its two functions (their
indentation put back), its settings files, and the replies as `pprint` wrote them.
"""

from __future__ import annotations

import ast
import json
import pprint
import runpy
import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy.engine import make_url

from testing.mlserver import MLServer
from testing.postgres import Postgres
from testing.processes import ROOT, SHIPPED_MODELS, Process, checkout
from testing.service import Service

EXAMPLES = Path(__file__).parent / "seldon_examples"
FUNCTIONS = runpy.run_path(str(EXAMPLES / "functions.txt"))
send_inference_request = FUNCTIONS["send_inference_request"]
get_inference_request = FUNCTIONS["get_inference_request"]

FIVE_MESSAGES = [
    ("user", "Hey how are you?"),
    ("assistant", "I'm good, how are you?"),
    ("user", "I'm good too. Can I ask you a question?"),
    ("assistant", "Sure, what's your question?"),
    ("user", "What is the capital of France?"),
]
SYSTEM_FIRST = [
    ("system", "You are a helpful assistant"),
    ("user", "Hi! How are you doing today?"),
    ("assistant", "I'm doing great, how about you?"),
    ("user", "I'm doing well too. I have a question for you."),
    ("assistant", "Sure, what's your question?"),
]


def printed(name: str) -> str:
    return (EXAMPLES / f"{name}.txt").read_text()


def memory_id_of(reply: str) -> str:
    """The memory_id that Seldon's page drew at random, out of a reply that it prints."""
    memory_id: str = ast.literal_eval(reply)["outputs"][0]["data"][0]
    return memory_id


def lines(text: str) -> list[str]:
    """The lines without their indentation, which the document lost."""
    return [line.strip() for line in text.splitlines()]


def assert_as_printed(response: requests.Response, reply: str) -> None:
    """What `pprint` makes of the response is the printed reply, but for the response's id."""
    assert response.status_code == 200, response.text
    document = response.json()
    assert uuid.UUID(document["id"]).version == 4
    document["id"] = ast.literal_eval(reply)["id"]
    assert lines(pprint.pformat(document)) == lines(reply)


def element(role: str, text: str) -> str:
    """An element of `history` for a message of one text, to the space."""
    content = json.dumps([{"type": "text", "value": text}], ensure_ascii=False)
    return f'{{"role": "{role}", "content": {content}}}'


def history(response: requests.Response) -> list[str]:
    assert response.status_code == 200, response.text
    (output,) = [out for out in response.json()["outputs"] if out["name"] == "history"]
    assert output["shape"] == [len(output["data"]), 1]
    data: list[str] = output["data"]
    return data


def endpoint(service: Process, memory: str = "filesys-memory") -> str:
    return f"{service.url}/v2/models/{memory}/infer"


def say(url: str, memory_id: str, messages: list[tuple[str, str]]) -> list[requests.Response]:
    """Send one request a message, as the document does."""
    return [
        send_inference_request(
            role=[role], content=[text], type=["text"], memory_id=memory_id, endpoint=url
        )
        for role, text in messages
    ]


def serve(folder: Path, **environment: str) -> Service:
    """`make serve` in a checkout, fresh or used before, nothing configured but the port."""
    return Service(folder, **environment)


def mlserver(folder: Path, **environment: str) -> MLServer:
    """`make mlserver` in a checkout, with its models."""
    models = folder / "checkout" / "models"
    return MLServer(folder, models if models.exists() else SHIPPED_MODELS, None, **environment)


BOTH = [serve, pytest.param(mlserver, marks=pytest.mark.needs("mlserver"))]
both = pytest.mark.parametrize("started", BOTH)


@pytest.fixture(scope="module", params=BOTH)
def shipped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """The service in a fresh checkout."""
    with request.param(tmp_path_factory.mktemp("shipped")) as service:
        yield service


@pytest.fixture(scope="module", params=BOTH)
def edited(
    request: pytest.FixtureRequest,
    postgresql: Postgres,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """The service in a checkout whose folder of models is one of its own.

    psql-memory: the document's file, its URL pointed at a PostgreSQL server of ours;
    psql-memory_1: the same as Seldon Core 2 writes it, with a window of 4;
    filesys-memory: the shipped file with a window of 2.
    """
    folder = tmp_path_factory.mktemp("edited")
    models = checkout(folder / "checkout") / "models"
    shutil.copytree(SHIPPED_MODELS, models)
    settings = json.loads((ROOT / "examples/models/psql-memory/model-settings.json").read_text())
    url = make_url(settings["parameters"]["extra"]["config"]["url"])
    ours = make_url(new_database("postgresql"))
    url = url.set(host=ours.host, port=ours.port, database=ours.database)
    config = settings["parameters"]["extra"]["config"]
    config["url"] = url.render_as_string(hide_password=False)
    assert config["url"].startswith("postgresql+pg8000://admin:admin@")
    write(models / "psql-memory", settings)
    config["window_size"] = 4
    settings["name"] = "psql-memory_1"
    settings["parameters"]["version"] = "1"
    write(models / "psql-memory_1", settings)
    shipped = json.loads((models / "filesys-memory/model-settings.json").read_text())
    shipped["parameters"]["extra"]["config"]["window_size"] = 2
    write(models / "filesys-memory", shipped)
    with request.param(folder) as service:
        yield service


def write(folder: Path, settings: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "model-settings.json").write_text(json.dumps(settings))


@contextmanager
def crashing(service: Process) -> Iterator[Process]:
    """A service that ends by kill -9, all of its processes at once."""
    service.__enter__()
    try:
        yield service
    finally:
        service.signal(signal.SIGKILL)
        service.process.wait(timeout=30)


# --- The file system runtime -------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        ("memory_api/default_models/filesys-memory", "filesys-memory"),
        ("examples/models/psql-memory", "psql-memory"),
    ],
)
def test_the_settings_that_are_shipped_are_the_documents(ours, name):
    text = (ROOT / ours / "model-settings.json").read_text()
    assert lines(text) == lines(printed(name))


def test_five_messages_come_back_as_printed(shipped):
    reply = printed("five_messages")
    memory_id = memory_id_of(reply)
    say(endpoint(shipped), memory_id, FIVE_MESSAGES)
    response = get_inference_request(memory_id=memory_id, endpoint=endpoint(shipped))
    assert_as_printed(response, reply)


def test_two_parts_in_a_tensor_that_declares_one_come_back_as_printed(shipped):
    reply = printed("two_parts")
    response = send_inference_request(
        role=["user"],
        content=["This is the first input", "This is the second input"],
        type=["text", "text"],
        memory_id=memory_id_of(reply),
        endpoint=endpoint(shipped),
    )
    tensors = json.loads(response.request.body)["inputs"]
    assert [(len(tensor["data"]), tensor["shape"]) for tensor in tensors] == [
        (1, [1]),
        (1, [1]),
        (2, [1]),
        (2, [1]),
    ]
    assert_as_printed(response, reply)
    again = get_inference_request(memory_id=memory_id_of(reply), endpoint=endpoint(shipped))
    assert_as_printed(again, reply)


def test_each_reply_holds_all_messages_so_far_its_own_last(shipped):
    responses = say(endpoint(shipped), str(uuid.uuid4()), FIVE_MESSAGES)
    expected = [element(*message) for message in FIVE_MESSAGES]
    assert [history(response) for response in responses] == [
        expected[: n + 1] for n in range(len(FIVE_MESSAGES))
    ]


def test_a_memory_id_that_nobody_used_has_an_empty_history(shipped):
    response = get_inference_request(memory_id=str(uuid.uuid4()), endpoint=endpoint(shipped))
    assert history(response) == []
    assert response.json()["outputs"][1]["shape"] == [0, 1]


def test_a_reply_is_json_without_a_version(shipped):
    response = get_inference_request(memory_id=str(uuid.uuid4()), endpoint=endpoint(shipped))
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"id", "model_name", "outputs", "parameters"}


def test_no_more_than_fifty_messages_come_back(shipped):
    memory_id = str(uuid.uuid4())
    messages = [("user", str(n)) for n in range(52)]
    responses = say(endpoint(shipped), memory_id, messages)
    expected = [element(*message) for message in messages]
    assert history(responses[49]) == expected[:50]
    assert history(responses[51]) == expected[2:]
    response = get_inference_request(memory_id=memory_id, endpoint=endpoint(shipped))
    assert history(response) == expected[2:]


def test_conversations_are_kept_in_the_checkouts_data_folder(shipped):
    memory_id = str(uuid.uuid4())
    say(endpoint(shipped), memory_id, FIVE_MESSAGES)
    files = list((shipped.folder / "data").glob("conversations.sqlite3*"))
    assert any(memory_id.encode() in file.read_bytes() for file in files)


def test_with_a_window_of_two_only_the_last_two_messages_come_back(edited):
    memory_id = str(uuid.uuid4())
    *_, last = say(endpoint(edited), memory_id, FIVE_MESSAGES)
    response = get_inference_request(memory_id=memory_id, endpoint=endpoint(edited))
    expected = [element(*message) for message in FIVE_MESSAGES[-2:]]
    assert history(last) == expected
    assert history(response) == expected


# --- PostgreSQL --------------------------------------------------------------------------


def test_the_postgresql_sample_comes_back_as_printed_with_a_window_of_four(edited):
    reply = printed("postgresql")
    url = endpoint(edited, "psql-memory_1")
    memory_id = memory_id_of(reply)
    say(url, memory_id, SYSTEM_FIRST)
    assert_as_printed(get_inference_request(memory_id=memory_id, endpoint=url), reply)


def test_the_postgresql_sample_comes_back_whole_with_the_printed_settings(edited):
    url = endpoint(edited, "psql-memory")
    memory_id = str(uuid.uuid4())
    say(url, memory_id, SYSTEM_FIRST)
    response = get_inference_request(memory_id=memory_id, endpoint=url)
    assert history(response) == [element(*message) for message in SYSTEM_FIRST]
    assert response.json()["model_name"] == "psql-memory"
    assert "model_version" not in response.json()


# --- Started again -----------------------------------------------------------------------


@pytest.mark.slow
@both
def test_a_second_start_in_the_same_folder_keeps_the_conversation(tmp_path, started):
    memory_id = str(uuid.uuid4())
    with started(tmp_path) as service:
        say(endpoint(service), memory_id, FIVE_MESSAGES[:3])
    with started(tmp_path) as service:
        *_, last = say(endpoint(service), memory_id, FIVE_MESSAGES[3:])
    assert history(last) == [element(*message) for message in FIVE_MESSAGES]


@pytest.mark.slow
@both
def test_what_was_acknowledged_survives_kill_9(tmp_path, started):
    """Four clients write, each to its own conversation, when all processes are killed."""
    acknowledged: dict[str, list[str]] = {str(uuid.uuid4()): [] for _ in range(4)}
    under_way = threading.Semaphore(0)

    def send_messages(url: str, memory_id: str) -> None:
        for n in range(10_000):
            try:
                (response,) = say(url, memory_id, [("user", f"message {n}")])
            except requests.RequestException:  # the service is no more
                return
            acknowledged[memory_id] = history(response)
            under_way.release()

    # Its own TMPDIR, since it has no chance to tidy up.
    with crashing(started(tmp_path, TMPDIR=str(tmp_path))) as service:
        url = endpoint(service)
        clients = [
            threading.Thread(target=send_messages, args=(url, each)) for each in acknowledged
        ]
        for client in clients:
            client.start()
        for _ in range(40):
            assert under_way.acquire(timeout=30)
    for client in clients:
        client.join(timeout=30)
        assert not client.is_alive()
    with started(tmp_path) as service:
        for memory_id, last in acknowledged.items():
            assert last
            stored = history(get_inference_request(memory_id=memory_id, endpoint=endpoint(service)))
            # One more may be there: stored, but killed before the answer was out.
            elements = [element("user", f"message {n}") for n in range(10_000)]
            end = elements.index(last[-1]) + 1
            assert stored in (elements[:end][-50:], elements[: end + 1][-50:])
