"""A chat pipeline of Seldon Core 2, played step by step: memory, LLM, memory.

A message goes to the first memory, its history to the LLM, and the LLM's answer to the
second memory, over gRPC and under one request id, as the model gateway forwards them. Each
step may be delivered twice, as Kafka does: one after the other, at once, or much later.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from tritonclient.grpc import service_pb2 as pb

from testing.bodies import new_id
from tests.length import times
from tests.mlserver.answers import answer
from tests.mlserver.core2 import (
    ANSWER_SECONDS,
    Core2Server,
    body,
    called,
    memory,
    request,
    saying,
    tensors_of,
)
from tests.soak.databases import stored

pytestmark = [pytest.mark.needs("mlserver"), pytest.mark.one_database]

WINDOW = 8
WORKERS = 8
CONVERSATIONS_OF_A_WORKER = 5
TURNS = times(200, soak=1000)
TURNS_OF_A_CONTROL = 120
# How often a step is delivered twice, in each of the three ways.
OFTEN = 0.1
LLM = {"name": "llm", "implementation": "tests.mlserver.llm.Llm"}


@dataclass(frozen=True)
class Delivery:
    """A step's request as it lies in Kafka, and the tensors that it was answered with first."""

    asked: pb.ModelInferRequest
    request_id: str
    answered: dict[str, list[str]]


@dataclass
class Played:
    """What the players expect to be stored, and what went otherwise than it should."""

    expected: dict[str, list[str]] = field(default_factory=dict)
    redelivered: list[Delivery] = field(default_factory=list)
    # Deliveries that were answered in another way than the first of them.
    different: list[Delivery] = field(default_factory=list)
    # Answers of the LLM that the right history does not have.
    misled: list[str] = field(default_factory=list)


class Player:
    """One worker of the gateway, which keeps the order within each of its conversations."""

    def __init__(self, server: Core2Server, models: list[str], seed: int, played: Played) -> None:
        self.channel, self.service = server.connected()
        self.models = models
        self.choose = random.Random(seed)
        self.played = played
        self.conversations = [new_id() for _ in range(CONVERSATIONS_OF_A_WORKER)]
        self.past: list[Delivery] = []

    def play(self, turns: int) -> None:
        for n in range(turns):
            self.turn(self.conversations[n % len(self.conversations)], f"message {n} 👋🏽")
            if self.choose.random() < OFTEN:
                self.again(self.choose.choice(self.past))
        self.channel.close()

    def turn(self, memory_id: str, text: str) -> None:
        first, llm, second = self.models
        request_id = new_id()
        history = self.played.expected.setdefault(memory_id, [])
        # People repeat themselves; each time is a message of its own.
        question_text = self.choose.choice(("yes", text))
        question = self.step(
            request(first, saying(memory_id, question_text), raw=self.raw), request_id
        )
        history.append(body(question_text))
        reply = self.step(request(llm, {"history": question["history"]}, raw=self.raw), request_id)
        if reply["content"] != [answer(history[-WINDOW:])]:
            self.played.misled.append(*reply["content"])
        # All that the LLM says is joined with the id that the first memory echoes.
        joined = {"memory_id": question["memory_id"], **reply}
        self.step(request(second, joined, raw=self.raw), request_id)
        history.append(body(reply["content"][0], "assistant"))

    @property
    def raw(self) -> bool:
        return self.choose.random() < 0.5

    def step(self, asked: pb.ModelInferRequest, request_id: str) -> dict[str, list[str]]:
        """The answer to a request that is delivered, perhaps more than once."""
        at_once = self.choose.random() < OFTEN
        futures = [
            self.service.ModelInfer.future(
                asked, timeout=ANSWER_SECONDS, metadata=called(request_id)
            )
            for _ in range(2 if at_once else 1)
        ]
        answers = [tensors_of(future.result()) for future in futures]
        delivery = Delivery(asked, request_id, answers[0])
        for also in answers[1:]:
            self.note(delivery, also)
        if self.choose.random() < OFTEN:
            self.again(delivery)
        self.past.append(delivery)
        return answers[0]

    def again(self, delivery: Delivery) -> None:
        reply = self.service.ModelInfer(
            delivery.asked, timeout=ANSWER_SECONDS, metadata=called(delivery.request_id)
        )
        self.note(delivery, tensors_of(reply))

    def note(self, delivery: Delivery, answered: dict[str, list[str]]) -> None:
        self.played.redelivered.append(delivery)
        if answered != delivery.answered:
            self.played.different.append(delivery)


@pytest.fixture
def url(database_kind: str, new_database: Callable[[str], str]) -> str:
    return new_database(database_kind)


@pytest.fixture
def pipeline(tmp_path, url) -> Callable[..., Played]:
    """Play so many turns through two memories with this `config`; both over one database."""

    def play(turns: int, **config: Any) -> Played:
        played = Played()
        with Core2Server(tmp_path) as server:
            models = [
                server.agent.loaded(artifact)
                for artifact in (
                    memory("memory-1", url, window_size=WINDOW, **config),
                    LLM,
                    memory("memory-2", url, window_size=WINDOW, **config),
                )
            ]
            players = [Player(server, models, seed, played) for seed in range(WORKERS)]
            with ThreadPoolExecutor(WORKERS) as workers:
                for each in [workers.submit(player.play, turns // WORKERS) for player in players]:
                    each.result()
            # Also through the door, each whole.
            for memory_id, history in stored(url).items():
                asked = request(models[0], {"memory_id": [memory_id]}, window_size=10_000)
                assert tensors_of(server.infer(asked))["history"] == history
        return played

    return play


@pytest.mark.soak
def test_a_pipeline_that_delivers_twice_now_and_then_stores_each_message_once(pipeline, url):
    played = pipeline(TURNS, idempotency="request_id")
    assert stored(url) == played.expected
    assert len(played.expected) == WORKERS * CONVERSATIONS_OF_A_WORKER
    assert sum(map(len, played.expected.values())) == 2 * TURNS
    assert not played.different
    assert not played.misled
    assert len(played.redelivered) > TURNS * OFTEN * 3


def test_without_idempotency_the_same_pipeline_stores_messages_twice(pipeline, url):
    played = pipeline(TURNS_OF_A_CONTROL)
    doubled = [
        memory_id
        for memory_id, history in stored(url).items()
        if len(history) > len(played.expected[memory_id])
    ]
    assert len(doubled) > WORKERS
    assert played.different
    assert played.misled
