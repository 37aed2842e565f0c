"""The bytes of bodies that a process works on at once."""

from __future__ import annotations

import threading

import pytest

from convstore.errors import Unavailable
from memory_api.budget import Share


@pytest.fixture(autouse=True)
def _limit(settings):
    settings.MAX_BYTES_IN_WORK = 100


def test_requests_share_the_budget_and_give_it_back():
    with Share() as one, Share() as other:
        one.take(60)
        other.take(40)
        with pytest.raises(Unavailable, match="too many large requests"):
            one.take(1)
    with Share() as again:
        again.take(100)


def test_what_was_refused_is_not_taken():
    with Share() as one:
        one.take(60)
        with Share() as other, pytest.raises(Unavailable):
            other.take(41)
        with Share() as other:
            other.take(40)


def test_a_request_that_is_alone_may_take_more_than_the_budget():
    with Share() as one:
        one.take(60)
        one.take(60)
        with Share() as other, pytest.raises(Unavailable):
            other.take(1)


def test_a_share_that_a_finalizer_gives_back_while_another_is_taken_blocks_nobody():
    with Share() as one, Share() as other:
        other.take(10)

        class Size(int):
            """A size during whose use Python collects the other request."""

            def __radd__(self, taken: int) -> int:
                other.give_back()
                return taken + int(self)

        thread = threading.Thread(target=one.take, args=(Size(20),), daemon=True)
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()
    with Share() as again:
        again.take(100)
