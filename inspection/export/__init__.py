"""Export formats. A file is produced in chunks, so a long conversation needs no more memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from convstore.archive.conversations import ConversationRow
from convstore.archive.history import History, MessageRow
from inspection.export.jsonl import stored_lines
from inspection.export.markdown_file import markdown_chunks
from inspection.export.openai_chat import openai_line
from inspection.export.page import PAGE_END, page_begin, page_chunks
from inspection.export.sharegpt import sharegpt_line
from inspection.export.zip_file import zip_chunks

# How many messages are read from the database at once.
MESSAGES_PER_CHUNK = 500
# Chunks are joined until they have this many bytes, and then sent.
MIN_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class StoredRows:
    """The messages of a conversation up to a position. Each iteration reads them anew."""

    history: History
    last: int

    def __iter__(self) -> Iterator[MessageRow]:
        for chunk in self.history.chunks(self.last, MESSAGES_PER_CHUNK):
            yield from chunk


# Conversations with their rows, which may be iterated over several times.
Conversations = Iterable[tuple[ConversationRow, Iterable[MessageRow]]]


@dataclass(frozen=True, slots=True)
class Format:
    """A file format. `chunks` makes a file of conversations; a compressed one is sent as it is."""

    title: str
    extension: str
    mime: str
    chunks: Callable[[Conversations], Iterator[bytes]]
    is_compressed: bool = False


def text_chunks(
    conversation_chunks: Callable[[ConversationRow, Iterable[MessageRow]], Iterator[str]],
    begin: Callable[[], str] = str,
    end: str = "",
) -> Callable[[Conversations], Iterator[bytes]]:
    """A file of a beginning, the text of each conversation, and an end."""

    def chunks(conversations: Conversations) -> Iterator[bytes]:
        yield begin().encode()
        for conversation, rows in conversations:
            for chunk in conversation_chunks(conversation, rows):
                yield chunk.encode()
        yield end.encode()

    return chunks


def file_chunks(
    using: str,
    conversations: Iterable[ConversationRow],
    file_format: Format,
    standby: str | None = None,
) -> Iterator[bytes]:
    """The file in chunks. Messages that arrive during the export are left out."""
    block: list[bytes] = []
    size = 0
    for chunk in file_format.chunks(_with_rows(using, conversations, standby)):
        block.append(chunk)
        size += len(chunk)
        if size >= MIN_BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
    yield b"".join(block)


def _with_rows(
    using: str, conversations: Iterable[ConversationRow], standby: str | None
) -> Iterator[tuple[ConversationRow, StoredRows]]:
    for conversation in conversations:
        history = History(using, conversation.pk, standby)
        yield conversation, StoredRows(history, history.length())


JSONL = "application/jsonl"
FORMATS: Mapping[str, Format] = {
    "openai": Format("OpenAI chat (JSONL)", "jsonl", JSONL, text_chunks(openai_line)),
    "sharegpt": Format("ShareGPT (JSONL)", "jsonl", JSONL, text_chunks(sharegpt_line)),
    "page": Format(
        "page to hand over (HTML)",
        "html",
        "text/html; charset=utf-8",
        text_chunks(page_chunks, page_begin, PAGE_END),
    ),
    "markdown": Format(
        "Markdown", "md", "text/markdown; charset=utf-8", text_chunks(markdown_chunks)
    ),
    "zip": Format("Markdown with files (ZIP)", "zip", "application/zip", zip_chunks, True),
    "stored": Format("as stored (JSONL)", "jsonl", JSONL, text_chunks(stored_lines)),
}
