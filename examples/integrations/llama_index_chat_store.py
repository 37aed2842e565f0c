"""A chat store of LlamaIndex in convstore.

    chats = ConvstoreChatStore()
    memory = ChatMemoryBuffer.from_defaults(chat_store=chats, chat_store_key="chat-1")

Each message of LlamaIndex is one message of the store: its role and its text for people, and all
of it under `llama_index`. Needs llama-index-core 0.14.
"""

from __future__ import annotations

from collections.abc import Iterator

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store.base import BaseChatStore

from convstore.archive.history import MessageRow
from convstore.archive.lists import OLDEST
from convstore.errors import Changed, UnknownConversation
from convstore.messages import Message, Part
from convstore.store import ConversationStore

RAW = "llama_index"


class ConvstoreChatStore(BaseChatStore):
    """A key is the id of a conversation. `using` is an alias in Django's DATABASES."""

    using: str = "default"

    @classmethod
    def class_name(cls) -> str:
        return "ConvstoreChatStore"

    @property
    def store(self) -> ConversationStore:
        return ConversationStore(self.using)

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Put these in place of all messages, in one transaction."""
        new = [_stored(message) for message in messages]
        try:
            self.store.rewrite(key, 1, new)
        except UnknownConversation:
            if new:
                self.store.append(key, new)
            else:
                self.store.create(key)

    def get_messages(self, key: str) -> list[ChatMessage]:
        return [_loaded(row.body) for row in self._rows(key)]

    def add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        if idx is None:
            self.store.append(key, [_stored(message)])
            return
        while found := self.store.find(key):
            rows = list(self._rows(key))
            start = [row.position for row in rows][idx:][:1]
            rest = [Message.from_json(row.body) for row in rows[idx:]] if start else []
            new = [_stored(message), *rest]
            try:
                self.store.rewrite(key, *(start or [None]), new, revisions=[found.revision])
            except Changed:
                continue  # somebody else was quicker
            return
        self.store.append(key, [_stored(message)])

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        messages = self.get_messages(key)
        try:
            self.store.delete(key)
        except UnknownConversation:
            return None
        return messages

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        while found := self.store.find(key):
            rows = list(self._rows(key))
            if not -len(rows) <= idx < len(rows):
                return None
            try:
                self.store.erase(key, rows[idx].position, revisions=[found.revision])
            except Changed:
                continue  # somebody else was quicker
            return _loaded(rows[idx].body)
        return None

    def delete_last_message(self, key: str) -> ChatMessage | None:
        body = self.store.pop(key)
        return None if body is None else _loaded(body)

    def get_keys(self) -> list[str]:
        keys: list[str] = []
        after = None
        while page := self.store.conversations(500, after, order=OLDEST):
            after = page[-1]
            keys += [found.memory_id for found in page]
        return keys

    def _rows(self, key: str) -> Iterator[MessageRow]:
        after = 0
        while (page := self.store.page(key, 500, after)).rows:
            after = page.rows[-1].position
            yield from page.rows


def _stored(message: ChatMessage) -> Message:
    texts = [Part("text", message.content)] if message.content else []
    return Message(message.role.value, texts, {RAW: message.model_dump(mode="json")})


def _loaded(body: str) -> ChatMessage:
    return ChatMessage.model_validate(Message.from_json(body).extra[RAW])
