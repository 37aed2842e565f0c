"""docs/howto/embed.md is done as it says, in a new Django project: what it promises is so."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from testing.processes import ROOT
from tests.package.installation import Installation, completed

PAGE = (ROOT / "docs/howto/embed.md").read_text()
BLOCKS = re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# tests/frameworks/test_chats.py runs the two whole chats.
APP, CHAT, URLS, _, _, DATABASE, ADMIN = BLOCKS

# What somebody does in a browser, by Django's own clients.
VISIT = """
import asyncio, json, os, uuid
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.db import transaction
from django.test import AsyncClient, Client
from convstore.exchange.variants import statements_for
from convstore.messages import Message, Part
from convstore.store import ConversationStore

def roles(reply):
    return [(each["role"], each["content"][0]["value"]) for each in reply.json()["history"]]

async def asynchronous():
    client = AsyncClient()
    reply = await client.post("/async-say/a/", {"text": "two"})
    return roles(reply), roles(await client.get("/async-history/a/"))

found = {"variant": type(statements_for("default")).__name__}
client = Client()
found["say"] = roles(client.post("/say/a/", {"text": "one"}))
found["async say"], found["async history"] = asyncio.run(asynchronous())
found["history"] = roles(client.get("/history/a/"))
store, key = ConversationStore(), uuid.uuid4()
message = Message("assistant", [Part("text", "three")])
for _ in range(2):
    found["once"] = len(store.exchange("a", [message], 50, key))
found["appended"] = asyncio.run(store.aappend("a", [message]))
try:
    with transaction.atomic():
        store.exchange("a", [message], 50)
except RuntimeError as error:
    found["inside atomic"] = str(error)
found["rows"] = len(store.window("a", 50))
print(json.dumps(found))
"""
VISIT_ADMIN = """
import json, os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
from django.contrib.auth.models import User
from django.test import Client
from convstore.store import conversation_key
User.objects.create_superuser("admin", "a@example.org", "correct horse battery")
client = Client()
client.login(username="admin", password="correct horse battery")
found = {}

def tell(name, reply):
    found[name] = [reply.status_code, b"".join(reply).decode()]

key = conversation_key("a")
conversations = "/admin/convstore/conversation/"
tell("first page", client.get("/admin/"))
tell("list", client.get(conversations))
tell("transcript", client.get(f"{conversations}{key}/"))
tell("search", client.get(f"{conversations}search/?q=two"))
tell("export", client.get(f"{conversations}{key}/export/markdown/"))
tell("deletion", client.post(f"{conversations}delete/", {"id": str(key), "reason": "asked"}))
tell("log", client.get("/admin/inspection/auditentry/"))
print(json.dumps(found))
"""
OWN_POSTGRESQL = """
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.postgresql",
    "NAME": {url.database!r}, "USER": {url.username!r}, "HOST": {url.host!r}, "PORT": {url.port!r},
}}}}
"""
OWN_MYSQL = """
import pymysql
pymysql.install_as_MySQLdb()
DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.mysql",
    "NAME": {url.database!r}, "USER": {url.username!r}, "PASSWORD": {url.password!r},
    "HOST": {url.host!r}, "PORT": {url.port!r}, "OPTIONS": {{"charset": "utf8mb4"}},
}}}}
"""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation.make(tmp_path_factory.mktemp("embedded"), alone=False)


class Project:
    """A project as `startproject` makes it, to which blocks of the page are added."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.installation = installation
        self.folder = folder

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = completed([self.installation.python, *arguments], self.folder)
        assert done.returncode == 0, done.stderr
        return done

    def add(self, block: tuple[str, str]) -> None:
        """To the settings at their end; any other file in place of the one that is there."""
        name, text = block
        before = (self.folder / name).read_text() if name.endswith("settings.py") else ""
        (self.folder / name).write_text(before + text)

    def manage(self, command: str) -> str:
        done = self.python("manage.py", *command.split())
        return done.stdout + done.stderr

    def run(self, script: str) -> Any:
        return json.loads(self.python("-c", script).stdout)


@pytest.fixture(scope="module")
def started(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with what the page adds to each."""
    project = Project(installation, tmp_path_factory.mktemp("started"))
    project.python("-m", "django", "startproject", "mysite", ".")
    for block in (APP, CHAT, URLS):
        project.add(block)
    return project.folder


@pytest.fixture
def project(installation: Installation, started: Path, tmp_path: Path) -> Project:
    return Project(installation, shutil.copytree(started, tmp_path / "project"))


def settings(text: str) -> tuple[str, str]:
    return ("mysite/settings.py", text)


def checked(project: Project, variant: str) -> str:
    """What `check` says of a project in which all is as the page says."""
    first, _ = PAGE.split("\n## Add messages")
    migrate, check = re.findall(r"^python manage\.py (.*)$", first, re.MULTILINE)
    project.manage(migrate)
    output = project.manage(check)
    one, two = ["user", "one"], ["user", "two"]
    found = project.run(VISIT)
    assert found.pop("inside atomic").startswith("an exchange inside transaction.atomic() would")
    assert found == {
        "variant": variant,
        "say": [one],
        "async say": [one, two],
        "async history": [one, two],
        "history": [one, two],
        "once": 3,
        "appended": 4,
        "rows": 4,
    }
    return output


# --- Databases ---------------------------------------------------------------------------


def test_on_the_sqlite_of_a_new_project(project):
    warned = checked(project, "SqliteInProcess")
    assert "two writers at once can fail with 'database is locked'" in warned


@pytest.mark.needs("postgresql")
def test_on_a_postgresql_of_djangos_own_backend(project, new_database):
    url = make_url(new_database("postgresql"))
    project.add(settings(OWN_POSTGRESQL.format(url=url)))
    assert "no issues" in checked(project, "PostgresFunctions")


@pytest.mark.needs("mariadb")
def test_on_a_mariadb_of_djangos_own_backend(project, new_database, server):
    url = make_url(new_database("mariadb"))
    server("mariadb").execute(f"ALTER DATABASE {url.database} CHARACTER SET utf8mb4")
    project.add(settings(OWN_MYSQL.format(url=url)))
    assert "no issues" in checked(project, "PortableOrm")


def test_on_a_database_that_is_named_by_a_url_nothing_is_left_to_warn_of(project, new_database):
    name, text = DATABASE
    (url,) = re.findall(r'"(postgresql://[^"]+)"', text)
    project.add((name, text.replace(url, new_database("sqlite"))))
    assert "no issues" in checked(project, "SqliteInProcess")


def test_another_database_than_the_default_holds_the_conversations(project):
    project.add(
        settings(
            "DATABASES['conversations'] = DATABASES['default'] | {'NAME': BASE_DIR / 'c.sqlite3'}\n"
        )
    )
    (command,) = re.findall(r"`python manage\.py (migrate convstore .*?)`", PAGE)
    project.manage(command)
    found = project.run(
        "import json, os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings';"
        " django.setup();"
        " from convstore.messages import Message, Part;"
        " from convstore.store import ConversationStore;"
        " store = ConversationStore('conversations');"
        " print(json.dumps(store.append('a', [Message('user', [Part('text', 'Hi')])])))"
    )
    assert found == 1


@pytest.mark.parametrize("alias", ["default", "conversations"])
def test_the_error_about_missing_tables_names_the_command_that_makes_them(project, alias):
    project.add(
        settings("DATABASES['conversations'] = {**DATABASES['default'], 'NAME': 'c.sqlite3'}\n")
    )
    ask = (
        "import json, os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'\n"
        "django.setup()\n"
        "from convstore.errors import Unavailable\n"
        "from convstore.store import ConversationStore\n"
        "try:\n"
        f"    print(json.dumps(ConversationStore({alias!r}).window('a', 1)))\n"
        "except Unavailable as error:\n"
        "    print(json.dumps(str(error)))\n"
    )
    sentence, command = project.run(ask).split(": run ")
    assert sentence == "the database has no tables yet"
    project.manage(command.strip("'").removeprefix("python manage.py "))
    assert project.run(ask) == []


def test_atomic_requests_are_warned_of(project):
    project.add(settings("DATABASES['default']['ATOMIC_REQUESTS'] = True\n"))
    assert "ATOMIC_REQUESTS is on" in project.manage("check")


# --- The admin ---------------------------------------------------------------------------


def test_the_admin_is_a_second_app_for_the_projects_own_site(project):
    project.add(ADMIN)
    checked(project, "SqliteInProcess")
    found = project.run(VISIT_ADMIN)
    statuses = {name: status for name, (status, _) in found.items()}
    assert statuses == {**dict.fromkeys(found, 200), "deletion": 302}
    assert "Django administration" in found["first page"][1]
    for name in ("transcript", "search", "export"):
        assert "two" in found[name][1], name
    for action in ("read", "export", "deleted"):
        assert f">{action}<" in found["log"][1]
