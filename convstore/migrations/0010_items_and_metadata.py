"""Metadata of conversations, and the ids that clients give to what they add.

Only the column changes a table that is in use. The new tables have no foreign keys, which would
lock the tables that they lead to.
"""

from __future__ import annotations

from django.db import migrations, models

from convstore.migrations._operations import AddColumn, CreateTable


class Migration(migrations.Migration):
    atomic = False  # as in 0004

    dependencies = [("convstore", "0009_exchange_v2")]

    operations = [
        AddColumn(
            model_name="conversation",
            name="metadata",
            field=models.TextField(null=True),
        ),
        CreateTable(
            name="ItemId",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "conversation",
                        "digest",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("conversation", models.UUIDField()),
                ("digest", models.UUIDField()),
                ("position", models.BigIntegerField()),
                ("number", models.IntegerField()),
            ],
        ),
        CreateTable(
            name="MetadataPair",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "digest",
                        "created_at",
                        "conversation",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("digest", models.UUIDField()),
                ("created_at", models.DateTimeField()),
                ("conversation", models.UUIDField()),
            ],
        ),
    ]
