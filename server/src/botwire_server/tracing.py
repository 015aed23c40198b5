"""The server's part in a trace: whether it has any, and where its spans go.

Without OpenTelemetry, or without a tracer provider, a request pays for one look at a flag; the
spans themselves are made in `spans.py`.
"""

import logging
import os
import sys
from collections.abc import Callable

from botwire_server.requests import Request
from botwire_server.settings import Settings

__all__ = ["RequestSpans", "export_spans"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

Record = Callable[[Request, str, int, float], None]

log = logging.getLogger("botwire.server")


class RequestSpans:
    """Makes spans, if the process has a tracer provider when its first request ends."""

    def __init__(self, settings: Settings) -> None:
        self._trusts = settings.trust_trace
        self._undecided = True
        self._record: Record | None = None

    def record(self, request: Request, operation: str, status: int, seconds: float) -> None:
        """Make the span of a request that was answered just now and took that long."""
        if self._undecided:
            self._undecided = False
            self._record = self._decide()
        if self._record is not None:
            self._record(request, operation, status, seconds)

    def _decide(self) -> Record | None:
        if "opentelemetry.trace" not in sys.modules:  # then nobody has set a provider
            return None
        from botwire_server.spans import recorder

        return recorder(trusts=self._trusts)


def export_spans() -> None:
    """Send spans to where OpenTelemetry's environment variables say, if they say so.

    It needs `botwire-server[otel]` and does nothing when the process has a tracer provider already,
    such as that of `opentelemetry-instrument`.
    """
    wanted = any(os.environ.get(name) for name in ENDPOINTS)
    if not wanted or os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return
    try:
        from botwire_server.spans import export

        export()
    except ImportError as error:
        hint = "pip install 'botwire-server[otel]'"
        log.warning("no spans are sent", extra={"missing": str(error), "hint": hint})
