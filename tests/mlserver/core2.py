"""MLServer as a pod of Seldon Core 2 starts it, and what Seldon's agent and gateways ask of it.

The environment is that of the stock ServerConfig; there is no settings.json. All of it goes
over gRPC, as raw messages.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from testing.bodies import pack_elements, unpack_elements
from testing.processes import ROOT, Process, free_port
from tests.machine import DATABASES

IMPLEMENTATION = "mlserver_memory.ConversationalMemory"
LARGEST_MESSAGE = 1048576000
ANSWER_SECONDS = 30
# How databases differ is the store's, whose own tests show it on every one.
KINDS = [kind for kind in DATABASES if kind in ("sqlite", "postgresql")] or DATABASES


class Core2Server(Process):
    """`mlserver start` on an empty folder of models, with nothing loaded; `agent` loads them."""

    target = "mlserver"

    def __init__(self, folder: Path, workers: int = 0, **environment: str) -> None:
        super().__init__(folder)
        self.working = folder / "working"
        self.working.mkdir()
        self.agent = Agent(self, folder / "models")
        self.grpc_port, self.metrics_port = free_port(), free_port()
        self.environment |= {
            "PYTHONPATH": str(ROOT),  # where an image has the runtime installed
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": str(self.port),
            "MLSERVER_GRPC_PORT": str(self.grpc_port),
            "MLSERVER_METRICS_PORT": str(self.metrics_port),
            "MLSERVER_MODELS_DIR": str(self.agent.folder),
            "MLSERVER_PARALLEL_WORKERS": str(workers),
            "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
            "MLSERVER_GRPC_MAX_MESSAGE_LENGTH": str(LARGEST_MESSAGE),
            "MLSERVER_DEBUG": "false",
            **environment,
        }

    def __enter__(self) -> Self:
        mlserver = ROOT / ".venv-mlserver" / "bin" / "mlserver"
        self.start([mlserver, "start", self.agent.folder], self.working)
        self.channel, self.grpc = self.connected()
        return self

    def __exit__(self, *error: object) -> None:
        self.channel.close()
        if self.process.poll() is None:
            super().__exit__(*error)

    def connected(self) -> tuple[Any, Any]:
        """A channel of its own and the service behind it."""
        options = [
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            ("grpc.use_local_subchannel_pool", 1),  # or all channels share one connection
        ]
        channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=options)
        return channel, service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def infer(self, request: pb.ModelInferRequest, request_id: str = "") -> pb.ModelInferResponse:
        return self.grpc.ModelInfer(request, timeout=ANSWER_SECONDS, metadata=called(request_id))

    def state(self, model: str) -> str:
        """What the repository's index says of a model; "" where it does not know it."""
        index = self.grpc.RepositoryIndex(pb.RepositoryIndexRequest()).models
        states: dict[str, str] = {each.name: each.state for each in index}
        return states.get(model, "").removeprefix("State.")


def called(request_id: str) -> tuple[tuple[str, str], ...]:
    """The metadata with which Seldon's gateways call a request by its id."""
    return (("x-request-id", request_id),) if request_id else ()


# --- The agent ---------------------------------------------------------------------------

KEPT = ("name", "platform", "versions", "parallel_workers", "implementation")
KEPT_OF_A_TENSOR = ("name", "shape", "datatype")
KEPT_PARAMETERS = ("uri", "version", "format", "content_type", "extra", "environment_tarball")


class Agent:
    """Puts models into `folder`, which the server may only read, and has them loaded."""

    def __init__(self, server: Core2Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.written: set[Path] = set()
        folder.mkdir()
        folder.chmod(0o555)

    def put(self, artifact: Mapping[str, Any], version: int = 1, **strings: str) -> str:
        """Copy a model's settings as the agent rewrites them; the name that it gives the model.

        `strings` are what a Model has in its spec.parameters.
        """
        name = f"{artifact['name']}_{version}"
        self.write(name, json.dumps(rewritten(artifact, version, strings)))
        return name

    def write(self, name: str, text: str) -> None:
        path = self.folder / name / "model-settings.json"
        self.folder.chmod(0o755)
        path.parent.mkdir(exist_ok=True)
        path.parent.chmod(0o755)
        path.write_text(text)
        path.parent.chmod(0o555)
        self.folder.chmod(0o555)
        self.written |= {path.parent, path}

    def remove(self, name: str) -> None:
        self.folder.chmod(0o755)
        shutil.rmtree(self.folder / name)
        self.folder.chmod(0o555)
        self.written -= {self.folder / name, self.folder / name / "model-settings.json"}

    def load(self, name: str) -> None:
        """Or reload. Raises grpc.RpcError."""
        self.server.grpc.RepositoryModelLoad(
            pb.RepositoryModelLoadRequest(model_name=name), timeout=ANSWER_SECONDS
        )

    def unload(self, name: str) -> None:
        self.server.grpc.RepositoryModelUnload(
            pb.RepositoryModelUnloadRequest(model_name=name), timeout=ANSWER_SECONDS
        )

    def loaded(self, artifact: Mapping[str, Any], version: int = 1, **strings: str) -> str:
        """`put` and `load` in one; the name."""
        name = self.put(artifact, version, **strings)
        self.load(name)
        return name


def rewritten(
    artifact: Mapping[str, Any], version: int, strings: Mapping[str, str]
) -> dict[str, Any]:
    """A model-settings.json after it went through the agent's own idea of one."""
    parameters = {k: v for k, v in artifact.get("parameters", {}).items() if k in KEPT_PARAMETERS}
    parameters["extra"] = {**parameters.get("extra", {}), **strings}
    parameters["version"] = str(version)
    tensors = {
        side: [{k: v for k, v in tensor.items() if k in KEPT_OF_A_TENSOR} for tensor in described]
        for side in ("inputs", "outputs")
        if (described := artifact.get(side))
    }
    return {
        **{key: value for key, value in artifact.items() if key in KEPT},
        **tensors,
        "name": f"{artifact['name']}_{version}",
        "parameters": parameters,
    }


def memory(name: str, url: str, **config: Any) -> dict[str, Any]:
    """The model-settings.json of a memory over the database at `url`, as somebody wrote it."""
    return {
        "name": name,
        "implementation": IMPLEMENTATION,
        "parameters": {"extra": {"database": "sql", "config": {"url": url, **config}}},
    }


# --- The gateways ------------------------------------------------------------------------


def request(
    model: str, tensors: Mapping[str, Sequence[str]], *, raw: bool = False, window_size: int = 0
) -> pb.ModelInferRequest:
    """A request as a pipeline's step gets it: without an id, its tensors of the shape [n, 1]."""
    made = pb.ModelInferRequest(model_name=model)
    for name, values in tensors.items():
        sent = made.inputs.add(name=name, datatype="BYTES", shape=[len(values), 1])
        sent.parameters["content_type"].string_param = "str"
        elements = [value.encode() for value in values]
        if raw:
            made.raw_input_contents.append(pack_elements(*elements))
        else:
            sent.contents.bytes_contents.extend(elements)
    if window_size:
        made.parameters["window_size"].int64_param = window_size
    return made


def saying(memory_id: str, text: str, role: str = "user") -> dict[str, list[str]]:
    """The tensors that say one text."""
    return {"memory_id": [memory_id], "role": [role], "content": [text], "type": ["text"]}


def tensors_of(response: pb.ModelInferResponse) -> dict[str, list[str]]:
    """The strings of each output, by name, whichever way they came."""
    found = {}
    for n, output in enumerate(response.outputs):
        elements = output.contents.bytes_contents
        if response.raw_output_contents:
            elements = unpack_elements(response.raw_output_contents[n])
        found[output.name] = [element.decode() for element in elements]
        assert list(output.shape) == [len(found[output.name]), 1]
        assert output.datatype == "BYTES"
    return found


def body(text: str, role: str = "user") -> str:
    """The element of `history` that a message of one text comes back as."""
    content = [{"type": "text", "value": text}]
    return json.dumps({"role": role, "content": content}, ensure_ascii=False)
