"""In a process as applications have it: one global provider, shared with everything else."""

import pytest
from langfuse_kit import script
from tracing_endpoint import Endpoint

SET_UP = """
import botwire_langfuse
from botwire import Memory
from langfuse import Langfuse, get_client, observe
memory = Memory("m", url="memory://")
"""
FLUSH = """
from opentelemetry import trace
get_client(public_key="pk-lf-x").flush()
trace.get_tracer_provider().force_flush()
"""


@pytest.fixture
def endpoint():
    with Endpoint() as endpoint:
        yield endpoint


def test_instrumenting_before_the_client_is_made_works(endpoint: Endpoint) -> None:
    script(
        SET_UP
        + """
botwire_langfuse.instrument()
Langfuse(mask=lambda data=None, **_: "MASKED")
memory.set("plan", 1)
"""
        + FLUSH,
        endpoint,
    )
    assert endpoint.span("botwire.set").attributes["langfuse.observation.input"] in (
        "MASKED",
        '"MASKED"',
    )


def test_the_client_of_the_environment_is_made_when_it_is_needed(endpoint: Endpoint) -> None:
    script(SET_UP + 'botwire_langfuse.instrument(); memory.get("plan")' + FLUSH, endpoint)
    assert endpoint.span("botwire.get").parent is None


def test_without_instrumenting_a_plain_span_is_sent_that_langfuse_keeps(
    endpoint: Endpoint,
) -> None:
    script(SET_UP + 'Langfuse(); memory.get("plan")' + FLUSH, endpoint)
    span = endpoint.span("search_memory")
    assert span.scope == "botwire"
    assert span.attributes["gen_ai.memory.record.id"] == "plan"


def test_two_projects_never_get_each_other_s_operations(endpoint: Endpoint) -> None:
    script(
        SET_UP
        + """
botwire_langfuse.instrument()
one = Langfuse()
two = Langfuse(public_key="pk-2", secret_key="sk-2")
with one.start_as_current_observation(name="one"):
    memory.get("a")
with two.start_as_current_observation(name="two"):
    memory.set("a", 1)
memory.delete("a")
two.flush()
"""
        + FLUSH,
        endpoint,
    )
    assert {(span.parent, span.name) for span in endpoint.spans()} == {
        (None, "one"),
        (None, "two"),
        ("one", "botwire.get"),
        ("two", "botwire.set"),
    }
    assert len(endpoint.spans()) == 4
    to = {span.name: span.request.headers["authorization"] for span in endpoint.spans()}
    assert to["one"] == to["botwire.get"] != to["two"] == to["botwire.set"]


@pytest.mark.parametrize(
    "environment",
    [{"LANGFUSE_PUBLIC_KEY": "", "LANGFUSE_SECRET_KEY": ""}, {"LANGFUSE_TRACING_ENABLED": "false"}],
)
def test_where_langfuse_is_switched_off_other_backends_still_see_operations(
    environment: dict[str, str], endpoint: Endpoint
) -> None:
    told = script(
        """
import logging
logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=__import__("sys").stdout)
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
"""
        + SET_UP
        + """
botwire_langfuse.instrument()
memory.set("a", 1)
memory.get("a")
print([span.name for span in exporter.get_finished_spans()])
""",
        endpoint,
        **environment,
    )
    assert told.splitlines() == ["['upsert_memory', 'search_memory']"]
    assert not endpoint.spans()


def test_a_sampled_out_trace_sends_nothing_and_breaks_nothing(endpoint: Endpoint) -> None:
    script(
        SET_UP
        + """
botwire_langfuse.instrument()
Langfuse()
with get_client().start_as_current_observation(name="root"):
    memory.set("a", 1)
    assert memory.get("a") == 1
"""
        + FLUSH,
        endpoint,
        LANGFUSE_SAMPLE_RATE="0.0",  # 3.x overlooks sample_rate=0.0 in the constructor
    )
    assert not endpoint.spans()
