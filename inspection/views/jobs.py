"""Delete or export all conversations of a list: jobs that go on in bounded steps.

A job can be interrupted at any time, and somebody with the same permission can go on with it. What
was begun and done stays as its receipt.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from convstore.archive.conversations import conversations_with_keys
from convstore.archive.overview import COUNT_LIMIT
from inspection.audit import Action, record_list
from inspection.databases import Database
from inspection.export import FORMATS
from inspection.lists import ROWS_PER_PAGE
from inspection.models import Job
from inspection.views.access import (
    DELETE,
    LIST,
    READ,
    database_view,
    may_delete,
    may_read,
    refusal,
)
from inspection.views.deleting import DELETING_SECONDS, delete_logged
from inspection.views.job_pages import (
    DELETION,
    count_of,
    filtered_list,
    filters_text,
    job_or_404,
    job_page,
    job_title,
    job_url,
)
from inspection.views.pages import LIST_PARAMETER, list_url, render_page

# How many jobs their page shows, the newest ones.
JOBS_SHOWN = 50


class JobForm(forms.Form):
    """What to do with all conversations of the list; `may` are the actions that a user may do."""

    action = forms.ChoiceField(label="What to do")
    reason = forms.CharField(label="Reason (for the audit log)", max_length=500)

    def __init__(self, may: list[tuple[str, str]], data: Any = None) -> None:
        super().__init__(data)
        field: Any = self.fields["action"]
        field.choices = may


@database_view(LIST)
def begin(request: HttpRequest, database: Database) -> HttpResponseBase:
    """GET shows how many conversations the list has, and asks what to do. POST begins a job."""
    query = request.GET.get(LIST_PARAMETER, "")
    exports = [(kind, f"Export: {each.title}") for kind, each in FORMATS.items()]
    may = exports if may_read(request) else []
    may = [*may, (DELETION, "Delete permanently")] if may_delete(request) else may
    if not may:
        return refusal(request, READ)
    form = JobForm(may, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        return _begin(request, database, query, **form.cleaned_data)
    count = count_of(filtered_list(request, query))
    context = {
        "title": "All conversations of a list",
        "database": database,
        "form": form,
        "count": min(count, COUNT_LIMIT),
        "is_more": count > COUNT_LIMIT,
        "filter": filters_text(query),
        "back": list_url(database, query),
    }
    return render_page(request, "all", context, 400 if form.errors else 200)


def _begin(
    request: HttpRequest, database: Database, query: str, action: str, reason: str
) -> HttpResponseBase:
    filtered_list(request, query)  # a wrong filter is refused before there is a job
    begun = Action.DELETE if action == DELETION else Action.EXPORT
    with transaction.atomic(Job.objects.db):  # without an entry there is no job
        job = Job.objects.create(
            user_id=request.user.pk,
            username=request.user.get_username(),
            action=action,
            database=database.alias,
            database_name=database.name[:200],
            filter=query,
            reason=reason,
            begun_at=datetime.now(UTC),
        )
        about = f"{job}: all of the list, {filters_text(query)}; {reason}"
        record_list(request, database, begun, [], about)
    if action == DELETION:
        return _delete_step(request, database, job)
    return HttpResponseRedirect(job_url(job))


@database_view(LIST)
def job(request: HttpRequest, database: Database, number: int) -> HttpResponseBase:
    """GET shows how far a job came. POST goes on with a deletion."""
    job, database = job_or_404(number)
    if request.method != "POST":
        return job_page(request, database, job)
    if not may_delete(request):
        return refusal(request, DELETE)
    if job.action != DELETION or job.ended_at:
        raise BadRequest("This job is no deletion, or it has ended.")
    return _delete_step(request, database, job)


@database_view(LIST)
def jobs(request: HttpRequest, database: Database) -> HttpResponse:
    """The newest jobs."""
    found = Job.objects.order_by("-pk")[:JOBS_SHOWN]
    shown = [(each, job_url(each), job_title(each)) for each in found]
    return render_page(request, "jobs", {"title": "Jobs", "jobs": shown, "database": database})


# --- A deletion --------------------------------------------------------------------------


def _delete_step(request: HttpRequest, database: Database, job: Job) -> HttpResponse:
    """Delete for a few seconds. What is deleted is gone from the list, so it has no cursor."""
    deadline = time.monotonic() + DELETING_SECONDS
    shown = filtered_list(request, job.filter)
    while found := shown.batch("", ROWS_PER_PAGE, job.begun_at):
        rows: Any = conversations_with_keys(database.alias, [row.pk for row, _ in found])
        for row in rows:
            if (seconds_left := deadline - time.monotonic()) < 0:
                return job_page(request, database, job, is_running=True)
            result = delete_logged(request, database, row, f"{job}; {job.reason}", seconds_left)
            Job.objects.filter(pk=job.pk).update(
                conversations=F("conversations") + int(result.gone),
                messages=F("messages") + result.messages,
            )
    _end(request, database, job)
    return job_page(request, database, job)


def _end(request: HttpRequest, database: Database, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(ended_at=datetime.now(UTC))
    job.refresh_from_db()
    done = f"{job}: {job.conversations:,} conversations, {job.messages:,} messages; {job.reason}"
    record_list(request, database, Action.DELETED, [], done)
