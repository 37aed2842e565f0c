"""The names in a request: which are known, which are mistyped, and which nobody here reads.

Pipelines hand whole outputs on, so unknown tensors and parameters are allowed and counted. A name
that is nearly a known one is refused: its sender would wait for something that does not happen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from convstore.messages import TOKENS
from memory_api import v2
from memory_api.did_you_mean import did_you_mean, refuse_misspelt
from memory_api.errors import BadRequest, quote
from memory_api.input_tensors import Input
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
# Of an input or of an output.
OF_TENSORS = frozenset((*OF_MLSERVER, "binary_data", "binary_data_size"))
# Fields of a memory's settings that no other step of a pipeline has. `path`, `url` and
# `model_type` are words of others, too.
OF_SETTINGS = frozenset(
    {
        "auto_migrate",
        "connection_options",
        "idempotency",
        "read_url",
        "stale_reads",
        "tensor_names",
        "window_items",
    }
)
MEMORY_ID = "memory_id"


def check_names(memory: Memory, request: v2.InferRequest) -> None:
    """Refuse names that are nearly known or misplaced, and count others. Raises BadRequest."""
    measured = metrics_of(*memory.labels)
    tensors = {tensor.name for tensor in request.inputs}
    if unknown := tensors.difference(_known_tensors(memory.tensor_names)):
        refuse_misspelt(unknown, _known_tensors(memory.tensor_names), "tensor")
        measured.unknown_tensors.inc()
    unknown = set(request.parameters).difference(PARAMETERS, OF_MLSERVER)
    if unknown:
        _refuse_settings(_sent(unknown, request.parameters))
        refuse_misspelt(unknown - OTHER_WORDS, PARAMETERS, "parameter")
    every: tuple[Input | v2.Output, ...] = (*request.inputs, *(request.outputs or ()))
    for tensor in every:
        if not OF_TENSORS.issuperset(tensor.parameters):
            unknown |= _unknown_of_tensor(tensor)
    if unknown:
        measured.unknown_parameters.inc()
    older = request.parameters.get("memory_parameters")
    if isinstance(older, dict) and (others := set(older).difference(WINDOW_PARAMETERS)):
        _refuse_others_in_older_form(_sent(others, older))
    if request.unknown_fields:
        refuse_fields(request.unknown_fields)


def refuse_fields(unknown: Collection[str]) -> None:
    """Refuse a field beside `inputs` that is a parameter, or nearly one or a field of V2."""
    _refuse_misplaced(unknown, "beside 'inputs'")
    refuse_misspelt(set(unknown) - OTHER_WORDS, (*v2.FIELDS, *PARAMETERS), "field")


def refuse_query(names: Collection[str]) -> None:
    """Refuse a parameter, or nearly one, in the query of the URL. Others are a proxy's, perhaps."""
    _refuse_misplaced(names, "in the query of the URL")
    refuse_misspelt(set(names) - OTHER_WORDS, PARAMETERS, "parameter")


def _unknown_of_tensor(tensor: Input | v2.Output) -> set[str]:
    unknown = _sent(set(tensor.parameters) - OF_TENSORS, tensor.parameters)
    _refuse_misplaced(unknown, f"in 'parameters' of {quote(tensor.name)}")
    refuse_misspelt(unknown - OTHER_WORDS, (*PARAMETERS, *sorted(OF_TENSORS)), "parameter")
    return unknown


def _refuse_others_in_older_form(sent: Collection[str]) -> None:
    """Only a memory reads this form, and pipelines cannot hand it on: nobody else reads them."""
    _refuse_misplaced(sent, "in 'memory_parameters'")
    for name in sorted(sent):
        raise BadRequest(
            f"there is no parameter {quote(name)} in 'memory_parameters'; it has"
            f" {', '.join(WINDOW_PARAMETERS)}{did_you_mean(name, WINDOW_PARAMETERS)}"
        )


def _refuse_settings(sent: Collection[str]) -> None:
    for name in sorted(OF_SETTINGS.intersection(sent)):
        raise BadRequest(
            f"'{name}' is a field of model-settings.json, and no parameter; set it there"
        )


def _sent(names: Collection[str], values: Mapping[str, Any]) -> set[str]:
    """Without those that are null, as some clients send a parameter that they do not set."""
    return {name for name in names if values[name] is not None}


@cache
def _known_tensors(tensor_names: Sequence[str]) -> Collection[str]:
    return dict.fromkeys((MEMORY_ID, *tensor_names, *DEFAULT_TENSOR_NAMES, TOKENS))


def _refuse_misplaced(unknown: Iterable[str], where: str) -> None:
    for name in sorted(unknown):
        if name in PARAMETERS:
            raise BadRequest(f"'{name}' is {where}; send it in 'parameters' of the request")
