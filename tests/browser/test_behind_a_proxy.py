"""The admin below a path, behind nginx with TLS, as docs/howto/nginx-tls.md has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import requests
from playwright.sync_api import Playwright, Response, expect, sync_playwright

from testing.service import Service
from tests.browser.browser import ARGUMENTS, Watched, follow, make_user, serious_faults
from tests.browser.conversations import say, with_tools, write_memories_to_inspect
from tests.machine import chromium
from tests.nginx import Nginx
from tests.visitor import PASSWORD

pytestmark = pytest.mark.needs("chromium", "axe", "nginx")

PREFIX, HOST = "/convstore", "chat.example"
SITE = f"https://{HOST}{PREFIX}"
KEY = {"Authorization": "Bearer change-me-1"}
READ = {"inputs": [{"name": "memory_id", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {"ALLOWED_HOSTS": f"{HOST},127.0.0.1", "HTTPS": "true", "SCRIPT_NAME": PREFIX}
    folder = tmp_path_factory.mktemp("prefix")
    models = str(write_memories_to_inspect(folder))
    with Service(folder, MODELS_DIR=models, **settings) as service:
        make_user(service, "ada", PASSWORD, superuser=True)
        yield service


@pytest.fixture(scope="module")
def nginx(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), service.port, PREFIX) as nginx:
        yield nginx


@pytest.fixture
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture
def visit(playwright: Playwright, nginx: Nginx) -> Iterator[tuple[Watched, list[Response]]]:
    """A page of a browser that finds the host at nginx, and all replies that it gets."""
    rule = f"--host-resolver-rules=MAP {HOST}:443 127.0.0.1:{nginx.port}"
    with ExitStack() as stack:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, rule])
        stack.callback(browser.close)
        watched = Watched(browser.new_context(ignore_https_errors=True))
        replies: list[Response] = []
        watched.context.on("response", lambda reply: replies.append(reply))
        yield watched, replies
        watched.assert_clean()


def test_everything_that_people_do_stays_below_the_path_and_is_protected(visit, service, nginx):
    watched, replies = visit
    page, talk = watched.page, say(service, with_tools())
    page.goto(f"{SITE}/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    follow(page.get_by_role("button", name="Log in"))
    expect(page).to_have_url(f"{SITE}/admin/")
    assert serious_faults(page) == []
    for link in ("All conversations", talk.memory_id):
        follow(page.get_by_role("link", name=link).first)
    follow(page.get_by_role("link", name="Show raw text"))
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Export: Markdown", exact=True).click()
    assert talk.memory_id in download.value.path().read_text()
    follow(page.get_by_role("link", name="JSON of message 1", exact=True))
    page.goto(f"{SITE}/admin/convstore/conversation/search/?q=Bern")
    follow(page.get_by_role("link", name="Message 1 of").first)
    follow(page.get_by_role("link", name="Delete"))
    page.get_by_label("Reason").fill("asked for")
    follow(page.get_by_role("button", name="Delete"))
    expect(page.locator(".messagelist")).to_contain_text("Deleted")
    for path in ("inspection/auditentry/", "auth/user/", "password_change/", "nothing/here/"):
        page.goto(f"{SITE}/admin/{path}")
    watched.take("console", "404")
    follow(page.get_by_role("button", name="Log out"))
    assert_protected(replies)


def assert_protected(replies: list[Response]) -> None:
    """Each reply is below the path, and each page has its headers."""
    assert len(replies) > 40
    for reply in replies:
        assert reply.url.startswith(f"{SITE}/"), reply.url
        assert reply.status < 400 or reply.url.endswith("/nothing/here/"), reply.url
        if "text/html" in reply.headers.get("content-type", ""):
            assert "script-src 'self'" in reply.headers["content-security-policy"], reply.url
        assert reply.headers["strict-transport-security"] == "max-age=31536000", reply.url


def test_cookies_are_for_this_path_and_https_only(visit):
    watched, _ = visit
    page = watched.page
    page.goto(f"{SITE}/admin/login/?next={PREFIX}/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    follow(page.get_by_role("button", name="Log in"))
    cookies = watched.context.cookies()
    assert {cookie["name"] for cookie in cookies} == {"csrftoken", "sessionid"}
    for cookie in cookies:
        assert (cookie["path"], cookie["secure"]) == (f"{PREFIX}/", True)


def test_the_api_answers_below_the_path_and_leads_to_its_page(nginx, service):
    reply = nginx.asked("POST", f"{PREFIX}/v2/models/filesys-memory/infer", json=READ, headers=KEY)
    assert reply.status_code == 200
    assert nginx.asked("GET", "/v2/models/filesys-memory").status_code == 404
    for path in (f"{PREFIX}/", "/"):
        reply = requests.get(service.url + path, allow_redirects=False, timeout=10)
        assert reply.headers["Location"] == f"{PREFIX}/v2/docs"
    page = requests.get(f"{service.url}{PREFIX}/v2/docs", timeout=10).text
    assert f'"{PREFIX}/admin-static/' in page
    script = requests.get(f"{service.url}{PREFIX}/v2/docs?script=", timeout=10).text
    assert f"{PREFIX}/v2/docs/openapi.json" in script
    document = requests.get(f"{service.url}/v2/docs/openapi.json", timeout=10).json()
    assert document["servers"] == [{"url": PREFIX}]


def test_probes_need_no_path(service):
    for path in ("/v2/health/ready", f"{PREFIX}/v2/health/ready"):
        assert requests.get(service.url + path, timeout=10).status_code == 200
