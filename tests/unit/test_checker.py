"""The checker finds what is wrong, and only that: it is fed histories that are broken."""

from __future__ import annotations

import math

import pytest

from tests.soak.checker import (
    WINDOW,
    Acknowledged,
    Failed,
    Histories,
    Outage,
    Report,
    Text,
    check,
    felt,
    slowest_healing,
    unexplained,
)

# Two clients speak to "a" in turns, then one of them to "b".
SENT = [*(Text("a", n % 2, n // 2) for n in range(2 * WINDOW)), Text("b", 0, WINDOW)]
FAILED = Text("a", 0, WINDOW + 1)


def bodies(*texts: Text) -> list[str]:
    return [text.body for text in texts]


def reply_to(text: Text) -> Acknowledged:
    """The reply to a text of SENT, which was stored in this order."""
    before = [other for other in SENT[: SENT.index(text)] if other.memory_id == text.memory_id]
    return Acknowledged(text, tuple(bodies(*before, text)[-WINDOW:]), at=0)


def history(*a: Text) -> Histories:
    """What is stored, when it is `a` in the conversation "a" and all as it was in "b"."""
    return {"a": bodies(*a), "b": bodies(SENT[-1])}


def found(histories: Histories) -> dict[str, list[object]]:
    """What the checker finds wrong when all of SENT was acknowledged, and FAILED was not."""
    return wrongs(check([reply_to(text) for text in SENT], [FAILED], histories))


def wrongs(report: Report) -> dict[str, list[object]]:
    return {what: list(them) for what, them in report.wrong.items() if them}


A = SENT[:-1]


def test_nothing_is_wrong_with_what_was_acknowledged_and_is_there():
    assert found(history(*A)) == {}


def test_a_text_that_failed_may_be_there_once_and_anywhere_behind_what_was_read():
    assert found(history(*A, FAILED)) == {}


def test_a_text_that_failed_may_not_be_there_twice():
    assert found(history(*A, FAILED, FAILED)) == {"doubled": [FAILED.body]}


def test_the_last_text_missing_is_lost_and_nothing_else():
    assert found(history(*A[:-1])) == {"lost": [A[-1]]}


def test_a_text_missing_before_others_is_lost_and_their_windows_are_wrong():
    gone = len(A) - 3
    assert found(history(*A[:gone], *A[gone + 1 :])) == {
        "lost": [A[gone]],
        "wrong windows": A[gone + 1 :],
    }


def test_a_conversation_that_is_gone_is_lost_whole():
    assert found({"a": bodies(*A)}) == {"lost": [SENT[-1]]}
    assert found({}) == {"lost": SENT}


def test_a_text_in_another_conversation_is_lost_here_and_unknown_there():
    elsewhere = {"a": bodies(*A), "b": bodies(A[-1], SENT[-1])}
    elsewhere["a"].pop()
    assert found(elsewhere) == {
        "lost": [A[-1]],
        "unknown": [A[-1].body],
        "wrong windows": [SENT[-1]],
    }


def test_a_text_stored_in_other_words_is_lost_and_they_are_unknown():
    half = A[-1].body[:-5]
    assert found({"a": [*bodies(*A[:-1]), half], "b": bodies(SENT[-1])}) == {
        "lost": [A[-1]],
        "unknown": [half],
    }


def test_a_text_that_is_there_twice_is_doubled():
    assert found(history(*A, A[-1])) == {"doubled": [A[-1].body]}


def test_texts_of_one_client_that_changed_places_are_out_of_order():
    swapped = [*A[:-3], A[-1], A[-2], A[-3]]
    assert found(history(*swapped)) == {"out of order": [A[-3]], "wrong windows": A[-3:]}


def test_texts_of_two_clients_may_stand_in_any_order_that_the_replies_had():
    first, second = Text("a", 0, 7), Text("a", 1, 3)
    replies = [
        Acknowledged(first, tuple(bodies(second, first)), at=0),
        Acknowledged(second, tuple(bodies(second)), at=0),
    ]
    assert wrongs(check(replies, [], {"a": bodies(second, first)})) == {}


@pytest.mark.parametrize(
    "window",
    [
        (),
        A[-1:],
        A[-WINDOW + 1 :],
        A[-WINDOW - 1 :],
        A[-WINDOW - 1 : -1],
        [*A[-WINDOW - 1 : -2], A[-1]],
        [*A[-WINDOW:-3], A[-2], A[-3], A[-1]],
        [*A[-WINDOW:-1], A[-2]],
    ],
    ids=[
        "empty",
        "the text alone",
        "one too short",
        "one too long",
        "ending before the text",
        "with a hole",
        "in another order",
        "ending in another text",
    ],
)
def test_a_window_other_than_the_history_up_to_its_text_is_wrong(window):
    replies = [reply_to(text) for text in A[:-1]]
    replies.append(Acknowledged(A[-1], tuple(bodies(*window)), at=0))
    assert wrongs(check(replies, [], {"a": bodies(*A)})) == {"wrong windows": [A[-1]]}


def test_a_report_says_how_much_was_checked_and_what_is_wrong():
    report = check([reply_to(text) for text in SENT], [], history(*A[:-1]))
    assert str(report) == "21 acknowledged messages were checked\n1 lost: 1-9 to a"


# --- Outages -----------------------------------------------------------------------------

OUTAGES = [Outage(10, 12), Outage(20, 22)]


def failed(since: float, until: float, how: str = "503") -> Failed:
    return Failed(FAILED, how, since, until)


@pytest.mark.parametrize(("since", "until"), [(9, 10), (9, 13), (11, 11.5), (12, 15), (13, 20)])
def test_a_failure_that_meets_an_outage_is_explained(since, until):
    assert unexplained([failed(since, until)], OUTAGES, {"503"}) == []


@pytest.mark.parametrize(("since", "until"), [(8, 9), (13, 19), (23, 24)])
def test_a_failure_before_between_or_after_the_outages_is_not_explained(since, until):
    assert unexplained([failed(since, until)], OUTAGES, {"503"}) == [failed(since, until)]


def test_a_failure_of_another_kind_is_not_explained():
    assert unexplained([failed(9, 13, "500")], OUTAGES, {"503"}) == [failed(9, 13, "500")]


def test_an_outage_is_felt_when_something_failed_in_it():
    assert felt(OUTAGES, [failed(9, 13)]) == [OUTAGES[0]]
    assert felt(OUTAGES, [failed(9, 13), failed(21, 21)]) == OUTAGES


def test_the_slowest_healing_is_that_of_the_outage_after_which_nothing_came_for_longest():
    at = [Acknowledged(SENT[0], (), at) for at in (23.5, 9, 12.25, 11, 30)]
    assert slowest_healing(OUTAGES, at) == 1.5
    assert slowest_healing(OUTAGES, at[1:4]) == math.inf
