"""An LLM's stand-in for MLServer: it answers from the `history` that it is given.

MLServer's own Python imports it, which has none of the tests' packages.
"""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from tests.mlserver.answers import answer


class Llm(MLModel):  # type: ignore[misc]
    """Its tensors are those of Seldon's LLM runtimes: BYTES of [1, 1], and `output_all`."""

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (history,) = [tensor for tensor in payload.inputs if tensor.name == "history"]
        text = answer(StringCodec.decode_input(history))
        tensors = {
            "role": "assistant",
            "content": text,
            "type": "text",
            "output_all": f'{{"choices": ["{text[:2]}"]}}',
        }
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[StringCodec.encode_output(name, [value]) for name, value in tensors.items()],
        )
