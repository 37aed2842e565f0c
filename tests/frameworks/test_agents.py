"""OpenAI's Agents SDK: its own session for the Conversations API, and ConvstoreSession.

The programs run in an environment of their own, `.venv-agents`, with a stand-in for the model.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from testing.bodies import new_id
from testing.processes import ROOT
from testing.service import Service
from tests.docs.openai_server import openai_server
from tests.docs.pages import blocks

pytestmark = [pytest.mark.one_database, pytest.mark.needs("agents")]

PYTHON = ROOT / ".venv-agents/bin/python"
PROGRAMS = Path(__file__).parent / "programs"
PAGE = ROOT / "docs/howto/agents.md"
BLOCKS = [block for block in blocks(PAGE) if block.needs == "the Agents SDK"]
TURN = ["user", "function_call", "function_call_output", "message", "user", "message"]


def environment(service: Service) -> dict[str, str]:
    return {
        **os.environ,
        **service.environment,
        "DJANGO_SETTINGS_MODULE": "convstore.settings",
        "PYTHONPATH": str(ROOT),
    }


def start(service: Service, *arguments: str) -> subprocess.Popen[str]:
    what, *rest = arguments
    return subprocess.Popen(
        [PYTHON, PROGRAMS / "agents_sessions.py", what, base_url(service), *rest],
        cwd=service.folder,
        env=environment(service),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> Any:
    printed, complaints = process.communicate(timeout=300)
    assert process.returncode == 0, complaints
    return json.loads(printed)


def base_url(service: Service) -> str:
    return f"{service.url}/memories/memory/v1"


@pytest.mark.parametrize("kind", ["by_http", "in_process"])
def test_an_agent_with_a_tool_remembers_in_its_second_turn(service, kind):
    found = finished(start(service, "two_turns", kind))
    # By HTTP, an item of the user has its type, as OpenAI's API has it.
    turn = [{"user": "message"}.get(name, name) for name in TURN] if kind == "by_http" else TURN
    elsewhere = [{"user": "message"}.get(name, name) for name in TURN]
    assert found == {
        "seen": [*turn[:4], "user"],
        "stored": turn,
        "elsewhere": elsewhere,
        "output": "sunny in Lisbon",
        "popped": "In Lisbon.",
        "left": turn[3:5],
        "cleared": [],
    }


def test_a_session_gives_back_what_was_added_and_takes_back_each_item_once(service):
    shown = finished(start(service, "exact", new_id()))
    ids = [item_id for item_id, _ in shown]
    assert len(set(ids)) == len(ids) == 16
    # The first item with an id keeps it everywhere.
    assert [item_id for item_id, repeated in shown if repeated is None].count("1") == 1
    assert sum(repeated == "1" for _, repeated in shown) == 5


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_examples_of_the_page_run(service, block):
    text = block.text.replace("http://localhost:8080/v1", base_url(service))
    with openai_server() as llm:
        done = subprocess.run(
            [PYTHON, "-c", text],
            env={
                **environment(service),
                "OPENAI_BASE_URL": f"http://{llm}/v1",
                "OPENAI_API_KEY": "none",
                "OPENAI_AGENTS_DISABLE_TRACING": "1",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{n} messages, first: I am Ada." for n in (1, 3)]


@pytest.mark.slow
def test_two_processes_on_one_conversation_lose_nothing(service):
    name = new_id()
    url = f"{base_url(service)}/conversations"
    requests.post(url, json={"id": name}, timeout=30).raise_for_status()
    kinds = ("by_http", "in_process")
    for process in [start(service, "many_turns", kind, name) for kind in kinds]:
        assert finished(process) == "done"
    items: list[dict[str, Any]] = []
    page: dict[str, Any] = {"has_more": True, "last_id": None}
    while page["has_more"]:
        query = {"order": "asc", "limit": 100, "after": page["last_id"]}
        page = requests.get(f"{url}/{name}/items", params=query, timeout=30).json()
        items += page["data"]
    assert [item["position"] for item in items] == list(range(1, len(items) + 1))
    said = [item["content"][0]["text"] for item in items if item["type"] == "message"]
    writers = [f"{kind}-{number}" for kind in kinds for number in range(4)]
    for writer in writers:
        own = [text for text in said if f" {writer}-" in text]
        assert own == [f"{verb} {writer}-{n}" for n in range(5) for verb in ("ask", "answer")]
    turns = [f"{writer}-{n}" for writer in writers for n in range(5)]
    assert len(said) == 2 * len(turns)
    calls = [item["call_id"] for item in items if item["type"] == "function_call"]
    outputs = [item["output"] for item in items if item["type"] == "function_call_output"]
    assert Counter(calls) == Counter(outputs) == Counter(turns)
