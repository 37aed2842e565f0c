"""Doors that ask for API keys: who is let in, what a key may do, and what a tenant never sees."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from django.db import DEFAULT_DB_ALIAS, connections
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import AuthenticationError, NotFoundError, OpenAI, PermissionDeniedError

from api_keys.cache import MAX_AGE_SECONDS
from api_keys.caller import SCOPES
from api_keys.making import KeyRow, key_with_prefix, revoke_key
from api_keys.tokens import new_token
from conversations_api.names import shown_id
from convstore.database.url import database_alias
from convstore.models import Conversation
from memory_api.limits import MAX_MEMORY_ID_LENGTH
from testing.bodies import append_request, document, new_id, read_request, tensor
from testing.mlserver import MLServer
from testing.service import Service, write_memories
from tests.doors import Door, GrpcDoor, HttpDoor, Reply, at, infer_request, open_door
from tests.guarded import default_database, header, new_key
from tests.length import times

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def guarded(
    database_kind: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service that asks for keys; this process can make some, and look at its rows."""
    folder = tmp_path_factory.mktemp("guarded")
    write_memories(folder / "models")
    environment = {
        "DATABASE_URL": new_database(database_kind),
        "MODELS_DIR": str(folder / "models"),
        "REQUIRE_API_KEYS": "http, mlserver",
    }
    with (
        Service(folder, **environment) as service,
        default_database(environment["DATABASE_URL"]),
    ):
        yield service


@pytest.fixture(scope="module")
def guarded_mlserver(
    guarded: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MLServer]:
    environment = dict(guarded.environment)
    models = environment.pop("MODELS_DIR")
    folder = tmp_path_factory.mktemp("guarded_mlserver")
    with MLServer(folder, Path(models), None, **environment) as mlserver:
        yield mlserver


@pytest.fixture(params=["http", "rest", "grpc"])
def door(request: pytest.FixtureRequest, guarded: Service) -> Door:
    return open_door(request.param, guarded, lambda: request.getfixturevalue("guarded_mlserver"))


@pytest.fixture(scope="module")
def key(guarded: Service) -> str:
    return new_key()


def row_of(key: str) -> KeyRow:
    return key_with_prefix(key[:15])


def ids_in_database(guarded: Service) -> set[str]:
    alias = database_alias(guarded.environment["DATABASE_URL"])
    return set(Conversation.objects.using(alias).values_list("memory_id", flat=True))


# --- Who is let in -----------------------------------------------------------------------


def test_a_key_lets_its_caller_in(door, key):
    memory_id = new_id()
    assert door.infer(append_request(memory_id, "Hello!"), **header(key)).texts == ["Hello!"]
    assert door.infer(read_request(memory_id), **header(key)).texts == ["Hello!"]


def test_whatever_is_wrong_with_a_key_the_refusal_is_the_same(door, guarded, key):
    memory_id = new_id()
    now = datetime.now(UTC)
    expired = new_key(expires_at=now + timedelta(milliseconds=1))
    revoked = new_key()
    revoke_key(row_of(revoked))
    other = new_token()
    wrong = key[:15] + other.text[15:]
    sent = [
        {},
        {"authorization": key},
        {"authorization": "Bearer"},
        {"authorization": "Bearer nonsense"},
        *map(header, (other.text, wrong, expired, revoked)),
    ]
    replies = [door.infer(append_request(memory_id, "x"), **each) for each in sent]
    assert {reply.status for reply in replies} == {401}
    (sentence,) = {reply.document["error"] for reply in replies}
    assert sentence.startswith("this request needs a valid API key")
    assert memory_id not in ids_in_database(guarded)
    if isinstance(door, HttpDoor):
        assert {reply.headers["WWW-Authenticate"] for reply in replies} == {"Bearer"}


@at("grpc")
def test_a_key_that_is_sent_twice_is_none(door, key):
    request = read_request(new_id())
    value = header(key)["authorization"]
    assert door.infer(request, authorization=value).status == 200
    message = infer_request(request, False, model_name="memory")
    assert door.send(message, ("authorization", value), ("authorization", value)).status == 401


def test_openais_sdk_sends_a_key_and_raises_its_own_exceptions(guarded):
    def client(api_key: str) -> OpenAI:
        return OpenAI(base_url=f"{guarded.url}/memories/memory/v1", api_key=api_key, max_retries=0)

    tenant = new_id()[:8]
    with client(new_key(tenant=tenant)) as sdk:
        conversations = sdk.conversations
        items: Any = [{"role": "user", "content": "Hello!"}]
        created = conversations.create(extra_body={"id": "mine", "items": items})
        fork = sdk.post("/conversations/mine/fork", cast_to=dict[str, Any], body={})
        assert [created.id, fork["metadata"]["forked_from"]] == ["mine", "mine"]
        for each in (created.id, fork["id"]):
            assert len(conversations.items.list(each).data) == 1
        chat = sdk.get("/conversations/mine/items?format=chat", cast_to=dict[str, Any])
        assert chat["data"] == items
    assert f"{tenant}/mine" in ids_in_database(guarded)
    with client(new_key(tenant=tenant, scopes=["read"])) as reader:
        assert len(reader.conversations.items.list("mine").data) == 1
        with pytest.raises(PermissionDeniedError):
            reader.post("/conversations/mine/fork", cast_to=object, body={})
    with client(new_key(tenant="another")) as other, pytest.raises(NotFoundError):
        other.conversations.retrieve("mine")
    for wrong in (new_token().text, "none"):
        with client(wrong) as stranger, pytest.raises(AuthenticationError) as refused:
            stranger.conversations.retrieve("mine")
        assert refused.value.response.headers["WWW-Authenticate"] == "Bearer"


@at("http", "rest")
def test_a_revoked_key_is_refused_within_its_time(door):
    key = new_key()
    request = read_request(new_id())
    assert door.infer(request, **header(key)).status == 200
    revoke_key(row_of(key))
    revoked_at = time.monotonic()
    while door.infer(request, **header(key)).status == 200:
        time.sleep(0.05)
    # A request that was under way may take a moment more.
    assert time.monotonic() - revoked_at < MAX_AGE_SECONDS + 5


@pytest.fixture
def hide_keys(guarded: Service) -> Iterator[Callable[[str], None]]:
    """Rename the table of keys; at the end it has its own name again."""
    names = ["api_keys_apikey"]

    def rename(to: str) -> None:
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {names[-1]} RENAME TO {to}")
        names.append(to)

    yield rename
    if names[-1] != names[0]:
        rename(names[0])


@at("http")
def test_while_the_database_cannot_say_known_keys_work_for_a_time_and_nobody_gets_401(
    door, hide_keys
):
    known, unknown = header(new_key()), header(new_token().text)
    request = read_request(new_id())
    assert door.infer(request, **known).status == 200
    hide_keys("keys_elsewhere")
    hidden_at = time.monotonic()
    seen = []
    while time.monotonic() - hidden_at < MAX_AGE_SECONDS + 1:
        seen.append(door.infer(request, **known).status)
        refused = door.infer(request, **unknown)
        assert refused.status == 503
        assert "API keys cannot be checked" in refused.document["error"]
        time.sleep(0.2)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (200, 503)
    hide_keys("api_keys_apikey")
    time.sleep(2)
    assert door.infer(request, **known).status == 200
    assert door.infer(request, **unknown).status == 401


def test_what_probes_and_people_ask_for_needs_no_key(guarded):
    with requests.Session() as session:
        for path in (
            *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/memory/ready"),
            *("/metrics", "/v2/docs", "/v2/docs/openapi.json"),
        ):
            assert session.get(guarded.url + path, timeout=30).status_code == 200, path


def test_names_of_memories_need_a_key_and_a_key_sees_its_own(guarded):
    key = new_key(memories=["one", "memory"])
    index = f"{guarded.url}/v2/repository/index"
    model = f"{guarded.url}/v2/models"
    with requests.Session() as session:
        assert session.post(index, timeout=30).status_code == 401
        assert session.get(f"{model}/memory", timeout=30).status_code == 401
        session.headers.update(header(key))
        listed = session.post(index, json={}, timeout=30).json()
        assert {entry["name"] for entry in listed} == {"one", "memory"}
        assert session.get(f"{model}/memory", timeout=30).status_code == 200
        others = [session.get(f"{model}/{name}", timeout=30) for name in ("two", "nope")]
        assert {reply.status_code for reply in others} == {403}
        assert others[0].content == others[1].content


@pytest.mark.parametrize("method", ["load", "unload"])
def test_mlservers_own_load_and_unload_ask_nobody_for_a_key(guarded_mlserver, method):
    url = f"{guarded_mlserver.url}/v2/repository/models/two/{method}"
    assert requests.post(url, timeout=30).status_code == 200


# --- What a key may do -------------------------------------------------------------------


def test_scopes_are_for_reading_and_for_reading_what_is_added(door, guarded):
    memory_id = new_id()
    read, append = read_request(memory_id), append_request(memory_id, "x")

    def statuses(*scopes: str) -> tuple[int, int]:
        key = header(new_key(scopes=scopes))
        return door.infer(read, **key).status, door.infer(append, **key).status

    assert statuses("read") == (200, 403)
    assert statuses("append") == (403, 403)
    assert statuses("delete") == (403, 403)
    assert memory_id not in ids_in_database(guarded)
    assert statuses("read", "append") == (200, 200)


def test_a_missing_scope_does_not_tell_whether_the_conversation_exists(door, key):
    exists = new_id()
    door.infer(append_request(exists, "x"), **header(key))
    for scopes, request in ((["append"], read_request), (["read"], append_request)):
        limited = header(new_key(scopes=scopes))
        more = () if request is read_request else ("x",)
        replies = [door.infer(request(each, *more), **limited) for each in (exists, new_id())]
        assert [reply.status for reply in replies] == [403, 403]
        assert replies[0].document == replies[1].document


def test_a_key_is_for_its_memories_only(door):
    key = header(new_key(memories=["once"]))
    assert door.infer(read_request(new_id()), "once", **key).status == 200
    assert door.infer(read_request(new_id()), "memory", **key).status == 403


def test_over_its_rate_a_key_has_to_wait(door):
    limited, other = header(new_key(rate=2)), header(new_key())
    request = read_request(new_id())
    replies = [door.infer(request, **limited) for _ in range(30)]
    refused = [reply for reply in replies if reply.status != 200]
    assert refused
    exhausted = GrpcDoor.statuses[grpc.StatusCode.RESOURCE_EXHAUSTED]
    assert {reply.status for reply in refused} == {429 if isinstance(door, HttpDoor) else exhausted}
    assert all("may send 2 requests a second" in reply.document["error"] for reply in refused)
    if isinstance(door, HttpDoor):
        assert {reply.headers["Retry-After"] for reply in refused} == {"1"}
    assert door.infer(request, **other).status == 200
    time.sleep(1)
    assert door.infer(request, **limited).status == 200


def test_the_log_names_the_key_and_never_holds_it(door, key):
    door.infer(read_request(new_id()), **header(key))
    log = door.service.log.read_text()
    assert re.search(rf"door=\w+ .*key={key[:15]} ", log)
    assert key not in log


# --- Tenants -----------------------------------------------------------------------------


def tenant_key(name: str, **wish: Any) -> dict[str, str]:
    return header(new_key(tenant=name, **wish))


def test_two_tenants_have_the_same_id_for_two_conversations(door, guarded, key):
    one, two, memory_id = f"t-{new_id()[:8]}", f"t-{new_id()[:8]}", new_id()
    first, second = tenant_key(one), tenant_key(two)
    reply = door.infer(append_request(memory_id, "of one"), **first)
    assert reply.document["outputs"][0]["data"] == [memory_id]
    assert door.infer(read_request(memory_id), **second).texts == []
    assert door.infer(append_request(memory_id, "of two"), **second).texts == ["of two"]
    assert door.infer(read_request(memory_id), **first).texts == ["of one"]
    assert door.infer(read_request(memory_id), **header(key)).texts == []
    # A key without a tenant sees every conversation, by its whole id.
    assert door.infer(read_request(f"{one}/{memory_id}"), **header(key)).texts == ["of one"]
    assert {f"{one}/{memory_id}", f"{two}/{memory_id}"} <= ids_in_database(guarded)


@at("http", "rest")
def test_retries_of_two_tenants_with_one_idempotency_key_are_apart(door):
    first, second = tenant_key(f"t-{new_id()[:8]}"), tenant_key(f"t-{new_id()[:8]}")
    request, once = append_request("chat", "x"), {"Idempotency-Key": new_id()}
    replies = [door.infer(request, **once, **each) for each in (first, second, first)]
    assert [reply.texts for reply in replies] == [["x"]] * 3
    assert replies[0].body == replies[2].body


@at("http", "grpc")
def test_a_tenants_id_may_have_as_many_characters_as_any_other(door):
    key = tenant_key(f"t-{new_id()[:8]}".ljust(63, "-"))
    limit = MAX_MEMORY_ID_LENGTH
    assert door.infer(append_request("x" * limit, "fits"), **key).texts == ["fits"]
    refused = door.infer(append_request("x" * (limit + 1), "does not"), **key)
    assert refused.status == door.bad_request
    assert f"it must have 1 to {limit}" in refused.document["error"]


def test_errors_hold_the_clients_own_id_at_most(door):
    tenant = f"t-{new_id()[:8]}"
    key = tenant_key(tenant)
    wrong = [
        append_request("chat", "x", parameters={"expected_position": 9}),
        append_request("chat", "x", parameters={"windowsize": 1}),
        document(tensor("memory_id", ["chat"]), tensor("role", ["user"])),
        append_request("", "x"),
        append_request("chat\0", "x"),
    ]
    for request in wrong:
        reply = door.infer(request, **key)
        assert reply.status >= 400
        assert tenant not in str(reply.document) + str(reply.headers)


# --- No sequence of requests leads outside ----------------------------------------------

NAMES = [f"tenant-{n}" for n in range(10)]


def ids_among(tenants: list[str]) -> st.SearchStrategy[str]:
    """Ids that try to be somebody else's, and ids that all tenants have."""
    others, own = st.sampled_from(tenants), st.sampled_from(["chat", "a"])
    return st.one_of(
        st.sampled_from(["chat", "a", "A", "a ", "../chat", "/chat", "./a", "%2e%2e/chat", "%"]),
        st.builds("{}/{}".format, others, own),
        st.builds("../{}/{}".format, others, own),
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sets(st.sampled_from(SCOPES), min_size=1),
        st.sampled_from(["read", "append", "retry", "expect"]),
        ids_among(NAMES),
    ),
    min_size=1,
    max_size=times(15, soak=60),
)


@pytest.fixture(scope="module")
def keyring(guarded: Service) -> Callable[[str, set[str]], dict[str, str]]:
    """The key of a tenant with these scopes, made when it is first asked for."""
    made: dict[tuple[str, ...], dict[str, str]] = {}

    def key_of(tenant: str, scopes: set[str]) -> dict[str, str]:
        wanted = (tenant, *sorted(scopes))
        if wanted not in made:
            made[wanted] = tenant_key(tenant, scopes=sorted(scopes))
        return made[wanted]

    return key_of


def asked(door: Door, action: str, memory_id: str, text: str, key: dict[str, str]) -> Reply:
    if action == "read":
        return door.infer(read_request(memory_id), **key)
    if action == "retry":
        once: dict[str, Any] = {"parameters": {"idempotency_key": f"key of {memory_id}"}}
        return door.infer(append_request(memory_id, "once", **once), **key)
    wanted = {"expected_position": 0} if action == "expect" else {}
    return door.infer(append_request(memory_id, text, parameters=wanted), **key)


class Space:
    """What a tenant has, if nobody else were there: its messages by its own ids."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.retried: dict[str, int] = {}

    def answer(self, action: str, memory_id: str, text: str) -> list[str] | None:
        """The texts of the window; None for a refusal, after which nothing is stored."""
        texts = self.texts.get(memory_id, [])
        if action == "read":
            return texts[-50:]
        if action == "expect" and texts:
            return None
        if action == "retry":
            if memory_id in self.retried:
                end = self.retried[memory_id]
                return texts[max(0, end - 50) : end]
            self.retried[memory_id] = len(texts) + 1
            text = "once"
        self.texts[memory_id] = [*texts, text]
        return self.texts[memory_id][-50:]


@pytest.fixture(scope="module")
def spaces(guarded: Service) -> dict[str, Space]:
    """What ten tenants have stored, by all examples and doors together."""
    return {name: Space() for name in NAMES}


@at("http", "rest", "grpc")
def test_ten_tenants_get_what_they_would_get_alone(door, guarded, keyring, spaces):
    @settings(max_examples=times(25, soak=300))
    @given(STEPS)
    def run(steps: list[tuple[str, set[str], str, str]]) -> None:
        for tenant, scopes, action, memory_id in steps:
            text = f"{tenant} {new_id()}"
            reply = asked(door, action, memory_id, text, keyring(tenant, scopes))
            needed = {"read"} if action == "read" else {"read", "append"}
            if not needed <= scopes:
                assert reply.status == 403
                continue
            expected = spaces[tenant].answer(action, memory_id, text)
            if expected is None:
                assert reply.status in (409, 422)
                continue
            assert reply.texts == expected
            assert reply.document["outputs"][0]["data"] == [memory_id]

    run()
    stored = {name for name in ids_in_database(guarded) if name.startswith("tenant-")}
    assert stored == {
        f"{tenant}/{memory_id}" for tenant, space in spaces.items() for memory_id in space.texts
    }


# --- The same at the Conversations door --------------------------------------------------

TALKERS = [f"talker-{n}" for n in range(10)]
# What a key needs for each action.
ACTIONS: dict[str, set[str]] = {
    "create": {"append"},
    "list": {"read"},
    "items": {"read"},
    "add": {"append"},
    "replace": {"append", "delete"},
    "delete": {"delete"},
    "fork": {"read", "append"},
}
ALL_HAVE = {"kind": "talk"}


@dataclass
class Talks:
    """What a tenant has, if nobody else were there: texts by id, in order of creation."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    forks: dict[str, str] = field(default_factory=dict)

    def answer(self, action: str, talk: str, other: str, text: str) -> int:
        """The status of a request that changes something; after 200 it is done."""
        if action == "create":
            if talk in self.texts:
                return 409
            self.texts[talk] = [text]
            return 200
        if talk not in self.texts:
            return 404
        if action == "fork":
            if other in self.texts:
                return 409
            self.texts[other] = list(self.texts[talk])
            self.forks[other] = talk
        elif action == "delete":
            del self.texts[talk]
            self.forks.pop(talk, None)
        else:
            kept = [] if action == "replace" else self.texts[talk]
            self.texts[talk] = [*kept, text]
        return 200


@dataclass(frozen=True)
class Talker:
    """A tenant's client with one key."""

    session: requests.Session
    url: str
    key: dict[str, str]

    def send(
        self, method: str, path: str = "", json: Any = None, **query: str
    ) -> requests.Response:
        return self.session.request(
            method, f"{self.url}{path}", params=query, json=json, headers=self.key, timeout=60
        )

    def change(self, action: str, talk: str, other: str, text: str) -> Any:
        items, path = [{"role": "user", "content": text}], f"/{shown_id(talk)}"
        if action == "create":
            return self.send("POST", json={"id": talk, "items": items, "metadata": ALL_HAVE})
        if action == "fork":
            return self.send("POST", f"{path}/fork", {"id": other, "metadata": ALL_HAVE})
        if action == "delete":
            return self.send("DELETE", path)
        if action == "replace":
            return self.send("PUT", f"{path}/items", {"items": items}, **{"from": "1"})
        return self.send("POST", f"{path}/items", {"items": items})

    def listed(self, **query: str) -> list[str]:
        page = self.send("GET", limit="100", **query).json()
        assert page["has_more"] is False
        return [conversation["id"] for conversation in page["data"]]


def assert_lists_are(talker: Talker, talks: Talks, talk: str) -> None:
    """Each way to list has what the tenant has, and nothing else."""
    ids = list(map(shown_id, talks.texts))
    assert talker.listed(order="asc") == ids
    assert sorted(talker.listed(order="active")) == sorted(ids)
    assert talker.listed(**{"metadata[kind]": "talk"}) == ids[::-1]
    begun_so = [shown_id(each) for each in talks.texts if each.startswith(talk)]
    assert sorted(talker.listed(prefix=talk)) == sorted(begun_so)
    forks = [shown_id(fork) for fork, source in talks.forks.items() if source == talk]
    found = talker.listed(**{"metadata[forked_from]": shown_id(talk)})
    assert sorted(found) == sorted(forks)


def assert_items_are(talker: Talker, talks: Talks, talk: str) -> None:
    path = f"/{shown_id(talk)}"
    replies = [talker.send("GET", path), talker.send("GET", f"{path}/items", limit="100")]
    if talk not in talks.texts:
        assert [reply.status_code for reply in replies] == [404, 404]
        return
    conversation, page = (reply.json() for reply in replies)
    assert conversation["id"] == shown_id(talk)
    said = [item["content"][0]["text"] for item in page["data"]]
    assert said == talks.texts[talk][::-1]
    for item in page["data"][:2]:
        assert talker.send("GET", f"{path}/items/{item['id']}").json() == item


def test_ten_tenants_have_conversations_as_if_they_were_alone(guarded, keyring):
    everybodys = {name: Talks() for name in TALKERS}
    url = f"{guarded.url}/memories/memory/v1/conversations"
    steps = st.lists(
        st.tuples(
            st.sampled_from(TALKERS),
            st.sets(st.sampled_from(SCOPES), min_size=1),
            st.sampled_from(list(ACTIONS)),
            ids_among(TALKERS),
            ids_among(TALKERS),
        ),
        min_size=1,
        max_size=times(15, soak=60),
    )

    @settings(max_examples=times(25, soak=300))
    @given(steps)
    def run(steps: list[tuple[str, set[str], str, str, str]]) -> None:
        for tenant, scopes, action, talk, other in steps:
            talker, talks = Talker(session, url, keyring(tenant, scopes)), everybodys[tenant]
            text = f"{tenant} {new_id()}"
            if not ACTIONS[action] <= scopes:
                path = "" if action == "list" else f"/{shown_id(talk)}/items"
                refused = (
                    talker.send("GET", path)
                    if ACTIONS[action] == {"read"}
                    else talker.change(action, talk, other, text)
                )
                assert refused.status_code == 403
                assert tenant not in refused.text
            elif action == "list":
                assert_lists_are(talker, talks, talk)
            elif action == "items":
                assert_items_are(talker, talks, talk)
            else:
                reply = talker.change(action, talk, other, text)
                assert reply.status_code == talks.answer(action, talk, other, text), reply.text

    with requests.Session() as session:
        run()
        for tenant, talks in everybodys.items():
            talker = Talker(session, url, keyring(tenant, {"read"}))
            assert_lists_are(talker, talks, "chat")
            for talk in talks.texts:
                assert_items_are(talker, talks, talk)
    stored = {name for name in ids_in_database(guarded) if name.startswith("talker-")}
    assert stored == {
        f"{tenant}/{talk}" for tenant, talks in everybodys.items() for talk in talks.texts
    }
