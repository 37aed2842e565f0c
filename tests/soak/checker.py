"""Whether what was acknowledged is what is stored, and each failure of a client had a reason.

A client sends numbered texts and never sends one again: what failed may be stored or not,
but only once, and what was answered with 200 must be there, once, and in order. Knows
neither HTTP nor databases.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

WINDOW = 10
# Every 16th text of a client is long enough to lie on several pages of most databases.
LONG_ONES, LONG_CHARACTERS = 16, 10_000

# How a request ends that the service refuses at once, since more arrive than it can serve. That
# may be at any time, where other programs need the processors, too.
BUSY = "busy"
# On a cluster: writers of one conversation at several nodes aborted each other until the time of
# the request was over. The busier the machine, the more often.
CONFLICT = "conflict"

# A memory_id, and the bodies of its messages in their order.
Histories = Mapping[str, Sequence[str]]


class Text(NamedTuple):
    """What one client says, once, to one conversation; `number` grows with each."""

    memory_id: str
    client: int
    number: int

    @property
    def value(self) -> str:
        name = f"{self.client}-{self.number}"
        if self.number % LONG_ONES:
            return name
        # Noise, or a database that compresses would make it short.
        return f"{name} {random.Random(name).randbytes(LONG_CHARACTERS // 2).hex()}"

    @property
    def body(self) -> str:
        """The element of `history` that the text must come back as."""
        content = [{"type": "text", "value": self.value}]
        return sys.intern(json.dumps({"role": "user", "content": content}))

    def __str__(self) -> str:
        return f"{self.client}-{self.number} to {self.memory_id}"


class Acknowledged(NamedTuple):
    """A text that was answered with 200, the window that came back, and when."""

    text: Text
    window: tuple[str, ...]
    at: float


class Failed(NamedTuple):
    """A text that was not, and how; the reason of it lies between `since` and `until`."""

    text: Text
    how: str
    since: float
    until: float


# --- What is stored ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with the histories."""

    acknowledged: int
    lost: Sequence[Text]  # acknowledged, and not there
    doubled: Sequence[str]  # there more than once
    unknown: Sequence[str]  # there, and never sent in these words to this conversation
    out_of_order: Sequence[Text]  # acknowledged, and behind what its client sent later
    wrong_windows: Sequence[Text]  # whose reply was not the history up to it

    @property
    def wrong(self) -> dict[str, Sequence[object]]:
        return {
            "lost": self.lost,
            "doubled": self.doubled,
            "unknown": self.unknown,
            "out of order": self.out_of_order,
            "wrong windows": self.wrong_windows,
        }

    def __str__(self) -> str:
        found = [
            f"{len(them)} {what}: " + ", ".join(str(it)[:100] for it in them[:5])
            for what, them in self.wrong.items()
            if them
        ]
        return "\n".join([f"{self.acknowledged} acknowledged messages were checked", *found])


def check(
    acknowledged: Sequence[Acknowledged], failed: Sequence[Text], histories: Histories
) -> Report:
    """Compare what is there with what was acknowledged, and with what may be there too."""
    texts = [reply.text for reply in acknowledged]
    places = _places(histories)
    sent = {text: (text.memory_id, text.body) for text in (*texts, *failed)}
    at = {text: places[place] for text, place in sent.items() if place in places}
    return Report(
        acknowledged=len(acknowledged),
        lost=[text for text in texts if text not in at],
        doubled=[body for bodies in histories.values() for body in _repeated(bodies)],
        unknown=[body for _, body in places.keys() - sent.values()],
        out_of_order=_out_of_order({text: at[text] for text in texts if text in at}),
        wrong_windows=[
            text
            for text, window, _ in acknowledged
            if text in at and window != _window(histories[text.memory_id], at[text])
        ],
    )


def _places(histories: Histories) -> dict[tuple[str, str], int]:
    """The index at which each body of each conversation stands first."""
    places: dict[tuple[str, str], int] = {}
    for memory_id, bodies in histories.items():
        for index, body in enumerate(bodies):
            places.setdefault((memory_id, body), index)
    return places


def _repeated(bodies: Iterable[str]) -> list[str]:
    return [body for body, times in Counter(bodies).items() if times > 1]


def _out_of_order(at: Mapping[Text, int]) -> list[Text]:
    """The texts that stand behind one which the same client sent later in the conversation."""
    latest: defaultdict[tuple[str, int], int] = defaultdict(lambda: -1)
    found = []
    for text in sorted(at, key=lambda text: at[text]):
        who = (text.memory_id, text.client)
        if text.number < latest[who]:
            found.append(text)
        latest[who] = max(latest[who], text.number)
    return found


def _window(history: Sequence[str], index: int) -> tuple[str, ...]:
    """The window that ends in the message at `index`."""
    return tuple(history[max(0, index + 1 - WINDOW) : index + 1])


# --- Outages -----------------------------------------------------------------------------


class Outage(NamedTuple):
    """From before something was killed or stopped until after it was there again."""

    down: float
    up: float

    def explains(self, failed: Failed) -> bool:
        return failed.since <= self.up and self.down <= failed.until


def without_busy(failed: Iterable[Failed]) -> list[Failed]:
    return [each for each in failed if each.how not in (BUSY, CONFLICT)]


def unexplained(
    failed: Iterable[Failed], outages: Sequence[Outage], ways: Collection[str]
) -> list[Failed]:
    """What failed in another way than `ways`, or while there was no outage."""
    return [
        each
        for each in without_busy(failed)
        if each.how not in ways or not any(outage.explains(each) for outage in outages)
    ]


def felt(outages: Iterable[Outage], failed: Collection[Failed]) -> list[Outage]:
    """The outages in which something failed; one that hits nobody proves nothing."""
    return [outage for outage in outages if any(map(outage.explains, without_busy(failed)))]


def slowest_healing(outages: Iterable[Outage], acknowledged: Iterable[Acknowledged]) -> float:
    """The longest that it took from the end of an outage to the next acknowledged text."""
    times = sorted(reply.at for reply in acknowledged)
    return max(
        next((at - outage.up for at in times if at > outage.up), math.inf) for outage in outages
    )
