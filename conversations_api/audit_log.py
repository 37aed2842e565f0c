"""Entries in the audit log before something is deleted, and after: without the first, nothing is.

The setting AUDIT_LOG names the function that writes them; the log itself is the admin's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import Error
from django.utils.module_loading import import_string

from convstore.errors import ConversationError, StoreError, Unavailable


@dataclass(frozen=True, slots=True)
class Deletion:
    """Who deletes, from which address, and what of which conversation, its key and memory_id."""

    who: str
    address: str
    using: str
    conversation: tuple[UUID, str]
    what: str


@contextmanager
def log_deletion(deletion: Deletion) -> Iterator[None]:
    """An entry before the block, which deletes, and another one with its outcome.

    Raises Unavailable if the first cannot be written.
    """
    write = import_string(settings.AUDIT_LOG)
    try:
        write(deletion)
    except Error as error:
        raise Unavailable(
            "the audit log cannot be written, and nothing is deleted without it; try again"
        ) from error
    reason = "an unexpected error; the service's log has it"
    try:
        yield
        reason = ""
    except (StoreError, ConversationError) as error:
        reason = str(error)
        raise
    finally:
        # What is done is done, and the first entry tells of it: the log may be full by now.
        with suppress(Error):
            write(deletion, failure=reason)
