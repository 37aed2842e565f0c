"""The MLServer runtime, under the name that existing model-settings.json files use.

MLServer loads this module again for each model, so it must not hold any state.
"""

from __future__ import annotations

from mlserver_bridge.runtime import ConversationalMemory

__all__ = ["ConversationalMemory"]
