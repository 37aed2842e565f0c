"""The runtime under the name that existing model-settings.json files give it.

MLServer loads this module anew with each model, so nothing is kept here.
"""

from __future__ import annotations

from mlserver_bridge.runtime import ConversationalMemory

__all__ = ["ConversationalMemory"]
