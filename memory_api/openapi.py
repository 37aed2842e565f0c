"""The OpenAPI document's schemas, examples and summaries.

The schemas are those of the Open Inference Protocol, narrowed to what a memory reads and
answers. drf-spectacular finds the routes, and serves the document and its page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema

from convstore.windows import UNITS
from memory_api.contract import OUTPUTS
from memory_api.http_errors import STATUSES
from memory_api.limits import MAX_KEY_CHARACTERS, MAX_TOKENS, MAX_WINDOW_SIZE

Schema = dict[Any, Any]
Endpoint = tuple[str, str, str, Callable[..., Any]]


def _object(properties: Schema, *required: str) -> Schema:
    # OpenAPI 3.0 forbids an empty list of required fields.
    needed = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **needed}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


TEXT: Schema = {"type": "string"}
ANYTHING: Schema = {"type": "object", "additionalProperties": True}
API_KEY: Schema = {"type": "http", "scheme": "bearer"}
SHAPE = _list({"type": "integer", "minimum": -1})

SCHEMAS: Schema = {
    "Error": _object({"error": TEXT}, "error"),
    "RequestInput": _object(
        {
            "name": {**TEXT, "description": "memory_id, or one of the memory's tensor_names"},
            "shape": _list(
                {"type": "integer", "minimum": 0},
                description="Not compared with the data: the number of values in `data` counts.",
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
                {
                    "window_size": {"type": "integer", "minimum": 1, "maximum": MAX_WINDOW_SIZE},
                    "idempotency_key": {
                        **TEXT,
                        "minLength": 1,
                        "maxLength": MAX_KEY_CHARACTERS,
                        "description": "Also as the header Idempotency-Key",
                    },
                    "positions": {"type": "boolean"},
                    "window_unit": {"type": "string", "enum": list(UNITS)},
                    "window_tokens": {"type": "integer", "minimum": 1, "maximum": MAX_TOKENS},
                    "expected_position": {"type": "integer", "minimum": 0},
                    "stale": {"type": "boolean"},
                }
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
    "ModelReady": _object(
        {"name": TEXT, "ready": {"type": "boolean"}, "error": TEXT}, "name", "ready"
    ),
    "RepositoryIndex": _list(
        _object({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}, "name", "state")
    ),
}

STORE_EXAMPLE = OpenApiExample(
    "Store a message and get the window that ends with it",
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
READ_EXAMPLE = OpenApiExample(
    "Only get the window",
    value={
        "inputs": [{"name": "memory_id", "shape": [1], "datatype": "BYTES", "data": ["6e1f1413"]}]
    },
    request_only=True,
)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def describe_route(schema: str, summary: str, *errors: int, or_503: bool = False) -> Decorator:
    """Describe a route that answers 200, or also 503, with `schema`, and `errors` with an Error."""
    responses = {200: _ref(schema), **dict.fromkeys(errors, _ref("Error"))}
    return _describe(summary, responses | ({503: _ref(schema)} if or_503 else {}), request=None)


def _describe(summary: str, responses: Schema, **more: Any) -> Decorator:
    # Without a description, drf-spectacular takes the view's docstring.
    return extend_schema(summary=summary, description=summary, responses=responses, **more)


describe_inference = _describe(
    "Store messages, if the request has some, and get the window",
    {200: _ref("InferenceResponse")}
    | dict.fromkeys(sorted({*STATUSES.values(), 500}), _ref("Error")),
    request={"application/json": _ref("InferenceRequest")},
    examples=[STORE_EXAMPLE, READ_EXAMPLE],
)
describe_index = _describe(
    "List all memories and whether they can serve",
    {200: _ref("RepositoryIndex")} | dict.fromkeys((400, 401, 413, 429, 503), _ref("Error")),
    request={
        "application/json": _object(
            {"ready": {"type": "boolean", "description": "Whether to list only those that can."}}
        )
    },
)
describe_metrics = _describe("Get metrics in Prometheus' format", {(200, "text/plain"): TEXT})


# --- Hooks of drf-spectacular ------------------------------------------------------------


def strip_trailing_slashes(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """The routes as the protocol spells them; with a trailing slash they work as well."""
    return [(path.rstrip("/") or "/", *rest) for path, *rest in endpoints]  # type: ignore[misc]


def add_schemas(result: Schema, **_: Any) -> Schema:
    """Add the schemas and the API key, and mark bodies of inference as required."""
    components = {"schemas": SCHEMAS, "securitySchemes": {"ApiKey": API_KEY}}
    result.setdefault("components", {}).update(components)
    for path, operations in result["paths"].items():
        for operation in operations.values():
            if "401" in operation["responses"]:
                operation["security"] = [{}, {"ApiKey": []}]  # as REQUIRE_API_KEYS has it
            if path.endswith("/infer"):
                operation["requestBody"]["required"] = True
    return result
