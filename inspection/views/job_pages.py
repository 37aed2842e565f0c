"""What the pages about jobs show: how far a job came, its filter, its receipt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from convstore.archive.conversations import ConversationRow, with_prefix
from convstore.archive.overview import COUNT_LIMIT
from inspection.audit import Action
from inspection.databases import Database, database_with_alias
from inspection.export import FORMATS
from inspection.lists import Neighbours, list_with_query
from inspection.models import Job
from inspection.views.access import LOG, may_delete, may_read
from inspection.views.pages import LIST_PARAMETER, list_url, page_url, render_page

# The action of a job that deletes; those of others are formats of exports.
DELETION = "delete"
# The most conversations in a part of an export, and after how many messages it ends.
PART_CONVERSATIONS, PART_MESSAGES = 500, 50_000
# The parameters of the list, for people; `by` also says by which time `from` and `to` filter.
FILTERS = {
    "q": "ids that begin with",
    "tenant": "of the tenant",
    "pair": "with metadata",  # its value is a client's text, which not all may read
    "by": "by time",
    "from": "from",
    "to": "to",
}


def job_page(
    request: HttpRequest, database: Database, job: Job, *, is_running: bool = False
) -> HttpResponse:
    job.refresh_from_db()
    # After its end, the receipt of a deletion says what the list has now.
    before = None if job.ended_at else job.begun_at
    is_deletion = job.action == DELETION
    is_counted = is_deletion or not job.ended_at
    left = count_of(filtered_list(request, job.filter), before) if is_counted else 0
    context = {
        "title": f"{job_title(job)}, job {job.pk}",
        "database": database,
        "job": job,
        "is_deletion": is_deletion,
        "is_running": is_running,
        "may_go_on": may_delete(request) if is_deletion else may_read(request),
        "left": min(left, COUNT_LIMIT),
        "is_more": left > COUNT_LIMIT,
        "filter": filters_text(job.filter),
        "next_part": job.parts + 1,
        "part_conversations": PART_CONVERSATIONS,
        "total": job.conversations + left,
        "job_url": job_url(job),
        "part_url": reverse("admin:convstore_conversation_part_of_job", args=[job.pk]),
        "back": list_url(database, job.filter),
        "receipt": job.receipt.splitlines(),
        "log_url": _log_url(job) if request.user.has_perm(LOG) else None,
    }
    return render_page(request, "job", context)


def _log_url(job: Job) -> str:
    """The audit log's entries of what the job did, on the days on which it ran."""
    action = Action.DELETED if job.action == DELETION else Action.EXPORT
    days = {"from": job.begun_at.date(), "to": (job.ended_at or datetime.now(UTC)).date()}
    parameters = urlencode({"action": action, **days})
    return f"{reverse('admin:inspection_auditentry_changelist')}?{parameters}"


def job_url(job: Job) -> str:
    return reverse("admin:convstore_conversation_job", args=[job.pk])


def all_url(database: Database, query: str) -> str:
    return page_url(database, "all", **{LIST_PARAMETER: query})


def job_title(job: Job) -> str:
    if job.action == DELETION:
        return "Deletion"
    return f"Export: {FORMATS[job.action].title if job.action in FORMATS else job.action}"


def filters_text(query: str) -> str:
    """A list's URL query for people: what it is filtered by."""
    given = QueryDict(query)
    parts = [f"{title} {given[name]}" for name, title in FILTERS.items() if given.get(name)]
    return ", ".join(parts) or "no filter"


def job_or_404(number: int) -> tuple[Job, Database]:
    found = Job.objects.filter(pk=number).first() if number < 2**63 else None
    if found is None:
        raise Http404("There is no such job.")
    return found, database_with_alias(found.database)


def filtered_list(request: HttpRequest, query: str) -> Neighbours:
    try:
        return list_with_query(request, query, ConversationRow)
    except IncorrectLookupParameters as error:
        raise BadRequest("The list has a filter that is not valid.") from error


def count_of(shown: Neighbours, begun: datetime | None = None) -> int:
    """How many conversations there are; no more than one above COUNT_LIMIT are counted."""
    rows: Any = shown.queryset.filter(created_at__lte=begun) if begun else shown.queryset
    if shown.query:
        rows = with_prefix(rows, shown.request.GET["q"])
    found: int = rows.order_by().values("pk")[: COUNT_LIMIT + 1].count()
    return found
