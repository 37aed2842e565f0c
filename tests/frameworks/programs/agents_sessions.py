"""Agents with a stand-in for the model, and the sessions that their conversations are kept in.

Runs in `.venv-agents`, as `agents_sessions.py <what> <base_url>`, with the settings of the service
in the environment: one conversation is open in this process and by HTTP. Prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

import django

django.setup()

from agents import (  # noqa: E402
    Agent,
    OpenAIConversationsSession,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.testing import ScriptedModel, assistant_message, function_call  # noqa: E402
from openai import AsyncOpenAI  # noqa: E402

from convstore_agents import ConvstoreSession  # noqa: E402

WRITERS, TURNS = 4, 5


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Sessions:
    def __init__(self, base_url):
        self.client = AsyncOpenAI(base_url=base_url, api_key="none")

    async def by_http(self, name=None):
        if name is not None:
            await self.client.conversations.create(extra_body={"id": name})
        return OpenAIConversationsSession(conversation_id=name, openai_client=self.client)

    async def in_process(self, name):
        return ConvstoreSession(name)


async def talk(session, name):
    """Two turns, the first of which calls a tool; what the model saw in the second."""
    call = function_call("weather", {"city": "Lisbon"}, call_id=f"call_{name}")
    model = ScriptedModel(
        [[call], [assistant_message("It is sunny.")], [assistant_message("In Lisbon.")]]
    )
    agent = Agent(name="guide", model=model, tools=[weather])
    await Runner.run(agent, f"How is the weather, {name}?", session=session)
    result = await Runner.run(agent, "Where?", session=session)
    assert result.final_output == "In Lisbon."
    return model.calls[-1].input


def kinds(items):
    return [item.get("type") or item["role"] for item in items]


async def two_turns(sessions, kind):
    """A run with each session; then its items, one of them taken back, and all of them."""
    session = await getattr(sessions, kind)("two-turns" + kind)
    seen = await talk(session, "ada")
    items = await session.get_items()
    other = OpenAIConversationsSession(
        conversation_id=session.session_id, openai_client=sessions.client
    )
    elsewhere = await other.get_items()
    newest = await session.pop_item()
    left = await session.get_items(2)
    await session.clear_session()
    return {
        "seen": kinds(seen),
        "stored": kinds(items),
        "elsewhere": kinds(elsewhere),
        "output": next(item["output"] for item in items if "output" in item),
        "popped": newest["content"][0]["text"],
        "left": kinds(left),
        "cleared": await session.get_items() if kind == "in_process" else [],
    }


async def many_turns(sessions, kind, name):
    """Several agents at once, on the conversation that another process uses at the same time."""
    opened = {
        "by_http": lambda: OpenAIConversationsSession(
            conversation_id=name, openai_client=sessions.client
        ),
        "in_process": lambda: ConvstoreSession(name),
    }[kind]

    async def writer(number):
        for turn in range(TURNS):
            await talk_in(opened(), f"{kind}-{number}-{turn}")

    await asyncio.gather(*map(writer, range(WRITERS)))
    return "done"


async def talk_in(session, name):
    """One turn of three items and its answer, whatever others say in between."""
    call = {"type": "function_call", "call_id": name, "name": "weather", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": name, "output": name}
    answer = {"role": "assistant", "content": f"answer {name}"}
    await session.add_items([{"role": "user", "content": f"ask {name}"}])
    await session.add_items([call, output, answer])


ITEMS = [
    {"role": "user", "content": "Hi"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    {"type": "reasoning", "id": "1", "summary": [], "encrypted_content": "gAAA"},
    {"id": "1", "type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text"}]},
    {"type": "message", "id": "1", "role": "assistant", "status": "completed", "content": []},
    {"role": "assistant", "content": "\ud83d", "phase": None},
    {"anything": [1, 1.0, True, None, {}]},
]


async def exact(sessions, name):
    """The same items come back, whatever they are; each is taken back once."""
    session = ConvstoreSession(name)
    assert await session.pop_item() is None
    for _ in range(2):
        await session.add_items(ITEMS)
    assert spelled(await session.get_items()) == spelled(ITEMS * 2)
    limited = ConvstoreSession(name, session_settings={"limit": 3})
    assert spelled(await limited.get_items()) == spelled(ITEMS[-3:])
    assert spelled(await session.get_items(11)) == spelled((ITEMS * 2)[-11:])
    assert await session.get_items(0) == []
    elsewhere = await sessions.client.get(f"/conversations/{name}/items?limit=100", cast_to=object)
    taken = await asyncio.gather(*(ConvstoreSession(name).pop_item() for _ in range(20)))
    assert sorted(map(spelled, taken)) == sorted(map(spelled, [*ITEMS, *ITEMS, *[None] * 4]))
    assert await session.get_items() == []
    await session.add_items(ITEMS)  # with ids that were erased
    assert spelled(await session.get_items()) == spelled(ITEMS)
    return [(item["id"], item.get("repeated_id")) for item in elsewhere["data"]]


def spelled(value):
    return json.dumps(value, sort_keys=True)


async def main(what, base_url, *rest):
    set_tracing_disabled(True)
    sessions = Sessions(base_url)
    work = {"two_turns": two_turns, "many_turns": many_turns, "exact": exact}[what]
    found = await work(sessions, *rest)
    await sessions.client.close()
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
