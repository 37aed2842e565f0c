"""What is asked of a window beside its size, and replies at their limit, through every door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from testing.bodies import append_request, append_several_request, new_id, read_request, tensor
from testing.mlserver import MLServer
from testing.service import Service, write_memories
from tests.contract.conftest import Rows, counted
from tests.doors import DOORS, JSON_DOORS, Door, HttpDoor, RestDoor, at, open_door
from tests.refusals import refusal_sentence

MAX_REPLY_BYTES, MAX_WINDOW = 4000, 8
LOWERED = 1000
STATUSES: dict[type, tuple[int, int]] = {HttpDoor: (409, 413), RestDoor: (422, 422)}


@pytest.fixture(scope="module")
def small(
    database_kind: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service of small replies."""
    folder = tmp_path_factory.mktemp("small")
    write_memories(folder / "models")
    environment = {
        "DATABASE_URL": new_database(database_kind),
        "MODELS_DIR": str(folder / "models"),
        "MAX_REPLY_BYTES": str(MAX_REPLY_BYTES),
        "MAX_WINDOW": str(MAX_WINDOW),
    }
    with Service(folder, **environment) as service:
        yield service


@pytest.fixture(scope="module")
def small_mlserver(small: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLServer]:
    with mlserver_like(small, tmp_path_factory.mktemp("small_mlserver")) as mlserver:
        yield mlserver


def mlserver_like(service: Service, folder: Path) -> MLServer:
    environment = dict(service.environment)
    return MLServer(folder, Path(environment.pop("MODELS_DIR")), None, **environment)


@pytest.fixture(scope="module")
def cutting(small: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of the same memories after the limit was lowered, which cuts replies."""
    lowered = {"MAX_REPLY_BYTES": str(LOWERED), "MAX_REPLY_OVERFLOW": "truncate"}
    folder = tmp_path_factory.mktemp("cutting")
    with Service(folder, **{**small.environment, **lowered}) as service:
        yield service


@pytest.fixture(scope="module")
def cutting_mlserver(
    cutting: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MLServer]:
    with mlserver_like(cutting, tmp_path_factory.mktemp("cutting_mlserver")) as mlserver:
        yield mlserver


@pytest.fixture(params=DOORS)
def cutting_door(request: pytest.FixtureRequest, cutting: Service) -> Door:
    return open_door(request.param, cutting, lambda: request.getfixturevalue("cutting_mlserver"))


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, small: Service) -> Door:
    return open_door(request.param, small, lambda: request.getfixturevalue("small_mlserver"))


@pytest.fixture
def rows(small: Service) -> Iterator[Rows]:
    yield from counted(small)


def statuses(door: Door) -> tuple[int, int]:
    """Of a wrong position, and of a window that is too large."""
    return STATUSES.get(type(door), (422, 422))


@hypothesis_settings(
    max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    requests=st.lists(
        st.lists(st.integers(0, 1500) | st.just(MAX_REPLY_BYTES), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    ),
    size=st.integers(1, 10),
    in_binary=st.booleans(),
)
def test_no_request_is_stored_and_then_fails_to_be_answered(door, rows, requests, size, in_binary):
    memory_id = new_id()
    parameters = {"window_size": size, "binary_data_output": in_binary and type(door) is HttpDoor}
    for lengths in requests:
        texts = [["é" * (length // 2)] for length in lengths]
        before = rows()[1]
        request = append_several_request(memory_id, ["user"] * len(texts), content=texts)
        if len(texts) == 1:
            request = append_request(memory_id, texts[0][0])
        request["parameters"] = parameters
        status, added = infer_status(door, request), rows()[1] - before
        assert (status, added) in ((200, len(texts)), (statuses(door)[1], 0))
        if status == 200:
            read = read_request(memory_id, parameters=parameters)
            assert infer_status(door, read) == 200


def infer_status(door: Door, request: dict[str, object]) -> int:
    if type(door) is not HttpDoor:
        return door.infer(request).status
    url = f"{door.service.url}/v2/models/memory/infer"
    return door.session.post(url, data=json.dumps(request), timeout=60).status_code


def test_a_window_that_is_too_large_says_which_size_would_fit(door):
    memory_id = new_id()
    small = {"window_size": 1}
    for _ in range(4):
        assert door.infer(append_request(memory_id, "x" * 1200, parameters=small)).status == 200
    for request in (read_request(memory_id), append_request(memory_id, "x" * 1200)):
        reply = door.infer(request)
        assert reply.status == statuses(door)[1]
        assert "a window_size of 3 would fit" in refusal_sentence(reply)
    assert len(door.infer(read_request(memory_id, parameters={"window_size": 3})).texts) == 3


def test_an_expected_position_that_is_wrong_is_refused_with_the_current_one(door):
    memory_id = new_id()
    for n in range(2):
        parameters = {"expected_position": n}
        assert door.infer(append_request(memory_id, str(n), parameters=parameters)).status == 200
    reply = door.infer(append_request(memory_id, "2", parameters={"expected_position": 1}))
    assert reply.status == statuses(door)[0]
    assert "highest position is 2" in refusal_sentence(reply)
    assert door.infer(read_request(memory_id)).texts == ["0", "1"]
    reply = door.infer(read_request(memory_id, parameters={"expected_position": 2}))
    assert reply.status == door.bad_request
    assert "expected_position" in refusal_sentence(reply)


@at(*JSON_DOORS)
def test_tokens_that_are_all_null_were_not_sent(door):
    request = append_request(new_id(), "x", parameters={"window_tokens": 1})
    request["inputs"].append(tensor("tokens", [None], datatype="INT64"))
    assert door.infer(request).texts == ["x"]


@at(*JSON_DOORS)
@pytest.mark.parametrize("count", [-1, 2**31])
def test_tokens_that_no_message_has_are_refused_with_what_came(door, count):
    request = append_request(new_id(), "x")
    request["inputs"].append(tensor("tokens", [count], datatype="INT64"))
    reply = door.infer(request)
    assert reply.status == door.bad_request
    assert refusal_sentence(reply).startswith(f"element 0 of tensor 'tokens' is {count}; it must")


def test_a_budget_counts_the_tokens_that_were_sent_or_bytes(door):
    memory_id = new_id()
    for n in range(4):
        request = append_request(memory_id, str(n), parameters={"window_tokens": 10})
        request["inputs"].append(tensor("tokens", [4], datatype="INT64", parameters={}))
        assert door.infer(request).texts == [str(each) for each in range(n + 1)][-2:]
    read = read_request(memory_id, parameters={"memory_parameters": {"window_tokens": 12}})
    if type(door) in (HttpDoor, RestDoor):
        assert door.infer(read).texts == ["1", "2", "3"]
    estimated = append_request(memory_id, "4", parameters={"window_tokens": 23})
    assert door.infer(estimated).texts == ["3", "4"]  # 64 bytes are 16 tokens


def test_a_window_in_tool_pairs_has_no_answer_without_its_call(door):
    memory_id = new_id()
    calls = [{"id": each, "type": "function"} for each in "ab"]
    request = append_several_request(
        memory_id,
        ["user", "assistant", "tool", "tool", "assistant"],
        content=[["q"], [], ["r"], ["r"], ["done"]],
        tool_calls=["", calls, "", "", ""],
        tool_call_id=["", "", "a", "b", ""],
    )
    request["parameters"] = {"window_unit": "tool_pair", "window_size": 3}
    reply = door.infer(request, "tools")
    assert [message["role"] for message in reply.messages] == ["assistant"]
    read = read_request(memory_id, parameters={"window_unit": "tool_pair", "window_size": 4})
    reply = door.infer(read, "tools")
    assert [message["role"] for message in reply.messages] == [
        *("assistant", "tool", "tool", "assistant")
    ]


@pytest.mark.parametrize(
    "parameters",
    [
        {"window_unit": "pair"},
        {"window_unit": 1},
        {"window_tokens": 0},
        {"window_tokens": "9"},
        {"expected_position": -1},
        {"expected_position": True},
    ],
)
def test_what_no_window_can_be_is_refused_by_its_name(door, parameters):
    reply = door.infer(append_request(new_id(), "1", parameters=parameters))
    assert reply.status == door.bad_request
    assert next(iter(parameters)) in refusal_sentence(reply)


# --- Replies that are cut ----------------------------------------------------------------

CUT = {"truncated": True}


def test_a_reply_is_cut_to_the_newest_messages_that_fit_and_says_so(cutting_door):
    memory_id = new_id()
    for text in "abc":
        last = cutting_door.infer(append_request(memory_id, text * 400))
        assert last.status == 200
    for reply in (last, cutting_door.infer(read_request(memory_id))):
        assert reply.texts == ["b" * 400, "c" * 400]
        assert reply.document["parameters"] == CUT
    too_large = cutting_door.infer(append_request(memory_id, "d" * LOWERED))
    assert too_large.status == statuses(cutting_door)[1]
    assert f"the limit is {LOWERED}" in refusal_sentence(too_large)


def test_a_call_whose_answers_do_not_fit_is_stored_and_left_out_with_them(cutting_door):
    memory_id = new_id()
    request = append_several_request(
        memory_id,
        ["assistant", "tool", "tool"],
        content=[[], ["a" * 400], ["b" * 400]],
        tool_calls=[[{"id": each, "type": "function"} for each in "ab"], "", ""],
        tool_call_id=["", "a", "b"],
    )
    request["parameters"] = {"window_unit": "tool_pair", "idempotency_key": memory_id}
    for _ in range(2):
        reply = cutting_door.infer(request, "tools")
        assert (reply.history, reply.document["parameters"]) == ([], CUT)
    stored = cutting_door.infer(read_request(memory_id), "tools")
    assert [message["role"] for message in stored.messages] == ["tool", "tool"]
    done = append_request(memory_id, "done", role="assistant")
    done["parameters"] = {"window_unit": "tool_pair", "window_size": 1}
    assert cutting_door.infer(done, "tools").texts == ["done"]


def test_a_retry_is_cut_and_not_refused_after_the_limit_was_lowered(cutting_door, small):
    memory_id, parameters = new_id(), {"idempotency_key": "k", "positions": True}
    request = append_request(memory_id, "x" * 2 * LOWERED, parameters=parameters)
    assert HttpDoor(small).infer(request).status == 200
    for _ in range(2):
        reply = cutting_door.infer(request)
        assert (reply.history, reply.document["parameters"]) == ([], CUT)
    other = append_request(memory_id, "y" * 2 * LOWERED, parameters=parameters)
    assert cutting_door.infer(other).status == 422
