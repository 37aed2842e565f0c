"""Deletions in a browser that take several requests, or that are in another database."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, Request, expect

from convstore.archive.history import MessageRow
from convstore.models import Conversation
from testing.bodies import read_request
from testing.service import Service
from tests.browser.browser import DARK_PHONE, each_look, follow, serious_faults
from tests.browser.conversations import (
    ELSEWHERE,
    ELSEWHERE_FILE,
    SHIPPED_FILE,
    WITH_TOOLS,
    SentConversation,
    database_of,
    of_many_messages,
    say,
    small,
    transcript_of,
    with_tools,
)
from tests.doors import HttpDoor

pytestmark = [pytest.mark.needs("chromium", "axe", "media"), pytest.mark.timeout(90)]

REASON = "A user's wish, ticket 4711"
MANY = 12_000
# Twice this is longer than a request deletes for; once, shorter than it waits for a lock.
WRITING_SECONDS = 3
FIRST = "SELECT MIN(position) FROM convstore_message WHERE conversation_id = ?"
OUR_SCRIPT = re.compile(r"/inspection/inspection[.\w]*\.js$")
SOME_ARE_GONE = re.compile(r"^Deleted [1-9][\d,]* of 12,000 messages\. Still to delete:$")


def history(service: Service, talk: SentConversation, memory: str = WITH_TOOLS) -> list[str]:
    """The messages that a client of the V2 API gets."""
    return HttpDoor(service).infer(read_request(talk.memory_id), memory).history


def sent(talk: SentConversation) -> list[str]:
    return [message.to_json() for message in talk.messages]


def many(service: Service) -> SentConversation:
    """A conversation with MANY messages, inserted directly into the database."""
    talk, now = of_many_messages(MANY), datetime.now(UTC)
    times: dict[str, Any] = {"created_at": now, "active_at": now}
    alias = database_of(service)
    Conversation.objects.using(alias).create(pk=talk.key, memory_id=talk.memory_id, **times)
    rows = (row(talk, n, now) for n in range(MANY))
    assert len(MessageRow.objects.using(alias).bulk_create(rows, batch_size=1000)) == MANY
    return talk


def row(talk: SentConversation, n: int, now: datetime) -> MessageRow:
    message = talk.messages[n]
    return MessageRow(
        conversation_id=talk.key,
        position=n + 1,
        role=message.role,
        body=message.to_json(),
        request_key=uuid4(),
        fingerprint=uuid4(),
        created_at=now,
    )


@contextmanager
def among_writes(service: Service, talk: SentConversation) -> Iterator[None]:
    """Somebody else writes for long, twice, each time once more of the messages are gone."""
    path = service.folder / "data" / SHIPPED_FILE
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write_twice, path, talk)
        yield
        writing.result()


def write_twice(path: Path, talk: SentConversation) -> None:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as database:
        first = 1
        for _ in range(2):
            first = begin_after(database, talk, first)
            time.sleep(WRITING_SECONDS)
            database.execute("COMMIT")


def begin_after(database: sqlite3.Connection, talk: SentConversation, first: int) -> int:
    """Take the lock of writers once the message `first` is gone; the first that is there then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(sqlite3.OperationalError):
            database.execute("BEGIN IMMEDIATE")
            ((found,),) = database.execute(FIRST, [talk.key.hex])
            if found > first:
                return int(found)
            database.execute("ROLLBACK")
        time.sleep(0.0002)
    raise AssertionError("Nothing was deleted.")


# --- What people do ----------------------------------------------------------------------


def begin_deletion(page: Page, service: Service, talk: SentConversation) -> None:
    """Open the page that asks for a reason, from the conversation's page."""
    page.goto(transcript_of(service, talk))
    follow(page.get_by_role("link", name="Delete …"))


def confirm(page: Page) -> None:
    page.get_by_label("Reason (for the audit log)").fill(REASON)
    follow(page.get_by_role("button", name="Delete permanently"))


def deleted(page: Page, messages: int) -> None:
    """The list shows that the deletion succeeded."""
    told = page.locator(".messagelist .success")
    success = re.compile(rf"^Deleted \S+ \({messages:,} messages\)\.$")
    expect(told).to_have_text(success, timeout=60_000)


def logged(page: Page, service: Service, talk: SentConversation) -> list[list[str]]:
    """The log entries of the deletion (user, action, detail), newest first."""
    page.goto(f"{service.url}/admin/inspection/auditentry/?q={talk.memory_id}")
    columns = [".field-username", ".field-action", ".field-detail_text"]
    rows = page.locator("#result_list tbody tr").all()
    entries = [[row.locator(column).inner_text() for column in columns] for row in rows]
    return [entry for entry in entries if entry[1] in ("deletion begun", "deleted")]


def posts(page: Page) -> list[str]:
    """The URLs to which the page sends POST requests from now on."""
    posted: list[str] = []

    def heard(request: Request) -> None:
        if request.method == "POST":
            posted.append(request.url)

    page.on("request", heard)
    return posted


# --- Many messages -----------------------------------------------------------------------


def test_a_deletion_of_many_messages_finishes_by_itself(page, admin_service, inspector):
    talk = many(admin_service)
    begin_deletion(page, admin_service, talk)
    expect(
        page.get_by_text("This permanently deletes 1 conversation with 12,000 messages")
    ).to_be_visible()
    confirm(page)
    deleted(page, MANY)
    assert history(admin_service, talk) == []
    assert logged(page, admin_service, talk)[-1] == begun(inspector, MANY)


def test_a_deletion_in_several_requests_continues_by_itself(page, admin_service, inspector):
    talk = many(admin_service)
    begin_deletion(page, admin_service, talk)
    posted = posts(page)
    with among_writes(admin_service, talk):
        confirm(page)
        deleted(page, MANY)
    assert len(posted) > 1
    assert history(admin_service, talk) == []
    ended, *steps = logged(page, admin_service, talk)
    left = [int(detail.split()[0].replace(",", "")) for *_, detail in reversed(steps)]
    assert steps[::-1] == [begun(inspector, count) for count in left]
    assert len(left) == len(posted)
    assert left[0] == MANY
    assert left == sorted(set(left), reverse=True)
    assert ended == [inspector, "deleted", f"the last {left[-1]:,} messages; {REASON}"]


@each_look(DARK_PHONE)
def test_without_our_script_a_button_continues_the_deletion(look, chromium, cookies, admin_service):
    talk = many(admin_service)
    with look.context(chromium) as context:
        context.route(OUR_SCRIPT, lambda route: route.abort())
        context.add_cookies(cookies)
        page = context.new_page()
        begin_deletion(page, admin_service, talk)
        with among_writes(admin_service, talk):
            confirm(page)
            expect(page.get_by_role("status")).to_have_text(SOME_ARE_GONE, timeout=30_000)
        expect(page.get_by_role("progressbar", name="Messages deleted")).to_be_visible()
        assert page.get_by_label("Reason (for the audit log)").input_value() == REASON
        assert page.evaluate("document.documentElement.scrollWidth") <= look.width
        assert serious_faults(page) == []
        follow(page.get_by_role("button", name="Continue deleting"))
        deleted(page, MANY)
    assert history(admin_service, talk) == []


def begun(username: str, messages: int) -> list[str]:
    """The log entry that a request writes before it deletes."""
    return [username, "deletion begun", f"{messages:,} messages; {REASON}"]


# --- Elsewhere, again, meanwhile ---------------------------------------------------------


def test_a_conversation_is_deleted_only_in_its_own_database(page, admin_service):
    talk = say(admin_service, with_tools(), ELSEWHERE)
    same_id = say(admin_service, small(talk.memory_id))
    page.goto(f"{admin_service.url}/admin/")
    region = page.get_by_role("region", name=f"SQLite, {ELSEWHERE_FILE}", exact=True)
    follow(region.get_by_role("link", name="All conversations"))
    follow(page.get_by_role("link", name=talk.memory_id))
    follow(page.get_by_role("link", name="Delete …"))
    expect(
        page.get_by_text("This permanently deletes 1 conversation with 5 messages in total")
    ).to_be_visible()
    confirm(page)
    deleted(page, 5)
    assert "?database=" in page.url
    assert history(admin_service, talk, ELSEWHERE) == []
    assert history(admin_service, same_id) == sent(same_id)


def test_a_new_message_under_a_deleted_id_starts_a_new_conversation(page, admin_service):
    talk = say(admin_service, with_tools())
    begin_deletion(page, admin_service, talk)
    confirm(page)
    deleted(page, 5)
    again = say(admin_service, small(talk.memory_id, "Anew."))
    assert history(admin_service, again) == sent(again)
    page.goto(transcript_of(admin_service, again))
    expect(page.get_by_role("article", name="Message 1, user")).to_contain_text("Anew.")


def test_the_page_says_if_the_conversation_was_deleted_meanwhile(page, watched, admin_service):
    talk = say(admin_service, with_tools())
    begin_deletion(page, admin_service, talk)
    asked = page.url
    confirm(page)
    deleted(page, 5)
    page.goto(asked)
    watched.take("console", "404")
    expect(page.locator(".errornote")).to_have_text(
        "These conversations are no longer in this database."
    )
    assert serious_faults(page) == []
