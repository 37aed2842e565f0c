"""The MLServer door: memories as an MLServer runtime. Importing this package sets Django up."""

from __future__ import annotations

from mlserver_bridge.bootstrap import set_up_django

set_up_django()
