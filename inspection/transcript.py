"""Convert stored messages to what a page shows of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from convstore.archive.history import MessageRow
from convstore.escaping import escape_controls, indented_json
from convstore.messages import Message
from inspection.calls import Call, call_from, is_failure, result_line
from inspection.items import ShownItem, shown_item
from inspection.markdown import PageRenderer
from inspection.parts import MAX_SHOWN_CHARACTERS, ShownPart, shown_part, shown_result

# The roles that have their own colour.
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A tool call, with those of its results that are on the page.

    `number` counts the calls of a message, from 1.
    """

    call: Call
    number: int
    results: tuple[ShownMessage, ...] = ()

    @property
    def failed(self) -> bool:
        return any(result.failed for result in self.results)


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message. `result_of` is the id of a tool call, or "". `extra` is JSON, or "".

    `extra_cut` says that `extra` is only its beginning. `line` is the first line of a result.
    `item` is what the message is, if it is none of a chat.
    """

    position: int
    role: str
    created_at: datetime
    parts: tuple[ShownPart, ...]
    calls: tuple[ShownCall, ...]
    result_of: str
    extra: str
    extra_cut: bool
    line: str
    failed: bool
    item: ShownItem | None = None
    starts_day: bool = False

    @property
    def colour(self) -> str:
        return self.role if self.role in ROLES else "other"


def shown_messages(rows: Sequence[MessageRow], *, markdown: bool) -> list[ShownMessage]:
    """The messages in order. The result of a tool call is inside the call, not in the list."""
    renderer = PageRenderer() if markdown else None
    top_level: list[ShownMessage] = []
    # The key is the position of the message that makes the calls, then the id of the call.
    results: dict[int, dict[str, list[ShownMessage]]] = {}
    open_calls: dict[str, list[ShownMessage]] = {}
    for row in rows:
        shown = _shown_message(row, Message.from_json(row.body), renderer)
        if shown.role == "tool" and shown.result_of in open_calls:
            open_calls[shown.result_of].append(shown)
            continue
        if shown.result_of == "":
            open_calls = {each.call.id: [] for each in shown.calls if each.call.id}
            results[shown.position] = open_calls
        top_level.append(shown)
    with_results = (_attach_results(shown, results.get(shown.position, {})) for shown in top_level)
    return list(_mark_days(with_results))


def _attach_results(
    shown: ShownMessage, results: Mapping[str, Sequence[ShownMessage]]
) -> ShownMessage:
    """The message with results in its calls. If calls have the same id, the last one gets them."""
    last = {each.call.id: n for n, each in enumerate(shown.calls)}
    calls = (
        replace(each, results=tuple(results.get(each.call.id, ())))
        if last[each.call.id] == n
        else each
        for n, each in enumerate(shown.calls)
    )
    return replace(shown, calls=tuple(calls))


def _mark_days(messages: Iterable[ShownMessage]) -> Iterator[ShownMessage]:
    """Mark the first message of the page and of each day (UTC)."""
    day = None
    for message in messages:
        starts_day, day = message.created_at.date() != day, message.created_at.date()
        yield replace(message, starts_day=starts_day)


def _shown_message(
    row: MessageRow, message: Message, renderer: PageRenderer | None
) -> ShownMessage:
    extra = dict(message.extra)
    calls, result_of = extra.pop("tool_calls", []), extra.pop("tool_call_id", "")
    fields = indented_json(extra) if extra else ""
    is_result = message.role == "tool" or result_of != ""
    item = shown_item(message)
    parts = (
        shown_result(number, part) if is_result else shown_part(number, part, renderer)
        for number, part in enumerate(message.parts, 1)
        if not (part.type == "text" and part.value == "")
    )
    return ShownMessage(
        position=row.position,
        role=escape_controls(message.role),
        created_at=row.created_at,
        parts=tuple(parts),
        calls=_shown_calls(calls),
        result_of=escape_controls(str(result_of)),
        extra=escape_controls(fields[:MAX_SHOWN_CHARACTERS]),
        extra_cut=len(fields) > MAX_SHOWN_CHARACTERS,
        line=result_line(message) if is_result else "",
        failed=(is_result and is_failure(message)) or bool(item and item.failed),
        item=item,
    )


def _shown_calls(calls: object) -> tuple[ShownCall, ...]:
    if not isinstance(calls, list):
        return ()
    return tuple(ShownCall(call_from(call), number) for number, call in enumerate(calls, 1))
