"""Nothing any more: it made PostgreSQL's first index of words, and blocked writers meanwhile."""

from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("convstore", "0002_find_by_memory_id")]

    operations = ()
