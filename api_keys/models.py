"""The rows of API keys. They are never deleted: a revoked key stays in the list, and refused."""

from __future__ import annotations

from django.db import models


class ApiKey(models.Model):
    """One key. The key itself was shown once; what is stored cannot be turned back into it."""

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20, unique=True)
    digest = models.CharField(max_length=64)  # SHA-256, in hexadecimal digits
    scopes = models.CharField(max_length=60)  # separated by blanks
    memories = models.TextField(default="[]")  # names, as a JSON list; an empty one is all
    tenant = models.CharField(max_length=63, blank=True, default="")
    rate = models.IntegerField(null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    # Written at most once an hour by each process.
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "API key"
        default_permissions = ("add", "change", "view")
        indexes = (
            models.Index(fields=["created_at", "id"], name="api_key_created"),
            models.Index(fields=["tenant"], name="api_key_tenant"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"
