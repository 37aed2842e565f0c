"""Requests that a memory refuses: with which status and sentence, and nothing written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from testing.bodies import (
    append_request,
    append_several_request,
    document,
    new_id,
    pack_elements,
    tensor,
)
from tests.doors import GRPC_DOORS, JSON_DOORS, HttpDoor, at, infer_request
from tests.refusals import (
    CALL,
    MAX_BODY_BYTES,
    MAX_MESSAGES,
    MAX_PARTS,
    MAX_TENSORS,
    MAX_VALUES,
    PRIVATE,
    changed_request,
    nested_list,
    refusal_sentence,
    request_with,
    request_with_parameters,
    request_with_tensors,
    request_without,
    two_message_request,
)

pytestmark = pytest.mark.one_database

# --- Malformed requests ------------------------------------------------------------------

Cases = dict[str, Any]

# What every protocol can say.
ANYWHERE: Cases = {
    # The document
    "inputs empty": {"inputs": []},
    # Tensors
    "shape negative": changed_request(content={"shape": [-1]}),
    "datatype FP32 for content": changed_request(content={"datatype": "FP32"}),
    "datatype INT64 for role": changed_request(role={"datatype": "INT64"}),
    "datatype BOOL for type": changed_request(type={"datatype": "BOOL"}),
    "datatype UINT8 for memory_id": changed_request(memory_id={"datatype": "UINT8"}),
    "datatype in small letters": changed_request(content={"datatype": "bytes"}),
    "datatype empty": changed_request(content={"datatype": ""}),
    "datatype long": changed_request(content={"datatype": "é😀" * 5_000}),
    # Which tensors, and how long
    "memory_id missing": changed_request(memory_id=None),
    "memory_id twice": request_with(tensor("memory_id", ["malformed"])),
    "memory_id without elements": changed_request(memory_id={"data": []}),
    "memory_id of two elements": changed_request(memory_id={"data": ["malformed", "other"]}),
    "memory_id the same twice": changed_request(memory_id={"data": ["malformed", "malformed"]}),
    "memory_id empty": changed_request(memory_id={"data": [""]}),
    "memory_id of 511 characters": changed_request(memory_id={"data": ["x" * 511]}),
    "memory_id of 511 emoji": changed_request(memory_id={"data": ["😀" * 256]}),
    "memory_id of a million characters": changed_request(memory_id={"data": ["x" * 1_000_000]}),
    "memory_id with a NUL": changed_request(memory_id={"data": ["a\0b"]}),
    "role missing": changed_request(role=None),
    "role twice": request_with(tensor("role", ["user"])),
    "role without elements": changed_request(role={"data": []}),
    "content missing": changed_request(content=None),
    "content twice": request_with(tensor("content", [PRIVATE])),
    "content without elements": changed_request(content={"data": []}, type={"data": []}),
    "content and type missing": changed_request(content=None, type=None),
    "type alone": changed_request(role=None, content=None),
    "type twice": request_with(tensor("type", ["text"])),
    "type too short": changed_request(type={"data": ["text"]}),
    "type too long": changed_request(type={"data": ["text"] * 3}),
    "type without elements": changed_request(type={"data": []}),
    # Several messages
    "several: content too short": two_message_request(content=[[PRIVATE]]),
    "several: content too long": two_message_request(content=[[PRIVATE], ["b"], ["c"]]),
    "several: type too short": two_message_request(type=[["text"]]),
    "several: content not JSON": two_message_request(content=[PRIVATE, ["b"]]),
    "several: content cut off": two_message_request(content=[[PRIVATE], '["b"']),
    "several: content a JSON string": two_message_request(content=[[PRIVATE], '"b"']),
    "several: content a JSON object": two_message_request(content=[[PRIVATE], '{"text": "b"}']),
    "several: content JSON null": two_message_request(content=[[PRIVATE], "null"]),
    "several: content a list of numbers": two_message_request(content=[[PRIVATE], [1]]),
    "several: content a list of nulls": two_message_request(content=[[PRIVATE], [None]]),
    "several: content a list of lists": two_message_request(content=[[PRIVATE], [["b"]]]),
    "several: content a list of objects": two_message_request(content=[[PRIVATE], [{"text": "b"}]]),
    "several: content nested deeply": two_message_request(content=[[PRIVATE], "[" * 100_000]),
    "several: content with a NaN": two_message_request(content=[[PRIVATE], "[NaN]"]),
    "several: content a blank": two_message_request(content=[[PRIVATE], " "]),
    "several: a message without content": two_message_request(content=[[PRIVATE], []]),
    "several: a message with an empty list": two_message_request(content=[[PRIVATE], "[]"]),
    "several: type not JSON": two_message_request(type=["text", "text"]),
    "several: type a list of numbers": two_message_request(type=[["text"], [1]]),
    "several: type of one message too long": two_message_request(type=[["text"], ["text", "text"]]),
    "several: type of one message too short": two_message_request(
        content=[[PRIVATE], ["b", "c"]], type=[["text"], ["text"]]
    ),
    "several: content missing": document(
        tensor("memory_id", ["malformed"]), tensor("role", ["user", "user"])
    ),
    # Parameters
    "window_size 0": request_with_parameters(window_size=0),
    "window_size -1": request_with_parameters(window_size=-1),
    "window_size a string": request_with_parameters(window_size="5"),
    "window_size an empty string": request_with_parameters(window_size=""),
    "window_size true": request_with_parameters(window_size=True),
    "window_size false": request_with_parameters(window_size=False),
    "window_size 2**31": request_with_parameters(window_size=2**31),
    "memory_parameters a number": request_with_parameters(memory_parameters=5),
    "memory_parameters wrong beside a window_size": request_with_parameters(
        window_size=5, memory_parameters="5"
    ),
    "binary_data_output a string": request_with_parameters(binary_data_output="true"),
    "binary_data_output a number": request_with_parameters(binary_data_output=1),
    # Outputs
    "an unknown output": request_with(outputs=[{"name": "history"}, {"name": "embedding"}]),
    "an unknown output in other letters": request_with(outputs=[{"name": "History"}]),
    "an unknown output with a long name": request_with(outputs=[{"name": "x" * 100_000}]),
    "an unknown output named in emoji": request_with(outputs=[{"name": "😀" * 60}]),
    "an unknown output with controls in its name": request_with(
        outputs=[{"name": "\x1b[2J\0\n" * 20}]
    ),
    "an output twice": request_with(outputs=[{"name": "history"}, {"name": "history"}]),
    "an input asked for as an output": request_with(outputs=[{"name": "role"}]),
    "binary_data a string": request_with(
        outputs=[{"name": "history", "parameters": {"binary_data": "yes"}}]
    ),
}
ANYWHERE_TOOLS: Cases = {
    "tool_calls not JSON": request_with_tensors(tool_calls=[CALL, PRIVATE]),
    "tool_calls cut off": request_with_tensors(tool_calls=[CALL, CALL[:-1]]),
    "tool_calls a JSON number": request_with_tensors(tool_calls=["7"]),
    "tool_calls a JSON null": request_with_tensors(tool_calls=["null"]),
    "tool_calls a JSON string": request_with_tensors(tool_calls=[json.dumps(CALL)]),
    "tool_calls a JSON list": request_with_tensors(tool_calls=[json.dumps([CALL])]),
    "tool_calls with a NaN": request_with_tensors(tool_calls=['{"temperature": NaN}']),
    "tool_calls with a number too large": request_with_tensors(
        tool_calls=['{"temperature": 1e999}']
    ),
    "tool_calls nested deeply": request_with_tensors(
        tool_calls=[json.dumps({"a": nested_list(101, 1)})]
    ),
    "tool_calls nested very deeply": request_with_tensors(tool_calls=['{"a":' * 200_000]),
    "tool_calls of another datatype": request_with(tensor("tool_calls", [CALL], datatype="JSON")),
    "tool_calls twice": request_with(tensor("tool_calls", [CALL]), tensor("tool_calls", [CALL])),
    "tool_call_id of two elements": request_with_tensors(tool_call_id=["call_1", "call_2"]),
    "tool_calls alone": document(tensor("memory_id", ["malformed"]), tensor("tool_calls", [CALL])),
    "several: tool_calls plain": two_message_request(tool_calls=[CALL, ""]),
    "several: tool_calls too short": two_message_request(tool_calls=[""]),
    "several: tool_calls a list of numbers": two_message_request(tool_calls=[[], [1]]),
    "several: tool_calls a list of other JSON": two_message_request(tool_calls=[[], ["[]"]]),
    "several: tool_calls a list of no JSON": two_message_request(tool_calls=[[], [PRIVATE]]),
    "several: tool_call_id of two elements": two_message_request(tool_call_id=["", ["a", "b"]]),
    "several: tool_call_id too long": two_message_request(tool_call_id=["", "", ""]),
    "several: tool_call_id a list of numbers": two_message_request(tool_call_id=["", [1]]),
    "several: name plain": two_message_request(name=["Ann", "Ben"]),
    "several: name too short": two_message_request(name=[["Ann"]]),
}
# A tensor of numbers in spite of its datatype: not among what follows gRPC's message.
NUMBERS: Cases = {
    # Elements
    "memory_id a number": changed_request(memory_id={"data": [1]}),
    "a number in role": changed_request(role={"data": [7]}),
}
NUMBERS_TOOLS: Cases = {
    "tool_call_id a number": request_with_tensors(tool_call_id=[1]),
    "name a number": request_with_tensors(name=[1]),
}
# What only JSON can say.
JSON_ALONE: Cases = {
    # The document
    "the document is null": None,
    "the document is a boolean": True,
    "the document is a number": 7,
    "the document is a string": PRIVATE,
    "the document is a list": [append_request("malformed", PRIVATE)],
    "the document is empty": {},
    "inputs missing": {"id": "1", "parameters": {}},
    "inputs null": {"inputs": None},
    "inputs an object": {"inputs": {"memory_id": ["malformed"]}},
    "inputs a string": {"inputs": PRIVATE},
    "inputs a number": {"inputs": 0},
    "inputs nested": {"inputs": [append_request("malformed", PRIVATE)["inputs"]]},
    "id a number": request_with(id=7),
    "id a float": request_with(id=0.5),
    "id a boolean": request_with(id=False),
    "id a list": request_with(id=["a"]),
    "id an object": request_with(id={}),
    "parameters a list": request_with(parameters=[]),
    "parameters a string": request_with(parameters=PRIVATE),
    "parameters a number": request_with(parameters=0),
    "parameters false": request_with(parameters=False),
    # Tensors
    "an input null": request_with(None),
    "an input a string": request_with("memory_id"),
    "an input a number": request_with(1),
    "an input a list": request_with([]),
    "an input empty": request_with({}),
    "name missing": request_with({"shape": [1], "datatype": "BYTES", "data": ["a"]}),
    "name null": request_with(tensor(None, ["a"])),  # type: ignore[arg-type]
    "name a number": request_with(tensor(7, ["a"])),  # type: ignore[arg-type]
    "name a list": request_with(tensor(["role"], ["a"])),  # type: ignore[arg-type]
    "shape missing": request_without("content", "shape"),
    "shape null": changed_request(content={"shape": None}),
    "shape a number": changed_request(content={"shape": 1}),
    "shape a string": changed_request(content={"shape": "1"}),
    "shape an object": changed_request(content={"shape": {}}),
    "shape of strings": changed_request(content={"shape": ["1"]}),
    "shape of booleans": changed_request(content={"shape": [True]}),
    "shape of floats": changed_request(content={"shape": [1.0]}),
    "shape of lists": changed_request(content={"shape": [[1]]}),
    "shape of nulls": changed_request(content={"shape": [None]}),
    "shape of another tensor": request_with(tensor("other", [], shape="1")),
    "datatype missing": request_without("role", "datatype"),
    "datatype null": changed_request(role={"datatype": None}),
    "datatype a number": changed_request(role={"datatype": 7}),
    "datatype a list": changed_request(role={"datatype": ["BYTES"]}),
    "tensor parameters a list": changed_request(content={"parameters": []}),
    "tensor parameters a string": changed_request(content={"parameters": "str"}),
    # Elements
    "data missing": request_without("content", "data"),
    "data null": changed_request(content={"data": None}),
    "data a bare number": changed_request(content={"data": 7}),
    "data a bare boolean": changed_request(content={"data": True}),
    "data an object": changed_request(content={"data": {"0": PRIVATE}}),
    "memory_id a bare number": changed_request(memory_id={"data": 1}),
    "memory_id null": changed_request(memory_id={"data": [None]}),
    "null in role": changed_request(role={"data": [None]}),
    "a float in content": changed_request(content={"data": [PRIVATE, 0.5]}),
    "a boolean in content": changed_request(content={"data": [PRIVATE, False]}),
    "null in content": changed_request(content={"data": [PRIVATE, None]}),
    "an object in content": changed_request(content={"data": [PRIVATE, {"text": "x"}]}),
    "a number in nested content": changed_request(content={"data": [[[PRIVATE], [1]]]}),
    "a number in type": changed_request(type={"data": ["text", 1]}),
    "null in type": changed_request(type={"data": [None, None]}),
    # Which tensors, and how long
    "memory_id of two nested elements": changed_request(
        memory_id={"data": [["malformed"], ["other"]]}
    ),
    "memory_id with a high surrogate": changed_request(memory_id={"data": ["a\ud800"]}),
    "memory_id with a low surrogate": changed_request(memory_id={"data": ["\udfffa"]}),
    "role nested and without elements": changed_request(role={"data": [[], [[]]]}),
    # Parameters
    "window_size 2.5": request_with_parameters(window_size=2.5),
    "window_size 5.0": request_with_parameters(window_size=5.0),
    "window_size 2**63": request_with_parameters(window_size=2**63),
    "window_size of a thousand digits": request_with_parameters(window_size=10**1000),
    "window_size a list": request_with_parameters(window_size=[5]),
    "window_size an object": request_with_parameters(window_size={}),
    "older window_size 0": request_with_parameters(memory_parameters={"window_size": 0}),
    "older window_size a string": request_with_parameters(memory_parameters={"window_size": "5"}),
    "memory_parameters a list": request_with_parameters(memory_parameters=[{"window_size": 5}]),
    # Outputs
    "outputs an object": request_with(outputs={"name": "history"}),
    "outputs a string": request_with(outputs="history"),
    "outputs a number": request_with(outputs=2),
    "outputs false": request_with(outputs=False),
    "outputs of strings": request_with(outputs=["history"]),
    "outputs of nulls": request_with(outputs=[None]),
    "outputs of lists": request_with(outputs=[[]]),
    "an output without a name": request_with(outputs=[{}]),
    "an output whose name is a number": request_with(outputs=[{"name": 0}]),
    "an output whose name is null": request_with(outputs=[{"name": None}]),
    "output parameters a list": request_with(outputs=[{"name": "history", "parameters": []}]),
}
JSON_ALONE_TOOLS: Cases = {
    "tool_call_id objects": request_with_tensors(tool_call_id=[{"id": "call_1"}]),
}


Case = tuple[Any, str]  # a document, and the memory that it is sent to


def cases(documents: Cases, tools: Cases) -> dict[str, Case]:
    return {
        **{name: (sent, "memory") for name, sent in documents.items()},
        **{f"tools: {name}": (sent, "tools") for name, sent in tools.items()},
    }


SAID_ANYWHERE = cases(ANYWHERE, ANYWHERE_TOOLS)
SAID_IN_CONTENTS = {**SAID_ANYWHERE, **cases(NUMBERS, NUMBERS_TOOLS)}
MALFORMED = {**SAID_IN_CONTENTS, **cases(JSON_ALONE, JSON_ALONE_TOOLS)}

# What MLServer's own grammar refuses first, by the type that it gives the fault.
BY_MLSERVER = {
    "enum": [
        "datatype a list",
        "datatype a number",
        "datatype empty",
        "datatype in small letters",
        "datatype long",
        "datatype null",
        "tools: tool_calls of another datatype",
    ],
    "int_type": ["shape of lists", "shape of nulls"],
    "json_invalid": [
        "memory_id with a high surrogate",
        "memory_id with a low surrogate",
        "window_size of a thousand digits",
    ],
    "list_type": [
        "inputs a number",
        "inputs a string",
        "inputs an object",
        "inputs null",
        "outputs a number",
        "outputs a string",
        "outputs an object",
        "outputs false",
        "shape a number",
        "shape a string",
        "shape an object",
        "shape null",
        "shape of another tensor",
    ],
    "missing": [
        "an input empty",
        "an output without a name",
        "data missing",
        "datatype missing",
        "inputs missing",
        "name missing",
        "shape missing",
        "the document is empty",
        "the document is null",
    ],
    "model_attributes_type": [
        "an input a list",
        "an input a number",
        "an input a string",
        "an input null",
        "inputs nested",
        "output parameters a list",
        "outputs of lists",
        "outputs of nulls",
        "outputs of strings",
        "parameters a list",
        "parameters a number",
        "parameters a string",
        "parameters false",
        "tensor parameters a list",
        "tensor parameters a string",
        "the document is a boolean",
        "the document is a list",
        "the document is a number",
        "the document is a string",
    ],
    "string_type": [
        "an output whose name is a number",
        "an output whose name is null",
        "id a boolean",
        "id a float",
        "id a list",
        "id a number",
        "id an object",
        "name a list",
        "name a number",
        "name null",
    ],
}
FAULTS = {name: fault for fault, names in BY_MLSERVER.items() for name in names}
# What MLServer makes right before a memory sees it: whole numbers out of whatever looks like
# them, and nothing out of null.
TAKEN_BY_MLSERVER = [
    "shape of booleans",
    "shape of floats",
    "shape of strings",
]
# What MLServer cannot unpack, since it is text and not what its datatype says.
NOT_UNPACKED = [
    "datatype FP32 for content",
    "datatype BOOL for type",
    "datatype UINT8 for memory_id",
    "datatype in small letters",
    "datatype empty",
    "datatype long",
    "tools: tool_calls of another datatype",
]
REFUSED_AS_IN_HTTP = {
    "rest": [name for name in MALFORMED if name not in (*FAULTS, *TAKEN_BY_MLSERVER)],
    "grpc": [*SAID_IN_CONTENTS],
    "grpc-raw": [name for name in SAID_ANYWHERE if name not in NOT_UNPACKED],
}


@at("http")
@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused_with_a_sentence_and_writes_nothing(door, rows, name):
    before = rows()

    reply = door.infer(*MALFORMED[name])

    assert reply.status == 400
    assert refusal_sentence(reply)
    assert rows() == before


@pytest.mark.parametrize(
    ("door", "names"), REFUSED_AS_IN_HTTP.items(), indirect=["door"], ids=REFUSED_AS_IN_HTTP
)
def test_mlserver_refuses_with_the_same_sentence_and_writes_nothing(
    door, service, rows, names, subtests
):
    http, before = HttpDoor(service), rows()
    for name in names:
        with subtests.test(name):
            reply = door.infer(*MALFORMED[name])

            assert reply.status == 422
            assert refusal_sentence(reply) == refusal_sentence(http.infer(*MALFORMED[name]))
            assert rows() == before


@at("rest")
def test_what_mlservers_grammar_refuses_first_writes_nothing(door, rows, subtests):
    before = rows()
    for name, fault in FAULTS.items():
        with subtests.test(name):
            reply = door.infer(*MALFORMED[name])

            assert reply.status == 422
            assert list(reply.document) == ["detail"]
            assert {each["type"] for each in reply.document["detail"]} == {fault}
            assert rows() == before


@at("rest")
@pytest.mark.parametrize("name", TAKEN_BY_MLSERVER)
def test_what_mlserver_makes_right_is_stored(door, rows, name):
    _, messages = rows()

    reply = door.infer(*MALFORMED[name])

    assert reply.status == 200
    assert PRIVATE in reply.history[-1]
    assert rows()[1] == messages + 1


@at(*GRPC_DOORS)
def test_a_flag_without_a_value_is_none_at_all_in_grpc(door):
    reply = door.infer(append_request(new_id(), "hello", parameters={"binary_data_output": None}))

    assert reply.texts == ["hello"]


@at("grpc-raw")
@pytest.mark.parametrize("name", NOT_UNPACKED)
def test_what_mlserver_cannot_unpack_is_its_own_fault_and_writes_nothing(door, rows, name):
    before = rows()

    assert door.infer(*SAID_ANYWHERE[name]).status == 500

    assert rows() == before
    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


def test_the_request_that_the_malformed_ones_are_made_of_is_a_good_one(door):
    for request in (changed_request(), two_message_request(), append_request("malformed", PRIVATE)):
        assert door.infer(request).status == 200
    assert door.infer(request_with_tensors(tool_calls=[CALL]), "tools").status == 200


NAMED = {
    "memory_id missing": ["memory_id", "missing"],
    "memory_id of two elements": ["memory_id", "2", "1"],
    "memory_id of 511 characters": ["memory_id", "511", "510"],
    "memory_id with a NUL": ["memory_id", "NUL"],
    "role missing": ["role", "missing"],
    "content twice": ["content", "2 times"],
    "type too short": ["type", "1", "content", "2"],
    "a boolean in content": ["element 1", "content", "boolean", "string"],
    "datatype FP32 for content": ["content", "FP32", "BYTES"],
    "shape a string": ["shape", "content", "string", "list"],
    "inputs missing": ["inputs", "missing"],
    "id a number": ["id", "number", "string"],
    "window_size 0": ["window_size", "integer", "1"],
    "an unknown output": ["embedding", "memory_id", "history"],
    "several: content too short": ["role", "2", "content", "1"],
    "several: content not JSON": ["element 0", "content", "JSON"],
    "tools: tool_calls a JSON number": ["element 0", "tool_calls", "object"],
    "tools: tool_call_id of two elements": ["tool_call_id", "2"],
}


@at("http")
@pytest.mark.parametrize("name", NAMED)
def test_a_refusal_names_what_came_and_what_is_wanted(door, name):
    text = refusal_sentence(door.infer(*MALFORMED[name]))

    for word in NAMED[name]:
        assert word in text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["memory_id", "role", "content", "type", "tool_calls", "tool_call_id"])
TENSORS = st.fixed_dictionaries(
    {"name": NAMES, "shape": st.just([1]), "datatype": st.just("BYTES")},
    optional={
        "data": st.lists(st.text(max_size=5) | st.just("[]"), max_size=3) | VALUES,
        "parameters": VALUES,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=6)},
    optional={
        "id": VALUES,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES})) | VALUES,
        "parameters": VALUES | st.fixed_dictionaries({"window_size": VALUES}),
    },
)

modest = settings(
    max_examples=75,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@at(*JSON_DOORS)
@modest
@given(request=REQUESTS | VALUES)
def test_whatever_the_document_it_is_answered_or_refused_and_never_a_fault(door, request):
    reply = door.infer(request, "tools")

    assert reply.status in (200, door.bad_request)
    if reply.status != 200:
        assert (door.bad_request == 422 and "detail" in reply.document) or refusal_sentence(reply)


UTF8 = st.text(st.characters(codec="utf-8"), max_size=5)
FLAT = st.fixed_dictionaries(
    {
        "name": NAMES,
        "shape": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2),
        "datatype": st.sampled_from(["BYTES", "BYTES", "INT64", "bytes"]) | UTF8,
        "data": st.one_of(
            st.lists(UTF8 | st.binary(max_size=5) | st.just("[]"), max_size=3),
            st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3),
        ),
    }
)
MESSAGES = st.fixed_dictionaries(
    {"inputs": st.lists(FLAT, max_size=6)},
    optional={
        "id": UTF8,
        "outputs": st.lists(st.fixed_dictionaries({"name": NAMES | UTF8})),
        "parameters": st.dictionaries(
            st.sampled_from(["window_size", "memory_parameters", "binary_data_output", "x"]),
            st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | UTF8,
        ),
    },
)


@at("grpc")
@modest
@given(request=MESSAGES)
def test_whatever_the_message_it_is_answered_or_refused_and_never_a_fault(door, request):
    reply = door.infer(request, "tools")

    assert reply.status in (200, 422)
    if reply.status == 422:
        assert refusal_sentence(reply)


def test_after_many_refusals_the_service_still_answers_and_its_log_keeps_them_private(door):
    for name, case in SAID_ANYWHERE.items():
        if name not in NOT_UNPACKED:
            assert door.infer(*case).status == door.bad_request

    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]
    assert PRIVATE not in door.service.log.read_text()


# --- What gRPC can say beyond a document -------------------------------------------------

WHOLE = [pack_elements(word) for word in (b"malformed", b"user", b"hello", b"text")]
BLOBS = {
    "one too few": WHOLE[:3],
    "a length that is cut off": [*WHOLE[:2], b"\1\0", WHOLE[3]],
    "an element that is cut off": [*WHOLE[:2], WHOLE[2][:-1], WHOLE[3]],
    "a length beyond the end": [*WHOLE[:2], b"\xff\xff\xff\xffword", WHOLE[3]],
    "a length in the other byte order": [*WHOLE[:2], b"\0\0\0\4word", WHOLE[3]],
}


def with_blobs(*blobs: bytes) -> pb.ModelInferRequest:
    """A request that adds a message, the data of its tensors being any bytes behind it."""
    request = infer_request(append_request("malformed", "hello"), True, model_name="memory")
    del request.raw_input_contents[:]
    request.raw_input_contents.extend(blobs)
    return request


@at("grpc-raw")
@pytest.mark.parametrize("blobs", BLOBS.values(), ids=BLOBS)
def test_malformed_raw_contents_are_mlservers_own_fault_and_write_nothing(door, rows, blobs):
    before = rows()

    assert door.send(with_blobs(*blobs)).status == 500

    assert rows() == before
    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


@at("grpc-raw")
def test_more_raw_contents_than_inputs_are_left_over(door, rows):
    _, messages = rows()

    reply = door.send(with_blobs(*WHOLE, pack_elements(b"more")))

    assert reply.texts[-1] == "hello"
    assert rows()[1] == messages + 1


@at("grpc-raw")
def test_of_contents_and_raw_contents_the_former_count(door):
    memory_id = new_id()
    request = infer_request(append_request(memory_id, "hello"), False, model_name="memory")
    request.raw_input_contents.extend([pack_elements(b"raw")] * 4)

    assert door.send(request).texts == ["hello"]


@at("grpc")
@pytest.mark.parametrize("name", ["content_type", "headers"])
def test_a_parameter_that_is_mlservers_own_and_of_another_type_writes_nothing(door, rows, name):
    before = rows()

    assert door.infer(append_request(new_id(), "hello", parameters={name: 7})).status == 422

    assert rows() == before
    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


@at("grpc")
@pytest.mark.parametrize("change", [b"\xff\xff\xff", None], ids=["garbage", "a name not in UTF-8"])
def test_bytes_that_are_no_message_are_mlservers_to_refuse_and_write_nothing(door, rows, change):
    good = infer_request(append_request("malformed", "hello"), False, model_name="memory")
    body = change or good.SerializeToString().replace(b"memory_id", b"memory_i\xff")
    call = door.service.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    before = rows()

    with pytest.raises(grpc.RpcError) as refusal:
        call(body, timeout=60)

    assert refusal.value.code() == grpc.StatusCode.UNKNOWN
    assert "Error parsing message" in refusal.value.details()
    assert rows() == before
    assert door.infer(append_request(new_id(), "hello")).texts == ["hello"]


# --- Limits ------------------------------------------------------------------------------


def test_as_many_parts_as_the_limit_are_stored(limited_door):
    parts = [str(n) for n in range(MAX_PARTS)]

    assert limited_door.infer(append_request(new_id(), *parts)).texts == parts
    every = append_several_request(
        new_id(), ["user"] * MAX_PARTS, content=[[part] for part in parts]
    )
    assert limited_door.infer(every).texts == parts


MORE = MAX_PARTS + 1
TOO_MANY = {
    "parts of one message": append_request("limited", *["a"] * MORE),
    "messages": append_several_request("limited", ["user"] * MORE, content=[["a"]] * MORE),
    "parts of messages": append_several_request(
        "limited", ["user", "user"], content=[["a"], ["b"] * MAX_PARTS]
    ),
    "messages without parts": append_several_request(
        "limited", ["tool"] * MORE, content=[[]] * MORE, tool_call_id=["call_1"] * MORE
    ),
}


@pytest.mark.parametrize("sent", TOO_MANY.values(), ids=TOO_MANY)
def test_more_parts_than_the_limit_are_too_large(limited_door, limited_rows, sent):
    before = limited_rows()

    reply = limited_door.infer(sent, "tools")

    assert reply.status == limited_door.too_large
    assert str(MAX_PARTS) in refusal_sentence(reply)
    assert limited_rows() == before


def holding(characters: int) -> dict[str, Any]:
    """A good request whose tensors hold so many characters, all of ASCII."""
    request = append_request(new_id(), "")
    rest = sum(len(text) for sent in request["inputs"] for text in sent["data"])
    request["inputs"][2]["data"] = ["x" * (characters - rest)]
    return request


@pytest.mark.parametrize("limited_door", GRPC_DOORS, indirect=True)
def test_tensors_of_exactly_the_limit_are_stored(limited_door):
    assert limited_door.infer(holding(MAX_BODY_BYTES)).status == 200


@pytest.mark.parametrize("limited_door", GRPC_DOORS, indirect=True)
@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 1_000_000])
def test_tensors_over_the_limit_are_too_large(limited_door, limited_rows, size):
    before = limited_rows()

    reply = limited_door.infer(holding(size))

    assert reply.status == 422
    assert refusal_sentence(reply) == (
        f"the tensors have {size} bytes; the limit is {MAX_BODY_BYTES}"
    )
    assert limited_rows() == before


# --- Values, tensors, messages -----------------------------------------------------------


def of_values(count: int) -> dict[str, Any]:
    """A request of so many elements, all but a few in a tensor that no memory names."""
    return request_with(tensor("x", ["a"] * count))


EXCESS = {
    "elements": of_values(MAX_VALUES + 1),
    "tensors": request_with(*[tensor(f"x{n}", ["a"]) for n in range(MAX_TENSORS)]),
    "outputs": request_with(outputs=[{"name": "history"}] * (MAX_TENSORS + 1)),
    "messages": append_several_request(
        "limited", ["user"] * (MAX_MESSAGES + 1), content=[["a"]] * (MAX_MESSAGES + 1)
    ),
    "values in a tool call": request_with_tensors(tool_calls=[json.dumps({"x": [1] * MAX_VALUES})]),
    "values in two tool calls": request_with_tensors(
        tool_calls=[json.dumps({"x": [1] * (MAX_VALUES // 2)})] * 2
    ),
    "values in a message of several": two_message_request(
        content=[["a"], json.dumps(["b"] * MAX_VALUES)]
    ),
}
LIMITS = {
    "tensors": MAX_TENSORS, "outputs": MAX_TENSORS, "messages": MAX_MESSAGES
}  # fmt: skip


@pytest.mark.parametrize("what", EXCESS)
def test_a_request_that_holds_too_much_is_too_large(limited_door, limited_rows, what):
    before = limited_rows()

    reply = limited_door.infer(EXCESS[what], "tools")

    assert reply.status == limited_door.too_large
    assert str(LIMITS.get(what, MAX_VALUES)) in refusal_sentence(reply)
    assert limited_rows() == before


def test_commas_and_brackets_in_a_text_are_no_values(limited_door):
    text = "[{,}]" * MAX_VALUES

    assert limited_door.infer(append_request(new_id(), text)).texts == [text]


@pytest.mark.parametrize("limited_door", ["rest"], indirect=True)
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_mlserver_reads_no_more_of_a_body_than_the_limit(limited_door, limited_rows, chunked):
    before = limited_rows()
    pieces = [b" " * MAX_BODY_BYTES, b" "]

    reply = limited_door.send(iter(pieces) if chunked else b"".join(pieces))

    assert reply.status == 422
    assert refusal_sentence(reply) == f"the body is over the limit of {MAX_BODY_BYTES} bytes"
    assert limited_rows() == before


@pytest.mark.parametrize("limited_door", JSON_DOORS, indirect=True)
@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 100_000_000])
def test_a_body_that_becomes_larger_than_the_limit_is_too_large(limited_door, limited_rows, size):
    before = limited_rows()

    body = gzip.compress(b" " * size)
    reply = limited_door.send(body, **{"Content-Encoding": "gzip"})

    wanted = f"the decompressed body is over the limit of {MAX_BODY_BYTES} bytes"
    assert reply.status == limited_door.too_large
    # The compressed one may be over the limit already.
    assert refusal_sentence(reply) in (wanted, wanted.replace("decompressed ", ""))
    assert limited_rows() == before


# --- Names -------------------------------------------------------------------------------

UNKNOWN = {
    "nope": "Model nope not found",
    "Memory": "Model Memory not found",
    "nope/versions/1": "Model nope with version 1 not found",
    "memory/versions/1": "Model memory with version 1 not found",
    "versioned/versions/9": "Model versioned with version 9 not found",
    "versioned/versions/03": "Model versioned with version 03 not found",
}


@pytest.mark.parametrize("memory", UNKNOWN)
def test_an_unknown_memory_or_version_is_not_found(door, rows, memory):
    before = rows()

    reply = door.infer(append_request("malformed", PRIVATE), memory)

    assert reply.status == 404
    found = refusal_sentence(reply).replace(
        " with version  not", " not"
    )  # so MLServer says it in gRPC
    assert found == UNKNOWN[memory]
    assert rows() == before
