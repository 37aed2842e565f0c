"""Windows that are limited, in tool pairs, or asked for at a position; on every variant.

The expected windows are those of a plain model below, which looks at whole histories.
"""

from __future__ import annotations

import json
import tracemalloc
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from django.db import connections
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from convstore.errors import (
    MessageTooLarge,
    RequestKeyReused,
    WindowTooLarge,
    WrongPosition,
)
from convstore.exchange.statements import StoredMessage, Window
from convstore.messages import Message, Part
from convstore.models import Message as Row
from convstore.store import ConversationStore, conversation_key
from convstore.windows import WindowOptions

PINNED = ("system", "developer")


def say(text: str, role: str = "user", **more: object) -> Message:
    tokens = more.pop("tokens", None)
    assert tokens is None or isinstance(tokens, int)
    return Message(role, [Part("text", text)], more, tokens)


def call(*ids: str) -> Message:
    return Message("assistant", [], {"tool_calls": [{"id": each} for each in ids]})


def answer(to: str) -> Message:
    return say(to, "tool", tool_call_id=to)


def size_of(message: Message) -> int:
    return len(message.to_json().encode())


def bodies(messages: Sequence[Message]) -> list[str]:
    return [message.to_json() for message in messages]


def read(window: Sequence[StoredMessage]) -> list[str]:
    return [message.body for message in window]


# --- The model ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    max_bytes: int
    max_messages: int
    truncate: bool = False


def plain_window(history: Sequence[Message], size: int) -> list[Message]:
    if len(history) > size >= 2 and history[0].role in PINNED:
        return [history[0], *history[-(size - 1) :]]
    return list(history[-size:])


def cost(message: Message) -> int:
    return (size_of(message) + 3) // 4 if message.tokens is None else message.tokens


def expected(history: Sequence[Message], options: WindowOptions) -> list[Message]:
    """The window without limits on replies, and with the unit 'message'."""
    window = plain_window(history, options.size)
    if options.tokens is None or not window:
        return window
    pinned = [window[0]] if options.size >= 2 and history[0].role in PINNED else []
    pinned = pinned if len(history) > 1 and window[0] is history[0] else []
    kept = [window[-1]]
    left = options.tokens - sum(map(cost, [*pinned, window[-1]]))
    for message in reversed(window[len(pinned) : -1]):
        left -= cost(message)
        if left < 0:
            break
        kept.append(message)
    return [*pinned, *reversed(kept)]


def fits(window: Sequence[Message], limits: Limits) -> bool:
    return len(window) <= limits.max_messages and sum(map(size_of, window)) <= limits.max_bytes


def fitting_size(history: Sequence[Message], limits: Limits) -> int:
    """The largest size whose window is within the limits, out of those of a longer history."""
    sizes = range(1, len(history) + 1)
    return max((n for n in sizes if fits(plain_window(history, n), limits)), default=0)


# --- Against the model -------------------------------------------------------------------

MESSAGES = st.builds(
    lambda role, length, tokens: say("é" * (length // 2), role, tokens=tokens),
    st.sampled_from(["user", "assistant", "system", "tool"]),
    st.integers(0, 400),
    st.none() | st.integers(0, 100),
)
OPTIONS = st.builds(
    WindowOptions,
    st.integers(1, 8) | st.just(2**31 - 1),
    tokens=st.none() | st.integers(1, 300),
)
LIMITS = st.builds(Limits, st.integers(600, 2500), st.integers(1, 6), st.booleans())


@pytest.mark.parametrize("legacy", [False, True], ids=["measured", "written before"])
@hypothesis_settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    requests=st.lists(st.lists(MESSAGES, min_size=1, max_size=4), min_size=1, max_size=5),
    options=OPTIONS,
    limits=LIMITS,
)
def test_each_request_gets_the_window_of_the_model(
    store, settings, legacy, requests, options, limits
):
    settings.MAX_REPLY_BYTES, settings.MAX_WINDOW = limits.max_bytes, limits.max_messages
    settings.MAX_REPLY_OVERFLOW = "truncate" if limits.truncate else "refuse"
    memory_id = str(uuid.uuid4())
    history: list[Message] = []
    for messages in requests:
        after = [*history, *messages]
        key = uuid.uuid4()
        if refused(after, options, limits):
            with pytest.raises(WindowTooLarge) as error:
                store.exchange(memory_id, messages, options, key)
            assert error.value.fitting_size == fitting_size_of(after, options, limits)
            assert rows(store, memory_id) == bodies(history)
            continue
        window = store.exchange(memory_id, messages, options, key)
        history = after
        assert_window(window, history, options, limits)
        assert rows(store, memory_id) == bodies(history)
        if legacy:
            forget_sizes(store, memory_id)
        assert_same(store.exchange(memory_id, messages, options, key), window)
        assert_same(store.window(memory_id, options), window)


def refused(history: Sequence[Message], options: WindowOptions, limits: Limits) -> bool:
    return not limits.truncate and not fits(expected(history, options), limits)


def fitting_size_of(history: Sequence[Message], options: WindowOptions, limits: Limits) -> int:
    sizes = range(1, min(len(history), options.size) + 1)
    return max((n for n in sizes if fits(plain_window(history, n), limits)), default=0)


def assert_window(
    window: Window, history: Sequence[Message], options: WindowOptions, limits: Limits
) -> None:
    whole = expected(history, options)
    assert window.truncated is not fits(whole, limits)
    if window.truncated:
        whole = plain_window(history, fitting_size_of(history, options, limits))
    assert read(window) == bodies(whole)


def assert_same(window: Window, other: Window) -> None:
    assert (window, window.truncated) == (other, other.truncated)


def rows(store: ConversationStore, memory_id: str) -> list[str]:
    stored = Row.objects.using(store.using).filter(conversation_id=conversation_key(memory_id))
    return list(stored.order_by("position").values_list("body", flat=True))


def forget_sizes(store: ConversationStore, memory_id: str) -> None:
    """As rows are that were written before there was the column."""
    stored = Row.objects.using(store.using).filter(conversation_id=conversation_key(memory_id))
    stored.update(size=0)


# --- A retry -----------------------------------------------------------------------------


def test_a_retry_is_never_refused_for_size_but_holds_what_fits(store, settings):
    key = uuid.uuid4()
    first, second = [say("1" * 100)], [say("2" * 100), say("3" * 100)]
    store.exchange("a", first, 9)
    store.exchange("a", second, 9, key)
    store.append("a", [say("later")])
    settings.MAX_REPLY_BYTES = 2 * size_of(second[0]) + 1
    window = store.exchange("a", second, 9, key)
    assert (read(window), window.truncated) == (bodies(second), True)
    settings.MAX_REPLY_BYTES, settings.MAX_WINDOW = 1000, 1
    window = store.exchange("a", second, 9, key)
    assert (read(window), window.truncated) == (bodies(second[1:]), True)


def test_a_retry_of_a_message_that_no_reply_can_hold_any_more_is_cut_to_nothing(store, settings):
    key, message = uuid.uuid4(), [say("1" * 100)]
    whole = settings.MAX_REPLY_BYTES
    store.exchange("a", message, 9, key)
    for overflow in ("refuse", "truncate"):
        settings.MAX_REPLY_BYTES, settings.MAX_REPLY_OVERFLOW = 100, overflow
        window = store.exchange("a", message, 9, key)
        assert (window, window.truncated) == ([], True)
        # The same message without that key is a new one.
        for other in (None, uuid.uuid4()):
            with pytest.raises(MessageTooLarge, match="the limit is 100"):
                store.exchange("a", [say("short"), *message], 1, other)
        with pytest.raises(RequestKeyReused):
            store.exchange("a", [say("2" * 100)], 9, key)
    settings.MAX_REPLY_BYTES = whole
    assert read(store.window("a", 9)) == bodies(message)


def test_a_message_that_no_reply_could_hold_is_refused_first(store, settings):
    settings.MAX_REPLY_BYTES = size_of(say("é" * 50))
    store.append("a", [say("é" * 50)])
    with pytest.raises(MessageTooLarge, match=f"{settings.MAX_REPLY_BYTES + 1} bytes"):
        store.append("a", [say("é" * 50 + "a")])


def test_a_window_that_cannot_be_read_is_refused_and_says_which_size_would_fit(store, settings):
    for n in range(5):
        store.append("a", [say(str(n) * 100)])
    settings.MAX_REPLY_BYTES = 3 * size_of(say("0" * 100))
    limit = f"{settings.MAX_REPLY_BYTES} bytes .MAX_REPLY_BYTES."
    with pytest.raises(WindowTooLarge, match=f"{limit}; a window_size of 3 would fit"):
        store.window("a", 5)
    assert len(store.window("a", 3)) == 3
    settings.MAX_REPLY_BYTES = 100
    with pytest.raises(WindowTooLarge, match="no window_size would fit"):
        store.window("a", 5)
    settings.MAX_REPLY_OVERFLOW = "truncate"
    window = store.window("a", 5)
    assert (window, window.truncated) == ([], True)


def test_a_window_that_is_refused_fetches_no_more_than_a_reply_may_hold(store, settings):
    size = 200_000
    for _ in range(10):
        store.append("a", [say("1" * size)])
    settings.MAX_REPLY_BYTES = 2 * size

    def ask(window: WindowOptions) -> None:
        with pytest.raises(WindowTooLarge):
            store.window("a", window)
        with pytest.raises(WindowTooLarge):
            store.exchange("a", [say("2")], window, uuid.uuid4())

    for options in (WindowOptions(10), WindowOptions(10, unit="tool_pair")):
        ask(options)  # what is kept from the first time on
        tracemalloc.start()
        try:
            ask(options)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        # PyMySQL has each body as bytes and as a string.
        assert peak < 3 * settings.MAX_REPLY_BYTES, options


def test_the_limit_that_a_window_is_over_is_named(store, settings):
    settings.MAX_REPLY_BYTES = 4 * size_of(say("0" * 100))
    settings.MAX_WINDOW = 3
    store.append("a", [say("0" * 100, "system"), *[say(str(n) * 100) for n in range(4)]])
    with pytest.raises(WindowTooLarge, match=r"3 messages .MAX_WINDOW.; a window_size of 3"):
        store.window("a", 5)
    settings.MAX_REPLY_BYTES = 2 * size_of(say("0" * 100))
    with pytest.raises(WindowTooLarge, match=r"bytes .MAX_REPLY_BYTES.; a window_size of 1"):
        store.window("a", 5)


# --- A position --------------------------------------------------------------------------


def test_an_expected_position_is_the_highest_one_or_nothing_is_added(store):
    key = uuid.uuid4()
    for expected_position in (1, -1):
        with pytest.raises(WrongPosition, match="highest position is 0") as error:
            store.exchange("a", [say("1")], 9, expected_position=expected_position)
        assert error.value.position == 0
    assert len(store.exchange("a", [say("1")], 9, expected_position=0)) == 1
    assert len(store.exchange("a", [say("2"), say("3")], 9, key, 1)) == 3
    for expected_position in (0, 1, 2, 4):
        with pytest.raises(WrongPosition, match="highest position is 3"):
            store.exchange("a", [say("4")], 9, expected_position=expected_position)
    assert rows(store, "a") == bodies([say("1"), say("2"), say("3")])
    # A retry adds nothing, so it has no position to be right about.
    assert len(store.exchange("a", [say("2"), say("3")], 9, key, 1)) == 3


def test_counted_tokens_are_kept_in_their_column(store):
    store.append("a", [say("1", tokens=7)])
    store.append("a", [say("2"), say("3", tokens=0)])
    kept = Row.objects.using(store.using).order_by("position").values_list("tokens", flat=True)
    assert list(kept) == [7, None, 0]


# --- Tool pairs --------------------------------------------------------------------------


def pairs(size: int) -> WindowOptions:
    return WindowOptions(size, "tool_pair")


def test_a_window_in_tool_pairs_begins_behind_the_answers_of_an_older_call(store):
    history = [say("q"), call("a", "b"), answer("b"), answer("a"), say("done", "assistant")]
    for message in history:
        store.append("a", [message])
    expected = {1: 4, 2: 4, 3: 4, 4: 1, 5: 0, 6: 0}
    for size, first in expected.items():
        assert read(store.window("a", pairs(size))) == bodies(history[first:])


def test_the_group_of_the_newest_message_is_whole(store, settings):
    history = [say("s", "system"), say("q"), call("a", "b"), answer("a"), answer("b")]
    for n, message in enumerate(history, 1):
        window = store.exchange("a", [message], pairs(1))
        assert read(window) == bodies(history[min(n - 1, 2) : n])
    assert read(store.window("a", pairs(2))) == bodies([history[0], *history[2:]])
    tokens = WindowOptions(2, "tool_pair", 1)
    assert read(store.window("a", tokens)) == bodies([history[0], *history[2:]])
    settings.MAX_WINDOW = 2
    with pytest.raises(WindowTooLarge, match=r"2 messages .MAX_WINDOW.; no window_size"):
        store.window("a", pairs(1))


def test_a_group_that_is_over_a_limit_is_refused_or_left_out_as_a_whole(store, settings):
    settings.MAX_WINDOW = 3
    group = [call("a", "b", "c"), answer("a"), answer("b"), answer("c")]
    store.append("a", group[:3])
    with pytest.raises(WindowTooLarge, match="no window_size would fit"):
        store.exchange("a", group[3:], pairs(3))
    assert rows(store, "a") == bodies(group[:3])
    settings.MAX_REPLY_OVERFLOW = "truncate"
    for _ in range(2):
        window = store.exchange("a", group[3:], pairs(3), uuid.UUID(int=1))
        assert (window, window.truncated) == ([], True)
    assert rows(store, "a") == bodies(group)
    last = say("done", "assistant")
    assert read(store.exchange("a", [last], pairs(3))) == bodies([last])


def test_an_answer_whose_call_is_not_there_is_left_out(store):
    history = [say("q"), answer("x"), say("w"), answer("y")]
    store.append("a", history[:3])
    assert read(store.exchange("a", history[3:], pairs(9))) == bodies([say("q"), say("w")])
    assert read(store.window("a", 9)) == bodies(history)


@st.composite
def valid_histories(draw: st.DrawFn) -> list[Message]:
    """What OpenAI's Chat Completions takes: each call is answered at once, in any order."""
    history = [say("s", "system")] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 4))):
        if draw(st.booleans()):
            history.append(say(f"q{turn}"))
        names = st.lists(st.sampled_from("abc"), unique=True, max_size=3)
        if ids := [f"{each}{draw(st.sampled_from(['', turn]))}" for each in draw(names)]:
            history += [call(*ids), *map(answer, draw(st.permutations(ids)))]
        else:
            history.append(say(f"r{turn}", "assistant"))
    return history[: draw(st.integers(1, len(history)))]


def assert_valid(window: list[dict[str, object]], size: int) -> None:
    asked: set[object] = set()
    for message in window:
        if message["role"] == "tool":
            assert message["tool_call_id"] in asked
            asked.discard(message["tool_call_id"])
            continue
        assert not asked, "a call is not answered"
        calls = message.get("tool_calls", [])
        assert isinstance(calls, list)
        asked = {each["id"] for each in calls}


@hypothesis_settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    history=valid_histories(),
    at_once=st.integers(1, 9),
    tokens=st.none() | st.integers(1, 100),
    max_bytes=st.integers(300, 2000),
    truncate=st.booleans(),
)
def test_every_window_of_a_valid_history_is_valid(
    store, settings, history, at_once, tokens, max_bytes, truncate
):
    memory_id = str(uuid.uuid4())
    settings.MAX_REPLY_BYTES = 2000
    for n in range(0, len(history), at_once):
        some = history[n : n + at_once]
        window = store.exchange(memory_id, some, WindowOptions(at_once, "tool_pair", tokens))
        assert_valid([json.loads(row.body) for row in window], at_once)
    settings.MAX_REPLY_BYTES = max_bytes
    settings.MAX_REPLY_OVERFLOW = "truncate" if truncate else "refuse"
    for size in range(1, len(history) + 2):
        try:
            window = store.window(memory_id, WindowOptions(size, "tool_pair", tokens))
        except WindowTooLarge:
            continue
        assert window.truncated or window[-1].body == history[-1].to_json()
        if window.truncated and newest_group_bytes(history) <= max_bytes:
            assert window[-1].body == history[-1].to_json()
        assert_valid([json.loads(row.body) for row in window], size)


def newest_group_bytes(history: Sequence[Message]) -> int:
    """The bytes of the newest message, and of those back to its call if it is an answer."""
    starts = [n for n, message in enumerate(history) if message.role != "tool"]
    return sum(map(size_of, history[starts[-1] :]))


def test_tool_pairs_take_no_more_statements(store):
    for _ in range(3):
        store.append("a", [say("q"), call("a", "b"), answer("a"), answer("b")])
    for options in (pairs(3), WindowOptions(3, "tool_pair", 50)):
        count = Counter()
        with connections[store.using].execute_wrapper(count):
            store.window("a", options)
        assert count.statements <= 2


class Counter:
    statements = 0

    def __call__(self, execute, sql, params, many, context):
        self.statements += 1
        return execute(sql, params, many, context)
