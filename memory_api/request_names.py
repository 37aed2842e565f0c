"""The names in a request: which are known, which are mistyped, and which nobody here reads.

Pipelines hand whole outputs on, so unknown tensors and parameters are allowed and counted. A name
that is nearly a known one is refused: its sender would wait for something that does not happen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache

from convstore.messages import TOKENS
from memory_api import v2
from memory_api.did_you_mean import refuse_misspelt
from memory_api.errors import BadRequest
from memory_api.memory import DEFAULT_TENSOR_NAMES, Memory
from memory_api.metrics import metrics_of

# What a memory does by a request's parameters; the metadata list them.
WINDOW_PARAMETERS = ("window_size", "window_unit", "window_tokens")
PARAMETERS = (
    "binary_data_output",
    "expected_position",
    "idempotency_key",
    "memory_parameters",
    "positions",
    "stale",
    *WINDOW_PARAMETERS,
)
# Words of their own, which nobody sends for a parameter that they are like.
OTHER_WORDS = frozenset({"scale", "stable", "stage", "state", "style"})
# MLServer's own, which say nothing to a memory.
OF_MLSERVER = ("content_type", "headers")
MEMORY_ID = "memory_id"


def check_names(memory: Memory, request: v2.InferRequest) -> None:
    """Refuse names that are nearly known, and count what is not. Raises BadRequest."""
    measured = metrics_of(*memory.labels)
    tensors = {tensor.name for tensor in request.inputs}
    if unknown := tensors.difference(_known_tensors(memory.tensor_names)):
        refuse_misspelt(unknown, _known_tensors(memory.tensor_names), "tensor")
        measured.unknown_tensors.inc()
    if unknown := set(request.parameters).difference(PARAMETERS, OF_MLSERVER):
        refuse_misspelt(unknown - OTHER_WORDS, PARAMETERS, "parameter")
        measured.unknown_parameters.inc()
    older = request.parameters.get("memory_parameters")
    if isinstance(older, dict) and (unknown := set(older).difference(WINDOW_PARAMETERS)):
        # Some clients send null for a parameter that they do not set.
        sent = [name for name in unknown if older[name] is not None]
        _refuse_misplaced(sent, "in 'memory_parameters'")
        refuse_misspelt(unknown - OTHER_WORDS, PARAMETERS, "parameter")
        measured.unknown_parameters.inc()
    if request.unknown_fields:
        _refuse_misplaced(request.unknown_fields, "beside 'inputs'")
        refuse_misspelt(request.unknown_fields, ("parameters", "outputs"), "field")


@cache
def _known_tensors(tensor_names: Sequence[str]) -> Collection[str]:
    return dict.fromkeys((MEMORY_ID, *tensor_names, *DEFAULT_TENSOR_NAMES, TOKENS))


def _refuse_misplaced(unknown: Iterable[str], where: str) -> None:
    for name in sorted(unknown):
        if name in PARAMETERS:
            raise BadRequest(f"'{name}' is {where}; send it in 'parameters' of the request")
