"""Real conversations sent to a running service by several clients, read back and compared."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from tqdm import tqdm

CLIENTS = 8
ROLES = ("user", "assistant")


class ChatMessage(NamedTuple):
    """One message as it is sent."""

    role: str
    text: str

    def element(self) -> str:
        """The element of `history` that the message must come back as, spelled by `plain`."""
        content = [{"type": "text", "value": self.text}]
        return json.dumps({"role": self.role, "content": content})


Conversation = Sequence[ChatMessage]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a replay found; `failed` counts failed requests by what they failed with."""

    conversations: int
    messages: int
    seconds: float
    read_seconds: float
    # How often a message is missing, is there once too often, or, in a conversation that
    # has all of its messages and no other, is not at its position.
    lost: int
    doubled: int
    out_of_order: int
    # Replies to an append that did not end in the message that was sent.
    wrong_replies: int
    failed: Counter[str] = field(default_factory=Counter)
    # The CPU time of the server's processes for one append, where it could be had.
    server_cpu_seconds: float | None = None

    @property
    def exact(self) -> bool:
        wrong = (self.lost, self.doubled, self.out_of_order, self.wrong_replies)
        return not any(wrong) and not self.failed

    def __str__(self) -> str:
        cpu = self.server_cpu_seconds
        lines = [
            ("conversations", f"{self.conversations:,}"),
            ("messages", f"{self.messages:,}"),
            ("seconds", f"{self.seconds:.1f}, then {self.read_seconds:.1f} to read all back"),
            ("messages/s", f"{self.messages / max(self.seconds, 1e-9):,.0f}"),
            ("lost", f"{self.lost:,}"),
            ("doubled", f"{self.doubled:,}"),
            ("out of order", f"{self.out_of_order:,}"),
            ("wrong replies", f"{self.wrong_replies:,}"),
            ("failed requests", f"{self.failed.total():,}"),
            *(("", f"{count:,} x {what}") for what, count in self.failed.most_common(5)),
            ("server CPU", "unknown" if cpu is None else f"{cpu * 1000:.2f} ms per message"),
        ]
        return "\n".join(f"{name:<16} {value}" for name, value in lines)


# --- The conversations -------------------------------------------------------------------


def chitchat(limit: int | None = None) -> list[list[ChatMessage]]:
    """The conversations of chitchat-dataset, or the first `limit`; who speaks first is the user."""
    text = files("chitchat_dataset").joinpath("dataset.json").read_text(encoding="utf-8")
    return [_conversation(each["messages"]) for each in islice(json.loads(text).values(), limit)]


def _conversation(turns: Iterable[Iterable[dict[str, str]]]) -> list[ChatMessage]:
    messages = [message for turn in turns for message in turn]
    senders = list(dict.fromkeys(message["sender"] for message in messages))
    roles = dict(zip(senders, ROLES, strict=False))
    return [ChatMessage(roles[message["sender"]], message["text"]) for message in messages]


# --- One client --------------------------------------------------------------------------


class RequestFailed(Exception):
    """A request that had no answer, or one that is not a window."""


class Client:
    """A connection that lasts, to the infer route of one memory.

    http.client, since the client shares its machine with the service and `requests` takes
    several times the CPU. It never repeats a request: an append is not idempotent.
    """

    def __init__(self, url: str, memory: str) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self.connection = kind(parts.netloc, timeout=60)
        self.path = f"{parts.path.rstrip('/')}/v2/models/{quote(memory, safe='')}/infer"

    def close(self) -> None:
        self.connection.close()

    def append(self, memory_id: str, chat_message: ChatMessage) -> list[str]:
        """Add one message; the window that is answered."""
        parts = {"role": chat_message.role, "content": chat_message.text, "type": "text"}
        tensors = [_tensor(name, value) for name, value in parts.items()]
        return self.infer({"inputs": [_tensor("memory_id", memory_id), *tensors]})

    def window(self, memory_id: str, size: int) -> list[str]:
        inputs = [_tensor("memory_id", memory_id)]
        return self.infer({"parameters": {"window_size": size}, "inputs": inputs})

    def infer(self, document: dict[str, Any]) -> list[str]:
        """The elements of the output `history`. Raises RequestFailed."""
        try:
            body = json.dumps(document).encode()
            self.connection.request("POST", self.path, body, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException) as error:
            self.connection.close()  # the next request opens it again
            raise RequestFailed(repr(error)) from error
        if response.status != 200:
            raise RequestFailed(f"{response.status} {answer[:200]!r}")
        return _history(answer)


def _tensor(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": "BYTES", "data": [value]}


def _history(answer: bytes) -> list[str]:
    try:
        outputs = json.loads(answer)["outputs"]
        data: list[str] = next(each["data"] for each in outputs if each["name"] == "history")
    except (ValueError, KeyError, TypeError, StopIteration):
        raise RequestFailed(f"not a V2 answer with a history: {answer[:200]!r}") from None
    return data


# --- Sending and reading back ------------------------------------------------------------

Findings = Counter[str]
Work = Callable[[Client, str, Conversation, Callable[[int], None]], Findings]


def replay(
    url: str,
    memory: str,
    conversations: Sequence[Conversation],
    clients: int = CLIENTS,
    *,
    run: str | None = None,
    cpu_seconds: Callable[[], float] | None = None,
    connect: Callable[[str, str], Client] = Client,
) -> Summary:
    """Send the conversations to the service at `url`, read them back, say what differs.

    Conversation n has the memory_id `run`-n, `run` being a fresh word by default.
    `cpu_seconds` tells how much CPU time the server has taken so far; `connect` makes each
    client, out of the URL and the memory.
    """
    run = run or uuid.uuid4().hex
    jobs = [(f"{run}-{n}", conversation) for n, conversation in enumerate(conversations)]
    messages = sum(map(len, conversations))
    connected = partial(connect, url, memory)
    cpu_before = cpu_seconds() if cpu_seconds else 0.0
    sent, seconds = _by_clients(_send, "sending", connected, jobs, clients)
    cpu = cpu_seconds() - cpu_before if cpu_seconds else None
    read, read_seconds = _by_clients(_read_back, "reading back", connected, jobs, clients)
    found = sent + read
    return Summary(
        conversations=len(jobs),
        messages=messages,
        seconds=seconds,
        read_seconds=read_seconds,
        lost=found.pop("lost", 0),
        doubled=found.pop("doubled", 0),
        out_of_order=found.pop("out of order", 0),
        wrong_replies=found.pop("wrong reply", 0),
        failed=found,
        server_cpu_seconds=cpu / messages if cpu is not None and messages else None,
    )


def _by_clients(
    work: Work,
    title: str,
    connect: Callable[[], Client],
    jobs: Sequence[tuple[str, Conversation]],
    clients: int,
) -> tuple[Findings, float]:
    """Do `work` on every conversation; what was found, and in how many seconds."""
    # The longest first: one that is begun last would leave the other clients idle.
    left = deque(sorted(jobs, key=lambda job: len(job[1]), reverse=True))
    total = sum(len(conversation) for _, conversation in jobs)
    guard = threading.Lock()

    def advance(count: int) -> None:
        with guard:
            bar.update(count)

    def client(_: int) -> Findings:
        found: Findings = Counter()
        with closing(connect()) as connected:
            while job := _next(left):
                found += work(connected, *job, advance)
        return found

    started = time.perf_counter()
    with (
        tqdm(total=total, desc=title, unit=" messages", mininterval=0.5) as bar,
        ThreadPoolExecutor(clients) as executor,
    ):
        try:
            found = sum(executor.map(client, range(clients)), Counter[str]())
        finally:
            left.clear()  # after Ctrl-C the clients end with the conversation they are in
    return found, time.perf_counter() - started


def _next(left: deque[tuple[str, Conversation]]) -> tuple[str, Conversation] | None:
    try:
        return left.popleft()
    except IndexError:
        return None


def _send(
    client: Client, memory_id: str, conversation: Conversation, advance: Callable[[int], None]
) -> Findings:
    """Append one message after the other; the first failure ends the conversation."""
    found: Findings = Counter()
    for chat_message in conversation:
        try:
            window = client.append(memory_id, chat_message)
        except RequestFailed as error:
            found[str(error)] += 1
            break
        if [plain(element) for element in window[-1:]] != [chat_message.element()]:
            found["wrong reply"] += 1
        advance(1)
    return found


def _read_back(
    client: Client, memory_id: str, conversation: Conversation, advance: Callable[[int], None]
) -> Findings:
    try:
        # One more than there may be, or a message that is there twice could hide.
        read = client.window(memory_id, len(conversation) + 1)
    except RequestFailed as error:
        return Counter([str(error)])
    advance(len(conversation))
    sent = [chat_message.element() for chat_message in conversation]
    return differences(sent, [plain(element) for element in read])


def plain(element: str) -> str:
    """An element of `history` in one spelling, however it was escaped and spaced."""
    try:
        return json.dumps(json.loads(element))
    except ValueError:
        return element


def differences(sent: Sequence[str], read: Sequence[str]) -> Findings:
    """How many messages were lost, doubled or are out of order; people do repeat themselves."""
    wanted, there = Counter(sent), Counter(read)
    found: Findings = Counter()
    found["lost"] = (wanted - there).total()
    found["doubled"] = (there - wanted).total()
    if wanted == there:
        found["out of order"] = sum(a != b for a, b in zip(sent, read, strict=True))
    return found
