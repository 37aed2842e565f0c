"""Requests for a model that there is not: one line in the log and one counter, as at the HTTP door.

MLServer 1.7 makes a label in its own metrics of each name that a client sends, and keeps it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mlserver import MLModel
from mlserver.errors import MLServerError, ModelNotFound
from mlserver.handlers.dataplane import DataPlane

from convstore.request_log import begin_record, current_record
from memory_api.metrics import unknown_models

# As in the HTTP door's sentence.
MAX_NAME_CHARACTERS = 100

infer_contextmanager = DataPlane._infer_contextmanager


def refuse_unknown_models() -> None:
    """From now on, refuse requests for unknown models before MLServer makes labels of them."""
    DataPlane._infer_contextmanager = _of_known_model


def has_model(data_plane: Any, name: str) -> bool:
    """Whether MLServer has a model of this name, in whatever version."""
    return name in data_plane._model_registry._models


def unknown_model(name: str, version: str | None) -> MLServerError:
    """The error for a name or version that there is not. Counts it, and writes its line."""
    version = version[:MAX_NAME_CHARACTERS] if version else None
    error: MLServerError = ModelNotFound(name[:MAX_NAME_CHARACTERS], version)
    unknown_models.inc()
    record = current_record()
    if not record.door:
        record = begin_record("mlserver", None)
    record.status, record.error = error.status_code, str(error)
    record.write()
    return error


@asynccontextmanager
async def _of_known_model(
    self: Any, name: str, version: str | None = None
) -> AsyncIterator[MLModel]:
    try:
        await self._model_registry.get_model(name, version)
    except ModelNotFound:
        raise unknown_model(name, version) from None
    async with infer_contextmanager(self, name, version) as model:
        yield model
