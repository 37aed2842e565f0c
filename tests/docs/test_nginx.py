"""nginx in front of the service, with the very configuration of docs/howto/nginx-tls.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.session import Reader
from tests.nginx import PAGE, SECONDS, Nginx, only

pytestmark = pytest.mark.needs("nginx")

MEMORY = {"inputs": [{"name": "memory_id", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The service behind it, as the page has it configured."""
    with Reader(tmp_path_factory.mktemp("service")) as reader:
        found = re.search(r"`ALLOWED_HOSTS=(\S+)`", PAGE.read_text())
        assert found
        reader.environment.update(ALLOWED_HOSTS=found[1], HTTPS="true")
        reader.serve("convstore serve")
        yield reader


@pytest.fixture(scope="module")
def nginx(reader: Reader, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with Nginx(tmp_path_factory.mktemp("nginx"), reader.port) as nginx:
        yield nginx


INFER = "/v2/models/filesys-memory/infer"


def test_a_client_with_a_key_is_answered_and_one_without_is_not(nginx: Nginx) -> None:
    for key, status in (("Bearer change-me-1", 200), ("Bearer other", 401), ("", 401)):
        reply = nginx.asked("POST", INFER, json=MEMORY, headers={"Authorization": key})
        assert reply.status_code == status
    assert "max-age" in reply.headers["Strict-Transport-Security"]


def test_the_client_on_the_page_is_answered(nginx: Nginx) -> None:
    script = only("python").replace("https://chat.example", f"https://127.0.0.1:{nginx.port}")
    script = script.replace('headers={"', 'headers={"Host": "chat.example", "')
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(nginx.certificate)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=SECONDS)


def test_what_is_not_for_strangers_stays_inside(nginx: Nginx) -> None:
    for path in ("/metrics", "/v2/docs", "/v2/repository/index", "/"):
        assert nginx.asked("GET", path).status_code == 404
    assert nginx.asked("GET", "/v2/health/ready").json() == {"ready": True}


def test_somebody_signs_in_to_the_admin_with_secure_cookies(nginx: Nginx, reader: Reader) -> None:
    reader.environment["DJANGO_SUPERUSER_PASSWORD"] = "correct horse battery"
    reader.runs(
        "convstore",
        "createsuperuser",
        "--noinput",
        "--username",
        "ada",
        "--email",
        "ada@chat.example",
    )
    page = nginx.asked("GET", "/admin/login/")
    assert page.status_code == 200
    for asset in re.findall(r'(?:src|href)="(/admin-static/[^"]+)"', page.text):
        assert nginx.asked("GET", asset).status_code == 200
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    cookies = {cookie.name: cookie.value or "" for cookie in page.cookies}
    form = {"csrfmiddlewaretoken": token, "username": "ada", "next": "/admin/"}
    reply = nginx.asked(
        "POST",
        "/admin/login/",
        data={**form, "password": "correct horse battery"},
        cookies=cookies,
        headers={"Origin": "https://chat.example", "Referer": "https://chat.example/admin/login/"},
    )
    assert reply.status_code == 302, reply.text
    assert {cookie.name for cookie in reply.cookies} == {"csrftoken", "sessionid"}
    assert all(cookie.secure for cookie in reply.cookies)
    session = {cookie.name: cookie.value or "" for cookie in reply.cookies}
    assert nginx.asked("GET", "/admin/", cookies=session).status_code == 200


def test_attempts_to_sign_in_are_limited_by_address(reader: Reader, tmp_path: Path) -> None:
    """By an nginx of its own, which the other tests need not share."""
    with Nginx(tmp_path, reader.port) as nginx:
        statuses = [nginx.asked("GET", "/admin/login/").status_code for _ in range(10)]
        assert set(statuses) == {200, 429}
