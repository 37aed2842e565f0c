"""Pairs of metadata for the lists of one tenant, beside those for the lists of all conversations.

Who writes a pair writes both since then; this adds those of tenants that are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import migrations

from convstore.exchange.creation import write_transaction
from convstore.exchange.metadata import pair_digests, read

# How many conversations one query finds.
BATCH = 500


def fill(apps: Any, schema_editor: Any) -> None:
    using = schema_editor.connection.alias
    rows = apps.get_model("convstore", "Conversation").objects.using(using)
    pairs = apps.get_model("convstore", "MetadataPair")
    with_pairs = rows.filter(metadata__isnull=False, memory_id__contains="/")
    for key in chain.from_iterable(_keys(with_pairs)):
        # Whoever changes the metadata holds the lock of the row.
        with write_transaction(using):
            for row in with_pairs.filter(pk=key).select_for_update():
                own = pairs.objects.using(using).filter(
                    created_at=row.created_at, conversation=row.pk
                )
                digests = pair_digests(row.memory_id, read(row.metadata))
                own.filter(digest__in=digests).delete()
                own.bulk_create(
                    pairs(digest=each, created_at=row.created_at, conversation=row.pk)
                    for each in digests
                )


def _keys(rows: Any) -> Iterator[list[UUID]]:
    ordered = rows.order_by("pk").values_list("pk", flat=True)
    keys = list(ordered[:BATCH])
    while keys:
        yield keys
        keys = list(ordered.filter(pk__gt=keys[-1])[:BATCH])


class Migration(migrations.Migration):
    atomic = False  # each conversation is locked for a moment

    dependencies = [("convstore", "0012_lists_of_tenants")]

    # Backwards they stay: the version before does not find them.
    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=False)]
