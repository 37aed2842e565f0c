"""LangGraph: the messages in the state of a graph, by its checkpointers."""

from __future__ import annotations

import sqlite3

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import MessagesState, StateGraph
from psycopg import connect
from psycopg.rows import dict_row

from benchmarks.peers.loop import PeerSession, PeerStore


class Session(PeerSession):
    def __init__(self, url):
        if url.startswith("sqlite"):
            path = url.removeprefix("sqlite:///")
            self.connection = sqlite3.connect(path, check_same_thread=False)
            saver = SqliteSaver(self.connection)
        else:
            self.connection = connect(url, autocommit=True, row_factory=dict_row)
            saver = PostgresSaver(self.connection)
        saver.setup()
        graph = StateGraph(MessagesState).add_node("said", lambda state: state)
        self.graph = graph.set_entry_point("said").compile(checkpointer=saver)

    def add(self, conversation, messages):
        state = {"messages": [message(new) for new in messages]}
        self.graph.update_state(thread(conversation), state, as_node="said")

    def append(self, conversation, new, window):
        self.add(conversation, [new])
        return self.read(conversation, window)

    def read(self, conversation, window):
        state = self.graph.get_state(thread(conversation))
        return [message.content for message in state.values["messages"][-window:]]

    def close(self):
        self.connection.close()


def thread(conversation):
    return {"configurable": {"thread_id": conversation}}


def message(new):
    return (AIMessage if new.role == "assistant" else HumanMessage)(new.text)


class Store(PeerStore):
    def session(self):
        return Session(self.url)

    def fill(self, conversation, messages, copies):
        if messages:
            session = self.session()
            session.add(conversation, [new for _ in range(copies) for new in messages])
            session.close()
