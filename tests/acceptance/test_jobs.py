"""Exports and deletions of all conversations of a list: in steps, again after a break, complete."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from convstore.archive.history import MessageRow
from convstore.messages import Message, Part
from convstore.models import Conversation, MetadataPair
from convstore.store import ConversationStore, conversation_key
from inspection.models import AuditEntry, Job
from inspection.views.job_pages import PART_CONVERSATIONS
from testing.bodies import new_id
from testing.service import Service
from tests.full_log import full_log
from tests.visitor import CONVERSATIONS, Visitor, default_alias, signed_in

pytestmark = pytest.mark.one_database

ALL = f"{CONVERSATIONS}all/"
REASON = "asked for by user 4711"
MANY = PART_CONVERSATIONS + 2


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("jobs")) as service:
        yield service


@pytest.fixture(scope="module")
def alias(service: Service) -> str:
    return default_alias(service)


@pytest.fixture(scope="module")
def root(service: Service) -> Iterator[Visitor]:
    with signed_in(service) as visitor:
        yield visitor


def add(alias: str, count: int) -> str:
    """Conversations with one message each; the beginning of their ids."""
    prefix, now = new_id(), datetime.now(UTC)
    ids = [f"{prefix}/{n:04}" for n in range(count)]
    keys = [conversation_key(each) for each in ids]
    Conversation.objects.using(alias).bulk_create(
        Conversation(pk=key, memory_id=memory_id, created_at=now, active_at=now)
        for key, memory_id in zip(keys, ids, strict=True)
    )
    body = Message("user", [Part("text", "Hello!")]).to_json()
    unique = {"request_key": uuid4(), "fingerprint": uuid4()}
    MessageRow.objects.using(alias).bulk_create(
        MessageRow(
            conversation_id=key, position=1, role="user", body=body, created_at=now, **unique
        )
        for key in keys
    )
    return prefix


def left(alias: str, prefix: str) -> int:
    return Conversation.objects.using(alias).filter(memory_id__startswith=prefix).count()


def details(alias: str, action: str, text: str) -> list[str]:
    rows = AuditEntry.objects.using(alias).filter(action=action, detail__contains=text)
    return list(rows.order_by("pk").values_list("detail", flat=True))


def begin(root: Visitor, prefix: str, action: str) -> str:
    return root.post(f"{ALL}?list=q%3D{prefix}", action=action, reason=REASON)


def go_on(root: Visitor, page: str) -> str:
    """Do what the page asks its visitor for, until the job has ended."""
    for _ in range(20):
        if "The job has ended." in page:
            return page
        (path,) = re.findall(r'<form method="post" action="([^"]+)"', page)
        page = root.post(path)
    raise AssertionError(page)


# --- Deletion ----------------------------------------------------------------------------


def test_all_that_match_are_deleted_with_a_receipt_and_others_stay(alias, root):
    prefix, others = add(alias, 120), add(alias, 3)
    assert "This list has 120 conversations (ids that begin with" in root.get(
        ALL, list=f"q={prefix}"
    )
    page = go_on(root, begin(root, prefix, "delete"))
    assert "Deleted 120 conversations with 120 messages." in page
    assert REASON in page
    assert (left(alias, prefix), left(alias, others)) == (0, 3)
    job = Job.objects.using(alias).latest("pk")
    assert (job.conversations, job.messages) == (120, 120)
    about = f"job {job.pk}"
    begun = details(alias, "deletion begun", about)
    assert begun[0].startswith(f"{about}: all of the list, ids that begin with {prefix}; {REASON}")
    assert len(begun) == 121
    deleted = details(alias, "deleted", about)
    assert deleted[-1] == f"{about}: 120 conversations, 120 messages; {REASON}"
    assert len(deleted) == 121
    assert f"Deletion, job {job.pk}" in root.get(f"{CONVERSATIONS}jobs/")


def test_a_deletion_that_was_interrupted_goes_on_and_spares_what_came_later(alias, root):
    """As after a crash: a job that did nothing yet, and a conversation that begins meanwhile."""
    prefix = add(alias, 3)
    job = Job.objects.using(alias).create(
        username="somebody",
        action="delete",
        database="default",
        database_name="x",
        filter=f"q={prefix}",
        reason=REASON,
        begun_at=datetime.now(UTC),
    )
    late = f"{prefix}/late"
    now = datetime.now(UTC)
    Conversation.objects.using(alias).create(
        pk=conversation_key(late), memory_id=late, created_at=now, active_at=now
    )
    page = root.get(f"{CONVERSATIONS}jobs/{job.pk}/")
    assert "3 conversations left." in page
    assert "Deleted 3 conversations" in go_on(root, page)
    assert left(alias, prefix) == 1
    root.post(f"{CONVERSATIONS}jobs/{job.pk}/", 400)


def test_a_deletion_keeps_to_each_filter_of_its_list(alias, root):
    name, store = f"t-{new_id()[:8]}", ConversationStore(alias)
    other, another, bos = f"x-{name}/2", f"x-{name}/3", f"x-{name}/4"
    pairs = {f"{name}/1": {}, other: {"user": name}, another: {"user": name}, bos: {"user": "Bo"}}
    for memory_id, metadata in pairs.items():
        store.create(memory_id, [Message("user", [Part("text", "Hello!")])], metadata)
    old = datetime(2020, 1, 2, 12, tzinfo=UTC)
    Conversation.objects.using(alias).filter(memory_id=another).update(created_at=old)
    MetadataPair.objects.using(alias).filter(conversation=conversation_key(another)).update(
        created_at=old
    )
    period = "from=2020-01-02&to=2020-01-02"
    for query in (f"tenant={name}", f"q=x-{name}&{period}", f"pair=user&value={name}"):
        page = root.post(f"{ALL}?{urlencode({'list': query})}", action="delete", reason=REASON)
        assert "Deleted 1 conversation with 1 message." in go_on(root, page), query
    rows = Conversation.objects.using(alias).filter(memory_id__contains=name)
    assert [row.memory_id for row in rows] == [bos]


# --- Export ------------------------------------------------------------------------------


def test_all_that_match_are_exported_in_parts_with_their_digests(service, alias, root):
    prefix = add(alias, MANY)
    add(alias, 1)
    page = begin(root, prefix, "stored")
    found: list[str] = []
    digests: list[str] = []
    (path,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    for number in (1, 2):
        assert f"Download part {number}" in page
        form = {"csrfmiddlewaretoken": root.session.cookies["csrftoken"]}
        sent = root.session.post(service.url + path, form, headers={"Referer": service.url + path})
        assert f"part-{number}.jsonl" in sent.headers["Content-Disposition"]
        found += [json.loads(line)["memory_id"] for line in sent.text.splitlines()]
        digests.append(hashlib.sha256(sent.content).hexdigest())
        page = root.get(path.removesuffix("part/"))
    assert found == [f"{prefix}/{n:04}" for n in range(MANY)]
    assert f"Exported {MANY} conversations with {MANY} messages." in page
    assert "The job has ended." in page
    assert all(digest in page for digest in digests)
    assert len(details(alias, "export", "stored")) >= MANY
    root.post(path, 400)


def test_a_part_that_was_cut_off_is_sent_again(service, alias, root):
    prefix = add(alias, PART_CONVERSATIONS)
    page = begin(root, prefix, "stored")
    (path,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    job = Job.objects.using(alias).latest("pk")
    Job.objects.using(alias).filter(pk=job.pk).update(parts=0, cursor="")
    with full_log(alias):
        root.post(path, 503)
    assert "Download part 1" in root.get(path.removesuffix("part/"))
    assert len(root.post(path).splitlines()) == PART_CONVERSATIONS
    assert "The job has ended." in root.get(path.removesuffix("part/"))


# --- Wrong ones --------------------------------------------------------------------------


def test_without_the_log_no_job_begins(alias, root):
    prefix, jobs = add(alias, 1), Job.objects.using(alias).count()
    with full_log(alias):
        root.post(f"{ALL}?list=q%3D{prefix}", 503, action="delete", reason=REASON)
    assert left(alias, prefix) == 1
    assert Job.objects.using(alias).count() == jobs


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("from%3Dsoon", {"action": "delete", "reason": REASON}),
        ("", {"action": "delete", "reason": " "}),
        ("", {"action": "drop", "reason": REASON}),
    ],
)
def test_a_job_needs_a_filter_an_action_and_a_reason(alias, root, query, form):
    before = Job.objects.using(alias).count()
    root.post(f"{ALL}?list={query}", 400, **form)
    assert Job.objects.using(alias).count() == before


def test_an_unknown_job_gets_an_error_sentence(root):
    assert "There is no such job." in html.unescape(root.get(f"{CONVERSATIONS}jobs/999999/", 404))
