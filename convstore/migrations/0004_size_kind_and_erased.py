"""Columns for the size and the kind of messages and for erasure, which nothing writes anew."""

from __future__ import annotations

from django.db import migrations, models

from convstore.migrations._operations import AddColumn


class Migration(migrations.Migration):
    # One transaction for each column: with both tables locked in one, an exchange that holds the
    # lock of one and waits for the other would be a deadlock. On SQLite, the foreign keys of all
    # rows are checked at the end, without the lock of the file.
    atomic = False

    dependencies = [("convstore", "0003_words")]

    operations = [
        AddColumn(
            model_name="conversation",
            name="erased",
            field=models.BigIntegerField(default=0),
        ),
        AddColumn(
            model_name="conversation",
            name="changes",
            field=models.BigIntegerField(default=0),
        ),
        AddColumn(
            model_name="conversation",
            name="first_live",
            field=models.BigIntegerField(null=True),
        ),
        AddColumn(
            model_name="message",
            name="size",
            field=models.IntegerField(default=0),
        ),
        AddColumn(
            model_name="message",
            name="tokens",
            field=models.IntegerField(null=True),
        ),
        AddColumn(
            model_name="message",
            name="kind",
            field=models.SmallIntegerField(default=0),
        ),
    ]
