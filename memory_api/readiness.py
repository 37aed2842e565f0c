"""Whether memories can serve: whether their databases answer and have their tables."""

from __future__ import annotations

from collections.abc import Iterable

from convstore.errors import Unavailable
from memory_api.errors import log_failure
from memory_api.memory import Memory


def is_ready(memory: Memory) -> bool:
    """Ask the memory's database; the log says why it is not ready."""
    try:
        memory.store.check()
    except Unavailable as error:
        log_failure(f"memory {memory.name} is not ready", error)
        return False
    return True


class ReadinessProbe:
    """Whether the service is ready: whether at least one memory is.

    One database that is down must not stop traffic to the memories of the others. It may take
    seconds to find out that it is down, so the database that was ready last is asked first.
    """

    def __init__(self) -> None:
        # Threads may overwrite each other's; that costs time, and the answer is still right.
        self._last_ready = ""

    def is_ready(self, memories: Iterable[Memory]) -> bool:
        """Ask one memory of each database, until one is ready. Without memories, it is ready."""
        one_of_each = {memory.store.using: memory for memory in memories}
        for using in sorted(one_of_each, key=lambda using: using != self._last_ready):
            if is_ready(one_of_each[using]):
                self._last_ready = using
                return True
        return not one_of_each
