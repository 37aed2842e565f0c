"""Each file of examples/integrations in use, with a stand-in for the model.

Runs in `.venv-frameworks`, as `integrations.py <framework>`, over an empty database of its own.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile

import django
import pytest
from django.conf import settings
from django.core.management import call_command

from convstore.database.url import database_settings

URL = f"sqlite:///{tempfile.mkdtemp()}/db.sqlite3"
settings.configure(
    INSTALLED_APPS=["convstore"],
    DATABASES={"default": database_settings(URL, timeout=5, max_age=3600)},
)
django.setup()

from convstore.store import ConversationStore  # noqa: E402

store = ConversationStore()


# --- pydantic-ai -------------------------------------------------------------------------


async def pydantic_ai():
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai_history import load_history, save_history

    seen = []

    def answer(messages, info):
        seen.append(messages)
        if len(messages) == 1:
            return ModelResponse(parts=[ToolCallPart("weather", {"city": "Lisbon"})])
        return ModelResponse(parts=[TextPart(f"{len(messages)} messages")])

    agent = Agent(FunctionModel(answer))

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"sunny in {city}"

    whole = []
    for text in ("How is the weather?", "And now? \N{WAVING HAND SIGN}"):
        history = await load_history(store, "chat")
        assert history == whole
        result = await agent.run(text, message_history=history)
        whole += result.new_messages()
        await save_history(store, "chat", result.new_messages())
    stored = await load_history(store, "chat")
    assert stored == whole, (stored, whole)
    assert whole == result.all_messages(), (whole, result.all_messages())
    assert result.output == "5 messages"
    assert [row.role for row in await store.awindow("chat", 9)] == [
        *("user", "assistant", "user", "assistant"),
        *("user", "assistant"),
    ]
    assert await load_history(store, "nobody") == []
    await save_history(store, "nobody", [])
    assert await store.afind("nobody") is None


# --- Microsoft Agent Framework -----------------------------------------------------------


async def agent_framework():
    from agent_framework import Agent, BaseChatClient, ChatResponse, Content, Message
    from agent_framework_history import ConvstoreHistoryProvider

    class Counting(BaseChatClient):
        async def _inner_get_response(self, *, messages, stream, options, **kwargs):
            text = f"{len(messages)} messages, first: {messages[0].text}"
            return ChatResponse(messages=[Message(role="assistant", contents=[text])])

    provider = ConvstoreHistoryProvider(store)
    agent = Agent(client=Counting(), context_providers=[provider])
    for n in (1, 3):
        # A session anew, as after a restart.
        session = agent.create_session(session_id="chat")
        result = await agent.run("I am Ada.", session=session)
        assert result.text == f"{n} messages, first: I am Ada."
    call = Content.from_function_call("c1", "weather", arguments='{"city": "Lisbon"}')
    output = Content.from_function_result("c1", result={"sky": ["blue"]})
    added = [
        Message(role="assistant", contents=[call], author_name="guide", message_id="m1"),
        Message(role="tool", contents=[output], additional_properties={"n": 1}),
    ]
    await provider.save_messages("chat", added)
    messages = await provider.get_messages("chat")
    assert [each.to_dict() for each in messages[-2:]] == [each.to_dict() for each in added]
    assert [each.text for each in messages[::2][:2]] == ["I am Ada."] * 2
    assert await provider.get_messages("nobody") == []
    with pytest.raises(ValueError, match="without an id"):
        await provider.get_messages(None)


# --- LlamaIndex --------------------------------------------------------------------------


def said(text, **more):
    from llama_index.core.llms import ChatMessage

    return ChatMessage(role="user", content=text, additional_kwargs=more)


async def llama_index():
    """The same random calls as LlamaIndex's own store in memory, with the same answers."""
    from llama_index.core.memory import ChatMemoryBuffer
    from llama_index.core.storage.chat_store import SimpleChatStore
    from llama_index_chat_store import ConvstoreChatStore

    await asyncio.to_thread(compare_chat_stores, SimpleChatStore(), ConvstoreChatStore())
    chat = ConvstoreChatStore()
    memory = ChatMemoryBuffer.from_defaults(chat_store=chat, chat_store_key="buffer")
    await memory.aput(said("one"))
    assert await chat.aget_messages("buffer") == [said("one")]
    assert await memory.aget() == [said("one")]


def compare_chat_stores(theirs, ours):
    chosen = random.Random(7)

    def message():
        return said(chosen.choice(["a", "\ud83d", "x\0y", ""]), n=chosen.random())

    calls = {
        "add_message": lambda n: (message(),),
        "insert": lambda n: (message(), chosen.randint(0, n)),
        "set_messages": lambda n: ([message() for _ in range(chosen.randint(0, 4))],),
        "get_messages": lambda n: (),
        "delete_message": lambda n: (chosen.randint(0, n),),
        "delete_last_message": lambda n: (),
        "delete_messages": lambda n: (),
    }
    weights = (8, 4, 1, 4, 4, 4, 1)
    for _ in range(300):
        key = chosen.choice("abc")
        count = len(theirs.get_messages(key))
        (name,) = chosen.choices(list(calls), weights)
        if name == "delete_last_message" and key in theirs.get_keys() and not count:
            continue  # theirs raises IndexError
        given = calls[name](count)
        method = "add_message" if name == "insert" else name
        expected = getattr(theirs, method)(key, *given)
        assert getattr(ours, method)(key, *given) == expected, (name, key, given)
        assert ours.get_messages(key) == theirs.get_messages(key)
        assert sorted(ours.get_keys()) == sorted(theirs.get_keys())


# --- Google ADK --------------------------------------------------------------------------

NAMES = {"app_name": "a/b", "user_id": "ada"}


async def google_adk():
    """The same random calls as ADK's own service in memory, with the same answers; and a run."""
    from google.adk.sessions import InMemorySessionService
    from google_adk_sessions import ConvstoreSessionService

    for seed in range(3):
        store_of_seed = ConvstoreSessionService()
        await compare_services(InMemorySessionService(), store_of_seed, random.Random(seed))
        for found in await store.aconversations(500):
            await store.adelete(found.memory_id)
    await run_agent(ConvstoreSessionService())


async def compare_services(theirs, ours, chosen):
    for n in range(120):
        names = {**NAMES, "user_id": chosen.choice(["ada", "bob"])}
        one = {**names, "session_id": chosen.choice(["1", "2"])}
        call = chosen.choice([create, get, append, append, append, list_all, delete])
        if call is delete and chosen.random() < 0.6:
            continue
        state = {chosen.choice(["x", "user:x", "app:x", "temp:x"]): n} if n % 3 else {}
        recent = chosen.choice([None, 0, 1, 3])
        answers = []
        for service in (theirs, ours):
            try:
                found = plain(await call(service, one, state, recent, n))
            except Exception as error:
                found = type(error).__name__
            answers.append((found, await service.get_user_state(**names)))
        assert answers[0] == answers[1], (n, call.__name__)


async def create(service, one, state, recent, n):
    return await service.create_session(**one, state=state)


async def get(service, one, state, recent, n):
    from google.adk.sessions.base_session_service import GetSessionConfig

    config = GetSessionConfig(num_recent_events=recent)
    return await service.get_session(**one, config=config)


async def append(service, one, state, recent, n):
    """An event is added once, also if it comes twice."""
    found = await service.get_session(**one)
    if found:
        await service.append_event(found, event(n, state))
        if "temp:x" not in state:  # theirs takes that for another event
            await service.append_event(found, event(n, state))
    return found


async def list_all(service, one, state, recent, n):
    return await service.list_sessions(app_name="a/b")


async def delete(service, one, state, recent, n):
    return await service.delete_session(**one)


def event(n, state):
    from google.adk.events.event import Event
    from google.adk.events.event_actions import EventActions
    from google.genai.types import Blob, Content, Part

    parts = [Part(text=f"said {n}"), Part(inline_data=Blob(data=b"\0\xff", mime_type="x/y"))]
    return Event(
        id=f"event-{n}",
        invocation_id="i",
        author="user" if n % 2 else "guide",
        timestamp=1000.0 + n,
        content=Content(role="user", parts=parts),
        actions=EventActions(state_delta=dict(state)),
    )


def plain(found):
    if hasattr(found, "sessions"):
        return sorted((plain(each) for each in found.sessions), key=str)
    if not hasattr(found, "events"):
        return found
    said = [each.model_dump_json(exclude_none=True) for each in found.events]
    return found.user_id, found.id, found.state, said


async def run_agent(service):
    from google.adk.agents import LlmAgent
    from google.adk.models import BaseLlm, LlmResponse
    from google.adk.runners import Runner
    from google.genai.types import Content, Part

    class Counting(BaseLlm):
        async def generate_content_async(self, llm_request, stream=False):
            text = f"{len(llm_request.contents)} messages"
            yield LlmResponse(content=Content(role="model", parts=[Part(text=text)]))

    await service.create_session(**NAMES, session_id="run")
    agent = LlmAgent(name="guide", model=Counting(model="counting"))
    runner = Runner(app_name="a/b", agent=agent, session_service=service)
    answers = []
    for text in ("I am Ada.", "Who am I?"):
        message = Content(role="user", parts=[Part(text=text)])
        async for each in runner.run_async(user_id="ada", session_id="run", new_message=message):
            answers += [part.text for part in each.content.parts]
    assert answers == ["1 messages", "3 messages"]


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    (framework,) = sys.argv[1:]
    works = (pydantic_ai, agent_framework, llama_index, google_adk)
    asyncio.run({work.__name__: work for work in works}[framework]())
