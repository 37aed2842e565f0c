"""Steps in any order through a door, each compared with a plain model of the contract."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from testing.bodies import append_request, append_several_request, new_id, read_request, tensor
from testing.mlserver import MLServer
from testing.processes import Process
from testing.service import Service, write_memories
from tests.contract.plain_model import (
    KEY_REUSED,
    TOOL_PAIR,
    WRONG_POSITION,
    Asked,
    Conversation,
    Expected,
    Said,
)
from tests.doors import Door, HttpDoor, Reply, open_door
from tests.length import times

pytestmark = pytest.mark.soak

STEPS = times(60, soak=10_000)
STEPS_OF_A_RUN = times(20, soak=100)
RESTARTS_OF_A_RUN = 1
CLIENTS = 4
DOORS = ("http", "grpc")
# A memory that keeps tool turns.
MEMORY = "tools"

roles = st.sampled_from(["system", "developer", "user", "assistant", "tool"])
texts = st.text(st.characters(codec="utf-8"), max_size=20)
parts = st.lists(texts, min_size=1, max_size=3).map(tuple)
ids = st.sampled_from("ab")
calls = st.lists(ids, min_size=1, unique=True).map(tuple)
messages = (
    st.builds(Said, roles, parts)
    | st.builds(Said, st.just("assistant"), parts, calls)
    | st.builds(Said, st.just("tool"), parts, answers=ids)
)
several = st.lists(messages, min_size=1, max_size=4)
asked = st.builds(
    Asked,
    st.none() | st.integers(1, 6),
    st.none() | st.sampled_from(["message", TOOL_PAIR]),
    st.none() | st.integers(1, 100),
    st.none() | st.booleans(),
    stale=st.none() | st.booleans(),
)
talks = st.integers(0, 1)


class Memory(RuleBasedStateMachine):
    """Two conversations of one memory, and clients who speak to it through a door.

    A step is a rule; it calls `add` or `read`, which compare the reply with the model's.
    """

    door: ClassVar[Door]
    restart: ClassVar[Callable[[], None]]
    steps: ClassVar[Iterator[int]]
    pool: ClassVar[ThreadPoolExecutor]

    @initialize()
    def begin(self) -> None:
        self.ids = [new_id(), new_id()]
        self.models = [Conversation(), Conversation()]
        # Each request with a key, and all of its answer.
        self.sent: list[tuple[int, list[Said], Asked, str, object]] = []
        self.restarts = 0

    # --- Steps ---------------------------------------------------------------------------

    @rule(talk=talks, said=several, asked=asked)
    def append(self, talk: int, said: list[Said], asked: Asked) -> None:
        self.add(talk, said, asked)

    @rule(talk=talks, said=several, asked=asked, off=st.integers(-1, 1), key=st.booleans())
    def append_behind_a_position(
        self, talk: int, said: list[Said], asked: Asked, off: int, key: bool
    ) -> None:
        position = max(0, len(self.models[talk].history) + off)
        self.add(talk, said, replace(asked, expected_position=position), new_id() if key else None)

    @rule(talk=talks, asked=asked)
    def read(self, talk: int, asked: Asked) -> None:
        reply = self.door.infer(read_request(self.ids[talk], parameters=asked.parameters), MEMORY)
        assert_is(reply, self.models[talk].read(asked))
        next(self.steps)

    @rule(talk=talks, said=several, asked=asked)
    def append_with_a_key(self, talk: int, said: list[Said], asked: Asked) -> None:
        key = new_id()
        reply = self.add(talk, said, asked, key)
        self.sent.append((talk, said, asked, key, whole(reply)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        talk, said, asked, key, first = data.draw(st.sampled_from(self.sent))
        assert whole(self.add(talk, said, asked, key)) == first

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), other=asked)
    def send_again_for_another_window(self, data: st.DataObject, other: Asked) -> None:
        talk, said, _, key, _ = data.draw(st.sampled_from(self.sent))
        self.add(talk, said, other, key)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), more=messages)
    def send_another_message_with_a_key_that_was_used(
        self, data: st.DataObject, more: Said
    ) -> None:
        talk, said, asked, key, _ = data.draw(st.sampled_from(self.sent))
        changed = [replace(said[0], parts=(*said[0].parts, "more")), *said[1:]]
        for others in (changed, [*said, more], said[:-1]):
            if others:
                self.add(talk, others, asked, key)

    @rule(talk=talks, said=several, asked=asked)
    def send_one_key_from_several_clients_at_once(
        self, talk: int, said: list[Said], asked: Asked
    ) -> None:
        key = new_id()
        request = self.request(talk, said, asked, key)
        replies = list(self.pool.map(self.send, itertools.repeat(request, CLIENTS)))
        expected = self.models[talk].add(said, asked, key)
        for reply in replies:
            assert_is(reply, expected)
        assert len({str(whole(reply)) for reply in replies}) == 1
        self.sent.append((talk, said, asked, key, whole(replies[0])))
        next(self.steps)

    @rule(talks=st.tuples(talks, talks), said=st.tuples(several, several))
    def send_from_two_clients_at_once(
        self, talks: tuple[int, int], said: tuple[list[Said], list[Said]]
    ) -> None:
        asked = Asked(positions=True)
        requests = [self.request(talk, each, asked) for talk, each in zip(talks, said, strict=True)]
        replies = list(self.pool.map(self.send, requests))
        # Which of them was first, the replies say.
        order = sorted((0, 1), key=lambda n: replies[n].document["parameters"]["last_position"])
        for n in order:
            assert_is(replies[n], self.models[talks[n]].add(said[n], asked))
        next(self.steps)

    @precondition(lambda self: self.sent and self.restarts < RESTARTS_OF_A_RUN)
    @rule(chance=st.integers(0, 4))
    def restart_the_server(self, chance: int) -> None:
        if chance == 0:
            self.restarts += 1
            type(self).restart()
            next(self.steps)

    def teardown(self) -> None:
        for talk in range(len(getattr(self, "ids", ()))):
            self.read(talk, Asked(window_size=10_000, positions=True))

    # --- How they are sent ---------------------------------------------------------------

    def add(self, talk: int, said: Sequence[Said], asked: Asked, key: str | None = None) -> Reply:
        reply = self.send(self.request(talk, said, asked, key))
        assert_is(reply, self.models[talk].add(said, asked, key))
        next(self.steps)
        return reply

    def send(self, request: dict[str, Any]) -> Reply:
        reply: Reply = self.door.infer(request, MEMORY)
        return reply

    def request(
        self, talk: int, said: Sequence[Said], asked: Asked, key: str | None = None
    ) -> dict[str, Any]:
        if len(said) == 1:
            request = append_request(self.ids[talk], *said[0].parts, role=said[0].role)
            if said[0].calls:
                request["inputs"].append(tensor("tool_calls", said[0].call_texts))
            if said[0].answers:
                request["inputs"].append(tensor("tool_call_id", [said[0].answers]))
        else:
            request = append_several_request(
                self.ids[talk],
                [each.role for each in said],
                content=[list(each.parts) for each in said],
                tool_calls=[each.call_texts for each in said],
                tool_call_id=[each.answers for each in said],
            )
        keyed = {} if key is None else {"idempotency_key": key}
        return {**request, "parameters": asked.parameters | keyed}


class KeysIgnored(Memory):
    """The same, but no key arrives."""

    def request(
        self, talk: int, said: Sequence[Said], asked: Asked, key: str | None = None
    ) -> dict[str, Any]:
        return super().request(talk, said, asked)


def whole(reply: Reply) -> object:
    """All that came back: the bytes, where the protocol has a body."""
    return reply.body or reply.document


def assert_is(reply: Reply, expected: Expected | str) -> None:
    if not isinstance(expected, Expected):
        statuses = {KEY_REUSED: 422, WRONG_POSITION: 409 if type(Memory.door) is HttpDoor else 422}
        assert reply.status == statuses[expected], reply.document
        return
    assert reply.status == 200, reply.document
    assert (reply.history, reply.document["parameters"]) == (
        expected.history,
        expected.parameters,
    )


@pytest.fixture(scope="module", params=DOORS)
def restartable(
    request: pytest.FixtureRequest,
    database_kind: str,
    new_database: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Process]:
    """A server that may be restarted."""
    folder = tmp_path_factory.mktemp("machine")
    write_memories(folder / "memories")
    url = new_database(database_kind)
    if request.param == "http":
        server: Process = Service(folder, DATABASE_URL=url, MODELS_DIR=str(folder / "memories"))
    else:
        server = MLServer(folder, folder / "memories", DATABASE_URL=url)
    with server:
        yield server


@pytest.fixture
def through(restartable: Process) -> Iterator[itertools.count[int]]:
    """The door of the server, for Memory; how many steps were taken comes out of it."""

    def restart() -> None:
        restartable.__exit__()
        restartable.__enter__()
        Memory.door = opened()

    def opened() -> Door:
        name = "grpc" if isinstance(restartable, MLServer) else "http"
        return open_door(name, restartable, lambda: restartable)  # type: ignore[arg-type, return-value]

    with ThreadPoolExecutor(CLIENTS) as pool:
        Memory.door, Memory.restart, Memory.pool = opened(), restart, pool
        Memory.steps = count = itertools.count()
        yield count


RUN = settings(
    max_examples=STEPS // STEPS_OF_A_RUN,
    stateful_step_count=STEPS_OF_A_RUN,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(times(600, soak=7200))
def test_any_steps_are_answered_as_the_model_answers_them(through: itertools.count[int]) -> None:
    while next(through) < STEPS:  # a run may end early
        run_state_machine_as_test(Memory, settings=RUN)


def test_where_keys_are_ignored_the_steps_fail(through: itertools.count[int]) -> None:
    run = settings(RUN, max_examples=100, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(KeysIgnored, settings=run)
