"""Traces: a request, its transaction and its statements arrive at a collector, without content."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from convstore import tracing
from convstore.store import conversation_key
from memory_api import deploy_checks
from testing.bodies import append_request, new_id, read_request
from testing.collector import Collector, attributes, children
from testing.mlserver import MLServer
from testing.service import Service, write_memories
from tests.mlserver.test_request_lines import WAYS

pytestmark = pytest.mark.one_database

SECRET = "Nobody may read this"
SERVER, INTERNAL, CLIENT = 2, 1, 3
ERROR = 2


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector, tmp_path_factory) -> Iterator[Service]:
    """A service that sends its spans to the collector."""
    folder = tmp_path_factory.mktemp("traced")
    write_memories(folder / "models")
    variables = {**collector.environment, "OTEL_RESOURCE_ATTRIBUTES": "deployment=tests"}
    with Service(folder, MODELS_DIR=str(folder / "models"), **variables) as service:
        yield service


def parent() -> tuple[str, str, dict[str, str]]:
    """Ids of a trace and a span that a client made, and the header that tells of them."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, {"traceparent": f"00-{trace_id}-{span_id}-01"}


def has_root(span_id: str) -> Any:
    """A parent is sent after what is in it, or with that."""
    return lambda spans: bool(children(spans, bytes.fromhex(span_id)))


@pytest.mark.needs("otel")
def test_a_request_and_what_it_does_in_the_database_are_one_trace(traced, collector):
    memory_id, request_id = new_id(), new_id()
    trace_id, span_id, headers = parent()
    url = f"{traced.url}/v2/models/memory/infer"
    headers |= {"X-Request-Id": request_id}
    requests.post(url, json=append_request(memory_id, SECRET), headers=headers, timeout=30)

    spans = collector.trace(trace_id, has_root(span_id))
    (request,) = children(spans, bytes.fromhex(span_id))
    (transaction,) = children(spans, request.span_id)
    statements = children(spans, transaction.span_id)
    assert (request.name, request.kind) == ("POST /v2/models/<name>/infer", SERVER)
    assert (transaction.name, transaction.kind) == ("transaction", INTERNAL)
    assert len(statements) + 2 == len(spans)
    assert {each.kind for each in statements} == {CLIENT}
    assert {each.name for each in statements} >= {"INSERT", "SELECT"}
    said = attributes(request)
    assert said["http.response.status_code"] == 200
    assert said["convstore.request_id"] == request_id
    assert said["convstore.memory"] == "memory"
    assert said["convstore.conversation"] == str(conversation_key(memory_id))
    assert attributes(statements[0]) == {"db.system.name": "sqlite"}
    assert request.start_time_unix_nano <= transaction.start_time_unix_nano
    assert transaction.end_time_unix_nano <= request.end_time_unix_nano
    resource = attributes(collector.resources[trace_id])
    assert (resource["service.name"], resource["deployment"]) == ("convstore", "tests")
    assert f"trace_id={trace_id}" in traced.log.read_text()


@pytest.mark.needs("otel")
def test_a_request_that_fails_says_so_without_its_sentence(traced, collector):
    for memory, status in (("memory", 400), ("down", 503)):
        trace_id, span_id, headers = parent()
        url = f"{traced.url}/v2/models/{memory}/infer"
        body = append_request(SECRET, SECRET) if memory == "down" else {"inputs": [{SECRET: 1}]}
        assert requests.post(url, json=body, headers=headers, timeout=30).status_code == status
        spans = collector.trace(trace_id, has_root(span_id))
        (request,) = children(spans, bytes.fromhex(span_id))
        assert attributes(request)["http.response.status_code"] == status
        assert (request.status.code == ERROR) == (status >= 500)


@pytest.mark.needs("otel")
def test_a_client_that_is_not_traced_begins_a_trace_and_probes_begin_none(traced, collector):
    memory_id = new_id()
    requests.get(f"{traced.url}/v2/health/live", timeout=30)
    requests.get(f"{traced.url}/metrics", timeout=30)
    url = f"{traced.url}/v2/models/memory/infer"
    requests.post(url, json=read_request(memory_id), timeout=30)
    (line,) = [
        s for s in traced.log.read_text().splitlines() if str(conversation_key(memory_id)) in s
    ]
    trace_id = line.partition("trace_id=")[2].split()[0]
    collector.trace(trace_id, has_root(""))
    assert not [span for span in collector.spans if "health" in span.name or "metrics" in span.name]


@pytest.mark.needs("otel")
def test_a_trace_that_is_not_sampled_sends_nothing(traced, collector):
    trace_id, _, headers = parent()
    headers = {"traceparent": headers["traceparent"][:-1] + "0"}
    url = f"{traced.url}/v2/models/memory/infer"
    requests.post(url, json=append_request(new_id(), "Hi"), headers=headers, timeout=30)
    later, span_id, headers = parent()
    requests.post(url, json=append_request(new_id(), "Hi"), headers=headers, timeout=30)
    collector.trace(later, has_root(span_id))
    assert not [span for span in collector.spans if span.trace_id.hex() == trace_id]


@pytest.mark.needs("otel", "mlserver", "mlserver-otel")
def test_mlservers_doors_go_on_with_the_trace_of_a_pipeline(collector, tmp_path):
    write_memories(tmp_path / "models")
    with MLServer(tmp_path, tmp_path / "models", **collector.environment) as mlserver:
        for way, send in WAYS.items():
            memory_id = new_id()
            trace_id, span_id, headers = parent()
            send(mlserver, append_request(memory_id, SECRET), "memory", *headers.items())
            spans = collector.trace(trace_id, has_root(span_id))
            (request,) = children(spans, bytes.fromhex(span_id))
            assert attributes(request)["convstore.door"] == way
            assert attributes(request)["convstore.conversation"] == str(conversation_key(memory_id))
            (transaction,) = children(spans, request.span_id)
            assert children(spans, transaction.span_id)


@pytest.mark.needs("otel")
def test_no_span_has_what_was_said(traced, collector):
    """Also not those of the other tests here, whatever their order."""
    memory_id = new_id()
    trace_id, span_id, headers = parent()
    url = f"{traced.url}/v2/models/memory/infer"
    requests.post(url, json=append_request(memory_id, SECRET), headers=headers, timeout=30)
    collector.trace(trace_id, has_root(span_id))
    for body in collector.received:
        assert SECRET.encode() not in body
        assert memory_id.encode() not in body


# --- Off ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_it_is_off_until_the_standard_variables_name_a_collector(monkeypatch, variables, wanted):
    for name in (*tracing.ENDPOINTS, tracing.DISABLED, tracing.EXPORTER):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert tracing.is_wanted() is wanted


def test_off_it_makes_nothing():
    assert not tracing.is_on()
    assert tracing.transaction_span(None) is tracing.NOTHING


def test_a_missing_package_is_said(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    for is_there, expected in ((False, ["memory_api.W015"]), (True, [])):
        monkeypatch.setattr(tracing, "is_installed", lambda there=is_there: there)
        assert [message.id for message in deploy_checks.check_log()] == expected
