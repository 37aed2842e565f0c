"""An entry of the audit log covers what the page of a transcript loads for an hour only."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core import signing
from django.test import RequestFactory

from inspection.views.covering import VIEW_LASTS, is_covered, view_of
from tests.unit.exports import CONVERSATION, conversation, rows


@pytest.mark.parametrize(("later", "covered"), [(-10, True), (10, False)])
def test_an_entry_covers_the_parts_of_its_page_for_an_hour(later, covered, monkeypatch):
    user, database = SimpleNamespace(pk=1), SimpleNamespace(alias="default")
    talk: Any = conversation()
    asked: Any = RequestFactory().get("/")
    asked.user = user
    url = {"view": view_of(asked, database, talk, rows(CONVERSATION))}  # type: ignore[arg-type]
    asked = RequestFactory().get("/", url)
    asked.user = user
    now = signing.time.time()  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "django.core.signing.time.time", lambda: now + VIEW_LASTS.total_seconds() + later
    )
    assert is_covered(asked, database, talk, 1) == covered  # type: ignore[arg-type]
    assert not is_covered(asked, database, talk, len(CONVERSATION) + 1)  # type: ignore[arg-type]
