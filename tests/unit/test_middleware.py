"""The admin's middleware does not run for requests to memories."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path as route
from django.utils.module_loading import import_string
from prometheus_client import REGISTRY

from convstore import urls
from convstore.wsgi import application
from inspection.middleware import AdminCsrfMiddleware, AdminErrorMiddleware, AdminOnly

INFER = "/v2/models/no-memory/infer"
LOGIN = "/admin/login/"
# What the admin's middleware leaves in a request.
MARKS = ("session", "auser", "_messages", "csp_nonce", "csrf_processing_done")
HEADERS = ("Set-Cookie", "X-Frame-Options", "Content-Security-Policy")


@pytest.fixture
def browser() -> Client:
    """A client of the service in this process."""
    return Client(enforce_csrf_checks=True)


def marks(response: Any) -> set[str]:
    return {name for name in MARKS if hasattr(response.wsgi_request, name)}


def test_a_request_to_a_memory_goes_through_no_middleware_of_the_admin(browser):
    response = browser.post(INFER, "{}", content_type="application/json")
    assert response.status_code == 404
    assert "no-memory" in response.json()["error"]
    assert marks(response) == set()
    assert "CSRF_COOKIE" not in response.wsgi_request.META
    assert not any(name in response for name in HEADERS)
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")


def test_a_request_for_an_unknown_memory_is_counted_without_its_name(browser):
    before = REGISTRY.get_sample_value("memory_unknown_models_total") or 0
    for path in (INFER, "/v2/models/no-memory/versions/1/infer"):
        assert browser.post(path, "{}", content_type="application/json").status_code == 404
    assert REGISTRY.get_sample_value("memory_unknown_models_total") == before + 2


def test_a_request_to_the_admin_goes_through_its_middleware(browser):
    response = browser.get(LOGIN)
    assert response.status_code == 200
    assert marks(response) == set(MARKS)
    assert "csrftoken" in response.cookies
    assert response["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "Cookie" in response["Vary"]


@pytest.mark.parametrize("path", [LOGIN, "/admin/convstore/conversation/delete/"])
def test_a_form_of_the_admin_needs_a_csrf_token(browser, path):
    assert browser.post(path, {"username": "a", "password": "b"}).status_code == 403


def test_csrf_protection_checks_only_the_admins_views():
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    def answer(path: str) -> Any:
        request = RequestFactory().post(path)
        request.user = AnonymousUser()
        return AdminCsrfMiddleware(view).process_view(request, view, (), {})

    assert answer("/admin/").status_code == 403
    assert answer("/v2/") is None


def test_security_headers_and_content_length_are_on_every_response(browser):
    for path in (LOGIN, INFER):
        response = browser.get(path)
        assert response["X-Content-Type-Options"] == "nosniff"
        assert int(response["Content-Length"]) == len(response.content)


def test_middleware_that_can_set_cookies_runs_for_the_admin_only():
    classes = [import_string(path) for path in settings.MIDDLEWARE]
    others = [each.__name__ for each in classes if not issubclass(each, AdminOnly)]
    assert others == [
        *("SecurityMiddleware", "GZipMiddleware", "WhiteNoiseMiddleware", "CommonMiddleware")
    ]


# --- Past the middleware -----------------------------------------------------------------


def answer(path: str, host: str = "testserver") -> tuple[str, dict[str, str], bytes]:
    """The status, headers and body with which the service's WSGI application answers."""
    started: list[Any] = []
    request = RequestFactory().post(
        path, b"{}", content_type="application/json", headers={"Host": host}
    )
    body = b"".join(application(request.environ, lambda *start: started.extend(start)))
    return started[0], dict(started[1]), body


@pytest.mark.parametrize("path", [INFER, "/v2/models/nope", "/v2/models/nope/no/such/route"])
def test_a_reply_of_a_memory_has_what_the_middleware_would_give_it(path):
    status, headers, body = answer(path)
    assert status.startswith(("404", "405"))
    assert json.loads(body).keys() == {"error"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert int(headers["Content-Length"]) == len(body)


@pytest.mark.parametrize("path", [INFER, LOGIN])
def test_a_host_that_is_not_allowed_is_refused_at_memories_as_at_the_admin(settings, path):
    settings.ALLOWED_HOSTS = ["memories.example"]
    assert answer(path, host="evil.example")[0] == "400 Bad Request"
    assert answer(path, host="memories.example")[0] != "400 Bad Request"


@pytest.mark.parametrize("path", [INFER, "/v2", "/v2/health/live", "/metrics"])
def test_a_host_may_have_an_underscore_where_programs_ask(settings, path):
    for allowed in (["*"], ["chat_memory"], [".local_net"]):
        settings.ALLOWED_HOSTS = allowed
        host = "chat_memory.local_net" if allowed == [".local_net"] else "chat_memory"
        assert answer(path, host=f"{host}:8080")[0].startswith(("200", "404", "405"))
        assert answer(path, host="no host!")[0] == "400 Bad Request"
    assert answer(path, host="chat_memory")[0] == "400 Bad Request"


def test_the_admin_asks_for_a_host_as_django_does():
    assert answer(LOGIN, host="chat_memory:8080")[0] == "400 Bad Request"


def test_a_request_to_a_memory_goes_through_no_middleware_at_all(settings):
    assert "Referrer-Policy" in answer(LOGIN)[1]
    assert "Referrer-Policy" not in answer(INFER)[1]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [(Http404(), 404, "no such page"), (PermissionDenied(), 403, "Ask an administrator")],
)
def test_what_django_refuses_in_the_admin_is_a_page_and_elsewhere_not(error, status, words):
    def answer(path: str) -> HttpResponse | None:
        request = RequestFactory().get(path)
        request.user = AnonymousUser()
        middleware = AdminErrorMiddleware(lambda request: HttpResponse())
        return middleware.process_exception(request, error)

    page = answer("/admin/auth/user/")
    assert page is not None
    assert (page.status_code, words in page.text) == (status, True)
    assert "Back to the overview" in page.text
    assert answer("/v2/docs") is None


def test_a_fault_of_ours_is_left_to_django():
    middleware = AdminErrorMiddleware(lambda request: HttpResponse())
    assert middleware.process_exception(RequestFactory().get("/admin/"), ValueError()) is None


# --- Faults ------------------------------------------------------------------------------


def fail(request: HttpRequest) -> HttpResponse:
    raise ValueError(request.path)


urlpatterns = [route("admin/fails/", fail), route("v2/fails/", fail), *urls.urlpatterns]
handler400, handler500 = urls.handler400, urls.handler500


@pytest.fixture
def failing(settings) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False, headers={"X-Request-Id": "r-17"})


def test_a_fault_in_the_admin_is_a_page_with_the_request_id_and_the_policy(failing, caplog):
    page = failing.get("/admin/fails/")
    assert (page.status_code, page["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert page["X-Frame-Options"] == "DENY"
    assert "details under request id r-17" in page.text
    assert "Back to the overview" in page.text
    assert "request id r-17 failed: GET '/admin/fails/'" in caplog.text
    assert failing.get("/v2/fails/").json().keys() == {"error"}


@pytest.mark.parametrize("host", ["no host!", "evil.example"])
def test_a_malformed_request_to_the_admin_gets_a_page_with_the_policy(failing, settings, host):
    settings.ALLOWED_HOSTS = ["memories.example"]
    page = failing.get(LOGIN, headers={"Host": host})
    assert (page.status_code, "ALLOWED_HOSTS" in page.text) == (400, True)
    assert "default-src 'none'" in page["Content-Security-Policy"]


def test_if_the_database_of_the_users_fails_the_admin_says_so_without_it(failing):
    failing.cookies["sessionid"] = "of-somebody"  # the database of these tests has no tables
    for address in ("/admin/", LOGIN, "/admin/auth/user/", "/admin/convstore/conversation/"):
        page = failing.get(address)
        assert (page.status_code, "Database unavailable" in page.text) == (503, True)
        assert "default-src 'none'" in page["Content-Security-Policy"]
