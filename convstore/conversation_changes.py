"""What ConversationStore changes beside appends: metadata, and messages that are erased.

Each change is one transaction, and counts up a part of the conversation's revision.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from convstore.archive import changes, erasure, forks
from convstore.archive.conversations import find_conversation
from convstore.archive.copying import Fork, Source, mark_of_fork
from convstore.archive.repeats import Tail, end_of_repeat, nothing_of, said_of
from convstore.archive.word_switch import with_words
from convstore.asynchronous import in_thread
from convstore.conversation_reading import ConversationReading
from convstore.database.connection import note_write
from convstore.errors import UnknownConversation
from convstore.exchange.new_messages import new_messages, refuse_too_large
from convstore.exchange.statements import ConversationRef, NewMessage, conversation_key
from convstore.messages import Message
from convstore.request_log import current_record
from convstore.transactions import Result

# What is left of a message that is erased, by its JSON.
Rest = Callable[[str], Message | None]


class ConversationChanges(ConversationReading):
    """A base of ConversationStore.

    With `revisions`, a change is done only if the conversation is in one of them; otherwise it
    raises Changed. After Unavailable, a change may be done or not: it is safe to call again, but
    one that adds messages with the same `request_key` only.
    """

    __slots__ = ()

    def set_metadata(
        self,
        memory_id: str,
        metadata: Mapping[str, str],
        request_key: UUID | None = None,
        revisions: Collection[str] | None = None,
    ) -> None:
        """Replace all metadata of a conversation.

        A second call with the same `request_key` and metadata does nothing. Raises
        UnknownConversation, and RequestKeyReused if the metadata were others.
        """
        if request_key is None and revisions is not None:
            request_key = uuid.uuid4()  # tells a second try of ours
        target = self._target(memory_id, revisions)
        self._change(lambda: changes.set_metadata(target, metadata, request_key))

    def erase(
        self,
        memory_id: str,
        position: int,
        rest: Rest = nothing_of,
        revisions: Collection[str] | None = None,
    ) -> bool:
        """Erase what the message at `position` says; returns whether there was one.

        Its place stays: positions have no gaps and are never given again. `rest` may return what
        is left of the message, given its JSON. Raises UnknownConversation.
        """
        target = self._target(memory_id, revisions)
        return self._change(lambda: changes.erase_message(target, position, rest))

    def pop(self, memory_id: str, rest: Rest = nothing_of) -> str | None:
        """Erase the newest message, as `erase` does; returns its JSON as it was.

        None if there is no message, or no conversation. Many callers at once get one message each.
        """
        target, mark = self._target(memory_id), uuid.uuid4()
        popped: list[str] = []

        def take(body: str) -> Message | None:
            popped[:] = [body]
            return rest(body)

        def work() -> bool:
            try:
                return changes.erase_newest(target, take, mark)
            except UnknownConversation:
                return False

        return popped[0] if self._change(work) else None

    def rewrite(
        self,
        memory_id: str,
        start: int | None,
        messages: Sequence[Message],
        request_key: UUID | None = None,
        revisions: Collection[str] | None = None,
        rest: Rest = nothing_of,
        kept: int = 0,
    ) -> int:
        """Erase all messages from the position `start` on, and add others; all or nothing.

        Returns the highest position. With `start` None, nothing is erased. `rest` may return what
        is left of the message at `start`: its first `kept` items. A second call with the same
        `request_key`, `start`, `kept` and messages does nothing. Raises UnknownConversation,
        DuplicateItem, and as `exchange`.
        """
        key = request_key or uuid.uuid4()
        tail, new = _tail_and_new(start, messages, key, rest, kept)
        refuse_too_large(new)
        current_record().bytes_stored = sum(message.size for message in new)
        target = self._target(memory_id, revisions)

        def work() -> int:
            rows = with_words(self.using, messages, new)
            return changes.rewrite(target, rows, tail, key)

        return self._change(work)

    def end_of_rewrite(
        self,
        memory_id: str,
        start: int | None,
        messages: Sequence[Message],
        request_key: UUID,
        rest: Rest = nothing_of,
        kept: int = 0,
    ) -> int | None:
        """What `rewrite` returned to the same request before; None if it was not done.

        Raises RequestKeyReused.
        """
        tail, new = _tail_and_new(start, messages, request_key, rest, kept)
        ref = ConversationRef(conversation_key(memory_id), memory_id, datetime.now(UTC))
        return self.run(lambda: end_of_repeat(self.using, ref, new, tail, request_key))

    def fork(
        self,
        memory_id: str,
        new_id: str,
        up_to: int | None = None,
        metadata: Mapping[str, str] | None = None,
        request_key: UUID | None = None,
        revisions: Collection[str] | None = None,
    ) -> None:
        """Begin the conversation `new_id` with the messages of another one, as they are now.

        They are all up to the position `up_to`, at the same positions. The metadata are those
        given, and of what it is a fork: `forked_from`, `forked_at`. Nobody finds it until it is
        whole. After Unavailable, call again with the same `request_key`, which goes on. Raises
        UnknownConversation and ConversationExists.
        """
        pairs = metadata or {}
        new = Fork(
            using=self.using,
            key=conversation_key(new_id),
            memory_id=new_id,
            forked_from=memory_id,
            pairs=pairs,
            mark=mark_of_fork(request_key, memory_id, up_to, pairs),
            is_known=True,
        )

        def see() -> Source:
            key = conversation_key(memory_id)
            row: Any = self.run(lambda: find_conversation(self.using, key, memory_id))
            if row is None:
                raise UnknownConversation("there is no conversation with this id")
            length = row.length or 0
            changes.refuse_other_revision(revisions, changes.revision_of(row, length))
            return Source(row, length if up_to is None else min(up_to, length))

        forks.fork(self.run, see, new)
        note_write(self.using)

    def delete(self, memory_id: str, revisions: Collection[str] | None = None) -> None:
        """Delete a conversation and all its messages; nobody finds it from the first moment on.

        Its id may begin anew. If this raises Unavailable, some messages may be left, which nobody
        finds: call it again. Raises UnknownConversation.
        """
        target = self._target(memory_id, revisions)
        try:
            self._change(lambda: changes.hide(target))
        except UnknownConversation:
            # Hidden before, by somebody else, or by a try of ours whose end we did not hear of.
            if not self.run(lambda: erasure.is_hidden(self.using, target.key)):
                raise
        self.run(lambda: erasure.finish_deletion(self.using, target.key))

    def _target(self, memory_id: str, revisions: Collection[str] | None = None) -> changes.Target:
        return changes.Target(self.using, conversation_key(memory_id), memory_id, revisions)

    def _change(self, work: Callable[[], Result]) -> Result:
        result = self.run(work)
        note_write(self.using)
        return result

    aset_metadata = in_thread(set_metadata)
    aerase = in_thread(erase)
    apop = in_thread(pop)
    arewrite = in_thread(rewrite)
    aend_of_rewrite = in_thread(end_of_rewrite)
    afork = in_thread(fork)
    adelete = in_thread(delete)


def _tail_and_new(
    start: int | None, messages: Sequence[Message], request_key: UUID, rest: Rest, kept: int
) -> tuple[Tail | None, list[NewMessage]]:
    """What goes, and what comes."""
    tail = None if start is None else Tail(start, rest, kept)
    return tail, new_messages(messages, request_key, said_of(tail)) if messages else []
