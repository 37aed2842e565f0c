"""Memory: one named, configured service of history. V2 calls it a model.

UnavailableMemory is one whose settings are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from convstore.store import ConversationStore
from convstore.windows import MESSAGE, MESSAGES

DEFAULT_WINDOW_SIZE = 10
# All that OpenAI's chat format has in a message of text. Seldon's default has the first three.
DEFAULT_TENSOR_NAMES = (
    *("role", "content", "type"),
    *("tool_calls", "tool_call_id", "name", "refusal"),
)
# Without these, an answer of a tool and its call cannot be told to belong together.
TOOL_TENSORS = frozenset({"tool_calls", "tool_call_id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A name, perhaps a version, what its replies hold, and the store of its conversations.

    `tensor_names` are the tensors that make a message. With `once_per_request_id`, the request
    id is an idempotency key: a request that is delivered again adds nothing. `window_items` are
    those of WindowOptions.
    With `stale_reads`, requests that only read may be answered by the store's standby.
    """

    name: str
    version: str | None = None
    window_size: int = DEFAULT_WINDOW_SIZE
    window_unit: str = MESSAGE
    window_tokens: int | None = None
    window_items: str = MESSAGES
    tensor_names: tuple[str, ...] = DEFAULT_TENSOR_NAMES
    auto_migrate: bool = True
    once_per_request_id: bool = False
    stale_reads: bool = False
    store: ConversationStore

    @property
    def step(self) -> str:
        """The name without the version that Seldon's agent appends to it."""
        return self.name.removesuffix(f"_{self.version}") if self.version else self.name

    @property
    def labels(self) -> tuple[str, str]:
        """The values of the metrics' labels `model` and `version`."""
        return (self.name, self.version or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnavailableMemory:
    """The name of a memory that cannot be made of its settings, and the sentence that says why."""

    name: str
    version: str | None = None
    reason: str
