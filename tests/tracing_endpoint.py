"""A loopback server that stands for a tracing service: it keeps what really arrived.

Everything a test asserts about a trace was sent by the product's own SDK over HTTP and decoded from
the bytes received here; no key and no network is needed.
"""

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["Endpoint", "Received", "Span"]


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Span:
    """One span as it arrived; `parent` is the name of its parent, None for a root."""

    name: str
    scope: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    status: int
    status_message: str
    attributes: dict[str, Any]
    request: Received
    started: int = 0
    parent: str | None = None
    events: list[str] = field(default_factory=list)


class Endpoint:
    """Answers every request, by default with 200 and an empty object."""

    def __init__(self, answer: Callable[[Received], tuple[int, Any]] | None = None) -> None:
        self.requests: list[Received] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.command, self.path, headers, body)
                outer.requests.append(received)
                status, data = answer(received) if answer else (200, {})
                text = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        for verb in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{verb}", Handler.answer)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.daemon = True
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def paths(self) -> list[str]:
        return [f"{received.method} {received.path}" for received in self.requests]

    def spans(self, path: str = "/v1/traces") -> list[Span]:
        """All OTLP spans that arrived at paths with this ending, in order of their start."""
        found = [
            span
            for received in self.requests
            if received.path.endswith(path)
            for span in _decode(received)
        ]
        names = {span.span_id: span.name for span in found}
        for span in found:
            span.parent = names.get(span.parent_id, "?") if span.parent_id else None
        return sorted(found, key=lambda span: span.started)

    def span(self, name: str) -> Span:
        """The one span of that name."""
        (span,) = [span for span in self.spans() if span.name == name]
        return span

    def everything(self) -> str:
        """All that arrived, headers included, as text to look for what should not be in it."""
        return "\n".join(
            f"{received.method} {received.path} {received.headers}\n"
            f"{received.body.decode('utf-8', 'replace')}"
            for received in self.requests
        )


def _decode(received: Received) -> list[Span]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest.FromString(received.body)
    return [
        Span(
            name=span.name,
            scope=scope.scope.name,
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            kind=span.kind,
            status=span.status.code,
            status_message=span.status.message,
            attributes={pair.key: _value(pair.value) for pair in span.attributes},
            request=received,
            started=span.start_time_unix_nano,
            events=[str(event) for event in span.events],
        )
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None
