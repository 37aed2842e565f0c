"""The rows: columns, constraints, indexes. Only the store and its admin come here."""

from __future__ import annotations

from django.db import models

# 255 characters, as SQL Server and Oracle count them: two for each emoji.
LENGTH = 2 * 255


class Conversation(models.Model):
    """Everything said under one memory_id. Its row is the lock that appends take."""

    # From a hash of memory_id: no database's collation can merge two ids, and the key is
    # known before the first statement.
    id = models.UUIDField(primary_key=True, editable=False)
    memory_id = models.CharField(max_length=LENGTH)
    created_at = models.DateTimeField()
    # Coarse, rewritten at most once an hour: a row rewritten by each append is what makes
    # writers of one conversation slow.
    active_at = models.DateTimeField()

    class Meta:
        indexes = (
            models.Index(fields=["created_at", "id"], name="conversation_created"),
            models.Index(fields=["active_at", "id"], name="conversation_active"),
            # For people who know the beginning of an id. The class is PostgreSQL's alone, which
            # would otherwise compare as its locale does, and not use it.
            models.Index(
                fields=["memory_id"],
                name="conversation_memory_id",
                opclasses=["varchar_pattern_ops"],
            ),
        )

    def __str__(self) -> str:
        return self.memory_id


class Message(models.Model):
    """One message at one position. Written once, never changed: use create, not save."""

    pk = models.CompositePrimaryKey("conversation_id", "position")
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="messages",
        db_index=False,  # the primary key begins with it
    )
    position = models.BigIntegerField()
    # For lists and for the pinned first message; body has the role as it was sent.
    role = models.CharField(max_length=LENGTH)
    body = models.TextField()
    request_key = models.UUIDField()
    fingerprint = models.UUIDField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["conversation", "request_key"], name="message_request_once"
            ),
            models.CheckConstraint(
                condition=models.Q(position__gte=1), name="message_position_from_1"
            ),
        )

    def __str__(self) -> str:
        return f"{self.role} {self.position}"
