"""Whether a store answers right windows: one that is fast and wrong is not measured."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import closing

from benchmarks.load import in_threads
from benchmarks.scenario import ROLES, Scenario, Store, WrongAnswer, expect


def check(store: Store) -> None:
    """Ask for windows of every kind, and see that each is right. Raises WrongAnswer."""
    check_windows(store, "user", pinned=False)
    if store.exact:
        check_windows(store, "system", pinned=True)
        check_writers(store)


def check_windows(store: Store, first_role: str, *, pinned: bool) -> None:
    conversation, scenario, texts = f"check-{uuid.uuid4()}", Scenario(size=20), list[str]()
    store.fill(conversation, [], 1)
    with closing(store.session()) as session:
        for n in range(12):
            message = scenario.message(f"{n:08}", first_role if n == 0 else ROLES[n % 2])
            texts.append(message.text)
            answer = session.append(conversation, message, 5)
            expect(session.elements(answer), window(texts, 5, pinned=pinned))
        for size in (1, 2, 11, 12, 50):
            answer = session.read(conversation, size)
            expect(session.elements(answer), window(texts, size, pinned=pinned))


def window(texts: Sequence[str], size: int, *, pinned: bool) -> Sequence[str]:
    if pinned and 2 <= size < len(texts):
        return [texts[0], *texts[len(texts) - size + 1 :]]
    return texts[-size:]


def check_writers(store: Store, writers: int = 4, each: int = 10) -> None:
    """Several threads add to one conversation: each sees its own message last, none is lost."""
    conversation = f"check-{uuid.uuid4()}"
    store.fill(conversation, [], 1)

    def write(n: int) -> None:
        with closing(store.session()) as session:
            for k in range(each):
                message = Scenario(size=20).message(f"{n}-{k:04}")
                answer = session.elements(session.append(conversation, message, 100))
                expect(answer[-1:], [message.text])

    in_threads(write, writers)
    with closing(store.session()) as session:
        kept = session.elements(session.read(conversation, 100))
    if len(kept) != writers * each or len(set(kept)) != len(kept):
        raise WrongAnswer(f"{writers * each} messages were added, {len(set(kept))} are there")


def check_last(store: Store, scenario: Scenario) -> None:
    """Add to a conversation that was filled: its window must move on by one message."""
    name, token = scenario.names()[0], f"check-{uuid.uuid4()}"
    with closing(store.session()) as session:
        before = session.elements(session.read(name, scenario.window))
        if len(before) < min(scenario.window, scenario.length):
            raise WrongAnswer(f"{len(before)} of {scenario.length} messages are in the window")
        after = session.append(name, scenario.message(token), scenario.window)
        expect(session.elements(after), [*before, token][-scenario.window :])
