"""The metadata of a conversation: one JSON text in its row, and its pairs for lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from convstore.messages import dumps
from convstore.models import Conversation, MetadataPair


def metadata_json(pairs: Mapping[str, str]) -> str:
    """As the conversation's row holds them."""
    return dumps(dict(pairs))


def read(text: str | None) -> dict[str, str]:
    """The pairs in a row of Conversation."""
    found: dict[str, str] = json.loads(text) if text else {}
    return found


def pair_digest(name: str, value: str, id_prefix: str = "") -> UUID:
    """What stands for a pair in the table of pairs; with `id_prefix`, for that of one tenant."""
    text = json.dumps([id_prefix, name, value] if id_prefix else [name, value])
    return UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4)


def pair_digests(memory_id: str, pairs: Mapping[str, str]) -> list[UUID]:
    """What stands for the pairs of a conversation: each for all who list, and for its tenant."""
    before, slash, _ = memory_id.partition("/")
    id_prefixes = ["", before + slash] if slash else [""]
    return [pair_digest(*pair, prefix) for prefix in id_prefixes for pair in pairs.items()]


def add_pairs(
    using: str, memory_id: str, key: UUID, created_at: datetime, pairs: Mapping[str, str]
) -> None:
    rows = [
        MetadataPair(digest=digest, created_at=created_at, conversation=key)
        for digest in pair_digests(memory_id, pairs)
    ]
    if rows:
        MetadataPair.objects.using(using).bulk_create(rows)


def remove_pairs(using: str, conversation: Conversation) -> None:
    """Remove the pairs of a row of Conversation, whose lock this transaction holds."""
    digests = pair_digests(conversation.memory_id, read(conversation.metadata))
    if digests:
        MetadataPair.objects.using(using).filter(
            digest__in=digests,
            created_at=conversation.created_at,
            conversation=conversation.id,
        ).delete()
