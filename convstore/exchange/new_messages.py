"""Messages to the rows that one request adds, before they have positions."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from uuid import UUID

from convstore.conf import max_reply_bytes
from convstore.errors import MessageTooLarge
from convstore.exchange.item_ids import digest_of
from convstore.exchange.statements import NewMessage
from convstore.messages import MAX_NAME_CHARACTERS, Message, is_utf8
from convstore.models import Kind


def new_messages(
    messages: Sequence[Message], request_key: UUID, said: str = ""
) -> list[NewMessage]:
    """The rows of one request, each with its own key and all with one fingerprint.

    `said` is what the request says beside its messages.
    """
    bodies = [message.to_json() for message in messages]
    encoded = [body.encode() for body in bodies]
    fingerprint = fingerprint_of([*encoded, said.encode()] if said else encoded)
    return [
        NewMessage(
            role=_role_column(message.role),
            body=body,
            # The first message has the request's key; the others derive theirs from it.
            request_key=uuid.uuid5(request_key, str(n)) if n else request_key,
            fingerprint=fingerprint,
            size=len(encoded[n]),
            tokens=message.tokens,
            kind=Kind.MESSAGE if message.in_windows else Kind.NOT_IN_WINDOWS,
            ids={number: digest_of(each) for number, each in message.ids.items()},
        )
        for n, (message, body) in enumerate(zip(messages, bodies, strict=True))
    ]


def fingerprint_of(encoded: Sequence[bytes]) -> UUID:
    """What tells a retry from another request with its key: a digest of the bodies, in UTF-8."""
    return UUID(bytes=hashlib.sha256(b"\n".join(encoded)).digest()[:16], version=4)


def _role_column(role: str) -> str:
    """The role as a column can hold it; the body holds it as it came."""
    text = role if is_utf8(role) else role.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:MAX_NAME_CHARACTERS]


def refuse_too_large(new: Sequence[NewMessage]) -> None:
    """Raise MessageTooLarge for a message that no reply could hold."""
    largest = max((message.size for message in new), default=0)
    if largest > max_reply_bytes():
        raise message_too_large(largest)


def message_too_large(size: int) -> MessageTooLarge:
    return MessageTooLarge(
        f"a message has {size} bytes; the limit is {max_reply_bytes()} (MAX_REPLY_BYTES), since a"
        " reply has to hold it"
    )
