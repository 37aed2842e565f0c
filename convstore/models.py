"""The rows: columns, constraints, indexes."""

from __future__ import annotations

from django.db import models

from convstore.messages import MAX_NAME_LENGTH, MAX_STORED_ID_LENGTH


class Kind(models.IntegerChoices):
    """What a row of Message is. An erased row keeps its position and its request_key."""

    MESSAGE = 0
    NOT_IN_WINDOWS = 1
    ERASED = 2


# Every reader of messages uses one of these conditions: one that people read for, and one that
# a window is made of.
NOT_ERASED = models.Q(kind__lt=Kind.ERASED)
IN_WINDOWS = models.Q(kind=Kind.MESSAGE)


class Conversation(models.Model):
    """Everything said under one memory_id. Its row is the lock that appends take."""

    # A hash of memory_id: no collation can take two ids for one, and the key is known before
    # the first statement.
    id = models.UUIDField(primary_key=True, editable=False)
    memory_id = models.CharField(max_length=MAX_STORED_ID_LENGTH)
    created_at = models.DateTimeField()
    # Updated at most once an hour: if every append rewrote this row, the writers of one
    # conversation would be slow.
    active_at = models.DateTimeField()
    # How many rows of messages are erased, and how often something but an append changed the
    # conversation. The lowest position above 1 that is not erased; None if nobody knows.
    erased = models.BigIntegerField(default=0)
    changes = models.BigIntegerField(default=0)
    first_live = models.BigIntegerField(null=True)
    # A JSON object of texts; see MetadataPair. None is {}.
    metadata = models.TextField(null=True)  # noqa: DJ001 - MySQL's texts have no default

    class Meta:
        indexes = (
            models.Index(fields=["created_at", "id"], name="conversation_created"),
            models.Index(fields=["active_at", "id"], name="conversation_active"),
            # For prefix search. Only PostgreSQL has operator classes; without this one it
            # would compare by locale, and LIKE could not use the index.
            models.Index(
                fields=["memory_id"],
                name="conversation_memory_id",
                opclasses=["varchar_pattern_ops"],
            ),
        )

    def __str__(self) -> str:
        return self.memory_id


class Message(models.Model):
    """One message at one position. It is written once, and only erasure changes it."""

    pk = models.CompositePrimaryKey("conversation_id", "position")
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        related_name="messages",
        db_index=False,  # the primary key begins with it
    )
    position = models.BigIntegerField()
    # For lists and for the pinned first message; the body has the role as it was sent.
    role = models.CharField(max_length=MAX_NAME_LENGTH)
    body = models.TextField()
    request_key = models.UUIDField()
    # A digest of the messages of the request, stored to tell a retry from a reused key later.
    fingerprint = models.UUIDField()
    created_at = models.DateTimeField()
    # Bytes of the body in UTF-8; 0 if the row was written before there was this column.
    size = models.IntegerField(default=0)
    tokens = models.IntegerField(null=True)
    kind = models.SmallIntegerField(default=Kind.MESSAGE)
    # What the message says, folded, for searches; see `words.searched_text`. None if it was written
    # while WordSwitch was off.
    words = models.TextField(null=True)  # noqa: DJ001 - "" is a message that says nothing

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


class ItemId(models.Model):
    """An id that a client gave to what it added: the `number`th item of the row at `position`.

    It stays when the item is erased: the id is never given to another one.
    """

    pk = models.CompositePrimaryKey("conversation", "digest")
    # The key of a Conversation. Without a foreign key, neither table locks the other.
    conversation = models.UUIDField()
    # Of the id's text, by `exchange.item_ids.digest_of`.
    digest = models.UUIDField()
    position = models.BigIntegerField()
    number = models.IntegerField()

    def __str__(self) -> str:
        return f"{self.position}/{self.number}"


class MetadataPair(models.Model):
    """A name and a value in the metadata of a conversation, for lists: one pair, in order of
    creation.

    A conversation whose id has a slash has each pair twice: for those who list all conversations,
    and for the tenant that the id begins with.
    """

    pk = models.CompositePrimaryKey("digest", "created_at", "conversation")
    # Of name and value, and maybe the tenant: no collation can take two of them for one.
    digest = models.UUIDField()
    created_at = models.DateTimeField()
    conversation = models.UUIDField()

    def __str__(self) -> str:
        return str(self.digest)


class WordSwitch(models.Model):
    """Whether messages are stored with their `words`; one row at most, and no row is off.

    `filled` says that all older messages have theirs; until then, `filled_to` and
    `filled_position` are the last row in the order of the primary key that was filled.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    enabled = models.BooleanField(default=False)
    filled = models.BooleanField(default=False)
    filled_to = models.UUIDField(null=True)
    filled_position = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return "on" if self.enabled else "off"
