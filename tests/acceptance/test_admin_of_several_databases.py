"""One admin for memories in a database of every kind that this machine has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from convstore.store import conversation_key
from testing.bodies import append_request, new_id, read_request
from testing.service import Service, write_memory
from tests.doors import HttpDoor
from tests.machine import DATABASES
from tests.visitor import (
    CONVERSATIONS,
    Visitor,
    ids,
    shown,
    signed_in,
    transcript,
)


@pytest.fixture(scope="module")
def several(
    new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with a memory in each kind of database; none of them is Django's default."""
    folder = tmp_path_factory.mktemp("several")
    for kind in DATABASES:
        config = {"url": new_database(kind)}
        write_memory(folder / "models", name_of(kind), {"database": "sql", "config": config})
    with Service(folder, MODELS_DIR=str(folder / "models")) as service:
        yield service


def name_of(kind: str) -> str:
    return re.sub(r"\W+", "-", kind)[:20]


@pytest.fixture(scope="module")
def admin(several: Service) -> Iterator[Visitor]:
    with signed_in(several) as visitor:
        yield visitor


@pytest.fixture(params=DATABASES)
def memory(request: pytest.FixtureRequest) -> str:
    return name_of(request.param)


@pytest.fixture
def alias(admin: Visitor, memory: str) -> str:
    """The alias of the memory's database in the links of the first page."""
    (panel,) = [
        part for part in admin.get("/admin/").split("<section") if f"<code>{memory}</code>" in part
    ]
    found = re.search(r"database=(\w+)", panel)
    assert found
    return found[1]


@pytest.fixture
def door(several: Service) -> HttpDoor:
    return HttpDoor(several)


def test_each_database_shows_its_own_conversations(admin, memory, alias, door):
    memory_id, word = new_id(), new_id().replace("-", "")
    assert door.infer(append_request(memory_id, f"Here is {word}."), memory).status == 200
    assert memory_id in ids(admin.get(CONVERSATIONS, database=alias))
    assert memory_id not in ids(admin.get(CONVERSATIONS))
    assert shown(admin.get(transcript(memory_id), database=alias)) == [1]
    admin.get(transcript(memory_id), 404)
    found = admin.get(f"{CONVERSATIONS}search/", database=alias, q=word)
    assert f"{transcript(memory_id)}?database={alias}&position=1" in found
    line = json.loads(admin.get(f"{transcript(memory_id)}export/stored/", database=alias))
    assert line["memory_id"] == memory_id


def test_a_conversation_can_be_deleted_in_each_database(admin, memory, alias, door):
    memory_id = new_id()
    door.infer(append_request(memory_id, "Hello!"), memory)
    key = str(conversation_key(memory_id))
    path = f"{CONVERSATIONS}delete/?database={alias}&id={key}"
    page = admin.post(path, id=key, reason="a test")
    assert f"Deleted <bdi>{memory_id}</bdi> (1 message)." in page
    assert door.infer(read_request(memory_id), memory).history == []
    assert "a test" in admin.get("/admin/inspection/auditentry/", q=memory_id)


def test_links_and_forms_stay_in_the_database(admin, memory, alias, door):
    memory_id = new_id()
    door.infer(append_request(memory_id, "Hello!"), memory)
    page = admin.get(transcript(memory_id), database=alias)
    own = [link for link in re.findall(r'href="([^"#]+)"', page) if CONVERSATIONS in link]
    assert len(own) > 5
    assert all(f"database={alias}" in link for link in own)
    forms = re.findall(r"<form method=\"get\".*?</form>", page, re.DOTALL)
    assert len(forms) == 3
    assert all(f'name="database" value="{alias}"' in form for form in forms)
