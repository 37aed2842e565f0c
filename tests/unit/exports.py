"""A conversation with a message of every kind, as exports read it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.exchange.metadata import metadata_json
from convstore.messages import Message, Part
from convstore.store import conversation_key

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

# Files, as far as they are looked at: real ones are known by how they begin, too.
PNG, JPEG = b"\x89PNG\r\n\x1a\n and a photo", b"\xff\xd8\xff and a photo"
WAV, MP3 = b"RIFF\x24\0\0\0WAVEfmt and a sound", b"ID3\4 and a sound"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


CALLS = [
    {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
    {"id": "2", "function": {"name": "get_time", "arguments": {"zone": "UTC"}}},
]
CONVERSATION = [
    Message("system", [Part("text", "Be kind.")]),
    Message(
        "user",
        [
            Part("text", "What are these?"),
            Part("image", encoded(PNG)),
            Part("image_url", f"data:image/jpeg;base64,{encoded(JPEG)}"),
            Part("image_url", "https://example.org/a.png"),
            Part("audio", encoded(WAV)),
            Part("audio", encoded(MP3)),
            Part("file", base64.b64encode(b"%PDF-1.7").decode()),
            Part("json", '{"a": 1}'),
        ],
    ),
    Message("assistant", [Part("text", "")], {"tool_calls": CALLS}),
    Message("tool", [Part("text", "21 degrees")], {"tool_call_id": "1"}),
    Message("tool", [Part("text", "noon")], {"tool_call_id": "2"}),
    Message("assistant", [Part("text", "A cat and a lion."), Part("text", "It is noon.")]),
    Message("user", [Part("text", "你好 مرحبا \x1b[2J \x9b \u202e \ud800 </script>")]),
]


def rows(messages: Sequence[Message]) -> list[MessageRow]:
    return [
        MessageRow(position=n, role=each.role, body=each.to_json(), created_at=NOW)
        for n, each in enumerate(messages, 1)
    ]


def conversation(memory_id: str = "a", pairs: Mapping[str, str] | None = None) -> ConversationRow:
    return ConversationRow(
        pk=conversation_key(memory_id),
        memory_id=memory_id,
        created_at=NOW,
        metadata=metadata_json(pairs) if pairs else None,
    )
