"""The verdict on a load that was hit in turns finds what it should, and only that."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.soak.checker import CONFLICT, Acknowledged, Failed, Outage, Text
from tests.soak.load import CUT, UNAVAILABLE, Load
from tests.soak.turns import MOST_CONNECTIONS, Hit, Sample, Turn, assert_explained, silence

TEXT = Text("a", 0, 0)
KILL, MIGRATION = Hit("worker killed", int, (CUT,)), Hit("migration", int, ())
STEADY = [Sample(100, 10)] * 8
FELT = Failed(TEXT, CUT, 10, 11)


def judge(*failed: Failed, samples: Sequence[Sample] = STEADY) -> None:
    """Assert that all is well after hits at 10, 20, 30 ... up to 1 each; the first one was felt."""
    load = Load("http://127.0.0.1:1")
    load.acknowledged = [Acknowledged(TEXT, (), at) for at in range(100)]
    load.failed = [FELT, *failed]
    turns = [
        Turn(MIGRATION if n % 2 else KILL, Outage(10 * n + 10, 10 * n + 11), [sample])
        for n, sample in enumerate(samples)
    ]
    assert_explained(load, turns)


def test_what_failed_in_a_way_of_its_hit_is_explained_and_a_conflict_at_any_time():
    judge(Failed(TEXT, CUT, 30, 30.5), Failed(TEXT, CONFLICT, 25, 26))


@pytest.mark.parametrize(
    "failed",
    [
        pytest.param(Failed(TEXT, UNAVAILABLE, 10, 11), id="in another way"),
        pytest.param(Failed(TEXT, CUT, 20, 21), id="during a migration"),
        pytest.param(Failed(TEXT, CUT, 25, 26), id="between two hits"),
    ],
)
def test_what_no_hit_explains_is_found(failed):
    with pytest.raises(AssertionError):
        judge(failed)


def test_memory_that_grows_and_connections_that_are_too_many_are_found():
    judge(samples=[*STEADY[:4], Sample(1000, MOST_CONNECTIONS), *STEADY[:3]])
    with pytest.raises(AssertionError):
        judge(samples=[Sample(100 + n, 10) for n in range(0, 40, 5)])
    with pytest.raises(AssertionError):
        judge(samples=[*STEADY, Sample(100, MOST_CONNECTIONS + 1)])


def test_a_silence_is_from_the_last_acknowledged_message_to_the_next():
    assert silence(Outage(2.5, 2.7), [1, 2, 5, 6]) == 3
    assert silence(Outage(0.5, 9), [0, 1, 5, 10]) == 5
