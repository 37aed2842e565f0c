"""What people read and delete, as SQL Server and Oracle would be asked: compiled, not run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from uuid import UUID

from convstore.archive.conversations import (
    ConversationRow,
    conversations,
    older_rows,
    with_message_count,
    with_prefix,
    with_summary,
)
from convstore.archive.erasure import erase
from convstore.archive.history import History
from convstore.archive.overview import (
    CONVERSATION_TABLE,
    MESSAGE_TABLE,
    count_rows,
    reported_figures,
)
from convstore.archive.search import search_conversation, search_last_messages
from tests.unit.recorded.recording import NO_ROWS, NOW, SNAPSHOTS, Answer, Tape, agrees

KEY = UUID("7e57ab1e-0000-4000-8000-000000000001")


def a_page(using: str) -> object:
    page = with_summary(conversations(using), opening=True).order_by("-created_at", "-pk")
    return list(older_rows(page, "created_at", NOW, KEY)[:51])


def held(tape: Tape, *length: int) -> Answer:
    """A conversation's row, with its length where that is asked for."""
    return [(KEY.hex, "a", tape.moment(NOW), tape.moment(NOW), 0, 0, None, None, *length)]


def prefixed(using: str) -> object:
    return list(with_prefix(conversations(using), "a%_"))


def all_counted(using: str) -> object:
    return list(with_message_count(conversations(using)))


# What is done, and how the first statements are answered; the others find nothing.
SCENES: list[tuple[str, Callable[[str], object], Callable[[Tape], list[Answer]]]] = [
    ("a page of the list", a_page, lambda tape: []),
    (
        "ids that begin so",
        prefixed,
        lambda _: [],
    ),
    (
        "what a deletion would delete",
        all_counted,
        lambda _: [],
    ),
    (
        "a chunk of a transcript",
        lambda using: History(using, KEY).chunk_up_to(9),
        lambda _: [[(9, 2)]],
    ),
    ("a time", lambda using: History(using, KEY).position_at(NOW, 9), lambda tape: []),
    (
        "a chunk to search",
        lambda using: search_conversation(using, ConversationRow(pk=KEY), [], 9),
        lambda _: [],
    ),
    (
        "the last messages to search",
        lambda using: search_last_messages(using, ["a"], None),
        lambda tape: [held(tape, 3)],
    ),
    ("a deletion", lambda using: erase(using, KEY, 0), lambda tape: [held(tape), [(1, 0), (2, 0)]]),
    (
        "counts of rows",
        lambda using: count_rows(using, NOW),
        lambda _: [],
    ),
    (
        "figures of its own",
        lambda using: reported_figures(using),
        lambda _: [],
    ),
]


def test_what_is_asked_is_what_was_kept(tape: Tape) -> None:
    snapshot = []
    for title, act, script in SCENES:
        tape.sent.clear()
        tape.script = chain(script(tape), repeat(NO_ROWS))
        act(tape.alias)
        snapshot.append("\n".join([f"-- {title}", *map(str, tape.statements), ""]))
    agrees(SNAPSHOTS / tape.kind / "reading.sql", "\n".join(snapshot))


def test_figures_that_a_database_does_not_have_are_0(tape: Tape) -> None:
    tape.script = iter([[(CONVERSATION_TABLE, 7), (MESSAGE_TABLE, None), ("bytes", 9)]])
    found = {CONVERSATION_TABLE: 7, MESSAGE_TABLE: 0, "bytes": 9}
    assert reported_figures(tape.alias) == found
