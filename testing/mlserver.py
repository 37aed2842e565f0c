"""MLServer as a process, started the way the README says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Self

import grpc
from tritonclient.grpc import service_pb2_grpc

from convstore.conf import DEFAULT_MAX_BODY_BYTES
from testing.processes import SHIPPED_MODELS, Process, free_port

LARGEST_MESSAGE = DEFAULT_MAX_BODY_BYTES


class MLServer(Process):
    """`make mlserver` in a checkout under `folder`, on free ports; stopped at the end.

    `settings` are changes of the settings.json that is shipped with the models.
    """

    target = "mlserver"
    ready = "/v2/health/ready"

    def __init__(
        self, folder: Path, models: Path, settings: dict[str, Any] | None = None, **environment: str
    ) -> None:
        self.grpc_port = free_port()
        self.metrics_port = free_port()
        shipped = json.loads((SHIPPED_MODELS / "settings.json").read_text())
        # A copy, since a file beside the models is what MLServer reads its settings from.
        self.models = folder / "models"
        if not self.models.exists():
            shutil.copytree(models, self.models)
        (self.models / "settings.json").write_text(json.dumps({**shipped, **(settings or {})}))
        super().__init__(folder, MODELS_DIR=str(self.models), **environment)
        self.environment |= {
            "MLSERVER_HTTP_PORT": str(self.port),
            "MLSERVER_GRPC_PORT": str(self.grpc_port),
            "MLSERVER_METRICS_PORT": str(self.metrics_port),
        }

    def __enter__(self) -> Self:
        super().__enter__()
        size = [(f"grpc.max_{way}_message_length", LARGEST_MESSAGE) for way in ("send", "receive")]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=size)
        self.grpc = service_pb2_grpc.GRPCInferenceServiceStub(self.channel)
        return self

    def __exit__(self, *error: object) -> None:
        self.channel.close()
        super().__exit__(*error)
