"""From which address an access came."""

from django.db import migrations, models

from convstore.migrations._operations import AddColumn


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("inspection", "0001_audit_log"),
    ]

    operations = [
        AddColumn(
            model_name="auditentry",
            name="address",
            field=models.CharField(default="", max_length=45),
        ),
    ]
