"""Operations are spans in the vocabulary of OpenTelemetry's GenAI conventions."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode
from spans_kit import Spans
from telemetry_kit import ScriptedServer, in_process
from tracing_workload import CANARY

from botwire import AsyncMemory, Conflict, Memory, otel
from botwire.errors import Timeout, WrongType
from botwire.telemetry.content import Content


@pytest.fixture
def spans() -> Generator[Spans]:
    spans = Spans()
    with spans.recording(Content(capture=False)):
        yield spans


def do(memory: Memory, text: str) -> None:
    eval(text, {"m": memory})


OPERATIONS = [
    # what is done, the conventions' name, records, and attributes of our own that tell more
    ("m.get('here')", "search_memory", 1, {"botwire.version": 1}),
    ("m.get('gone')", "search_memory", 0, {}),
    ("m.entry('here')", "search_memory", 1, {"botwire.operation": "read"}),
    ("m.head('here')", "search_memory", 1, {"botwire.version": 1}),
    ("m.exists('gone')", "search_memory", 0, {"botwire.operation": "exists"}),
    ("m.tail('gone', 3)", "search_memory", 0, {}),
    ("m.length('gone')", "search_memory", None, {"botwire.operation": "length"}),
    ("m.expect('here', 1)", "search_memory", 1, {"botwire.cas.applied": True}),
    ("m.expect('gone', 0)", "search_memory", 0, {"botwire.cas.expected_version": 0}),
    ("m.get_many(['here', 'gone'])", "search_memory", 1, {}),
    ("m.list_keys('he')", "search_memory", 1, {"botwire.prefix": "he"}),
    ("m.set('new', 'äö')", "upsert_memory", 1, {"botwire.version": 2, "botwire.value.bytes": 6}),
    ("m.set('new', 1, ttl=60)", "upsert_memory", 1, {"botwire.ttl_seconds": 60.0}),
    ("m.set('new', 1, if_version=0)", "create_memory", 1, {"botwire.cas.applied": True}),
    ("m.set('here', 2, if_version=1)", "update_memory", 1, {"botwire.cas.expected_version": 1}),
    ("m.append('list', 1, 2)", "upsert_memory", 1, {"botwire.operation": "append"}),
    ("m.increment('count')", "upsert_memory", 1, {"botwire.operation": "increment"}),
    ("m.merge('object', {'a': 1})", "upsert_memory", 1, {"botwire.operation": "merge"}),
    ("m.touch('here', 9)", "update_memory", 1, {"botwire.ttl_seconds": 9.0}),
    ("m.persist('here')", "update_memory", 1, {"botwire.affected": 1}),
    ("m.expire('', 9)", "update_memory", None, {"botwire.affected": 1}),
    ("m.set_many({'a': 1, 'b': 2})", "upsert_memory", 2, {"botwire.affected": 2}),
    ("m.delete('here')", "delete_memory", 1, {"botwire.affected": 1}),
    ("m.delete('gone')", "delete_memory", 1, {"botwire.affected": 0}),
    ("m.delete('here', if_version=1)", "delete_memory", 1, {"botwire.cas.applied": True}),
    ("m.pop('here')", "delete_memory", 1, {"botwire.affected": 1}),
    ("m.delete_many(['here', 'gone'])", "delete_memory", 2, {"botwire.affected": 1}),
    ("m.clear('he')", "delete_memory", None, {"botwire.affected": 1, "botwire.prefix": "he"}),
    ("m.clear()", "delete_memory_store", None, {"botwire.affected": 1}),
    ("m.usage()", "describe_memory_store", None, {"botwire.operation": "usage"}),
]


@pytest.mark.parametrize(("text", "name", "records", "more"), OPERATIONS)
def test_each_operation_has_the_name_and_attributes_of_the_conventions(
    text: str, name: str, records: int | None, more: dict[str, Any], botwire_memory: Memory
) -> None:
    botwire_memory.set("here", 1)
    spans = Spans()
    with spans.recording(Content(capture=False)):
        do(botwire_memory, text)
    found = spans.attributes()
    assert spans.one().name == found["gen_ai.operation.name"] == name
    assert found["gen_ai.memory.store.id"] == "test"
    assert found["gen_ai.provider.name"] == "botwire"
    assert found.get("gen_ai.memory.record.count") == records
    assert found.items() >= more.items()


def test_a_single_record_is_named(spans: Spans, botwire_memory: Memory) -> None:
    botwire_memory.set("user:1", 1)
    assert spans.attributes()["gen_ai.memory.record.id"] == "user:1"
    botwire_memory.list_keys()
    assert "gen_ai.memory.record.id" not in spans.attributes()


def test_a_batch_is_one_span(spans: Spans, botwire_memory: Memory) -> None:
    with botwire_memory.batch() as batch:
        batch.set("a", 1)
        batch.delete("b")
    assert spans.one().name == "batch_memory"
    assert spans.attributes()["gen_ai.memory.record.count"] == 2


def test_identity_is_known_when_the_span_starts(botwire_memory: Memory) -> None:
    """Samplers and Langfuse decide by what a span has at its start."""
    spans, at_start = Spans(), []

    class Look:
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            at_start.append(dict(span.attributes))

        def on_end(self, span: Any) -> None: ...
        def _on_ending(self, span: Any) -> None: ...
        def shutdown(self) -> None: ...
        def force_flush(self, timeout_millis: int = 0) -> bool:
            return True

    spans.provider.add_span_processor(Look())  # type: ignore[arg-type]
    with spans.recording():
        botwire_memory.set("k", 1, ttl=5, if_version=0)
    assert at_start == [
        {
            "gen_ai.operation.name": "create_memory",
            "gen_ai.provider.name": "botwire",
            "gen_ai.memory.store.id": "test",
            "gen_ai.memory.record.id": "k",
            "gen_ai.memory.record.count": 1,
            "openinference.span.kind": "TOOL",
            "botwire.operation": "set",
            "botwire.ttl_seconds": 5.0,
            "botwire.cas.expected_version": 0,
            "botwire.value.bytes": 1,
        }
    ]


def test_a_sampler_can_choose_by_what_is_remembered(botwire_memory: Memory) -> None:
    class NoNoise(Sampler):
        def should_sample(
            self,
            parent_context: Any,
            trace_id: int,
            name: str,
            kind: Any = None,
            attributes: Any = None,
            *rest: Any,
            **more: Any,
        ) -> SamplingResult:
            noise = attributes["gen_ai.memory.record.id"] == "noise"
            decision = Decision.DROP if noise else Decision.RECORD_AND_SAMPLE
            return SamplingResult(decision, attributes)

        def get_description(self) -> str:
            return "no noise"

    spans = Spans(NoNoise())
    with spans.recording():
        botwire_memory.set("noise", 1)
        botwire_memory.set("plan", 1)
    assert spans.attributes()["gen_ai.memory.record.id"] == "plan"
    assert len(spans.all()) == 1


def test_a_lost_race_is_an_error_that_says_so(spans: Spans, botwire_memory: Memory) -> None:
    botwire_memory.set("k", CANARY)
    with pytest.raises(Conflict):
        botwire_memory.set("k", 2, if_version=0)
    found = spans.attributes()
    assert found["error.type"] == "conflict"
    assert found["botwire.cas.applied"] is False
    assert spans.all()[-1].status.status_code is StatusCode.ERROR
    assert CANARY not in spans.text()


def test_an_error_names_its_kind_and_code(spans: Spans, botwire_memory: Memory) -> None:
    botwire_memory.set("k", CANARY)
    with pytest.raises(WrongType):
        botwire_memory.increment("k")
    found = spans.attributes()
    assert (found["error.type"], found["botwire.error.code"]) == ("wrong_type", "BW-409-type")
    assert spans.all()[-1].status.description == "Stored value has another type"


def test_a_miss_is_no_error(spans: Spans, botwire_memory: Memory) -> None:
    assert botwire_memory.get("gone") is None
    assert botwire_memory.delete("gone") is False
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.all())


def test_operations_nest_where_they_happen(spans: Spans, botwire_memory: Memory) -> None:
    with spans.tracer.start_as_current_span("agent"):
        botwire_memory.get("a")
    child, parent = sorted(spans.all(), key=lambda span: span.name == "agent")
    assert child.parent is not None
    assert child.parent.span_id == parent.context.span_id  # type: ignore[union-attr]


async def test_asynchronous_operations_nest_where_they_happen(spans: Spans) -> None:
    memory = AsyncMemory("nest", url="memory://")
    with spans.tracer.start_as_current_span("agent") as agent:
        await memory.set("a", 1)  # which takes a thread
    (operation,) = [span for span in spans.all() if span.name == "upsert_memory"]
    assert operation.parent is not None
    assert operation.parent.span_id == agent.get_span_context().span_id


async def test_operations_in_other_threads_nest_where_they_were_sent_from(
    spans: Spans, botwire_memory: Memory
) -> None:
    with spans.tracer.start_as_current_span("agent") as agent:
        await asyncio.gather(*(asyncio.to_thread(botwire_memory.get, "a") for _ in range(4)))
    parents = {span.parent.span_id for span in spans.all() if span.parent}
    assert parents == {agent.get_span_context().span_id}
    assert len(spans.all()) == 5


def test_an_embedded_operation_is_internal_and_one_on_a_server_a_client_s(
    spans: Spans, botwire_memory: Memory
) -> None:
    botwire_memory.get("a")
    assert spans.one().kind is SpanKind.INTERNAL
    with ScriptedServer() as server, Memory("m", url=server.url) as memory:
        memory.get("a")
    found = spans.all()[-1]
    assert found.kind is SpanKind.CLIENT
    assert spans.attributes()["server.address"] == "127.0.0.1"
    assert spans.attributes()["server.port"] == server.port


def test_retries_are_one_span(spans: Spans) -> None:
    with ScriptedServer(503, 502, 503) as server, Memory("m", url=server.url) as memory:
        memory.get("a")
    assert spans.one().status.status_code is StatusCode.UNSET
    assert spans.attributes()["botwire.attempts"] == 4


def test_a_server_that_never_answers_is_an_error_of_one_span(spans: Spans) -> None:
    with (
        ScriptedServer(*[504] * 100) as server,
        Memory("m", url=server.url, timeout=0.2) as memory,
        pytest.raises(Timeout),
    ):
        memory.get("a")
    found = spans.attributes()
    assert found["error.type"] == "timeout"
    assert found["botwire.attempts"] > 1


def test_the_server_is_told_of_the_span_and_of_no_baggage(spans: Spans) -> None:
    token = context.attach(baggage.set_baggage("user", CANARY))
    try:
        with ScriptedServer(503) as server, Memory("m", url=server.url) as memory:
            memory.get("a")
    finally:
        context.detach(token)
    span = spans.one().context
    assert span is not None
    for headers in server.headers:
        _, trace_id, span_id, _ = headers["traceparent"].split("-")
        assert (int(trace_id, 16), int(span_id, 16)) == (span.trace_id, span.span_id)
        assert "baggage" not in headers
        assert CANARY not in str(headers)


def test_a_trace_that_is_not_sampled_tells_the_server_so(botwire_memory: Memory) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    from botwire import telemetry

    maker = otel.SpanMaker(tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False))
    with (
        telemetry.spans_by(maker),
        ScriptedServer() as server,
        Memory("m", url=server.url) as memory,
    ):
        memory.get("a")
    assert server.headers[0]["traceparent"].endswith(("-00", "-02"))


@contextmanager
def suppressed(key: str) -> Generator[None]:
    token = context.attach(context.set_value(key, True))
    try:
        yield
    finally:
        context.detach(token)


@pytest.mark.parametrize(
    "key",
    ["suppress_instrumentation", context._SUPPRESS_INSTRUMENTATION_KEY],
    ids=["named", "generated"],  # the second is another one in each process
)
def test_suppressed_instrumentation_makes_no_span(
    key: str, spans: Spans, botwire_memory: Memory
) -> None:
    with suppressed(key):
        botwire_memory.set("a", 1)
    assert not spans.all()


# -- in a process as applications have it ----------------------------------------------------------

APPLICATION = """
from botwire import Memory
memory = Memory("m", url="memory://")
memory.set("before", 1)
from opentelemetry import trace
memory.set("proxy", 1)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
memory.set("after", 1)
import os
if hasattr(os, "fork") and os.fork() == 0:
    exporter.clear()
    memory.set("child", 1)
    assert len(exporter.get_finished_spans()) == EXPECTED, exporter.get_finished_spans()
    os._exit(0)
if hasattr(os, "fork"):
    assert os.wait()[1] == 0
print([span.attributes["gen_ai.memory.record.id"] for span in exporter.get_finished_spans()])
"""


def test_spans_are_made_from_the_moment_the_application_sets_up_opentelemetry() -> None:
    assert in_process(APPLICATION.replace("EXPECTED", "1")).strip() == "['after']"


def test_opentelemetry_s_own_variable_switches_the_spans_off() -> None:
    off = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis, botwire"}
    assert in_process(APPLICATION.replace("EXPECTED", "0"), **off).strip() == "[]"


def test_a_provider_that_cannot_be_made_breaks_no_operation_and_is_told_once() -> None:
    script = """
import logging, sys
logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stdout)
from opentelemetry import trace
from botwire import Memory
memory = Memory("m", url="memory://")
print([memory.set("a", 1), memory.get("a")])
"""
    told = in_process(script, OTEL_PYTHON_TRACER_PROVIDER="nonsense")
    assert told.splitlines()[-1] == "[1, 1]"
    assert told.count("botwire.telemetry: 'OpenTelemetry' failed") == 1


def test_configure_changes_what_the_spans_of_the_process_record() -> None:
    script = APPLICATION.replace("EXPECTED", "1").replace(
        'memory.set("after", 1)',
        'from botwire import otel; otel.configure(capture_content=True); memory.set("after", 1)',
    )
    script += 'print(exporter.get_finished_spans()[0].attributes["gen_ai.memory.records"])'
    assert in_process(script).splitlines()[-1] == '[{"id":"after","content":1}]'


def test_shapes_add_to_the_same_span(spans: Spans, botwire_memory: Memory) -> None:
    class Shape:
        def name(self, call: Any) -> str:
            return f"{call.operation.name}.shaped"

        def at_start(self, call: Any) -> dict[str, Any]:
            return {"first": "of all"}

        def at_end(self, call: Any) -> dict[str, Any]:
            return {"failed": call.error is not None}

    shape = Shape()
    otel.add_shape(shape)
    try:
        botwire_memory.get("a")
    finally:
        otel.remove_shape(shape)
    span = spans.one()
    assert span.name == "get.shaped"
    assert next(iter(span.attributes or {})) == "first"
    assert spans.attributes()["failed"] is False
    assert "gen_ai.operation.name" in spans.attributes()
