"""A stand-in for the original service's store: SQLAlchemy's ORM over pg8000.

Nobody can run the original, whose image is private. This is what its pages say that it is
made of, with an index, in one transaction; it gives none of convstore's guarantees.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import BigInteger, Index, String, Text, create_engine, select
from sqlalchemy import orm as sqlalchemy_orm
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

from benchmarks.scenario import TextMessage
from benchmarks.stores.conversation import Elements, body_of


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "original_message"
    __table_args__ = (Index("original_message_memory", "memory_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    memory_id: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(64))
    content: Mapped[str] = mapped_column(Text)


class Session(Elements):
    def __init__(self, factory: sessionmaker[sqlalchemy_orm.Session]) -> None:
        self.factory = factory

    def append(self, conversation: str, message: TextMessage, window: int) -> list[str]:
        with self.factory.begin() as session:
            session.add(_row(conversation, message))
            return _window(session, conversation, window)

    def read(self, conversation: str, window: int) -> list[str]:
        with self.factory() as session:
            return _window(session, conversation, window)

    def close(self) -> None:
        pass  # the pool keeps the connection


class Store:
    exact = False

    def __init__(self, url: str) -> None:
        engine = create_engine(url.replace("postgresql:", "postgresql+pg8000:"), pool_size=8)
        Base.metadata.create_all(engine)
        self.factory = sessionmaker(engine)

    def session(self) -> Session:
        return Session(self.factory)

    def fill(self, conversation: str, messages: Sequence[TextMessage], copies: int) -> None:
        for _ in range(copies):
            with self.factory.begin() as session:
                session.add_all(_row(conversation, message) for message in messages)


def _row(conversation: str, message: TextMessage) -> Row:
    content = json.dumps(json.loads(body_of(message))["content"])
    return Row(memory_id=conversation, role=message.role, content=content)


def _window(session: sqlalchemy_orm.Session, conversation: str, window: int) -> list[str]:
    newest = select(Row).where(Row.memory_id == conversation).order_by(Row.id.desc()).limit(window)
    rows = reversed(session.scalars(newest).all())
    return [json.dumps({"role": row.role, "content": json.loads(row.content)}) for row in rows]
