"""A collector of OpenTelemetry's spans: an HTTP server that takes what the exporters send."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SECONDS = 30


class Collector:
    """On a free port of loopback.

    It keeps each span, the resource of each trace's last span, and the bytes of each request.
    """

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: dict[str, Any] = {}
        self.received: list[bytes] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a service sends its spans here, and soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def trace(self, trace_id: str, is_whole: Callable[[list[Any]], bool]) -> list[Any]:
        """The spans of one trace, once they are whole."""
        deadline = time.monotonic() + SECONDS
        while True:
            found = [span for span in self.spans if span.trace_id.hex() == trace_id]
            if is_whole(found):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        self.received.append(body)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans = [span for scope in group.scope_spans for span in scope.spans]
            self.resources |= {span.trace_id.hex(): group.resource for span in spans}
            self.spans += spans

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: pytest shows what fails."""

        return Handler


def attributes(span: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }


def children(spans: list[Any], parent: bytes) -> list[Any]:
    return sorted(
        (s for s in spans if s.parent_span_id == parent), key=lambda s: s.start_time_unix_nano
    )
