"""Conversations from each database are exported into one file."""

from __future__ import annotations

import json

from convstore.archive.conversations import ConversationRow
from convstore.messages import Message, Part
from convstore.store import ConversationStore
from inspection.export import FORMATS, file_chunks


def test_several_conversations_are_exported_completely_into_one_file(database):
    store = ConversationStore(database)
    for memory_id, count in (("a", 1200), ("b", 1), ("c", 3)):
        store.append(memory_id, [Message("user", [Part("text", str(n))]) for n in range(count)])
    selected = list(ConversationRow.objects.using(database).order_by("memory_id"))
    as_stored = b"".join(file_chunks(database, selected, FORMATS["stored"])).splitlines()
    found = [(line["memory_id"], line["position"]) for line in map(json.loads, as_stored)]
    assert found == [
        (name, n) for name, count in (("a", 1200), ("b", 1), ("c", 3)) for n in range(1, count + 1)
    ]
    lines = b"".join(file_chunks(database, selected, FORMATS["openai"])).splitlines()
    assert [len(json.loads(line)["messages"]) for line in lines] == [1200, 1, 3]
    assert b"".join(file_chunks(database, selected, FORMATS["markdown"])).count(b"\n## ") == 1204
