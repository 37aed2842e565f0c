"""Something is hit again and again under load; then all that was acknowledged must be there."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Sequence

from tests.length import SOAK
from tests.soak.checker import Outage, Report, check, felt, slowest_healing, unexplained
from tests.soak.databases import stored
from tests.soak.load import Load

# So many messages are acknowledged between two hits, at least.
MESSAGES_BETWEEN = 50
LONGEST_DELAY = 0.05
HEALED_WITHIN = 5.0


def outages(load: Load, times: int, hit: Callable[[], None], seconds: float = 0) -> list[Outage]:
    """The outages by `hit`, which returns when what it hit is there again.

    Each comes after so many `seconds` and MESSAGES_BETWEEN, at no particular moment.
    """
    found = []
    for _ in range(times):
        time.sleep(seconds)
        load.more(MESSAGES_BETWEEN)
        time.sleep(random.uniform(0, LONGEST_DELAY))
        down = time.monotonic()
        hit()
        found.append(Outage(down, time.monotonic()))
    load.more(MESSAGES_BETWEEN)
    return found


def checked(url: str, load: Load) -> Report:
    return check(load.acknowledged, [failed.text for failed in load.failed], stored(url))


def assert_all_kept(
    url: str,
    load: Load,
    hits: Sequence[Outage],
    ways: Collection[str],
    noticed_within: float = 0,
) -> None:
    """Nothing is lost, doubled or out of order, and what failed did so in one of `ways`.

    Where another program looks for the primary, requests may fail until it has `noticed` one.
    """
    report = checked(url, load)
    assert not any(report.wrong.values()), str(report)
    assert report.acknowledged >= MESSAGES_BETWEEN * (len(hits) + 1), str(report)
    noticed = [Outage(hit.down, hit.up + noticed_within) for hit in hits]
    strange = unexplained(load.failed, noticed, ways)
    assert not strange, f"{report}\n{len(strange)} failures that no outage explains: {strange[:5]}"
    # Not each: where a database is back soon enough, the service has tried again meanwhile.
    # A short proof holds one that lasts until a request fails, or `hit` cuts connections.
    assert len(felt(hits, load.failed)) > (len(hits) / 2 if SOAK else 0), str(report)
    assert slowest_healing(hits, load.acknowledged) < HEALED_WITHIN, str(report)
