"""Whether AgentOps gets any spans at all; it can fail to in two ways, and says nothing in both.

- With OpenTelemetry 1.45 its exporter lacks the headers it reads, and no batch leaves the process.
- When something else set a tracer provider before `agentops.init`, its exporter hangs on a provider
  that nobody uses.

AgentOps has had no release since August 2025, so both stay; `check(repair=True)` makes it work.
"""

import logging
from collections.abc import Iterator
from enum import Enum
from typing import Any, cast
from weakref import WeakSet

import agentops  # pyright: ignore[reportMissingTypeStubs]
import requests
from agentops.sdk.exporters import (  # pyright: ignore[reportMissingTypeStubs]
    AuthenticatedOTLPExporter,
)
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

__all__ = ["Problem", "check", "started"]

log = logging.getLogger("botwire.agentops")


class Problem(Enum):
    """Why AgentOps gets nothing, and what to do."""

    NOT_STARTED = (
        "agentops.init() was not called, so nothing is sent",
        "Call it before botwire_agentops.check().",
    )
    BROKEN_EXPORTER = (
        "AgentOps 0.4.21 cannot send anything with OpenTelemetry 1.45 and later",
        'Use check(repair=True), or pip install "opentelemetry-exporter-otlp-proto-http<1.45".',
    )
    OTHER_PROVIDER = (
        "another tracer provider was set before agentops.init(), so AgentOps gets no spans",
        "Call agentops.init() first, or use check(repair=True).",
    )

    def __str__(self) -> str:
        return " ".join(self.value)


def check(*, repair: bool = False) -> list[Problem]:
    """What keeps spans from AgentOps; empty when nothing does. Each problem is logged.

    Args:
        repair: mend what was found: give AgentOps' exporter one that works, or add one to the
            provider that is in use. It sends with the token that AgentOps has at that time.

    >>> check()
    [<Problem.NOT_STARTED: ...>]
    """
    found = _find()
    if repair and found:
        _repair(found)
    left = _find() if repair else found
    for problem in found:
        if problem in left:
            log.warning("%s", problem)
        else:
            log.info("%s: repaired", problem.value[0])
    return found


def started() -> bool:
    """Whether `agentops.init` was called."""
    return bool(cast("Any", agentops).get_client().initialized)


def _find() -> list[Problem]:
    if not started():
        return [Problem.NOT_STARTED]
    exporters = list(_exporters())
    if not exporters:
        return [Problem.OTHER_PROVIDER]
    broken = any(not _works(exporter) for exporter in exporters)
    return [Problem.BROKEN_EXPORTER] if broken else []


def _exporters() -> Iterator[Any]:
    """What sends the spans of the global provider to AgentOps."""
    processors: Any = getattr(trace.get_tracer_provider(), "_active_span_processor", None)
    for processor in getattr(processors, "_span_processors", ()):
        exporter = getattr(processor, "span_exporter", None)
        if isinstance(exporter, (AuthenticatedOTLPExporter, WorkingExporter)):
            yield exporter


def _works(exporter: Any) -> bool:
    return not isinstance(exporter, AuthenticatedOTLPExporter) or (
        hasattr(exporter, "_headers") or exporter in _repaired
    )


_repaired: WeakSet[Any] = WeakSet()


def _repair(problems: list[Problem]) -> None:
    """Do what can be done; a provider that is not OpenTelemetry's own takes no exporters."""
    provider = trace.get_tracer_provider()
    if Problem.OTHER_PROVIDER in problems and isinstance(provider, TracerProvider):
        provider.add_span_processor(BatchSpanProcessor(WorkingExporter()))
    for exporter in _exporters():
        if not _works(exporter):
            exporter.export = WorkingExporter().export
            _repaired.add(exporter)


class WorkingExporter(OTLPSpanExporter):
    """Sends spans to where AgentOps takes them."""

    def __init__(self) -> None:
        session = requests.Session()
        session.auth = _authorized
        endpoint = cast("Any", agentops).get_client().config.exporter_endpoint
        super().__init__(endpoint=endpoint, session=session)


def _authorized(request: requests.PreparedRequest) -> requests.PreparedRequest:
    token = cast("Any", agentops).get_client().get_current_jwt()
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    return request
