"""One OpenTelemetry span for each operation, for any backend. Needs `botwire[otel]`.

Nothing has to be switched on: as soon as the process has a tracer provider, operations show in it.
`configure` says what else they show, and OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=botwire ends it.

- Only OpenTelemetry's API is used, and no provider is ever set: that is up to the application.
- A span covers all attempts at an operation. The server is told of it by `traceparent` and by
  nothing else: baggage may name users and is not ours to send.
- Shapes add what a product wants to see to the same span, so that no product needs another one.
"""

from collections.abc import Callable, Generator
from typing import Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from botwire import __version__
from botwire.errors import BotWireError
from botwire.telemetry import Call
from botwire.telemetry.content import Content
from botwire.telemetry.conventions import at_end, at_start, memory_operation

__all__ = [
    "Current",
    "Shape",
    "SpanMaker",
    "add_shape",
    "attributes_at_start",
    "configure",
    "finish",
    "inject",
    "observe",
    "remove_shape",
    "span_name",
    "suppressed",
]

_propagator = TraceContextTextMapPropagator()


class Shape(Protocol):
    """What one product wants to see on a span beside the standard attributes."""

    def name(self, call: Call) -> str | None:
        """The name of the span, or None to leave it as it is."""
        ...

    def at_start(self, call: Call) -> dict[str, Any]: ...
    def at_end(self, call: Call) -> dict[str, Any]: ...


class SpanMaker:
    """The observer that makes the spans.

    Args:
        content: what they record of values.
        tracer_provider: where they go; without it to the provider of the process.

    >>> from botwire import telemetry
    >>> with telemetry.spans_by(SpanMaker(Content(capture=False))):
    ...     pass
    """

    def __init__(
        self, content: Content | None = None, tracer_provider: trace.TracerProvider | None = None
    ) -> None:
        self.content = content or Content()
        self._tracer = trace.get_tracer("botwire", __version__, tracer_provider)

    def __call__(self, call: Call) -> Generator[None]:
        if suppressed():
            return
        span = self._tracer.start_span(
            span_name(call, memory_operation(call.operation)),
            kind=SpanKind.INTERNAL if call.server is None else SpanKind.CLIENT,
            attributes=attributes_at_start(call, self.content),
        )
        with Current(span):
            inject(call)
            yield
            finish(span, call, self.content)


_default = SpanMaker()


def observe(call: Call) -> Generator[None]:
    """The observer that makes the spans as long as nobody set another."""
    return _default(call)


def configure(
    *,
    capture_content: bool | None = None,
    redact: Callable[[str, Any], Any] | None = None,
    hash_keys: bool = False,
    content_limit: int = 8192,
) -> None:
    """Say what spans record; without a call they record namespaces, keys and sizes, but no values.

    Args:
        capture_content: record values; None: as the environment variable
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says.
        redact: `redact(key, value)` returns what is recorded in place of a value.
        hash_keys: record hashes in place of namespaces, keys and prefixes.
        content_limit: characters of JSON recorded of the values of one operation.

    >>> configure(capture_content=True, redact=lambda key, value: "***" if "pin" in key else value)
    >>> configure()
    """
    _default.content = Content(capture_content, redact, hash_keys, content_limit)


# -- the parts of a span, for observers that make theirs with another library ----------------------

_shapes: tuple[Shape, ...] = ()


def add_shape(shape: Shape) -> None:
    """Let spans also show what a product wants to see."""
    global _shapes
    _shapes = (*(other for other in _shapes if other != shape), shape)


def remove_shape(shape: Shape) -> None:
    """Undo `add_shape`."""
    global _shapes
    _shapes = tuple(other for other in _shapes if other != shape)


def span_name(call: Call, default: str) -> str:
    """The name a shape gives, or the default."""
    for shape in _shapes:
        if name := shape.name(call):
            return name
    return default


def attributes_at_start(call: Call, content: Content) -> dict[str, Any]:
    """Those of the shapes come first: AgentOps labels a span by the first it knows."""
    found: dict[str, Any] = {}
    for shape in _shapes:
        found |= shape.at_start(call)
    found |= at_start(call, content)
    return found


class Current:
    """A block in which a span is current, and which ends it.

    Unlike `start_as_current_span` it records nothing of what is raised in it, as the text of what a
    `redact` raises may quote the value; and it costs less.
    """

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> trace.Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(self, *_: object) -> None:
        otel_context.detach(self._token)
        self._span.end()


def inject(call: Call) -> None:
    """Tell the server which span it works for."""
    if call.server is not None:
        _propagator.inject(call.headers)


def finish(
    span: trace.Span,
    call: Call,
    content: Content,
    add: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Say on the span what came of the operation. The error's title names no key and no value.

    All is set at once, which costs less. Where a shape or `add` fails, what else is known is set.

    Args:
        add: adds further attributes.
    """
    if not span.is_recording():
        return
    if isinstance(call.error, BotWireError):
        span.set_status(Status(StatusCode.ERROR, call.error.title))
    elif call.error is not None:
        span.set_status(Status(StatusCode.ERROR, type(call.error).__name__))
    found = at_end(call, content)
    try:
        for shape in _shapes:
            found |= shape.at_end(call)
        if add is not None:
            add(found)
    finally:
        span.set_attributes(found)


# Who wants no spans says so by one of these; the API has no public name for the newer one.
_SUPPRESSIONS = (
    "suppress_instrumentation",
    getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation"),
)


def suppressed() -> bool:
    """Whether the application wants no spans here."""
    current = otel_context.get_current()
    # Most often there is nothing at all in it; all that is asked for costs every operation time.
    return bool(current) and any(map(current.get, _SUPPRESSIONS))
