"""A ZIP for people: each conversation as Markdown, and each image, sound and document as a file.

It is sent while it is made. In memory are one message at a time and, for the ZIP's directory at its
end, the names of all files.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import MessageRow
from convstore.media import Media, media_of
from convstore.messages import Message
from inspection.export.markdown_file import markdown_chunks

MAX_NAME = 80


class Outlet:
    """Where a ZipFile writes to: the bytes are kept until they are taken to be sent."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """ZipFile calls this."""

    def take(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def zip_chunks(
    conversations: Iterable[tuple[ConversationRow, Iterable[MessageRow]]],
) -> Iterator[bytes]:
    outlet: Any = Outlet()
    with zipfile.ZipFile(outlet, "w") as archive:
        for number, (conversation, rows) in enumerate(conversations, 1):
            folder = f"{number}-{safe_name(conversation.memory_id)}"
            for _ in _write_files(archive, folder, rows):
                yield outlet.take()
            for _ in _write_text(archive, folder, conversation, rows):
                yield outlet.take()
    yield outlet.take()


def safe_name(text: str) -> str:
    """The text as the name of a file or a folder on any system: nothing in it acts as a path."""
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._")[:MAX_NAME] or "conversation"


def media_path(position: int, number: int, media: Media) -> str:
    """Where the file of a part is in the folder of its conversation."""
    name = safe_name(media.name[-MAX_NAME:]) if media.name else f"file.{media.extension}"
    return f"files/{position}-{number}-{name}"


def _write_files(
    archive: zipfile.ZipFile, folder: str, rows: Iterable[MessageRow]
) -> Iterator[None]:
    for row in rows:
        for number, part in enumerate(Message.from_json(row.body).parts, 1):
            if media := media_of(part):
                path = f"{folder}/{media_path(row.position, number, media)}"
                archive.writestr(_entry(path, row.created_at), media.data)
                yield


def _write_text(
    archive: zipfile.ZipFile,
    folder: str,
    conversation: ConversationRow,
    rows: Iterable[MessageRow],
) -> Iterator[None]:
    entry = _entry(f"{folder}/conversation.md", conversation.created_at)
    entry.compress_type = zipfile.ZIP_DEFLATED
    # The size is not known yet; without this, 2 GiB would be the limit.
    with archive.open(entry, "w", force_zip64=True) as file:
        for chunk in markdown_chunks(conversation, rows, media_path):
            file.write(chunk.encode())
            yield


def _entry(path: str, at: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, (at.year, at.month, at.day, at.hour, at.minute, at.second))
    entry.external_attr = 0o644 << 16
    return entry
