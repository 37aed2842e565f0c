"""Realistic conversations, sent through the service's HTTP door."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from convstore.archive.history import MessageRow
from convstore.database.url import database_alias
from convstore.messages import Message, Part
from convstore.models import Conversation
from convstore.store import conversation_key
from testing.bodies import append_several_request, document, new_id, tensor
from testing.processes import SHIPPED_MODELS
from testing.service import TOOLS, Service, write_memory
from tests.browser.media import media
from tests.doors import HttpDoor

# The memories of the service that is inspected: the one that is shipped, one that keeps calls
# of tools in the same database, and one with a database of its own.
SHIPPED, WITH_TOOLS, ELSEWHERE = "filesys-memory", "with-tools", "elsewhere"
SHIPPED_FILE, ELSEWHERE_FILE = "conversations.sqlite3", "elsewhere.sqlite3"


def write_memories_to_inspect(folder: Path) -> Path:
    """A folder of memories, `models` in `folder`."""
    models = folder / "models"
    shutil.copytree(SHIPPED_MODELS / SHIPPED, models / SHIPPED)
    tools = {"database": "filesys", "config": {"tensor_names": TOOLS}}
    elsewhere = {"url": f"sqlite:///{folder / ELSEWHERE_FILE}", "tensor_names": TOOLS}
    write_memory(models, WITH_TOOLS, tools)
    write_memory(models, ELSEWHERE, {"database": "sql", "config": elsewhere})
    return models


# As many messages as one request may have.
MAX_MESSAGES = 1_000


# --- Sent and stored ---------------------------------------------------------------------


@dataclass(frozen=True)
class SentConversation:
    """A conversation as it was sent, message by message."""

    memory_id: str
    messages: Sequence[Message]

    @property
    def key(self) -> UUID:
        return conversation_key(self.memory_id)


def text(role: str, *values: str) -> Message:
    return Message(role, [Part("text", value) for value in values])


def say(service: Service, talk: SentConversation, memory: str = WITH_TOOLS) -> SentConversation:
    """Send the messages one by one, as a chat does."""
    for message in talk.messages:
        infer(service, _spoken(talk.memory_id, message), memory)
    return talk


def say_at_once(
    service: Service, talk: SentConversation, memory: str = WITH_TOOLS
) -> SentConversation:
    """Send messages, each with one text, as many in a request as it may have."""
    for start in range(0, len(talk.messages), MAX_MESSAGES):
        messages = talk.messages[start : start + MAX_MESSAGES]
        roles = [message.role for message in messages]
        contents = [[message.parts[0].value] for message in messages]
        infer(service, append_several_request(talk.memory_id, roles, content=contents), memory)
    return talk


def infer(service: Service, request: dict[str, Any], memory: str = WITH_TOOLS) -> None:
    reply = HttpDoor(service).infer({**request, "parameters": {"window_size": 1}}, memory)
    assert reply.status == 200, reply.document


def _spoken(memory_id: str, message: Message) -> dict[str, Any]:
    tensors = {
        "memory_id": [memory_id],
        "role": [message.role],
        "content": [part.value for part in message.parts],
        "type": [part.type for part in message.parts],
        **{name: _kept(value) for name, value in message.extra.items()},
    }
    return document(
        *(tensor(name, data, shape=[len(data)]) for name, data in tensors.items() if data)
    )


def _kept(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [json.dumps(each) for each in value]


def database_of(service: Service, file: str = SHIPPED_FILE) -> str:
    """The alias of one of the service's databases."""
    folder = service.folder / "data" if file == SHIPPED_FILE else service.folder.parent
    return database_alias(f"sqlite:///{folder / file}")


def date_back(
    service: Service,
    talk: SentConversation,
    begun: datetime,
    step: timedelta,
    file: str = SHIPPED_FILE,
) -> None:
    """Change the stored times: the first message at `begun`, and one message every `step`."""
    alias = database_of(service, file)
    rows = MessageRow.objects.using(alias).filter(conversation_id=talk.key)
    for n in range(len(talk.messages)):
        rows.filter(position=n + 1).update(created_at=begun + n * step)
    last = begun + (len(talk.messages) - 1) * step
    conversation = Conversation.objects.using(alias).filter(pk=talk.key)
    assert conversation.update(created_at=begun, active_at=last.replace(minute=0, second=0)) == 1


def list_of(service: Service) -> str:
    """The URL of the admin's list of conversations."""
    return f"{service.url}/admin/convstore/conversation/"


def transcript_of(service: Service, talk: SentConversation) -> str:
    return f"{list_of(service)}{talk.key}/"


# --- Photos, audio and files -------------------------------------------------------------

# How wide and how high the pictures are, in the order in which they are sent.
PICTURES = {
    "skimage/data/chelsea.png": (451, 300),
    "skimage/data/rocket.jpg": (640, 427),
    "skimage/data/no_time_for_that_tiny.gif": (14, 25),
    "gradio/media_assets/images/lion.jpg": (256, 256),
    "gradio/media_assets/images/tower.jpg": (377, 600),
}
# How many seconds they last.
SOUNDS = {
    "gradio/media_assets/audio/recording1.wav": 3.328,
    "gradio/media_assets/audio/heath_ledger.mp3": 3.04,
}
PDF = b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
LINK = "https://pictures.example/harbour.png?size=large&night=1"


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _pictures() -> Iterable[Part]:
    """An image in each of the formats that clients send."""
    cat, rocket, gif, lion, tower = (in_base64(media(name)) for name in PICTURES)
    yield Part("image", cat)
    yield Part("image", rocket)
    yield Part("image_base64", gif)
    yield Part("image_url", f"data:image/jpeg;base64,{lion}")
    yield Part("image_url", json.dumps({"url": f"data:image/jpeg;base64,{tower}"}))


def with_media() -> SentConversation:
    """Images, audio, a document and a link, each with a question and an answer."""
    wav, mp3 = (in_base64(media(name)) for name in SOUNDS)
    return SentConversation(
        f"with-media-{new_id()}",
        [
            text("system", "You describe pictures and write down what is said."),
            Message("user", [Part("text", "What is in\nthese pictures?"), *_pictures()]),
            text("assistant", "A cat, a rocket, a drawing, a lion and a tower."),
            Message(
                "user",
                [
                    Part("text", "And who speaks here?"),
                    Part("audio", wav),
                    Part("input_audio", json.dumps({"data": mp3, "format": "mp3"})),
                ],
            ),
            text("assistant", "Two people."),
            Message("user", [Part("file", in_base64(PDF)), Part("image_url", LINK)]),
        ],
    )


# --- Calls of tools ----------------------------------------------------------------------


def call(key: str, name: str, **arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": key, "type": "function", "function": function}


def with_tools() -> SentConversation:
    calls = [call("call_1", "weather", city="Bern"), call("call_2", "clock", zone="Asia/Tokyo")]
    answers = {"call_1": '{"celsius": 7}', "call_2": '{"time": "21:40"}'}
    return SentConversation(
        f"with-tools-{new_id()}",
        [
            text("user", "How warm is it in Bern, and how late in Tokyo?"),
            Message("assistant", [Part("text", "")], {"tool_calls": calls}),
            *(
                Message("tool", [Part("text", answer)], {"tool_call_id": key})
                for key, answer in answers.items()
            ),
            text("assistant", "It is 7 °C in Bern, and 21:40 in Tokyo."),
        ],
    )


# --- Texts -------------------------------------------------------------------------------

ARABIC = "ما هي عاصمة المغرب؟\nالرباط، أليس كذلك؟"  # noqa: RUF001 - its letters are Arabic
HEBREW = "מה השעה בירושלים?"
CHINESE = "请用一句话解释什么是数据库。"
JAPANESE = "富士山の高さは3776メートルです。"
KOREAN = "안녕하세요, 오늘 날씨가 어때요?"
LINES = "First a line,\nthen another.\n\n    and one that is indented."
MARKDOWN = """\
# How to *wait*

| what | how long |
|---|---|
| `retry` | 2 s |

1. Read [the guide](https://guide.example/wait).
2. Ask <b>nobody</b>.

```python
def wait(seconds: float) -> None:
    time.sleep(seconds)
```

That is **all**."""
CODE = "def wait(seconds: float) -> None:\n    time.sleep(seconds)"


def with_texts() -> SentConversation:
    texts = {
        "user": [ARABIC, CHINESE, KOREAN, LINES],
        "assistant": [HEBREW, JAPANESE, "", MARKDOWN],
    }
    turns = zip(*(texts[role] for role in texts), strict=True)
    return SentConversation(
        f"with-texts-{new_id()}",
        [text(role, said) for turn in turns for role, said in zip(texts, turn, strict=True)],
    )


def with_a_long_text() -> SentConversation:
    end = " and here it ends."
    return SentConversation(
        f"with-a-long-text-{new_id()}", [text("user", "word " * 199_996 + "x" * 2 + end)]
    )


def of_many_messages(count: int) -> SentConversation:
    roles = ("user", "assistant")
    messages = [text(roles[n % 2], f"This is message number {n + 1}.") for n in range(count)]
    return SentConversation(f"of-{count}-{new_id()}", messages)


def small(memory_id: str, line: str = "Hello!") -> SentConversation:
    return SentConversation(memory_id, [text("user", line)])
