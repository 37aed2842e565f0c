"""LlamaIndex: its SQLAlchemyChatStore, by a count and an offset, its quickest way to the end."""

from __future__ import annotations

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

from benchmarks.peers.loop import AsyncSession, AsyncStore, asynchronous


class Session(AsyncSession):
    def __init__(self, url):
        super().__init__()
        self.store = SQLAlchemyChatStore("chat", async_database_uri=asynchronous(url))

    async def aappend(self, conversation, new, window):
        await self.store.add_message(conversation, message(new))
        return await self.aread(conversation, window)

    async def aread(self, conversation, window):
        offset = max(await self.store.count_messages(conversation) - window, 0)
        found = await self.store.get_messages(conversation, limit=window, offset=offset)
        return [message.content for message in found]

    async def fill(self, conversation, messages, copies):
        for _ in range(copies if messages else 0):
            await self.store.add_messages(conversation, [message(new) for new in messages])

    def close(self):
        if self.store._async_engine:
            self.wait(self.store._async_engine.dispose())


def message(new):
    return ChatMessage(role=new.role, content=new.text)


class Store(AsyncStore):
    def session(self):
        return Session(self.url)
