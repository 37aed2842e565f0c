"""Agno: a session's runs, one message in each."""

from __future__ import annotations

import time
import uuid

from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.db.utils import build_single_run_row
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession
from sqlalchemy import insert

from benchmarks.peers.loop import PeerSession, PeerStore

NAMES = {"agent_id": "agent", "user_id": "somebody"}


class Session(PeerSession):
    def __init__(self, db):
        self.db = db

    def append(self, conversation, new, window):
        self.db.upsert_run(run(conversation, new), session_id=conversation, user_id="somebody")
        return self.read(conversation, window)

    def read(self, conversation, window):
        found = self.db.get_session(conversation, runs_limit=window)
        return [run.messages[0].content for run in found.runs or []]


def run(conversation, new):
    return RunOutput(
        run_id=str(uuid.uuid4()),
        session_id=conversation,
        status=RunStatus.completed,
        content=new.text,
        messages=[Message(role=new.role, content=new.text)],
        **NAMES,
    )


class Store(PeerStore):
    def __init__(self, url):
        if url.startswith("sqlite"):
            self.db = SqliteDb(db_file=url.removeprefix("sqlite:///"))
        else:
            self.db = PostgresDb(db_url=url.replace("postgresql:", "postgresql+psycopg:"))

    def session(self):
        return Session(self.db)

    def fill(self, conversation, messages, copies):
        """Rows past the library, which takes runs one by one."""
        now = int(time.time())
        self.db.upsert_session(AgentSession(session_id=conversation, created_at=now, **NAMES))
        rows = [
            build_single_run_row(run(conversation, new), conversation, "somebody", n)
            for n, new in enumerate(messages)
        ]
        table = self.db._get_table(table_type="runs", create_table_if_not_found=True)
        with self.db.Session() as session, session.begin():
            for n in range(copies if rows else 0):
                first = n * len(rows)
                copied = [
                    {**row, "run_id": str(uuid.uuid4()), "run_index": first + k}
                    for k, row in enumerate(rows)
                ]
                session.execute(insert(table), copied)
