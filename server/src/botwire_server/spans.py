"""The spans of requests. Needs OpenTelemetry; `tracing.py` decides whether they are made.

- A span names the route as it is written in the documentation, and the operation. It names no
  namespace and no key: they are the caller's, whose own span has them if they are to be seen.
- A caller says whether a trace is sampled. Where callers are not trusted with that, a request
  begins a trace of its own that is linked to theirs.
"""

import os
import time
from collections.abc import Callable
from functools import partial

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from botwire_server.requests import Request

__all__ = ["export", "recorder"]

VERBS = frozenset({"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"})

_propagator = TraceContextTextMapPropagator()


def recorder(*, trusts: bool) -> Callable[[Request, str, int, float], None] | None:
    """What makes the span of a request, or None without a tracer provider."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return partial(_record, trace.get_tracer("botwire.server"), trusts)


def _record(
    tracer: Tracer, trusts: bool, request: Request, operation: str, status: int, seconds: float
) -> None:
    if getattr(trace.get_current_span(), "kind", None) is SpanKind.SERVER:
        return  # an instrumentation around the application has made it
    now = time.time_ns()
    verb = request.method if request.method in VERBS else "_OTHER"
    route = _route(request.path, operation)
    parent, links = _caller(request, trusts)
    span = tracer.start_span(
        f"{'HTTP' if verb == '_OTHER' else verb} {route}",
        context=parent,
        kind=SpanKind.SERVER,
        attributes={
            "http.request.method": verb,
            "http.route": route,
            "http.response.status_code": status,
            "url.scheme": "http",
            "botwire.operation": operation,
        },
        links=links,
        start_time=now - int(seconds * 1e9),
    )
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))
    span.end(now)


def _route(path: bytes, operation: str) -> str:
    if path.startswith(b"/v1/"):
        return f"/v1/{operation}"
    has_key = b"/" in path[len(b"/memory/") :]
    return "/memory/{namespace}/{key}" if has_key else "/memory/{namespace}"


def _caller(request: Request, trusts: bool) -> tuple[Context, list[Link]]:
    """The caller's span as the parent, or as a link from a trace of our own."""
    carrier = {
        name: request.headers[name.encode()].decode("latin-1")
        for name in ("traceparent", "tracestate")
        if name.encode() in request.headers
    }
    context = _propagator.extract(carrier, Context())
    if trusts:
        return context, []
    caller: SpanContext = trace.get_current_span(context).get_span_context()
    return Context(), [Link(caller)] if caller.is_valid else []


def export() -> None:
    """Send spans over OTLP, unless the process has a tracer provider already."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    name = os.environ.get("OTEL_SERVICE_NAME", "botwire-server")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
