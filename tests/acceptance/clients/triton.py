"""tritonclient.http against the service: python triton.py http://host:port MEMORY.

Each mode of sending tensors, with each compression of requests and of replies.
"""

from __future__ import annotations

import itertools
import json
import sys
import uuid

import numpy
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

# Long enough for a reply to be compressed.
TEXT = 'Hi 👋🏽, "quoted" \\ and\nnew\r\nlines\tand 中文, שלום, naïve \u2028. ' * 10
COMPRESSIONS = (None, "gzip", "deflate")


def tensor(name: str, values: list[str], binary: bool) -> InferInput:
    made = InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(numpy.array(values, dtype=numpy.object_), binary_data=binary)
    return made


def infer(client: InferenceServerClient, memory: str, tensors: dict, mode: str, **options: object):
    """One inference; its `memory_id` and the text of its `history`."""
    binary_in, outputs = MODES[mode]
    inputs = [tensor(name, values, binary_in) for name, values in tensors.items()]
    result = client.infer(memory, inputs, outputs=outputs, **options)
    # So it was sent the way that was asked for.
    for name in ("memory_id", "history"):
        assert ("data" in result.get_output(name)) == (mode == "JSON"), result.get_response()
    return [
        [text(element) for element in result.as_numpy(name).reshape(-1)]
        for name in ("memory_id", "history")
    ]


def text(element: bytes | str) -> str:
    return element.decode() if isinstance(element, bytes) else element


MODES = {
    # No outputs given: the client asks for all of them in binary.
    "binary": (True, None),
    "binary outputs": (True, [InferRequestedOutput("memory_id"), InferRequestedOutput("history")]),
    "JSON": (
        False,
        [
            InferRequestedOutput("memory_id", binary_data=False),
            InferRequestedOutput("history", binary_data=False),
        ],
    ),
}


def health_and_metadata(client: InferenceServerClient, memory: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(memory)
    assert not client.is_model_ready("down")
    assert not client.is_model_ready("nope")
    server = client.get_server_metadata()
    assert server.keys() == {"name", "version", "extensions"}
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata(memory)
    assert model["name"] == memory
    assert [each["name"] for each in model["inputs"]] == ["memory_id", "role", "content", "type"]
    assert [each["name"] for each in model["outputs"]] == ["memory_id", "history"]
    index = client.get_model_repository_index()
    assert {"name": memory, "state": "READY", "reason": ""} in index


def conversation(client: InferenceServerClient, memory: str, mode: str, **options: object) -> None:
    """An empty history, then a message, then the same read back."""
    memory_id = str(uuid.uuid4())
    read = {"memory_id": [memory_id]}
    message = {"role": ["user"], "content": [TEXT, "🙂"], "type": ["text", "text"]}
    assert infer(client, memory, read, mode, **options) == [[memory_id], []]
    first = infer(client, memory, {**read, **message}, mode, **options)
    assert infer(client, memory, read, mode, **options) == first
    ids, history = first
    assert ids == [memory_id]
    parts = [{"type": "text", "value": TEXT}, {"type": "text", "value": "🙂"}]
    assert [json.loads(element) for element in history] == [{"role": "user", "content": parts}]


def errors(client: InferenceServerClient, memory: str) -> None:
    inputs = [tensor("memory_id", ["x"], binary=True)]
    for name, asked, status, sentence in (
        ("nope", inputs, "404", "Model nope not found"),
        (memory, [tensor("role", ["user"], binary=True)], "400", "memory_id"),
    ):
        failure = None
        try:
            client.infer(name, asked)
        except InferenceServerException as error:
            failure = error
        assert failure is not None, f"{name} answered, where {status} was due"
        assert failure.status() == status, failure
        assert sentence in failure.message(), failure


def main(url: str, memory: str) -> None:
    with InferenceServerClient(url.removeprefix("http://")) as client:
        health_and_metadata(client, memory)
        errors(client, memory)
        count = 0
        for mode, sent, received in itertools.product(MODES, COMPRESSIONS, COMPRESSIONS):
            conversation(
                client,
                memory,
                mode,
                request_compression_algorithm=sent,
                response_compression_algorithm=received,
            )
            count += 1
    sys.stdout.write(f"tritonclient: {count} conversations\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
