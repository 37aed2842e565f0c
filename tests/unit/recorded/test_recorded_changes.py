"""What changes, lists and pages conversations of the Conversations API, as SQL Server and Oracle
would be asked: compiled, not run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import chain, repeat
from uuid import UUID

from convstore.archive import changes, copying, lists, pages
from convstore.archive.changes import Target
from convstore.archive.conversations import ConversationRow
from convstore.archive.copying import Fork, Source
from convstore.archive.repeats import Tail, nothing_of
from convstore.exchange.creation import create
from convstore.exchange.new_messages import new_messages
from convstore.exchange.statements import ConversationRef
from convstore.messages import Message, Part
from tests.unit.recorded.recording import (
    DONE,
    NO_ROWS,
    NOW,
    SNAPSHOTS,
    Answer,
    Statement,
    Tape,
    agrees,
)

KEY, COPY = (UUID(f"7e57ab1e-0000-4000-8000-00000000000{n}") for n in (1, 2))
MARK = UUID("7e57ab1e-0000-4000-8000-00000000000a")
HIDDEN = "copy of a"
SAID = Message("user", (Part("text", "hello"),), ids={0: "mine"})
NEW = new_messages([SAID], MARK)
SOURCE = Source(ConversationRow(id=KEY, memory_id="a", created_at=NOW, active_at=NOW), 3)


def target(using: str) -> Target:
    return Target(using, KEY, "a")


def fork(using: str) -> Fork:
    return Fork(using, COPY, "b", forked_from="a", pairs={}, mark=MARK, is_known=True)


def row(tape: Tape, key: UUID = KEY, memory_id: str = "a") -> Answer:
    """A conversation's row."""
    return [(key.hex, memory_id, tape.moment(NOW), tape.moment(NOW), 0, 0, None, None)]


def copy(tape: Tape) -> Answer:
    return row(tape, COPY, HIDDEN)


def by_id(using: str) -> object:
    return lists.list_by_id(using, "a%_", KEY, None, 20, bool)


def by_id_behind(using: str) -> object:
    after = ConversationRow(id=COPY, memory_id="a%_b")
    return lists.list_by_id(using, "a%_", KEY, after, 20, bool)


def of_tenant(using: str) -> object:
    return lists.list_conversations(using, lists.NEWEST, SOURCE.row, 20, bool, "acme/")


# What is done, and how the first statements are answered; the others find nothing.
SCENES: list[tuple[str, Callable[[str], object], Callable[[Tape], list[Answer]]]] = [
    (
        "a conversation with metadata and an item that has an id",
        lambda using: create(using, ConversationRef(KEY, "a", NOW), NEW, {"a": "b"}, MARK),
        lambda _: [],
    ),
    (
        "metadata",
        lambda using: changes.set_metadata(target(using), {"a": "b"}, MARK),
        lambda tape: [row(tape)],
    ),
    (
        "an item is erased",
        lambda using: changes.erase_message(target(using), 2),
        lambda tape: [row(tape), [("{}",)]],
    ),
    (
        "the newest item is taken back",
        lambda using: changes.erase_newest(target(using), nothing_of, MARK),
        lambda tape: [row(tape), NO_ROWS, [(3,)], DONE, [("{}",)]],
    ),
    (
        "the end is written anew",
        lambda using: changes.rewrite(target(using), NEW, Tail(2), MARK),
        lambda tape: [row(tape), *[NO_ROWS] * 3, [("{}",)], *[DONE] * 4, [(3,)]],
    ),
    (
        "a deletion begins",
        lambda using: changes.hide(target(using)),
        lambda tape: [row(tape)],
    ),
    (
        "a fork: rows",
        lambda using: copying.copy_messages(SOURCE, fork(using), HIDDEN),
        lambda tape: [copy(tape), [(1,)], [(2, 2, 2)]],
    ),
    (
        "a fork: ids of items",
        lambda using: copying.copy_ids(SOURCE, fork(using), HIDDEN, None),
        lambda tape: [copy(tape), NO_ROWS, [(KEY.hex, MARK.hex, 2, 0)]],
    ),
    (
        "a fork: it is there",
        lambda using: copying.show(SOURCE, fork(using), HIDDEN),
        lambda tape: [copy(tape), [("a", tape.moment(NOW), 0)]],
    ),
    ("ids that begin so", by_id, lambda _: []),
    ("ids that begin so, the next page", by_id_behind, lambda _: []),
    ("a tenant's newest, the next page", of_tenant, lambda _: []),
    (
        "those with a pair of metadata",
        lambda using: lists.list_with_pair(using, ("a", "b"), SOURCE.row, 20, bool),
        lambda _: [[(KEY.hex,)]],
    ),
    (
        "items behind a position",
        lambda using: pages.rows_after(using, KEY, 2, 20),
        lambda _: [[(3, 2)]],
    ),
    (
        "items before a position",
        lambda using: pages.rows_before(using, KEY, 4, 20),
        lambda _: [[(3, 2)]],
    ),
    ("the item at a position", lambda using: pages.row_at(using, KEY, 3), lambda _: []),
    (
        "the place of a client's own id",
        lambda using: pages.place_of_id(using, KEY, "mine"),
        lambda _: [],
    ),
    (
        "the item with an id that the server made",
        lambda using: pages.row_with_key(using, KEY, MARK),
        lambda _: [],
    ),
]


def test_what_is_asked_is_what_was_kept(tape: Tape) -> None:
    snapshot = []
    for title, act, script in SCENES:
        tape.sent.clear()
        tape.script = chain(script(tape), repeat(NO_ROWS))
        act(tape.alias)
        statements = map(str, map(without_times, tape.statements))
        snapshot.append("\n".join([f"-- {title}", *statements, ""]))
    agrees(SNAPSHOTS / tape.kind / "changes.sql", "\n".join(snapshot))


def without_times(statement: Statement) -> Statement:
    """The statement without what the clock said."""
    values = {
        name: "a time" if isinstance(value, datetime) else value
        for name, value in statement.values.items()
    }
    return replace(statement, values=values)
