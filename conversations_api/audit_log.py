"""An entry in the audit log before something is deleted: without the log, nothing is.

The setting AUDIT_LOG names the function that writes it; the log itself is the admin's.
"""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.db import Error
from django.utils.module_loading import import_string

from convstore.errors import Unavailable


def note_deletion(who: str, using: str, conversation: tuple[UUID, str], what: str) -> None:
    """Write that `who` deletes `what` of a conversation, its key and its memory_id.

    Raises Unavailable if that cannot be written.
    """
    try:
        import_string(settings.AUDIT_LOG)(who, using, conversation, what)
    except Error as error:
        raise Unavailable(
            "the audit log cannot be written, and nothing is deleted without it; try again"
        ) from error
