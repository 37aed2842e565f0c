"""What is delivered twice is stored once, where a memory goes by the request's id."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.bodies import append_request, append_several_request, document, new_id, read_request


@pytest.fixture
def rid() -> dict[str, str]:
    """The header, or the metadata, that a gateway sends along with all deliveries."""
    return {"x-request-id": new_id()}


def test_a_request_that_comes_again_adds_nothing_and_is_answered_as_before(door, rid):
    memory_id = new_id()
    first = door.infer(append_request(memory_id, "hello"), "once", **rid)
    door.infer(append_request(memory_id, "hi", role="assistant"), "once")

    again = door.infer(append_request(memory_id, "hello"), "once", **rid)

    assert again.history == first.history
    assert door.infer(read_request(memory_id), "once").texts == ["hello", "hi"]


def test_two_deliveries_at_once_add_one_message(door, rid):
    for _ in range(20):
        memory_id = new_id()
        with ThreadPoolExecutor(4) as threads:
            deliveries = [
                threads.submit(door.infer, append_request(memory_id, "hello"), "once", **rid)
                for _ in range(4)
            ]
        assert [delivery.result().texts for delivery in deliveries] == [["hello"]] * 4


def test_several_messages_that_come_again_are_stored_once(door, rid):
    request = append_several_request(new_id(), ["user", "assistant"], content=[["a"], ["b"]])
    assert door.infer(request, "once", **rid).texts == ["a", "b"]
    assert door.infer(request, "once", **rid).texts == ["a", "b"]


def test_under_one_request_id_other_words_are_another_message(door, rid):
    memory_id = new_id()
    for text in ("one", "two", "one", "two"):
        reply = door.infer(append_request(memory_id, text), "once", **rid)
    assert reply.texts == ["one", "two"]


def test_under_one_request_id_another_role_type_or_conversation_is_another_message(door, rid):
    memory_id = new_id()
    door.infer(append_request(memory_id, "x"), "once", **rid)
    door.infer(append_request(memory_id, "x", role="assistant"), "once", **rid)
    typed = append_request(memory_id, "x")
    typed["inputs"][3]["data"] = ["image_url"]
    assert len(door.infer(typed, "once", **rid).messages) == 3
    assert len(door.infer(append_request(new_id(), "x"), "once", **rid).messages) == 1


def test_each_step_of_a_pipeline_stores_for_itself(door, rid):
    memory_id = new_id()
    door.infer(append_request(memory_id, "x"), "once", **rid)
    assert door.infer(append_request(memory_id, "x"), "other", **rid).texts == ["x", "x"]


def test_a_step_in_its_next_version_knows_what_the_one_before_stored(door, rid):
    memory_id = new_id()
    door.infer(append_request(memory_id, "x"), "once", **rid)
    assert door.infer(append_request(memory_id, "x"), "once_1", **rid).texts == ["x"]


def test_the_v2_id_counts_where_there_is_no_header(door):
    memory_id, request_id = new_id(), new_id()
    for request in (
        append_request(memory_id, "x", id=request_id),
        append_request(memory_id, "x", id=request_id),
        append_request(memory_id, "x", id=new_id()),
    ):
        reply = door.infer(request, "once")
    assert reply.texts == ["x", "x"]


def test_without_any_id_each_request_adds(door):
    memory_id = new_id()
    for _ in range(2):
        reply = door.infer(append_request(memory_id, "x"), "once")
    assert reply.texts == ["x", "x"]


def test_by_default_each_request_adds_whatever_its_id(door, rid):
    memory_id, request_id = new_id(), new_id()
    for _ in range(2):
        reply = door.infer(append_request(memory_id, "x", id=request_id), **rid)
    assert reply.texts == ["x", "x"]


def test_what_was_refused_may_be_sent_again_in_its_right_form(door, rid):
    memory_id = new_id()
    wrong = append_request(memory_id, "x")
    assert door.infer(document(*wrong["inputs"][:2]), "once", **rid).status == door.bad_request
    assert door.infer(wrong, "once", **rid).texts == ["x"]
