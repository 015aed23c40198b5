"""Spans kept in memory, by a provider of their own: the process has one for good."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from botwire import otel, telemetry
from botwire.telemetry.content import Content


class Spans:
    """A provider of its own that keeps what ends; botwire's spans go there inside `recording`."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    @contextmanager
    def recording(self, content: Content | None = None) -> Generator[None]:
        with telemetry.spans_by(otel.SpanMaker(content, self.provider)):
            yield

    def all(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def one(self) -> ReadableSpan:
        (span,) = self.all()
        return span

    def attributes(self) -> dict[str, Any]:
        """The attributes of the span that ended last."""
        return dict(self._exporter.get_finished_spans()[-1].attributes or {})

    def text(self) -> str:
        """Everything that would leave the process."""
        return "".join(span.to_json() for span in self.all())
