"""The admin of a running service, on each database."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import requests

from convstore.store import conversation_key
from testing.bodies import append_request, append_several_request, new_id, read_request
from testing.service import Service
from tests.doors import Door, HttpDoor
from tests.visitor import CONVERSATIONS, PASSWORD, Visitor, first_user, ids, shown, transcript


@pytest.fixture
def door(service: Service) -> Door:
    """The door through which the tests store conversations."""
    return HttpDoor(service)


@pytest.fixture(scope="module")
def superuser(service: Service) -> str:
    return first_user(service)


@pytest.fixture
def visitor(service: Service) -> Iterator[Visitor]:
    with requests.Session() as session:
        yield Visitor(service, session)


@pytest.fixture(scope="module")
def admin(service: Service, superuser: str) -> Iterator[Visitor]:
    """A superuser. One session for all tests: to verify a password takes long, on purpose."""
    with requests.Session() as session:
        visitor = Visitor(service, session)
        assert "Log out" in visitor.sign_in(superuser, PASSWORD).text
        yield visitor


# --- Signing in --------------------------------------------------------------------------


PATHS = ["", "search/", "delete/", f"{new_id()}/", f"{new_id()}/1/1/"]
PATH_IDS = ["list", "search", "delete", "conversation", "part"]


@pytest.mark.parametrize("path", PATHS, ids=PATH_IDS)
def test_every_page_requires_signing_in(visitor, path):
    page = visitor.session.get(f"{visitor.service.url}{CONVERSATIONS}{path}", timeout=10)
    assert "/admin/login/" in page.url


def test_after_five_wrong_passwords_the_right_one_is_refused_too(service, admin, superuser):
    name = f"user-{new_id()[:8]}"
    for attempt in range(5):
        answer = Visitor(service, requests.Session()).sign_in(name, "wrong")
        assert answer.status_code == (200 if attempt < 4 else 429)
    answer = Visitor(service, requests.Session()).sign_in(name, PASSWORD)
    assert answer.status_code == 429
    assert "Wait 15 minutes" in answer.text
    assert "Log out" in Visitor(service, requests.Session()).sign_in(superuser, PASSWORD).text


def test_every_page_of_the_admin_has_a_strict_policy(admin):
    page = admin.session.get(f"{admin.service.url}{CONVERSATIONS}", timeout=10)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy


def test_the_styles_and_scripts_of_a_page_are_served(admin):
    page = admin.get(CONVERSATIONS)
    paths = re.findall(r'(?:href|src)="(/admin-static/[^"]+)"', page)
    assert any("inspection" in path for path in paths)
    for path in paths:
        assert requests.get(admin.service.url + path, timeout=10).status_code == 200


# --- Finding -----------------------------------------------------------------------------


def test_conversations_are_listed_newest_first_with_a_summary(admin, door):
    first, second = new_id(), new_id()
    for memory_id, count in ((first, 2), (second, 3)):
        door.infer(append_request(memory_id, "Be kind.", role="system"))
        for n in range(1, count):
            door.infer(append_request(memory_id, f"message {n} of {memory_id}", role="assistant"))
    page = admin.get(CONVERSATIONS)
    assert ids(page)[:2] == [second, first]
    assert re.findall(r'field-messages">(\d+)<', page)[:2] == ["3", "2"]
    assert f"message 1 of {second}" in page
    assert "Be kind." not in page


def test_pages_of_the_list_are_linked_in_both_directions(admin, door):
    for n in range(55):
        door.infer(append_request(f"{n}-{new_id()}", "Hello!"))
    first = admin.get(CONVERSATIONS)
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    assert 'rel="prev"' not in first
    second = admin.get(CONVERSATIONS + older[1])
    assert not set(ids(first)) & set(ids(second))
    newer = re.search(r'rel="prev" href="([^"]+)"', second)
    assert newer
    assert ids(admin.get(CONVERSATIONS + newer[1])) == ids(first)


def test_a_conversation_is_found_by_its_id_and_by_a_prefix(admin, door):
    name = new_id()
    made = [f"{name}-é1", f"{name}-é10", f"{name}-É1", f"{name}"]
    for memory_id in made:
        door.infer(append_request(memory_id, "Hello!"))
    assert ids(admin.get(CONVERSATIONS, q=f"{name}-é1")) == made[:2]
    assert ids(admin.get(CONVERSATIONS, q=f"{name}-É1")) == made[2:3]
    assert ids(admin.get(CONVERSATIONS, q=name[:30])) == sorted(made)
    nothing = admin.get(CONVERSATIONS, q=f"{name}-x")
    assert ids(nothing) == []
    assert "Nothing was found." in nothing


def test_the_list_is_filtered_by_time_and_ordered_by_the_last_activity(admin, door):
    door.infer(append_request(new_id(), "Hello!"))
    for order in ("created", "active"):
        assert ids(admin.get(CONVERSATIONS, **{"by": order, "from": "2020-01-01"}))
        assert ids(admin.get(CONVERSATIONS, by=order, to="2020-01-01")) == []


def test_wrong_parameters_lead_back_to_the_list(admin):
    """Wrong parameters lead back to the list, and not to a page that counts."""
    for wrong in ({"from": "soon"}, {"before": "x~y"}, {"nonsense": "1"}):
        assert "Conversations" in admin.get(CONVERSATIONS, **wrong)


# --- Reading -----------------------------------------------------------------------------


@pytest.fixture
def long(door) -> str:
    """A conversation with 120 messages."""
    memory_id = new_id()
    texts = [[f"message number {n}."] for n in range(1, 121)]
    door.infer(append_several_request(memory_id, ["user"] * 120, content=texts))
    return memory_id


def test_a_transcript_opens_at_its_end_and_links_to_the_other_pages(admin, long):
    page = admin.get(transcript(long))
    assert shown(page) == list(range(71, 121))
    assert "message number 71." in page
    earlier = re.search(r'rel="prev" href="([^"]+)"', page)
    assert earlier
    page = admin.get(earlier[1])
    assert shown(page) == list(range(21, 71))
    later = re.search(r'rel="next" href="([^"]+)"', page)
    assert later
    assert shown(admin.get(later[1])) == list(range(71, 121))


def test_a_transcript_begins_at_a_position_or_at_a_time(admin, long):
    for parameters, first, last in (
        ({"start": 30}, 30, 79),
        ({"start": 999}, 120, 120),
        ({"position": 30}, 25, 74),
        ({"go": 30}, 25, 74),
        ({"position": 999}, 115, 120),
        ({"date": "2020-01-01T00:00"}, 1, 50),
        ({"date": "2100-01-01T00:00"}, 115, 120),
    ):
        assert shown(admin.get(transcript(long), **parameters)) == list(range(first, last + 1))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"position": "x"}, "position: Enter a whole number."),
        ({"position": 0}, "position: Ensure this value is greater than or equal to 1."),
        ({"before": 2**63}, "before: Ensure this value is less than or equal to"),
        ({"date": "soon"}, "date: Enter a valid date/time."),
    ],
)
def test_an_invalid_position_or_time_gets_an_error_sentence(admin, long, parameters, sentence):
    assert sentence in admin.get(transcript(long), 400, **parameters)


def test_an_unknown_page_gets_an_error_sentence(admin, long):
    assert "There is no such conversation" in admin.get(transcript(new_id()), 404)
    assert "has no message 121" in admin.get(f"{transcript(long)}121/", 404)
    assert "there is no part 2" in admin.get(f"{transcript(long)}1/2/", 404)
    assert "Unknown format 'pdf'" in admin.get(f"{transcript(long)}export/pdf/", 404)
    assert "The admin shows no database" in admin.get(transcript(long), 404, database="other")


def test_the_json_of_a_message_is_the_stored_json(admin, door, long):
    body = admin.session.get(f"{admin.service.url}{transcript(long)}120/json/", timeout=10)
    assert body.headers["Content-Type"] == "application/json"
    assert body.text == door.infer(read_request(long)).history[-1]


# --- Searching ---------------------------------------------------------------------------


def test_words_are_found_in_one_conversation_and_in_all(admin, door, long):
    word = new_id().replace("-", "")
    door.infer(append_request(long, f"The {word} é lies here."))
    in_one = {"conversation": str(conversation_key(long))}
    # In all conversations, there may be further ones to search.
    of_all = r"\b1 hit( so far)?\."
    for parameters, found in ((in_one, r"\b1 hit\."), ({}, of_all), ({"last": "1"}, of_all)):
        page = admin.get(f"{CONVERSATIONS}search/", q=f"LIES {word.upper()}", **parameters)
        assert re.search(found, page)
        assert f"{transcript(long)}?position=121" in page
        assert page.count(f"<mark>{word}</mark>") == 1
    for parameters, found in (
        (in_one, "No message contains"),
        ({}, "not found in what was searched|No hits"),
    ):
        page = admin.get(f"{CONVERSATIONS}search/", q=f"{word} nowhere", **parameters)
        assert re.search(found, page)
        assert "<mark>" not in page


# --- Exporting, deleting ------------------------------------------------------------------


def test_a_conversation_is_exported_in_each_format(admin, door, long):
    history = door.infer(read_request(long)).history
    lines = admin.get(f"{transcript(long)}export/stored/").splitlines()
    assert [json.loads(line)["body"] for line in lines][-len(history) :] == history
    assert len(lines) == 120
    (line,) = admin.get(f"{transcript(long)}export/openai/").splitlines()
    assert json.loads(line)["messages"][0] == {"role": "user", "content": "message number 1."}
    assert "## 120. user" in admin.get(f"{transcript(long)}export/markdown/")


def test_a_selection_is_exported_as_one_file(admin, door):
    made = [new_id(), new_id()]
    for memory_id in made:
        door.infer(append_request(memory_id, "Hello!"))
    form = {"_selected_action": [str(conversation_key(each)) for each in made]}
    lines = admin.post(CONVERSATIONS, action="export_stored", **form).splitlines()
    assert {json.loads(line)["memory_id"] for line in lines} == set(made)
    for memory_id in made:
        assert logged(admin, memory_id) == ["export"]


def test_a_conversation_is_deleted_with_a_reason_and_the_log_says_so(admin, door, long):
    path = f"{CONVERSATIONS}delete/?id={conversation_key(long)}"
    assert "1 conversation with 120 messages" in admin.get(path)
    admin.post(path, 400, id=str(conversation_key(long)), reason="")
    assert len(door.infer(read_request(long)).history) == 50
    reason = f"asked for by {new_id()}"
    page = admin.post(path, id=str(conversation_key(long)), reason=reason)
    assert f"Deleted <bdi>{long}</bdi> (120 messages)." in page
    assert door.infer(read_request(long)).history == []
    log = admin.get("/admin/inspection/auditentry/", q=long)
    assert log.count(reason) == 2
    assert f"120 messages; {reason}" in log


def test_every_access_is_in_the_audit_log(admin, door, superuser):
    memory_id = new_id()
    door.infer(append_request(memory_id, "Hello!"))
    for path in ("", "1/", "1/1/", "export/openai/"):
        admin.get(transcript(memory_id) + path)
    admin.get(CONVERSATIONS)
    assert logged(admin, memory_id) == ["JSON", "export", "list", "part", "read"]
    log = admin.get("/admin/inspection/auditentry/", q=memory_id)
    assert set(re.findall(r'field-username">([^<]+)<', log)) == {superuser}


def logged(admin: Visitor, memory_id: str) -> list[str]:
    """The actions in the audit log of a conversation, in alphabetical order."""
    log = admin.get("/admin/inspection/auditentry/", q=memory_id)
    return sorted(re.findall(r'field-action">([^<]+)<', log))


# --- Overview ----------------------------------------------------------------------------


def test_the_first_page_shows_each_database_and_one_that_is_down_does_not_hide_the_others(
    admin, door
):
    memory_id = new_id()
    door.infer(append_request(memory_id, "Hello!"))
    page = admin.get("/admin/")
    for name in ("memory", "versioned", "down"):
        assert f"<code>{name}</code>" in page
    assert memory_id in page
    assert len(re.findall(r'class="empty"', page)) == 30
    assert page.count("The database closed the connection; the log has the reason.") == 1
    assert "secret" not in page


# --- API keys ----------------------------------------------------------------------------


@pytest.mark.one_database
def test_a_key_is_made_shown_once_used_and_revoked_and_the_log_has_both(admin):
    keys, name = "/admin/api_keys/apikey/", f"bot {new_id()[:8]}"
    assert "Make an API key" in admin.get(keys)
    wrong = admin.post(f"{keys}make/", 400, name=name, scopes=["read"], tenant="A")
    assert "This key cannot be made: the tenant is 'A'" in wrong
    admin.get(f"{keys}make/")
    made = admin.post(f"{keys}make/", name=name, scopes=["read", "append"], memories=["one"])
    (key,) = re.findall(r'id="key">(cs_\w{12}_[\w-]{43})<', made)
    listed = admin.get(keys, q=name)
    assert key not in listed
    assert re.findall(r"<code>(cs_\w{12})</code>", listed) == [key[:15]]
    assert "read, append; memories one; every conversation" in listed
    (revoke,) = re.findall(rf'href="({keys}\d+/revoke/)"', listed)
    assert name in admin.get(revoke)
    admin.post(revoke)
    assert "revoked" in admin.get(keys, q=key[:15])
    log = admin.get("/admin/inspection/auditentry/")
    assert re.findall(rf"{name} \({key[:15]}\): read", log) == [f"{name} ({key[:15]}): read"] * 2
    assert key not in log


@pytest.mark.parametrize("path", ["", "make/", "1/revoke/"])
@pytest.mark.one_database
def test_pages_of_keys_require_signing_in(visitor, path):
    page = visitor.session.get(f"{visitor.service.url}/admin/api_keys/apikey/{path}", timeout=10)
    assert "/admin/login/" in page.url
