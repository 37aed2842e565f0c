"""Somebody who looks at the admin of a running service, without a browser."""

from __future__ import annotations

import html
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from convstore.database.url import database_alias
from convstore.store import conversation_key
from testing.bodies import new_id
from testing.processes import Process

PASSWORD = "correct horse battery"
CONVERSATIONS = "/admin/convstore/conversation/"


@dataclass
class Visitor:
    """A browser's session with the admin of a service."""

    service: Process
    session: requests.Session

    def get(self, path: str, status: int = 200, **parameters: Any) -> str:
        page = self.session.get(self.service.url + path, params=parameters, timeout=30)
        assert page.status_code == status, page.text
        return html.unescape(page.text)

    def post(self, path: str, status: int = 200, **form: Any) -> str:
        url = self.service.url + path
        form["csrfmiddlewaretoken"] = self.session.cookies["csrftoken"]
        page = self.session.post(url, data=form, headers={"Referer": url}, timeout=30)
        assert page.status_code == status, page.text
        return html.unescape(page.text)

    def sign_in(self, name: str, password: str) -> requests.Response:
        page = self.session.get(f"{self.service.url}/admin/login/?next=/admin/", timeout=10)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]}
        return self.session.post(page.url, data=form, headers={"Referer": page.url}, timeout=10)


def first_user(service: Process) -> str:
    """The name of a superuser, made by the documented command."""
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
    return name


@contextmanager
def signed_in(service: Process) -> Iterator[Visitor]:
    """A superuser of the service."""
    with requests.Session() as session:
        visitor = Visitor(service, session)
        assert "Log out" in visitor.sign_in(first_user(service), PASSWORD).text
        yield visitor


def default_alias(service: Process) -> str:
    """The database of a service that was given none."""
    return database_alias(f"sqlite:///{service.folder / 'data' / 'conversations.sqlite3'}")


def transcript(memory_id: str) -> str:
    return f"{CONVERSATIONS}{conversation_key(memory_id)}/"


def ids(page: str) -> list[str]:
    cell = r"field-conversation[^>]*>(?:<a [^>]*><span[^>]*>[^<]*</span> )?<bdi>([^<]*)</bdi>"
    return re.findall(cell, page)


def shown(page: str) -> list[int]:
    return [int(n) for n in re.findall(r'id="message-(\d+)"', page)]
