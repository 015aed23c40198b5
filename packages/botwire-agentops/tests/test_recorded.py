"""The decorators show functions of every kind, in the place of `record_function`."""

import inspect
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tracing_workload import CANARY

import botwire_agentops
from botwire import Memory, otel, telemetry
from botwire_agentops import recorded


class Recorder:
    """What the decorators and operations recorded."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def span(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span

    def parent(self, span: ReadableSpan) -> str | None:
        names = {s.context.span_id: s.name for s in self.exporter.get_finished_spans() if s.context}
        return names[span.parent.span_id] if span.parent else None

    def text(self) -> str:
        return "".join(span.to_json() for span in self.exporter.get_finished_spans())


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    tracer = trace.get_tracer("botwire.agentops", tracer_provider=recorder.provider)
    monkeypatch.setattr(recorded, "_tracer", tracer)
    botwire_agentops.instrument()
    with telemetry.spans_by(otel.SpanMaker(tracer_provider=recorder.provider)):
        yield recorder


def test_a_function_is_a_task_around_what_it_remembers(
    recorder: Recorder, botwire_memory: Memory
) -> None:
    @botwire_agentops.record_function("recall preferences")
    def recall() -> Any:
        return botwire_memory.get("preferences")

    recall()
    task = recorder.span("recall preferences.task")
    assert dict(task.attributes or {}) == {
        "agentops.span.kind": "task",
        "operation.name": "recall preferences",
    }
    assert recorder.parent(recorder.span("botwire.get.tool")) == task.name


def test_a_tool_is_a_tool(recorder: Recorder) -> None:
    @botwire_agentops.record_tool
    def search() -> None: ...

    @botwire_agentops.record_tool("look up")
    def other() -> None: ...

    search(), other()
    assert recorder.span("search.tool").attributes["agentops.span.kind"] == "tool"  # type: ignore[index]
    assert recorder.span("look up.tool")


async def test_coroutine_functions_and_both_kinds_of_generators_work(
    recorder: Recorder, botwire_memory: Memory
) -> None:
    memory = botwire_memory.to_async()

    @botwire_agentops.record_function
    async def coroutine() -> None:
        await memory.get("a")

    @botwire_agentops.record_action
    def generator() -> Iterator[int]:
        yield 1
        botwire_memory.exists("a")

    @botwire_agentops.record_function("stream")
    async def async_generator() -> AsyncIterator[int]:
        yield 1
        await memory.head("a")

    await coroutine()
    for _ in generator():
        botwire_memory.usage()  # the consumer's own
    assert [item async for item in async_generator()] == [1]
    assert inspect.isasyncgenfunction(async_generator)
    assert recorder.parent(recorder.span("botwire.get.tool")) == "coroutine.task"
    assert recorder.parent(recorder.span("botwire.exists.tool")) == "generator.task"
    assert recorder.parent(recorder.span("botwire.head.tool")) == "stream.task"
    assert recorder.parent(recorder.span("botwire.usage.tool")) is None


def test_arguments_results_and_errors_stay_here_unless_asked(recorder: Recorder) -> None:
    @botwire_agentops.record_function
    def recall(secret: str) -> str:
        raise ValueError(secret)

    with pytest.raises(ValueError, match=CANARY):
        recall(CANARY)
    assert recorder.span("recall.task").status.description == "ValueError"
    assert CANARY not in recorder.text()


def test_they_are_shown_when_asked_after_redact(recorder: Recorder) -> None:
    @botwire_agentops.record_function(
        capture_content=True, redact=lambda name, value: "***" if name == "pin" else value
    )
    def recall(key: str, pin: str) -> Iterator[str]:
        yield from (key, key.upper())

    list(recall("plan", pin=CANARY))
    attributes: Any = recorder.span("recall.task").attributes
    assert json.loads(attributes["agentops.entity.input"]) == {
        "args": [],
        "kwargs": {"key": "plan", "pin": "***"},
    }
    assert json.loads(attributes["agentops.entity.output"]) == ["plan", "PLAN"]


def test_a_redact_that_fails_records_nothing_of_a_value(recorder: Recorder) -> None:
    def broken(name: str, value: Any) -> Any:
        raise ValueError(f"cannot redact {value}")

    @botwire_agentops.record_function(capture_content=True, redact=broken)
    def recall() -> str:
        return CANARY

    assert recall() == CANARY
    assert recorder.span("recall.task")
    assert CANARY not in recorder.text()


def test_they_follow_what_the_process_was_instrumented_with(recorder: Recorder) -> None:
    @botwire_agentops.record_function
    def recall(key: str) -> str:
        return key.upper()

    botwire_agentops.instrument(capture_content=True)
    recall("plan")
    assert "PLAN" in recorder.text()


def test_they_make_nothing_where_instrumentation_is_suppressed(recorder: Recorder) -> None:
    @botwire_agentops.record_tool
    def recall(key: str) -> str:
        return key.upper()

    with suppress_instrumentation():
        assert recall("plan") == "PLAN"
    assert recorder.text() == ""


def test_without_any_backend_they_change_nothing() -> None:
    @botwire_agentops.record_function("recall")
    def recall(key: str) -> str:
        return key.upper()

    assert recall("plan") == "PLAN"
