"""The MLServer door: the memories as an MLServer runtime. Importing it makes Django ready."""

from __future__ import annotations

from mlserver_bridge.bootstrap import set_up_django

set_up_django()
