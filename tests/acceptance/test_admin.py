"""The admin of a running service: made a first user, signed in, looked at."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator

import pytest
import requests

from tests.bodies import new_id, said
from tests.service import Service

PASSWORD = "correct horse battery"


@pytest.fixture
def signed_in(service: Service) -> Iterator[requests.Session]:
    """A browser's session of a first user, made by the documented command."""
    name = f"user-{new_id()[:8]}"
    subprocess.run(
        [".venv/bin/python", "manage.py", "createsuperuser", "--noinput", "--username", name],
        cwd=service.folder,
        env={
            **os.environ,
            **service.environment,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SUPERUSER_EMAIL": "",
        },
        check=True,
        capture_output=True,
    )
    with requests.Session() as session:
        page = session.get(f"{service.url}/admin/login/?next=/admin/", timeout=10)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        home = session.post(page.url, data=form, headers={"Referer": page.url}, timeout=10)
        assert "Log out" in home.text
        yield session


def test_nobody_reads_without_signing_in(service):
    page = requests.get(f"{service.url}/admin/convstore/conversation/", timeout=10)
    assert "/admin/login/" in page.url


def test_conversations_are_listed_newest_first_with_their_number_of_messages(
    service, door, signed_in
):
    first, second = new_id(), new_id()
    for memory_id, count in ((first, 2), (second, 3)):
        for n in range(count):
            door.infer(said(memory_id, str(n)))
    page = signed_in.get(f"{service.url}/admin/convstore/conversation/", timeout=10).text
    assert page.index(second) < page.index(first)
    counts = re.findall(r'field-messages">(\d+)<', page)
    assert counts[:2] == ["3", "2"]


def test_a_conversations_page_shows_its_last_50_messages_and_changes_nothing(
    service, door, signed_in
):
    memory_id = new_id()
    for n in range(60):
        door.infer(said(memory_id, f"message number {n}."))
    door.infer(said(memory_id, "<script>alert(1)</script>", role="<b>user</b>"))
    page = open_conversation(signed_in, service, memory_id)
    shown = [int(n) for n in re.findall(r"message number (\d+)\.", page)]
    assert shown == list(range(11, 60))
    assert page.count("<li value=") == 50
    assert "<script>alert" not in page
    assert "<b>user" not in page
    assert 'name="_save"' not in page
    assert "/delete/" not in page


def open_conversation(session: requests.Session, service: Service, memory_id: str) -> str:
    page = session.get(f"{service.url}/admin/convstore/conversation/", timeout=10).text
    link = re.search(rf'href="(/admin/convstore/conversation/[^"]+)">{memory_id}<', page)
    assert link
    return session.get(service.url + link[1], timeout=10).text


def test_the_pages_styles_are_served(service, signed_in):
    page = signed_in.get(f"{service.url}/admin/", timeout=10).text
    for path in re.findall(r'<link rel="stylesheet" href="([^"]+)"', page):
        assert requests.get(service.url + path, timeout=10).status_code == 200
