"""kserve's REST client against the service: python kserve_client.py http://host:port MEMORY."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid

import httpx
import numpy
from kserve import InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

TEXT = 'Hi 👋🏽, "quoted" \\ and\nnew\r\nlines\tand 中文, שלום, naïve \u2028. ' * 10
OUTPUTS = ("memory_id", "history")


def tensor(name: str, values: list[str], binary: bool) -> InferInput:
    made = InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(numpy.array(values, dtype=numpy.object_), binary_data=binary)
    return made


def request(memory: str, tensors: dict[str, list[str]], binary: bool, named: bool) -> InferRequest:
    """Outputs asked for by name, or all at once by the request's own parameter."""
    return InferRequest(
        memory,
        [tensor(name, values, binary) for name, values in tensors.items()],
        request_id=str(uuid.uuid4()),
        parameters=None if named else {"binary_data_output": binary},
        request_outputs=[RequestedOutput(name, {"binary_data": binary}) for name in OUTPUTS]
        if named
        else None,
    )


def values(response: InferResponse) -> list[list[str]]:
    """What the two outputs hold, as text."""
    assert [output.name for output in response.outputs] == list(OUTPUTS)
    return [
        [
            element.decode() if isinstance(element, bytes) else element
            for element in output.as_numpy().reshape(-1)
        ]
        for output in response.outputs
    ]


async def infer(client: InferenceRESTClient, url: str, asked: InferRequest) -> list[list[str]]:
    headers: dict[str, str] = {}
    binary = asked.inputs[0].data is None
    response = await client.infer(url, asked, asked.model_name, response_headers=headers)
    assert response.id == asked.id
    assert response.model_name == asked.model_name
    # So it was sent the way that was asked for.
    assert ("inference-header-content-length" in headers) == binary, headers
    return values(response)


async def health(client: InferenceRESTClient, url: str, memory: str) -> None:
    assert await client.is_server_live(url) is True
    assert await client.is_server_ready(url) is True
    assert await client.is_model_ready(url, memory) is True
    assert await client.is_model_ready(url, "down") is False
    assert await client.is_model_ready(url, "nope") is False


async def conversation(
    client: InferenceRESTClient, url: str, memory: str, binary: bool, named: bool
) -> None:
    """An empty history, then a message, then the same read back."""
    memory_id = str(uuid.uuid4())
    read = {"memory_id": [memory_id]}
    message = {"role": ["user"], "content": [TEXT, "🙂"], "type": ["text", "text"]}
    empty = await infer(client, url, request(memory, read, binary, named))
    assert empty == [[memory_id], []]
    first = await infer(client, url, request(memory, {**read, **message}, binary, named))
    assert await infer(client, url, request(memory, read, binary, named)) == first
    ids, history = first
    assert ids == [memory_id]
    parts = [{"type": "text", "value": TEXT}, {"type": "text", "value": "🙂"}]
    assert [json.loads(element) for element in history] == [{"role": "user", "content": parts}]


async def errors(client: InferenceRESTClient, url: str) -> None:
    failure = None
    try:
        await client.infer(url, request("nope", {"memory_id": ["x"]}, False, True), "nope")
    except httpx.HTTPStatusError as error:
        failure = error
    assert failure is not None, "an unknown memory answered"
    assert failure.response.status_code == 404
    assert "Model nope not found" in str(failure), failure


async def main(url: str, memory: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        await health(client, url, memory)
        await errors(client, url)
        ways = [(binary, named) for binary in (False, True) for named in (False, True)]
        for binary, named in ways:
            await conversation(client, url, memory, binary, named)
    sys.stdout.write(f"kserve: {len(ways)} conversations\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
