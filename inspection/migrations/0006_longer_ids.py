"""Longer columns for ids, as convstore's own has."""

from django.db import migrations, models

from convstore.migrations._operations import WidenColumn


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("inspection", "0005_daycount"),
    ]

    operations = [
        WidenColumn(
            model_name=name,
            name="memory_id",
            field=models.CharField(max_length=574),
        )
        for name in ("auditentry", "listedconversation")
    ]
