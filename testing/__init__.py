"""Real servers and requests, for tests and benchmarks. Imported before gRPC."""

from __future__ import annotations

import os

# The process that starts servers is a client of gRPC too, whose handlers of a fork may end the
# child before it has become a server.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
