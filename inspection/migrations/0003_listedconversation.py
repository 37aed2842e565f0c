"""The conversations of a page that has one entry in the audit log."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("inspection", "0002_auditentry_address"),
    ]

    operations = [
        migrations.CreateModel(
            name="ListedConversation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("conversation", models.UUIDField()),
                ("memory_id", models.CharField(max_length=510)),
                (
                    "entry",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="listed",
                        to="inspection.auditentry",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["conversation", "entry"], name="audit_listed"),
                ],
            },
        ),
    ]
