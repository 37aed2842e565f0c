"""The two whole chats of docs/howto/embed.md, in Django and in FastAPI, without any model."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from testing.processes import ROOT, STOP_SECONDS, free_port
from tests.docs.openai_server import openai_server

pytestmark = [pytest.mark.one_database, pytest.mark.needs("agents"), pytest.mark.slow]

PYTHON = ROOT / ".venv-agents/bin/python"
PAGE = (ROOT / "docs/howto/embed.md").read_text()
BLOCKS = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


def environment(**more: str) -> dict[str, str]:
    """This process's, without the settings of the service."""
    inherited = {name: os.environ[name] for name in os.environ if name != "DJANGO_SETTINGS_MODULE"}
    return {**inherited, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none", **more}


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [PYTHON, *command],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def served(folder: Path, port: int, *command: str) -> Iterator[str]:
    """The address of a server, with a stand-in for the model."""
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    with openai_server() as llm, log.open("wb") as written:
        process = subprocess.Popen(
            [PYTHON, *command],
            cwd=folder,
            env=environment(OPENAI_BASE_URL=f"http://{llm}/v1"),
            stdout=written,
            stderr=written,
        )
        try:
            deadline = time.monotonic() + 120
            while not answers(f"{url}/chats/"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def reply(method: str, url: str, **sent: Any) -> Any:
    found = requests.request(method, url, timeout=30, **sent)
    assert found.ok, found.text
    return found.json()


def said(*texts: str) -> list[dict[str, str]]:
    return [
        {"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(texts)
    ]


FIRST, SECOND = "1 messages, first: I am Ada.", "3 messages, first: I am Ada."


@pytest.mark.parametrize("name", ["mysite/chats.py", "chats.py"])
def test_a_chat_is_forty_lines(name: str) -> None:
    assert len(BLOCKS[name].splitlines()) <= 40


def test_the_chat_in_django(tmp_path: Path) -> None:
    run(tmp_path, "-m", "django", "startproject", "mysite", ".")
    settings = tmp_path / "mysite/settings.py"
    urls = tmp_path / "mysite/urls.py"
    (app,) = re.findall(r"^INSTALLED_APPS \+= \[\"convstore\"\]$", PAGE, re.MULTILINE)
    # A browser sends a token of a form of the page.
    without_tokens = "MIDDLEWARE.remove('django.middleware.csrf.CsrfViewMiddleware')"
    settings.write_text(f"{settings.read_text()}\n{app}\n{without_tokens}\n")
    (route,) = re.findall(r"`(path\(.chats/.+?\)\))`", PAGE)
    urls.write_text(
        f"{urls.read_text()}\nfrom django.urls import include\nurlpatterns += [{route}]\n"
    )
    (tmp_path / "mysite/chats.py").write_text(BLOCKS["mysite/chats.py"])
    run(tmp_path, "manage.py", "migrate", "--verbosity", "0")
    port = free_port()
    serve = ("manage.py", "runserver", "--noreload", f"127.0.0.1:{port}")
    with served(tmp_path, port, *serve) as url:
        chat = f"{url}/chats/ada-1/"
        for text, answer in (("I am Ada.", FIRST), ("Who am I?", SECOND)):
            assert reply("POST", chat, data={"text": text}) == {"answer": answer}
        messages = said("I am Ada.", FIRST, "Who am I?", SECOND)
        assert reply("GET", chat) == {"messages": messages, "has_more": False}
        assert reply("GET", f"{chat}?after=3")["messages"] == messages[3:]
        assert reply("GET", f"{url}/chats/") == {"chats": ["ada-1"]}
        assert reply("DELETE", chat) == {"deleted": "ada-1"}
        assert requests.delete(chat, timeout=30).status_code == 404
        assert reply("GET", chat) == {"messages": [], "has_more": False}


def test_the_chat_in_fastapi(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "chats.py").write_text(BLOCKS["chats.py"])
    with served(tmp_path, port, "-m", "uvicorn", "chats:app", "--port", str(port)) as url:
        chat = f"{url}/chats/ada-1"
        for text, answer in (("I am Ada.", FIRST), ("Who am I?", SECOND)):
            assert reply("POST", chat, json={"text": text}) == {"answer": answer}
        messages = said("I am Ada.", FIRST, "Who am I?", SECOND)
        assert reply("GET", chat) == {"messages": messages, "has_more": False}
        assert reply("GET", chat, params={"after": 3})["messages"] == messages[3:]
        assert reply("GET", f"{url}/chats") == {"chats": ["ada-1"]}
        assert reply("DELETE", chat) == {"deleted": "ada-1"}
        assert requests.delete(chat, timeout=30).status_code == 404
