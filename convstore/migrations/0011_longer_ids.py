"""A longer column for ids, so that a client's own id keeps its length behind a tenant's name."""

from __future__ import annotations

from django.db import migrations, models

from convstore.migrations._operations import WidenColumn


class Migration(migrations.Migration):
    atomic = False  # as in 0004

    dependencies = [("convstore", "0010_items_and_metadata")]

    operations = [
        WidenColumn(
            model_name="conversation",
            name="memory_id",
            field=models.CharField(max_length=574),
        ),
    ]
