"""Every statement of the store for SQL Server and Oracle: compiled by their backends, not run."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connections

from convstore.errors import IdentityClash
from convstore.exchange.portable_orm import PortableOrm
from convstore.exchange.statements import ConversationRef, NewMessage, Reply, StoredMessage
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from convstore.windows import Reading
from tests.unit.recorded.recording import (
    DONE,
    NO_ROWS,
    NOW,
    SNAPSHOTS,
    Answer,
    Statement,
    Tape,
    agrees,
    duplicate,
    stored_row,
)

SAID = Message("user", (Part("text", "hello"),))
KEY = UUID("7e57ab1e-0000-4000-8000-000000000001")
BRIEF, LONG_AGO = timedelta(minutes=1), timedelta(hours=2)


class AtNow(PortableOrm):
    """The portable variant at a fixed time, so that its statements can be kept."""

    def exchange(self, to: ConversationRef, new: Sequence[NewMessage], reading: Reading) -> Reply:
        return super().exchange(replace(to, now=NOW), new, reading)


@pytest.fixture
def store(tape: Tape) -> ConversationStore:
    store = ConversationStore(tape.alias, AtNow)
    connections[tape.alias].ensure_connection()
    return store


def say(text: str, role: str = "user") -> Message:
    return Message(role, (Part("text", text),))


# --- What is done, and what the database answers -----------------------------------------


@dataclass(frozen=True)
class Scene:
    """`script` is what each statement is answered with, `positions` those of the window."""

    title: str
    act: Callable[[ConversationStore], list[StoredMessage]]
    script: Callable[[Tape], list[Answer]]
    positions: list[int]


def held(tape: Tape, since: timedelta = BRIEF, memory_id: str = "a") -> Answer:
    """The conversation's row, found and locked."""
    return [(memory_id, tape.moment(NOW - since))]


def row(position: int, role: str = "user") -> tuple[object, ...]:
    return (position, role, "{}")


def measured(tape: Tape, *positions: int, first: str = "user", memory_id: str = "a") -> Answer:
    """The measures of messages, and of the conversation's first one."""
    state = tape.moment(NOW), 0
    return [(n, "user", 2, None, first, 2, None, *state, memory_id) for n in positions]


PINNED = row(1, "system")


def hello(size: int) -> Callable[[ConversationStore], list[StoredMessage]]:
    return lambda store: store.exchange("a", [SAID], size, KEY)


SCENES = [
    Scene(
        "the first message of a conversation",
        hello(10),
        lambda tape: [NO_ROWS, DONE, held(tape), NO_ROWS, NO_ROWS, DONE, [row(1)]],
        [1],
    ),
    Scene(
        "two first messages at once: the other one's conversation is there first",
        hello(10),
        lambda tape: [
            NO_ROWS,
            duplicate(tape.kind),
            *(held(tape), NO_ROWS, [(1,)], measured(tape, 1), DONE, [row(2), row(1)]),
        ],
        [1, 2],
    ),
    Scene(
        "a message to a conversation that is there",
        hello(10),
        lambda tape: [held(tape), NO_ROWS, [(1,)], measured(tape, 1), DONE, [row(2), row(1)]],
        [1, 2],
    ),
    Scene(
        "a message to a conversation that was silent for two hours",
        hello(10),
        lambda tape: [
            *(held(tape, LONG_AGO), DONE, NO_ROWS),
            *([(1,)], measured(tape, 1), DONE, [row(2), row(1)]),
        ],
        [1, 2],
    ),
    Scene(
        "two messages at once, and the pinned first one",
        lambda store: store.exchange("a", [say("look"), say("", "tool")], 3, KEY),
        lambda tape: [
            *(held(tape), NO_ROWS, [(6,)], measured(tape, 6, first="system"), DONE),
            [row(8), row(7), PINNED],
        ],
        [1, 7, 8],
    ),
    Scene(
        "the same request again",
        hello(2),
        lambda tape: [held(tape), [stored_row(8, SAID)], measured(tape, 8, 7), [row(8), row(7)]],
        [7, 8],
    ),
    Scene(
        "a window that is only read",
        lambda store: store.window("a", 10),
        lambda tape: [measured(tape, 2, 1), [row(2), row(1)]],
        [1, 2],
    ),
    Scene(
        "a window that is only read, and the pinned first message",
        lambda store: store.window("a", 2),
        lambda tape: [measured(tape, 8, 7, first="system"), [row(8), PINNED]],
        [1, 8],
    ),
    Scene(
        "the window of an unknown conversation",
        lambda store: store.window("nobody", 10),
        lambda _: [NO_ROWS],
        [],
    ),
]


def play(tape: Tape, store: ConversationStore, scene: Scene) -> list[StoredMessage]:
    tape.play(*scene.script(tape))
    window = scene.act(store)
    assert list(tape.script) == []
    return window


@pytest.fixture
def all_statements(tape: Tape, store: ConversationStore) -> list[Statement]:
    """The statements of all scenes."""
    all_statements: list[Statement] = []
    for scene in SCENES:
        play(tape, store, scene)
        all_statements += tape.statements
    return all_statements


# --- The tests ---------------------------------------------------------------------------


def test_the_statements_are_as_they_were_kept(tape, store):
    scenes = [("connecting", tape.sent[:])]
    for scene in SCENES:
        play(tape, store, scene)
        scenes.append((scene.title, tape.statements))
    text = "\n".join(
        "\n".join([f"-- {title}", *map(str, statements), ""]) for title, statements in scenes
    )
    agrees(SNAPSHOTS / tape.kind / "operation.sql", text)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_the_window_is_what_the_rows_say(tape, store, scene):
    assert [message.position for message in play(tape, store, scene)] == scene.positions


def test_nothing_is_asked_that_one_of_the_two_cannot_do(all_statements):
    for statement in all_statements:
        assert not re.search(
            r"\b(RETURNING|OUTPUT|MERGE|LIMIT|OFFSET|ON CONFLICT|IGNORE)\b", statement.sql
        )


def test_the_first_statement_locks_the_conversation_and_slices_nothing(all_statements, tape):
    locks = [statement.sql for statement in all_statements if is_lock(statement)]
    assert len(set(locks)) == 1
    (lock,) = set(locks)
    assert "memory_id" in lock.lower()
    assert not re.search(r"\b(TOP|FETCH|ROWNUM|ORDER)\b", lock)
    # One in each exchange, and one more where the conversation was not there yet.
    assert len(locks) == 6 + 2
    begun = [n for n, statement in enumerate(all_statements) if statement.sql == "BEGIN"]
    firsts = {all_statements[n + 1].sql.split()[0] for n in begun}
    assert firsts == {"SELECT", "INSERT"}
    assert all(is_lock(all_statements[n + 1]) or creates(all_statements[n + 1]) for n in begun)


def test_every_exchange_ends_with_its_window_and_a_commit(tape, store):
    for scene in SCENES:
        play(tape, store, scene)
        heard = [statement.sql.split()[0].lstrip("(") for statement in tape.statements]
        if "BEGIN" in heard:
            assert heard[-2:] == ["SELECT", "COMMIT"]


def test_the_window_is_read_backwards_from_its_end_as_far_as_it_goes(tape, store):
    tape.play(measured(tape, 8, 7), [row(8), row(7)])
    store.window("a", 2)
    sql = tape.statements[0].sql
    assert "ORDER BY 1 DESC" in sql
    assert re.search(r"^SELECT TOP 2 | FETCH FIRST 2 ROWS ONLY$", sql)


def test_a_key_that_another_id_holds_is_left_alone(tape, store):
    tape.play(held(tape, memory_id="z"), [("z",)])
    with pytest.raises(IdentityClash):
        hello(10)(store)
    assert [statement.sql.split()[0] for statement in tape.statements] == [
        "BEGIN",
        "SELECT",
        "COMMIT",
        "SELECT",  # whether it is being deleted
    ]


def test_empty_texts_come_back_as_such_though_oracle_has_none(tape, store):
    empty = None if tape.kind == "oracle" else ""
    tape.play([(empty, tape.moment(NOW))], NO_ROWS, NO_ROWS, DONE, [(1, empty, "{}")])
    assert store.exchange("", [say("hello", "")], 10, KEY) == [StoredMessage(1, "", "{}")]


def test_many_messages_are_added_in_few_statements(tape, store):
    count = 400
    statements = {"mssql": 5, "oracle": 1}[tape.kind]  # SQL Server takes 2,100 parameters
    tape.play(held(tape), NO_ROWS, NO_ROWS, *[DONE] * statements, [row(count)])
    assert store.exchange("a", [say("hello")] * count, 1, KEY)
    inserts = [statement for statement in tape.statements if statement.sql.startswith("INSERT")]
    assert len(inserts) == statements
    assert all(len(statement.values) < 2100 or tape.kind == "oracle" for statement in inserts)


def test_a_long_body_is_bound_as_what_holds_it(tape, store):
    tape.play(held(tape), NO_ROWS, NO_ROWS, DONE, [row(1)])
    store.exchange("a", [say("ä" * 5000)], 10, KEY)
    (insert,) = [statement for statement in tape.statements if statement.sql.startswith("INSERT")]
    (name,) = [name for name, value in insert.values.items() if len(str(value)) > 5000]
    assert insert.types.get(name) == {"mssql": None, "oracle": "DB_TYPE_CLOB"}[tape.kind]


def test_an_oracle_statement_has_the_time_limit(tape, store, settings):
    expected = {"mssql": 0, "oracle": (settings.DATABASE_TIMEOUT + 1) * 1000}
    assert tape.opened[0].call_timeout == expected[tape.kind]


@pytest.mark.parametrize("renew", [False, True])
def test_another_statement_fails_the_test_whether_or_not_it_is_renewed(
    tmp_path: Path, monkeypatch, renew
):
    kept = tmp_path / "new" / "kept.sql"
    monkeypatch.delenv("RENEW_SNAPSHOTS", raising=False)
    if renew:
        monkeypatch.setenv("RENEW_SNAPSHOTS", "1")
    with pytest.raises(AssertionError, match="RENEW_SNAPSHOTS"):
        agrees(kept, "SELECT 2;\n")
    assert kept.exists() is renew
    if renew:
        agrees(kept, "SELECT 2;\n")


def is_lock(statement: Statement) -> bool:
    return "WITH (ROWLOCK, UPDLOCK)" in statement.sql or statement.sql.endswith("FOR UPDATE")


def creates(statement: Statement) -> bool:
    return bool(re.match(r'INSERT INTO ["\[]CONVSTORE_CONVERSATION', statement.sql.upper()))
