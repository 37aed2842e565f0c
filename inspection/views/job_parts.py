"""Send an export of all conversations of a list, part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase

from convstore.archive.conversations import conversations_with_keys
from inspection.databases import Database
from inspection.export import FORMATS
from inspection.models import Job
from inspection.views.access import LIST, READ, database_view, may_read, refusal
from inspection.views.exporting import download
from inspection.views.job_pages import (
    PART_CONVERSATIONS,
    PART_MESSAGES,
    filtered_list,
    job_or_404,
    job_url,
)


@database_view(LIST)
def part(request: HttpRequest, database: Database, number: int) -> HttpResponseBase:
    """POST sends the next part of an export; it counts as sent when all of it was."""
    job, database = job_or_404(number)
    if not may_read(request):
        return refusal(request, READ)
    if request.method != "POST" or job.action not in FORMATS or job.ended_at:
        raise BadRequest("This job is no export, or all of its parts were sent.")
    found = filtered_list(request, job.filter).batch(
        job.cursor, PART_CONVERSATIONS + 1, job.begun_at
    )
    rows = {
        row.pk: row for row in conversations_with_keys(database.alias, [r.pk for r, _ in found])
    }
    chosen: list[Any] = []
    messages, cursor = 0, ""
    for row, after in found[:PART_CONVERSATIONS]:
        if messages >= PART_MESSAGES:
            break
        cursor = after
        if row.pk in rows:  # else it was deleted just now
            chosen.append(rows[row.pk])
            messages += chosen[-1].message_count
    is_last = not found or cursor == found[-1][1]
    if not chosen:
        ended_at = datetime.now(UTC) if is_last else None
        Job.objects.filter(pk=job.pk).update(cursor=cursor, ended_at=ended_at)
        return HttpResponseRedirect(job_url(job))
    response: Any = download(request, database, chosen, job.action)
    name = f"conversations-job-{job.pk}-part-{job.parts + 1}.{FORMATS[job.action].extension}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    sent = _Sent(job, len(chosen), messages, "" if is_last else cursor)
    response.streaming_content = sent.count_chunks(response.streaming_content)
    answer: HttpResponseBase = response
    return answer


class _Sent:
    """A part of an export while it is sent."""

    def __init__(self, job: Job, conversations: int, messages: int, cursor: str) -> None:
        self.job, self.conversations, self.messages = job, conversations, messages
        self.cursor = cursor

    def count_chunks(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks. The job goes on behind the part only if the end is reached."""
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        number = self.job.parts + 1
        line = (
            f"Part {number}: {self.conversations:,} conversations, {self.messages:,} messages,"
            f" {size:,} bytes, SHA-256 {digest.hexdigest()}\n"
        )
        # If the same part was sent twice at once, it counts once.
        Job.objects.filter(pk=self.job.pk, parts=self.job.parts).update(
            parts=number,
            cursor=self.cursor,
            conversations=self.job.conversations + self.conversations,
            messages=self.job.messages + self.messages,
            receipt=self.job.receipt + line,
            ended_at=None if self.cursor else datetime.now(UTC),
        )
