"""OpenAI Agents: its SQLAlchemySession and its SQLiteSession."""

from __future__ import annotations

from agents.extensions.memory import SQLAlchemySession
from agents.memory import SQLiteSession
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers.loop import AsyncSession, AsyncStore, asynchronous


class Session(AsyncSession):
    def __init__(self, url):
        super().__init__()
        self.url, self.opened = url, {}
        self.engine = create_async_engine(asynchronous(url))

    def open(self, conversation):
        return SQLAlchemySession(conversation, engine=self.engine, create_tables=True)

    def session(self, conversation):
        if conversation not in self.opened:
            self.opened[conversation] = self.open(conversation)
        return self.opened[conversation]

    async def aappend(self, conversation, new, window):
        await self.session(conversation).add_items([item(new)])
        return await self.aread(conversation, window)

    async def aread(self, conversation, window):
        return [item["content"] for item in await self.session(conversation).get_items(window)]

    async def fill(self, conversation, messages, copies):
        for _ in range(copies):
            await self.session(conversation).add_items([item(new) for new in messages])

    def close(self):
        self.wait(self.engine.dispose())


class SqliteSession(Session):
    def open(self, conversation):
        return SQLiteSession(conversation, self.url.removeprefix("sqlite:///"))


def item(new):
    return {"role": new.role, "content": new.text}


class SqlalchemyStore(AsyncStore):
    def session(self):
        return Session(self.url)


class SqliteStore(SqlalchemyStore):
    def session(self):
        return SqliteSession(self.url)
