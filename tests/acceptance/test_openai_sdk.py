"""OpenAI's own SDK against the service, with nothing changed but `base_url`."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI
from openai.types.conversations import Message
from openai.types.responses import ResponseFunctionToolCallItem, ResponseReasoningItem

from conversations_api.items import items_of
from conversations_api.kinds import is_call, is_message, is_output
from convstore.archive.conversations import ConversationRow
from convstore.database.url import database_alias
from convstore.messages import Message as StoredMessage
from convstore.messages import dumps
from inspection.export import FORMATS, file_chunks
from testing.bodies import append_request, read_request
from testing.service import Service
from tests.length import times
from tests.unit.openai_items import long_form, sendable

pytestmark = pytest.mark.one_database

SCRIPT = Path(__file__).parent / "clients/javascript/conversation.js"
CALL: Any = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"n": 1}'}
ANSWER: Any = {"type": "function_call_output", "call_id": "c1", "output": "found"}
REASONING: Any = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}


def base_url(service: Service, memory: str = "memory") -> str:
    return f"{service.url}/memories/{memory}/v1"


@pytest.fixture
def sdk(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=base_url(service), api_key="none") as client:
        yield client


def said(text: str) -> Any:
    return {"role": "user", "content": text}


def text_of(item: Any) -> str:
    text: str = item.content[0].text
    return text


def test_a_conversation_is_created_filled_read_and_deleted(sdk):
    created = sdk.conversations.create(metadata={"title": "Trip"}, items=[said("Hi")])
    assert (created.object, created.metadata) == ("conversation", {"title": "Trip"})
    added = sdk.conversations.items.create(created.id, items=[REASONING, CALL, ANSWER])
    assert [item.type for item in added.data] == [
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    items = list(sdk.conversations.items.list(created.id, order="asc"))
    first, reasoning, call, answer = items
    assert isinstance(first, Message)
    assert [content.to_dict() for content in first.content] == [
        {"type": "input_text", "text": "Hi"}
    ]
    assert isinstance(reasoning, ResponseReasoningItem)
    assert reasoning.encrypted_content == "gAAA"
    assert isinstance(call, ResponseFunctionToolCallItem)
    assert (call.call_id, call.arguments) == ("c1", '{"n": 1}')
    for item in items:
        assert item.id
        found = sdk.conversations.items.retrieve(item.id, conversation_id=created.id)
        assert found == item
    assert answer.to_dict()["position"] == 4

    changed = sdk.conversations.update(created.id, metadata={"title": "Long trip"})
    assert sdk.conversations.retrieve(created.id) == changed
    assert sdk.conversations.items.delete(first.id, conversation_id=created.id) == changed
    assert next(iter(sdk.conversations.items.list(created.id, order="asc"))) == reasoning
    assert sdk.conversations.delete(created.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        sdk.conversations.retrieve(created.id)


def test_the_sdk_pages_through_all_items_in_both_orders(sdk):
    conversation = sdk.conversations.create().id
    for start in range(0, 60, 20):
        some = [said(str(n)) for n in range(start, start + 20)]
        sdk.conversations.items.create(conversation, items=some)
    for order in ("asc", "desc"):
        page = sdk.conversations.items.list(conversation, order=order, limit=7)
        texts = [text_of(item) for item in page]
        assert texts == sorted(map(str, range(60)), key=int, reverse=order == "desc")


def test_the_sdk_raises_its_own_exceptions(sdk, service):
    conversation = sdk.conversations.create(items=[REASONING]).id
    with pytest.raises(openai.BadRequestError) as wrong:
        sdk.conversations.items.create(conversation, items=[{**REASONING, "status": "completed"}])
    assert wrong.value.type == "invalid_request_error"
    assert "Duplicate item" in wrong.value.message
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.conversations.items.retrieve("msg_1", conversation_id=conversation)
    assert missing.value.code == "item_not_found"
    with pytest.raises(openai.NotFoundError, match="there is no such route"):
        sdk.get("/models", cast_to=object)
    several = sdk.with_options(base_url=f"{service.url}/v1")
    with pytest.raises(openai.NotFoundError, match="CONVERSATIONS_MEMORY"):
        several.conversations.create()
    through_a_proxy = sdk.with_options(default_headers={"X-Forwarded-For": "10.0.0.7"})
    with pytest.raises(openai.PermissionDeniedError, match="proxy"):
        through_a_proxy.conversations.retrieve(conversation)
    down = sdk.with_options(base_url=base_url(service, "down"), max_retries=0)
    with pytest.raises(openai.InternalServerError) as unavailable:
        down.conversations.create()
    assert unavailable.value.status_code == 503


def test_a_change_is_done_only_in_the_revision_that_the_sdk_has_read(sdk):
    # Long enough for compressed replies.
    conversation = sdk.conversations.create(items=[said("Hello " * 60)], metadata={"a": "b" * 300})
    for read in (
        lambda: sdk.conversations.with_raw_response.retrieve(conversation.id),
        lambda: sdk.conversations.items.with_raw_response.list(conversation.id),
    ):
        reply = read()
        assert reply.headers["Content-Encoding"] == "gzip"
        revision = {"If-Match": reply.headers["ETag"]}
        add = sdk.conversations.items.create
        add(conversation.id, items=[said("Hi")], extra_headers=revision)
        with pytest.raises(openai.APIStatusError) as refused:
            add(conversation.id, items=[said("Hi")], extra_headers=revision)
        assert refused.value.status_code == 412


def test_the_asynchronous_sdk(service):
    async def talk() -> list[str]:
        async with AsyncOpenAI(base_url=base_url(service), api_key="none") as client:
            conversation = (await client.conversations.create()).id
            add = client.conversations.items.create
            await asyncio.gather(*(add(conversation, items=[said(str(n))]) for n in range(12)))
            items = client.conversations.items.list(conversation, limit=5)
            return [text_of(item) async for item in items]

    assert sorted(asyncio.run(talk()), key=int) == list(map(str, range(12)))


def test_the_same_conversation_through_v2(sdk, service):
    conversation = sdk.conversations.create(items=[said("here"), CALL, ANSWER]).id
    infer = f"{service.url}/v2/models/memory/infer"
    requests.post(infer, json=append_request(conversation, "there"), timeout=30).raise_for_status()
    reply = requests.post(infer, json=read_request(conversation), timeout=30).json()
    window = [json.loads(element) for element in reply["outputs"][1]["data"]]
    assert [message["role"] for message in window] == ["user", "assistant", "tool", "user"]
    newest = next(iter(sdk.conversations.items.list(conversation)))
    assert text_of(newest) == "there"


@pytest.mark.needs("OpenAI's SDK for JavaScript")
def test_the_sdk_for_javascript(service):
    command = ["node", str(SCRIPT), base_url(service)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "texts": [*map(str, range(8)), "look"],
        "call": "{}",
        "left": "7",
        "title": "Long trip",
        "deleted": True,
        "missing": [True, "conversation_not_found"],
    }


# --- Items of every type -----------------------------------------------------------------


@pytest.fixture(scope="module")
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Content-Type"] = "application/json"
        yield session


def given_back(items: list[Any], sent: list[Any]) -> str:
    """The items without what the server gave them, for comparison with `expected`."""
    back = []
    for item, each in zip(items, sent, strict=True):
        given = {name: value for name, value in item.items() if name != "position"}
        if each.get("id") is None:
            given.pop("id", None)
        back.append(given)
    return json.dumps(back, sort_keys=True)


def expected(sent: list[Any]) -> str:
    return json.dumps([long_form(item) for item in sent], sort_keys=True)


def exported(service: Service, conversation: str) -> list[Any]:
    """The items out of the export that keeps all as it is stored."""
    using = database_alias(service.environment["DATABASE_URL"])
    rows = ConversationRow.objects.using(using).filter(memory_id=conversation)
    lines = b"".join(file_chunks(using, list(rows), FORMATS["stored"])).splitlines()
    messages = [StoredMessage.from_json(json.loads(line)["body"]) for line in lines]
    return [item for message in messages for item in items_of(message)]


def window(service: Service, http: requests.Session, conversation: str) -> list[Any]:
    """The messages of V2's window."""
    infer = f"{service.url}/v2/models/memory/infer"
    reply = http.post(infer, json=read_request(conversation), timeout=30)
    assert reply.status_code == 200, reply.text
    return [json.loads(element) for element in reply.json()["outputs"][1]["data"]]


@given(st.lists(sendable(), min_size=1, max_size=4), st.booleans())
@settings(max_examples=times(20, soak=50))
def test_items_of_every_type_come_back_over_the_wire(service, http, items, at_creation):
    def post(url: str, items: list[Any]) -> Any:
        reply = http.post(url, data=json.dumps({"items": items}).encode(), timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()

    url = f"{base_url(service)}/conversations"
    conversation = post(url, items if at_creation else [])["id"]
    path = f"{url}/{conversation}/items"
    added = None if at_creation else post(path, items)["data"]
    listed = http.get(path, params={"order": "asc"}, timeout=30).json()["data"]
    assert added in (None, listed)
    assert given_back(listed, items) == expected(items)
    for item in listed:
        assert http.get(f"{path}/{quote(item['id'])}", timeout=30).json() == item
    assert given_back(exported(service, conversation), items) == expected(items)
    assert_window_is_of(window(service, http, conversation), items)


def assert_window_is_of(messages: list[Any], items: list[Any]) -> None:
    """V2's clients see the messages as role and parts, and each turn with a tool as one."""
    items = [long_form(item) for item in items]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    assert calls == [
        {
            "id": item["call_id"],
            "type": "function",
            "function": {"name": item["name"], "arguments": item["arguments"]},
        }
        for item in items
        if is_call(item)
    ]
    answers = [message["tool_call_id"] for message in messages if "tool_call_id" in message]
    assert answers == [item["call_id"] for item in items if is_output(item)]
    assert {message["role"] for message in messages if "tool_call_id" in message} <= {"tool"}
    said = [
        (message["role"], message["content"])
        for message in messages
        if "tool_call_id" not in message and message["content"] != NOTHING_SAID
    ]
    assert said == [
        (item["role"], content)
        for item in items
        if is_message(item) and (content := list(map(as_part, item["content"]))) != NOTHING_SAID
    ]
    # What is no message of a chat, such as reasoning, is in no window.
    empty = [each for each in messages if each["content"] == NOTHING_SAID and len(each) == 2]
    assert len(empty) <= sum(map(is_message, items))


# A turn of calls alone, or of an empty text.
NOTHING_SAID = [{"type": "text", "value": ""}]


def as_part(content: Any) -> Any:
    """How V2 shows a content: a text as such, anything else as its JSON."""
    is_text = content["type"] in ("input_text", "output_text", "text")
    if is_text and isinstance(content.get("text"), str):
        return {"type": "text", "value": content["text"]}
    return {"type": content["type"], "value": dumps(content)}
