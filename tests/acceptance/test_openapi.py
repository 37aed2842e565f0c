"""The OpenAPI document: true, served with its page, and 2,000 cases made out of it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import requests
import schemathesis
from django.core.management import call_command
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from testing import bodies
from tests.length import times

pytestmark = pytest.mark.one_database

CASES = times(100, soak=2000)
INFER = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
A_MEMORY = {"name": "versioned", "version": "3"}


@pytest.fixture
def schema(service) -> Any:
    return schemathesis.openapi.from_url(f"{service.url}/v2/docs/openapi.json")


def test_the_document_is_valid_and_complete(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "openapi"))


def test_the_document_has_every_route_in_the_protocols_own_form(schema):
    assert sorted(schema.raw_schema["paths"]) == [
        "/metrics",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{name}",
        "/v2/models/{name}/infer",
        "/v2/models/{name}/ready",
        "/v2/models/{name}/versions/{version}",
        "/v2/models/{name}/versions/{version}/infer",
        "/v2/models/{name}/versions/{version}/ready",
        "/v2/repository/index",
    ]


def test_the_page_needs_nothing_from_elsewhere(service):
    page = requests.get(f"{service.url}/v2/docs", timeout=10)
    assert page.status_code == 200
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) >= 3
    for asset in assets:
        assert asset.startswith("/")
        assert requests.get(service.url + asset, timeout=10).status_code == 200


@pytest.mark.soak
def test_cases_made_from_the_document_bring_no_fault_of_ours(schema):
    narrow(schema.raw_schema["components"]["schemas"])
    statuses: Counter[int] = Counter()
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in INFER:
            for mode in GenerationMode:
                statuses += tried(operation, mode, CASES // 4, **A_MEMORY)
        else:
            statuses += tried(operation, GenerationMode.POSITIVE, CASES // 40)
    assert statuses.total() >= CASES
    assert statuses[200] > CASES // 20
    assert statuses[400] > CASES // 20


def narrow(schemas: dict[str, Any]) -> None:
    """Let cases name the tensors that a memory reads, or few would get past the first check."""
    tensor = schemas["RequestInput"]["properties"]
    tensor["name"]["enum"] = ["role", "content", "type", "another"]
    tensor["data"] |= {"minItems": 1, "maxItems": 2}
    schemas["InferenceRequest"]["properties"]["inputs"] |= {"maxItems": 4}


def tried(operation: Any, mode: GenerationMode, count: int, **path_parameters: str) -> Counter[int]:
    """The statuses of `count` cases; each answer also fits the document."""
    statuses: Counter[int] = Counter()

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(mode, path_parameters=path_parameters))
    def call(case: Any) -> None:
        if operation.path in INFER and mode is GenerationMode.POSITIVE:
            case.body["inputs"].insert(0, bodies.tensor("memory_id", ["one of the cases"]))
        response = case.call()
        case.validate_response(response, checks=[not_a_server_error, response_schema_conformance])
        statuses[response.status_code] += 1

    call()
    return statuses
