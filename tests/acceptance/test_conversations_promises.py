"""Every field, query and header of the Conversations API's tables is done, or refused.

The rows are read from the page, so a new row without a probe fails, and so does a probe without
a row.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import requests
from django.test import Client, override_settings

from testing.bodies import new_id
from testing.service import Service
from tests.promises import Probes, Promise

pytestmark = pytest.mark.one_database

probe = Probes("docs/reference/conversations-api.md", "Fields", "Queries", "Headers")


class Api:
    """Requests to one memory's conversations; an answer is its status and its document."""

    def __init__(self, service: Service, memory: str = "memory") -> None:
        self.service, self.url = service, f"{service.url}/memories/{memory}/v1/conversations"

    def send(
        self, method: str, path: str = "", document: Any = None, **headers: str
    ) -> requests.Response:
        return requests.request(method, self.url + path, json=document, headers=headers, timeout=60)

    def begin(self, *texts: str, **fields: Any) -> str:
        """The path of a new conversation with these messages."""
        items = [said(text) for text in texts]
        reply = self.send("POST", "", {"items": items, **fields})
        assert reply.status_code == 200, reply.text
        return f"/{reply.json()['id']}"

    def texts(self, path: str, query: str = "order=asc") -> list[str]:
        listed = self.send("GET", f"{path}/items?{query}").json()["data"]
        return [item["content"][0]["text"] for item in listed]

    def ids(self, query: str) -> list[str]:
        return [each["id"] for each in self.send("GET", f"?{query}").json()["data"]]


@pytest.fixture
def api(service: Service) -> Api:
    return Api(service)


def test_there_is_a_row_for_each_probe() -> None:
    assert set(probe.of) == set(probe.promises())


@pytest.mark.parametrize("promise", list(probe.promises()), ids=": ".join)
def test_each_row_is_done_or_refused(api: Api, promise: Promise) -> None:
    probe.send(promise, api)


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def refused(reply: requests.Response, param: str | None, *says: str) -> None:
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, param)
    for each in says:
        assert each in error["message"]


# --- Fields ------------------------------------------------------------------------------


@probe("Fields", "items")
def items(api: Api) -> None:
    path = api.begin("a")
    assert api.send("POST", f"{path}/items", {"items": [said("b"), said("c")]}).ok
    assert api.texts(path) == ["a", "b", "c"]
    for method, query in (("POST", ""), ("PUT", "?from=1")):
        for document in ({}, {"items": None}):
            refused(api.send(method, f"{path}/items{query}", document), "items", "is missing")
    assert api.texts(path) == ["a", "b", "c"]
    assert api.send("PUT", f"{path}/items?from=2", {"items": []}).ok
    assert api.texts(path) == ["a"]


@probe("Fields", "metadata")
def metadata(api: Api) -> None:
    path = api.begin(metadata={"a": "1"})
    assert api.send("POST", path, {"metadata": {"b": "2"}}).json()["metadata"] == {"b": "2"}
    assert api.send("POST", path, {"metadata": None}).json()["metadata"] == {}
    refused(api.send("POST", path, {}), "metadata", "is missing")
    refused(api.send("POST", path, {"metadata": {"a": 1}}), "metadata", "must be a string")
    fork = api.send("POST", f"{path}/fork", {"metadata": {"c": "3"}})
    assert fork.json()["metadata"]["c"] == "3"


@probe("Fields", "id")
def own_id(api: Api) -> None:
    own, copy = new_id(), new_id()
    assert api.begin("x", id=own) == f"/{own}"
    assert api.send("POST", "", {"id": own}).status_code == 409
    assert api.send("POST", f"/{own}/fork", {"id": copy}).json()["id"] == copy
    refused(api.send("POST", "", {"id": 1}), "id", "must be a string")


@probe("Fields", "up_to")
def up_to(api: Api) -> None:
    path = api.begin("a", "b")
    fork = api.send("POST", f"{path}/fork", {"up_to": 1}).json()
    assert api.texts(f"/{fork['id']}") == ["a"]
    refused(api.send("POST", f"{path}/fork", {"up_to": True}), "up_to", "it must be")


@probe("Fields", "any other, or one that is twice in an object")
def other_fields(api: Api) -> None:
    path = api.begin("a")
    for method, route in (
        ("POST", ""),
        ("POST", path),
        ("POST", f"{path}/fork"),
        ("POST", f"{path}/items"),
        ("PUT", f"{path}/items?from=1"),
    ):
        known: dict[str, Any] = (
            {"metadata": {}} if route == path else {"items": []} if "items" in route else {}
        )
        refused(api.send(method, route, {**known, "item": []}), "item", "no field of this name")
    twice = '{"items": [], "items": [{"role": "user", "content": "b"}]}'
    kind = {"Content-Type": "application/json"}
    reply = requests.post(f"{api.url}{path}/items", twice, headers=kind, timeout=60)
    refused(reply, None, 'the name "items" twice')
    assert api.texts(path) == ["a"]


# --- Queries -----------------------------------------------------------------------------


@probe("Queries", "limit")
def limit(api: Api) -> None:
    path = api.begin("a", "b")
    assert api.texts(path, "limit=1") == ["b"]
    assert len(api.ids("limit=1")) == 1
    for route in (f"{path}/items", ""):
        refused(api.send("GET", f"{route}?limit=101"), "limit", "from 1 to 100")


@probe("Queries", "order")
def order(api: Api) -> None:
    path, later = api.begin("a", "b"), api.begin()
    assert api.texts(path, "order=asc") == ["a", "b"]
    assert api.texts(path, "order=desc") == ["b", "a"]
    assert api.ids("order=desc&limit=2") == [later[1:], path[1:]]
    assert later[1:] not in api.ids("order=asc&limit=1")
    assert len(api.ids("order=active&limit=2")) == 2
    refused(api.send("GET", f"{path}/items?order=active"), "order", "desc or asc")


@probe("Queries", "after")
def after(api: Api) -> None:
    path, later = api.begin("a", "b"), api.begin()
    assert api.texts(path, "order=asc&after=1") == ["b"]
    assert api.ids(f"after={later[1:]}&limit=1") == [path[1:]]
    assert api.send("GET", f"{path}/items?after=msg_none").status_code == 404


@probe("Queries", "metadata[name]")
def by_metadata(api: Api) -> None:
    user = new_id()
    path = api.begin(metadata={"user": user})
    assert api.ids(f"metadata[user]={user}") == [path[1:]]
    refused(api.send("GET", "?metadata[a]=1&metadata[b]=2"), "metadata", "takes one")
    refused(api.send("GET", "?metadata[a]=1&metadata[a]=2"), "metadata[a]", "sent 2 times")


@probe("Queries", "prefix")
def by_prefix(api: Api) -> None:
    own = new_id()
    api.begin(id=own)
    assert api.ids(f"prefix={own[:-4]}") == [own]
    refused(api.send("GET", f"?prefix={own}&order=asc"), "prefix", "neither 'order'")


@probe("Queries", "format")
def chat(api: Api) -> None:
    path = api.begin("a")
    listed = api.send("GET", f"{path}/items?format=chat").json()["data"]
    assert listed == [{"role": "user", "content": "a"}]
    refused(api.send("GET", f"{path}/items?format=json"), "format", "must be chat")


@probe("Queries", "from")
def start(api: Api) -> None:
    path = api.begin("a", "b", "c")
    refused(api.send("PUT", f"{path}/items", {"items": []}), "from", "is missing")
    twice = api.send("PUT", f"{path}/items?from=1&from=3", {"items": []})
    refused(twice, "from", "sent 2 times")
    assert api.send("PUT", f"{path}/items?from=3", {"items": [said("d")]}).ok
    assert api.texts(path) == ["a", "b", "d"]


@probe("Queries", "include")
@probe("Queries", "include[]")
def include(api: Api) -> None:
    path, query = api.begin("a"), "?include=x&include[]=y&include[]=z"
    (item,) = api.send("GET", f"{path}/items{query}").json()["data"]
    assert api.send("GET", f"{path}/items/{item['id']}{query}").json() == item
    assert api.send("POST", f"{path}/items{query}", {"items": [said("b")]}).ok
    assert api.texts(path) == ["a", "b"]


ROUTES: dict[str, tuple[str, str, Any]] = {
    "create": ("POST", "", {}),
    "list": ("GET", "", None),
    "get": ("GET", "{}", None),
    "set metadata": ("POST", "{}", {"metadata": {"a": "b"}}),
    "delete": ("DELETE", "{}", None),
    "fork": ("POST", "{}/fork", {}),
    "add items": ("POST", "{}/items", {"items": [said("b")]}),
    "list items": ("GET", "{}/items", None),
    "replace items": ("PUT", "{}/items?from=1", {"items": []}),
    "get an item": ("GET", "{}/items/1", None),
    "erase an item": ("DELETE", "{}/items/msg_1", None),
}


@probe("Queries", "any other")
def other_queries(api: Api) -> None:
    path = api.begin("a", "b")
    before = api.send("GET", path).headers["ETag"]
    for method, route, document in ROUTES.values():
        for name in ("cascade", "idempotency_key", "up_to", "to", "If-Match"):
            query = f"{'&' if '?' in route else '?'}{name}=1"
            reply = api.send(method, route.format(path) + query, document)
            refused(reply, name, "is not known in the query of this route")
    for name in ("limit=1", "order=asc", "after=1"):
        reply = api.send("GET", f"{path}/items?{name}&{name}")
        refused(reply, name.partition("=")[0], "was sent 2 times; send it once")
    assert api.send("GET", path).headers["ETag"] == before


# --- Headers -----------------------------------------------------------------------------


def guarded(**headers: str) -> Any:
    """A list of conversations where the door asks for API keys; here, no key is right."""
    with override_settings(REQUIRE_API_KEYS=frozenset({"conversations"})):
        return Client().get("/v1/conversations", headers=headers)


@probe("Headers", "Authorization")
def authorization(api: Api) -> None:
    assert api.send("GET", api.begin(), Authorization="Bearer of news").ok
    assert guarded(Authorization="Bearer of news").status_code == 401


@probe("Headers", "WWW-Authenticate")
def www_authenticate(api: Api) -> None:
    assert guarded().headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in api.send("GET", api.begin()).headers


@probe("Headers", "Content-Type")
def content_type(api: Api) -> None:
    for kind, status in (("application/json", 200), ("text/plain", 403)):
        reply = requests.post(api.url, "{}", headers={"Content-Type": kind}, timeout=60)
        assert reply.status_code == status


@probe("Headers", "Content-Encoding")
def content_encoding(api: Api) -> None:
    body = gzip.compress(json.dumps({"metadata": {"a": "b"}}).encode())
    headers = {"Content-Type": "application/json"}
    packed = {**headers, "Content-Encoding": "gzip"}
    assert requests.post(api.url, body, headers=packed, timeout=60).json()["metadata"]
    packed["Content-Encoding"] = "br"
    assert requests.post(api.url, body, headers=packed, timeout=60).status_code == 400


@probe("Headers", "Idempotency-Key")
def idempotency_key(api: Api) -> None:
    path, header = api.begin("a"), {"Idempotency-Key": new_id()}
    for _ in range(2):
        assert api.send("POST", f"{path}/items", {"items": [said("b")]}, **header).ok
    assert api.texts(path) == ["a", "b"]
    other = api.send("POST", f"{path}/items", {"items": [said("d")]}, **header)
    assert other.status_code == 422
    header = {"Idempotency-Key": new_id()}
    for _ in range(2):
        assert api.send("PUT", f"{path}/items?from=2", {"items": [said("c")]}, **header).ok
    assert api.texts(path) == ["a", "c"]


@probe("Headers", "nearly Idempotency-Key")
def misspelt_key(api: Api) -> None:
    path = api.begin("a")
    for name in ("X-Idempotency-Key", "Idempotence-Key"):
        reply = api.send("POST", f"{path}/items", {"items": [said("b")]}, **{name: "k"})
        refused(reply, None, "did you mean 'Idempotency-Key'?")
    assert api.texts(path) == ["a"]


@probe("Headers", "If-Match")
@probe("Headers", "ETag")
def revision(api: Api) -> None:
    path = api.begin("a")
    old = api.send("GET", path).headers["ETag"]
    plain = {"Accept-Encoding": ""}  # the tag of a compressed reply is a weak one
    assert api.send("GET", f"{path}/items", **plain).headers["ETag"] == old
    assert api.send("POST", path, {"metadata": {"a": "b"}}, **{"If-Match": old}).ok
    assert api.send("DELETE", path, **{"If-Match": old}).status_code == 412
    assert api.texts(path) == ["a"]


@probe("Headers", "If-None-Match")
@probe("Headers", "If-Modified-Since")
@probe("Headers", "If-Unmodified-Since")
def other_preconditions(api: Api) -> None:
    path, own = api.begin("a"), new_id()
    for name in ("If-None-Match", "If-Modified-Since", "If-Unmodified-Since"):
        for method, route, document in (
            ("POST", "", {"id": own}),
            ("POST", path, {"metadata": {"a": "b"}}),
            ("PUT", f"{path}/items?from=1", {"items": []}),
            ("DELETE", path, None),
        ):
            reply = api.send(method, route, document, **{name: "*"})
            refused(reply, None, f"header '{name.lower()}' is not supported here")
        assert api.send("GET", path, **{name: "*"}).ok
    assert api.texts(path) == ["a"]
    assert api.send("GET", f"/{own}").status_code == 404


@probe("Headers", "X-Request-Id")
def request_id(api: Api) -> None:
    path, sent = api.begin(), {"X-Request-Id": new_id()}
    assert api.send("GET", path, **sent).headers["X-Request-Id"] == sent["X-Request-Id"]
    assert api.send("GET", path).headers["X-Request-Id"]


@probe("Headers", "any other")
def other_headers(api: Api) -> None:
    assert api.send("GET", api.begin(), **{"X-Tenant": "a", "OpenAI-Beta": "b"}).ok


@probe("Headers", "Retry-After")
def retry_after(api: Api) -> None:
    reply = Api(api.service, "down").send("GET")
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")


@probe("Headers", "x-should-retry")
def should_retry(api: Api) -> None:
    path = api.begin(id=new_id())
    again = api.send("POST", "", {"id": path[1:]})
    assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")
