"""The audit log: who signed in, and who opened, exported or deleted what; jobs; counts of days.

They are in Django's default database, together with the users. Entries are never changed.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models


class AuditEntry(models.Model):
    """One access to conversations, one step of a deletion, a sign-in, or a change of rights."""

    at = models.DateTimeField()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    # Copies: they stay when the user, the memory or the conversation is deleted.
    username = models.CharField(max_length=150)
    # Empty in entries from before there was this column, and where nobody knows it.
    address = models.CharField(max_length=45, default="")
    action = models.CharField(max_length=20)
    database = models.CharField(max_length=200)
    conversation = models.UUIDField(null=True)
    memory_id = models.CharField(max_length=574)
    detail = models.TextField()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=["at", "id"], name="audit_at"),
            models.Index(fields=["conversation", "at"], name="audit_conversation"),
            models.Index(fields=["username", "at"], name="audit_username"),
            models.Index(fields=["action", "at"], name="audit_action"),
        )

    def __str__(self) -> str:
        return f"{self.username}: {self.action}"


class ListedConversation(models.Model):
    """One of several conversations that one page showed; the page has one entry."""

    entry = models.ForeignKey(AuditEntry, on_delete=models.CASCADE, related_name="listed")
    conversation = models.UUIDField()
    memory_id = models.CharField(max_length=574)

    class Meta:
        default_permissions = ()
        indexes = (models.Index(fields=["conversation", "entry"], name="audit_listed"),)

    def __str__(self) -> str:
        return self.memory_id


class Job(models.Model):
    """A deletion or an export of all conversations of a list: how far it came, and its receipt."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    username = models.CharField(max_length=150)
    # "delete", or a format of an export.
    action = models.CharField(max_length=20)
    # The alias of the database, and its name for people.
    database = models.CharField(max_length=200)
    database_name = models.CharField(max_length=200)
    # The URL query of the list.
    filter = models.TextField()
    reason = models.CharField(max_length=500)
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    conversations = models.BigIntegerField(default=0)
    messages = models.BigIntegerField(default=0)
    # Of an export: how many parts were sent, where it goes on, and what was in each.
    parts = models.IntegerField(default=0)
    cursor = models.TextField()
    receipt = models.TextField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"job {self.pk}"


class DayCount(models.Model):
    """How much began and came on a day that is over (UTC), in one database; counted once."""

    # The alias of the database.
    database = models.CharField(max_length=200)
    day = models.DateField()
    conversations = models.BigIntegerField()
    messages = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=["database", "day"], name="day_once"),)

    def __str__(self) -> str:
        return f"{self.day}"
