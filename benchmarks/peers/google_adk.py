"""Google ADK: its DatabaseSessionService."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.schemas.v1 import StorageEvent
from google.genai.types import Content, Part
from sqlalchemy import insert

from benchmarks.peers.loop import AsyncSession, AsyncStore, asynchronous

NAMES = {"app_name": "bench", "user_id": "somebody"}


class Session(AsyncSession):
    def __init__(self, url):
        super().__init__()
        self.service = DatabaseSessionService(asynchronous(url))

    async def get(self, conversation, window):
        config = GetSessionConfig(num_recent_events=window)
        return await self.service.get_session(**NAMES, session_id=conversation, config=config)

    async def aappend(self, conversation, new, window):
        await self.service.append_event(await self.get(conversation, 1), event(new))
        return await self.aread(conversation, window)

    async def aread(self, conversation, window):
        session = await self.get(conversation, window)
        return [event.content.parts[0].text for event in session.events]

    async def fill(self, conversation, messages, copies):
        """Rows past the service, which takes events one by one."""
        session = await self.service.create_session(**NAMES, session_id=conversation)
        begun, rows = time.time() - 1e6, [row(session, new) for new in messages]
        async with self.service.db_engine.begin() as connection:
            for n in range(copies if rows else 0):
                at = begun + n * len(rows)
                moved = [at_time(each, at + k) for k, each in enumerate(rows)]
                await connection.execute(insert(StorageEvent), moved)

    def close(self):
        self.wait(self.service.db_engine.dispose())


def row(session, new):
    stored = StorageEvent.from_event(session, event(new))
    return {column.key: getattr(stored, column.key) for column in StorageEvent.__table__.columns}


def at_time(row, seconds):
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    data = {**row["event_data"], "timestamp": seconds}
    return {**row, "id": str(uuid.uuid4()), "timestamp": moment, "event_data": data}


def event(new):
    content = Content(role=new.role, parts=[Part(text=new.text)])
    return Event(invocation_id="one", author=new.role, content=content)


class Store(AsyncStore):
    def session(self):
        return Session(self.url)
