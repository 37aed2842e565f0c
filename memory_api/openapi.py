"""What the OpenAPI document says beyond what the routes say themselves.

The schemas are those of the Open Inference Protocol, narrowed to what a memory takes and
gives. drf-spectacular finds the routes and serves document and page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema

from memory_api.contract import LARGEST_WINDOW, OUTPUTS

Schema = dict[Any, Any]
Endpoint = tuple[str, str, str, Callable[..., Any]]


def _object(properties: Schema, *required: str) -> Schema:
    # OpenAPI 3.0 has no empty list of required fields.
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Schema = {"type": "string"}
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
SHAPE = _list({"type": "integer", "minimum": -1})

SCHEMAS: Schema = {
    "Error": _object({"error": TEXT}, "error"),
    "RequestInput": _object(
        {
            "name": {**TEXT, "description": "memory_id, or one of the memory's tensor_names"},
            "shape": _list(
                {"type": "integer", "minimum": 0},
                description="Not held against the data: the number of values in `data` counts.",
            ),
            "datatype": {**TEXT, "enum": ["BYTES"]},
            "parameters": ANYTHING,
            "data": _list(TEXT),
        },
        "name",
        "shape",
        "datatype",
        "data",
    ),
    "RequestOutput": _object(
        {"name": {**TEXT, "enum": list(OUTPUTS)}, "parameters": ANYTHING}, "name"
    ),
    "InferenceRequest": _object(
        {
            "id": TEXT,
            "parameters": _object(
                {"window_size": {"type": "integer", "minimum": 1, "maximum": LARGEST_WINDOW}}
            ),
            "inputs": _list(_ref("RequestInput")),
            "outputs": _list(_ref("RequestOutput")),
        },
        "inputs",
    ),
    "ResponseOutput": _object(
        {
            "name": TEXT,
            "shape": SHAPE,
            "datatype": TEXT,
            "parameters": ANYTHING,
            "data": _list(TEXT),
        },
        "name",
        "shape",
        "datatype",
        "data",
    ),
    "InferenceResponse": _object(
        {
            "model_name": TEXT,
            "model_version": TEXT,
            "id": TEXT,
            "parameters": ANYTHING,
            "outputs": _list(_ref("ResponseOutput")),
        },
        "model_name",
        "id",
        "outputs",
    ),
    "ServerMetadata": _object(
        {"name": TEXT, "version": TEXT, "extensions": _list(TEXT)}, "name", "version", "extensions"
    ),
    "TensorMetadata": _object(
        {"name": TEXT, "datatype": TEXT, "shape": SHAPE, "parameters": ANYTHING},
        "name",
        "datatype",
        "shape",
    ),
    "ModelMetadata": _object(
        {
            "name": TEXT,
            "versions": _list(TEXT),
            "platform": TEXT,
            "inputs": _list(_ref("TensorMetadata")),
            "outputs": _list(_ref("TensorMetadata")),
            "parameters": ANYTHING,
        },
        "name",
        "platform",
        "inputs",
        "outputs",
    ),
    "Live": _object({"live": {"type": "boolean"}}, "live"),
    "Ready": _object({"ready": {"type": "boolean"}}, "ready"),
    "ModelReady": _object({"name": TEXT, "ready": {"type": "boolean"}}, "name", "ready"),
    "RepositoryIndex": _list(
        _object({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}, "name", "state")
    ),
}

STORE_A_MESSAGE = OpenApiExample(
    "Store a message and get the window with it",
    value={
        "inputs": [
            {"name": "memory_id", "shape": [1], "datatype": "BYTES", "data": ["6e1f1413"]},
            {"name": "role", "shape": [1], "datatype": "BYTES", "data": ["user"]},
            {"name": "content", "shape": [1], "datatype": "BYTES", "data": ["Hey how are you?"]},
            {"name": "type", "shape": [1], "datatype": "BYTES", "data": ["text"]},
        ]
    },
    request_only=True,
)
GET_THE_HISTORY = OpenApiExample(
    "Get the history",
    value={
        "inputs": [{"name": "memory_id", "shape": [1], "datatype": "BYTES", "data": ["6e1f1413"]}]
    },
    request_only=True,
)

Described = Callable[[Callable[..., Any]], Callable[..., Any]]


def answers(schema: str, summary: str, *errors: int, or_503: bool = False) -> Described:
    """A route that answers 200, and perhaps 503, with `schema`, and `errors` with an Error."""
    responses = {200: _ref(schema), **dict.fromkeys(errors, _ref("Error"))}
    return _described(summary, responses | ({503: _ref(schema)} if or_503 else {}), request=None)


def _described(summary: str, responses: Schema, **more: Any) -> Described:
    # Without a description of its own a route would show its view's docstring.
    return extend_schema(summary=summary, description=summary, responses=responses, **more)


infers = _described(
    "Store messages, when the request has some, and get the window",
    {200: _ref("InferenceResponse")} | dict.fromkeys((400, 404, 413, 500, 503), _ref("Error")),
    request={"application/json": _ref("InferenceRequest")},
    examples=[STORE_A_MESSAGE, GET_THE_HISTORY],
)
exposes = _described("Metrics for Prometheus", {(200, "text/plain"): TEXT})


def without_trailing_slash(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The routes in the form that the protocol prints; the other form works as well."""
    return [(path.rstrip("/") or "/", *rest) for path, *rest in endpoints]  # type: ignore[misc]


def with_schemas(result: Schema, **_: Any) -> Schema:
    """The document with the schemas that its routes refer to, and bodies that must be there."""
    result.setdefault("components", {})["schemas"] = SCHEMAS
    for path in result["paths"].values():
        for operation in path.values():
            if "requestBody" in operation:
                operation["requestBody"]["required"] = True
    return result
