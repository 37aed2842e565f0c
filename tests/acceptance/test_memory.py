"""The memory that the worst requests take which are allowed, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.bodies import (
    append_request,
    binary_body,
    binary_tensor,
    document,
    new_id,
    read_request,
    tensor,
)
from testing.mlserver import MLServer
from testing.processes import Process
from testing.service import Service, write_memories
from tests.doors import Door, GrpcDoor, HttpDoor, RestDoor
from tests.peak import (
    BASE,
    PEAK_OF_A_REPLY,
    PEAK_OF_A_VALUE,
    PEAK_OF_CONTROL_CHARACTERS,
    PEAK_OF_TEXT,
    peak_growth,
    resident,
)

pytestmark = [pytest.mark.one_database, pytest.mark.slow]

BODY = 8 * 1024**2
WINDOW, MESSAGES = 2 * BODY, 16
VALUES = BODY // 64  # as many for each byte as the defaults allow
SMALL = 24 * 1024**2  # what one more request may take of anything, such as a thread's first


def http_door(folder: Path, models: Path, **settings: str) -> Process:
    return Service(folder, MODELS_DIR=str(models), **settings)


def mlserver_door(folder: Path, models: Path, **settings: str) -> Process:
    return MLServer(folder, models, None, **settings)


@pytest.fixture
def fresh(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Process, Callable[[], Any]]]:
    start, door = DOORS[request.param]
    write_memories(tmp_path / "models")
    limits = {"MAX_BODY_BYTES": str(BODY), "MAX_VALUES": str(VALUES), "DATABASE_TIMEOUT": "60"}
    limits["MAX_REPLY_BYTES"] = str(8 * BODY)  # control characters become six bytes each
    with start(tmp_path, tmp_path / "models", **limits) as service:
        yield service, lambda: door(service)


DOORS: dict[str, tuple[Callable[..., Process], Callable[[Any], Door]]] = {
    "http": (http_door, HttpDoor),
    "rest": (mlserver_door, RestDoor),
    "grpc": (mlserver_door, GrpcDoor),
}
HTTP = ["http"]
MLSERVER = [pytest.param(name, marks=pytest.mark.needs("mlserver")) for name in ("rest", "grpc")]


def with_text(character: str, size: int) -> dict[str, Any]:
    return append_request(new_id(), character + "a" * size)


def binary(size: int) -> tuple[bytes, dict[str, str]]:
    """One message of control characters, as binary data."""
    element = size.to_bytes(4, "little") + b"\x01" * size
    sent = document(
        tensor("memory_id", [new_id()]),
        tensor("role", ["user"]),
        binary_tensor("content", len(element)),
    )
    return binary_body(sent, element)


def with_values(pair: str, *around: str) -> bytes:
    """A body with as many values as are allowed, in a tensor that no memory names."""
    sent = json.dumps(document(tensor("memory_id", [new_id()]), tensor("x", ["*"])))
    count = (VALUES - 100) // (1 + pair.count("{"))
    pairs = ",".join(pair.replace("*", f"{n:06}") for n in range(count))
    return sent.replace('"*"', pairs.join(around)).encode()


@pytest.mark.parametrize("fresh", [*HTTP, *MLSERVER], indirect=True)
def test_a_text_takes_so_many_times_its_size(fresh):
    service, door = fresh
    at = door()
    at.infer(append_request(new_id(), "warm"))
    assert resident(service) < BASE
    sent = with_text("\N{GRINNING FACE}", BODY - 2_000)

    def ask() -> None:
        body = json.dumps(sent, ensure_ascii=False).encode()
        reply = at.infer(sent) if isinstance(at, GrpcDoor) else at.send(body)
        assert reply.status == 200

    assert peak_growth(service, ask) < PEAK_OF_TEXT * BODY + SMALL


@pytest.mark.parametrize("fresh", HTTP, indirect=True)
def test_control_characters_take_so_many_times_their_size(fresh):
    service, door = fresh
    at = door()
    at.infer(append_request(new_id(), "warm"))
    body, headers = binary(BODY - 2_000)

    def ask() -> None:
        assert at.send(body, **headers).status == 200

    assert peak_growth(service, ask) < PEAK_OF_CONTROL_CHARACTERS * BODY + SMALL


@pytest.mark.parametrize("fresh", [*HTTP, *MLSERVER], indirect=True)
def test_a_window_takes_so_many_times_its_size(fresh):
    service, door = fresh
    at = door()
    sent = with_text("\N{GRINNING FACE}", WINDOW // MESSAGES - 2_000)
    for _ in range(MESSAGES):
        assert at.infer(sent, "one").status == 200
    (memory_id,) = sent["inputs"][0]["data"]

    def ask() -> None:
        reply = at.infer(read_request(memory_id))
        assert len(reply.history) == MESSAGES

    assert peak_growth(service, ask) < PEAK_OF_A_REPLY * WINDOW + SMALL


@pytest.mark.parametrize(
    ("fresh", "pair", "around"),
    [
        ("http", '"*":"*"', "{}"),
        ("http", '{"*":"*"}', ("", "")),
        pytest.param("rest", '"*":"*"', "{}", marks=pytest.mark.needs("mlserver")),
    ],
    indirect=["fresh"],
    ids=["http-one-object", "http-objects", "rest-one-object"],
)
def test_a_value_takes_so_much_however_small_it_is(fresh, pair, around):
    service, door = fresh
    at = door()
    at.infer(append_request(new_id(), "warm"))
    body = with_values(pair, *around)
    assert len(body) <= BODY

    def ask() -> None:
        assert at.send(body).status == 200

    assert peak_growth(service, ask) < PEAK_OF_A_VALUE * VALUES + SMALL
