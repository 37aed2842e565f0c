"""OpenTelemetry's spans of requests, transactions and statements; none unless it is switched on.

They have no content, no memory_id, no text of a statement and no driver's words: any of these may
hold what somebody said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

from convstore import __version__
from convstore.request_log import RequestRecord, current_record

# The standard variables that say where spans go, and those that turn them off.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
DISABLED, EXPORTER = "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"
# What of a request's line is in its span, too. The sentence of an error quotes what a client sent.
NAMES = (
    *("request_id", "door", "memory", "version", "conversation", "queue_ms", "database_ms"),
    *("retries", "bytes_in", "bytes_out", "stored", "bytes_stored", "window"),
)
NOTHING: AbstractContextManager[None] = nullcontext()

# The module opentelemetry.trace and a tracer of it; None while nothing is traced.
_trace: Any = None
_tracer: Any = None


# --- Switched on and off -----------------------------------------------------------------


def is_wanted() -> bool:
    """Whether OpenTelemetry's standard variables say that spans are to be sent, and where."""
    is_off = os.environ.get(DISABLED, "").lower() == "true" or os.environ.get(EXPORTER) == "none"
    return not is_off and any(map(os.environ.get, ENDPOINTS))


def is_installed() -> bool:
    packages = ("opentelemetry", "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
    try:
        return all(map(find_spec, packages))
    except ModuleNotFoundError:  # a package that holds the others
        return False


def start_tracing() -> None:
    """Send spans from now on, by the standard variables; after a fork, and only if it is wanted."""
    global _trace, _tracer
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    service = Resource({"service.name": "convstore", "service.version": __version__})
    # Not the global provider, which may be MLServer's.
    provider = TracerProvider(resource=service.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _trace, _tracer = trace, provider.get_tracer("convstore", __version__)


def is_on() -> bool:
    return _tracer is not None


# --- A request ---------------------------------------------------------------------------


def begin_span(record: RequestRecord, headers: Mapping[str, str]) -> None:
    """Begin the span of a request whose headers have these names, in small letters.

    It belongs to the span that MLServer made of it, or to the one that the client names.
    """
    from opentelemetry.propagate import extract

    around = _trace.get_current_span()
    parent = None if around.get_span_context().is_valid else extract(headers)
    begun = time.time_ns() - int((time.monotonic() - record.begun) * 1e9)
    record.span = _tracer.start_span(
        "request", parent, kind=_trace.SpanKind.SERVER, start_time=begun
    )
    record.trace_id = format(record.span.get_span_context().trace_id, "032x")
    record.at_end = _end_span


def _end_span(record: RequestRecord) -> None:
    span = record.span
    fields = record.fields()
    span.update_name(
        f"{record.method or record.door} {record.route or record.memory or ''}".strip()
    )
    span.set_attributes({f"convstore.{name}": fields[name] for name in NAMES if name in fields})
    standard = {
        "http.request.method": record.method,
        "http.route": record.route,
        "http.response.status_code": record.status,
        "client.address": record.client,
    }
    span.set_attributes({name: value for name, value in standard.items() if value is not None})
    if (record.status or 0) >= 500:
        span.set_status(_trace.StatusCode.ERROR)
    span.end()


# --- What it does in the database --------------------------------------------------------


def transaction_span(connection: Any) -> AbstractContextManager[None]:
    """A span for one try of a transaction, and one in it for each statement."""
    if _tracer is None:
        return NOTHING
    span = current_record().span
    return _transaction(connection) if span is not None and span.is_recording() else NOTHING


@contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    with (
        _span("transaction", _trace.SpanKind.INTERNAL, connection.vendor),
        connection.execute_wrapper(_statement),
    ):
        yield


def _statement(
    execute: Callable[..., Any], sql: Any, parameters: Any, many: bool, context: Mapping[str, Any]
) -> Any:
    """Django calls this in place of each statement."""
    word = str(sql).split(None, 1)[0].upper()
    operation = word if word.isascii() and word.isalpha() else "SQL"
    with _span(operation, _trace.SpanKind.CLIENT, context["connection"].vendor):
        return execute(sql, parameters, many, context)


@contextmanager
def _span(name: str, kind: Any, vendor: str) -> Iterator[None]:
    """A span inside the record's current one, which it is until its end."""
    record = current_record()
    outer = record.span
    inside, attributes = _trace.set_span_in_context(outer), {"db.system.name": vendor}
    record.span = span = _tracer.start_span(name, inside, kind=kind, attributes=attributes)
    try:
        yield
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(_trace.StatusCode.ERROR)
        raise
    finally:
        record.span = outer
        span.end()
