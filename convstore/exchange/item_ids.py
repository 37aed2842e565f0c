"""The ids that clients give to items: in a conversation, each is given once. And marks of requests.

They are looked up and added in the transaction that holds the conversation's lock, which settles
two requests with the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from uuid import UUID

from convstore.exchange.statements import ConversationRef, NewMessage
from convstore.models import ItemId

# SQL Server takes 2,100 parameters.
IDS_AT_ONCE = 1000


def digest_of(item_id: str) -> UUID:
    """What stands for an id in the table of ids."""
    digest = hashlib.sha256(item_id.encode("utf-8", "surrogatepass")).digest()
    return UUID(bytes=digest[:16], version=4)


def any_known(using: str, conversation: ConversationRef, new: Sequence[NewMessage]) -> bool:
    """Whether one of the new items has an id that another item has, or had."""
    digests = [digest for message in new for digest in message.ids.values()]
    return any(
        ItemId.objects.using(using)
        .filter(conversation=conversation.key, digest__in=digests[start : start + IDS_AT_ONCE])
        .exists()
        for start in range(0, len(digests), IDS_AT_ONCE)
    )


def add(using: str, conversation: ConversationRef, new: Sequence[NewMessage], last: int) -> None:
    """Add the ids of messages that are stored behind the position `last`."""
    rows = [
        ItemId(conversation=conversation.key, digest=digest, position=position, number=number)
        for position, message in enumerate(new, last + 1)
        for number, digest in message.ids.items()
    ]
    if rows:
        ItemId.objects.using(using).bulk_create(rows)


def place_of(using: str, conversation: UUID, digest: UUID) -> tuple[int, int] | None:
    """The position of the row that has the item with this id, and the item's number in it."""
    rows = ItemId.objects.using(using).filter(conversation=conversation, digest=digest)
    return rows.values_list("position", "number").first()


def copy_ids(
    using: str, keys: tuple[UUID, UUID], end: tuple[int, int | None], after: UUID | None, limit: int
) -> UUID | None:
    """Copy the next ids from one conversation to another: of messages up to the position of `end`,
    and of that one's first items; None is all of them.

    It looks at so many ids behind the digest `after`, and returns the last one's, None at the end.
    """
    (source, copy), (last, items) = keys, end
    rows = ItemId.objects.using(using).filter(conversation=source).order_by("digest")
    copied = ItemId.objects.using(using).filter(conversation=copy, position__gt=NOWHERE)
    highest = copied.order_by("-digest").values_list("digest", flat=True)[:1]
    for digest in (after, *highest):
        rows = rows.filter(digest__gt=digest) if digest else rows
    found = list(rows[:limit])
    ItemId.objects.using(using).bulk_create(
        ItemId(conversation=copy, digest=row.digest, position=row.position, number=row.number)
        for row in found
        if NOWHERE < row.position <= last
        and (row.position < last or items is None or row.number < items)
    )
    return found[-1].digest if len(found) == limit else None


# --- Marks of requests -------------------------------------------------------------------

# The place of a request that added no item, in the same table.
NOWHERE = 0


def add_mark(using: str, conversation: UUID, mark: UUID) -> None:
    """Note that a request was done which is no exchange, for the next time that it comes."""
    row = ItemId(conversation=conversation, digest=mark, position=NOWHERE, number=0)
    row.save(using=using, force_insert=True)


def has_mark(using: str, conversation: UUID, mark: UUID) -> bool:
    return bool(marks_among(using, conversation, (mark,)))


def marks_among(using: str, conversation: UUID, marks: Collection[UUID]) -> set[UUID]:
    """Those of a few marks that are there."""
    rows = ItemId.objects.using(using).filter(conversation=conversation, digest__in=marks)
    return set(rows.values_list("digest", flat=True))
