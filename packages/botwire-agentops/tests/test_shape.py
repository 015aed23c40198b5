"""Operations are spans that AgentOps shows as tools, with arguments and results."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tracing_workload import CANARY, everything

import botwire_agentops
from botwire import Conflict, Memory, otel, telemetry


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    botwire_agentops.instrument()
    with telemetry.spans_by(otel.SpanMaker(tracer_provider=provider)):
        yield exporter


def last(exporter: InMemorySpanExporter) -> ReadableSpan:
    return exporter.get_finished_spans()[-1]


def shown(exporter: InMemorySpanExporter) -> dict[str, Any]:
    attributes = dict(last(exporter).attributes or {})
    assert last(exporter).name == f"{attributes['operation.name']}.tool"
    assert attributes["agentops.span.kind"] == "tool"
    assert attributes["tool.name"] == attributes["operation.name"]
    given = json.loads(str(attributes["agentops.entity.input"]))
    assert given == {"args": [], "kwargs": json.loads(str(attributes["tool.parameters"]))}
    assert attributes["tool.result"] == attributes["agentops.entity.output"]
    return {
        "name": attributes["operation.name"],
        "arguments": given["kwargs"],
        "result": json.loads(str(attributes["tool.result"])),
    }


def test_an_operation_is_a_tool_with_arguments_and_result(
    exporter: InMemorySpanExporter, botwire_memory: Memory
) -> None:
    botwire_memory.set("plan", {"step": 1}, ttl=60)
    assert shown(exporter) == {
        "name": "botwire.set",
        "arguments": {"namespace": "test", "key": "plan", "ttl": 60},
        "result": {"count": 1, "version": 1},
    }
    botwire_memory.get("gone")
    assert shown(exporter) == {
        "name": "botwire.get",
        "arguments": {"namespace": "test", "key": "gone"},
        "result": {"count": 0},
    }


def test_the_attributes_of_agentops_come_first_and_the_standard_ones_stay(
    exporter: InMemorySpanExporter, botwire_memory: Memory
) -> None:
    """Its list labels a span by the first attribute it knows: `gen_ai` would say "request"."""
    botwire_memory.get("plan")
    names = list(last(exporter).attributes or {})
    assert names[0].startswith("agentops.")
    assert "gen_ai.memory.record.id" in names


def test_a_failure_shows_its_kind(exporter: InMemorySpanExporter, botwire_memory: Memory) -> None:
    botwire_memory.set("plan", CANARY)
    with pytest.raises(Conflict):
        botwire_memory.set("plan", 2, if_version=0)
    assert shown(exporter)["result"] == {"error": "conflict"}


def test_no_value_is_recorded_unless_asked(
    exporter: InMemorySpanExporter, botwire_memory: Memory
) -> None:
    everything(botwire_memory)
    text = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert len(exporter.get_finished_spans()) > 8
    assert CANARY not in text


def test_values_are_shown_when_asked_after_redact(
    exporter: InMemorySpanExporter, botwire_memory: Memory
) -> None:
    botwire_agentops.instrument(
        capture_content=True, redact=lambda key, value: "***" if key == "pin" else value
    )
    botwire_memory.set("pin", CANARY)
    assert shown(exporter)["arguments"]["value"] == "***"
    botwire_memory.get("pin")
    assert shown(exporter)["result"]["value"] == "***"
    botwire_memory.set("plan", "open")
    assert shown(exporter)["arguments"]["value"] == "open"


def test_names_can_be_hashed(exporter: InMemorySpanExporter, botwire_memory: Memory) -> None:
    botwire_agentops.instrument(hash_keys=True)
    botwire_memory.namespaced("ada@example.com").set("ada@example.com:plan", 1)
    assert "ada@" not in json.dumps(shown(exporter))


def test_uninstrumenting_gives_the_plain_span_back(
    exporter: InMemorySpanExporter, botwire_memory: Memory
) -> None:
    botwire_agentops.uninstrument()
    botwire_memory.get("plan")
    assert last(exporter).name == "search_memory"
    assert "tool.name" not in (last(exporter).attributes or {})


def test_nothing_is_printed(
    exporter: InMemorySpanExporter, botwire_memory: Memory, capsys: pytest.CaptureFixture[str]
) -> None:
    """AgentOps uploads whatever a process prints."""
    botwire_agentops.check()
    everything(botwire_memory)
    assert capsys.readouterr().out == ""
