"""Deletions and exports of all conversations of a list."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("inspection", "0003_listedconversation"),
    ]

    operations = [
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("username", models.CharField(max_length=150)),
                ("action", models.CharField(max_length=20)),
                ("database", models.CharField(max_length=200)),
                ("database_name", models.CharField(max_length=200)),
                ("filter", models.TextField()),
                ("reason", models.CharField(max_length=500)),
                ("begun_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                ("conversations", models.BigIntegerField(default=0)),
                ("messages", models.BigIntegerField(default=0)),
                ("parts", models.IntegerField(default=0)),
                ("cursor", models.TextField()),
                ("receipt", models.TextField()),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
