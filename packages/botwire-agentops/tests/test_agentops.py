"""With the real SDK: what arrives at AgentOps, and what keeps it from arriving."""

from collections.abc import Iterator
from importlib.metadata import version

import pytest
from agentops_kit import TOKEN, card, endpoint, script
from tracing_endpoint import Endpoint
from tracing_workload import CANARY

from botwire_agentops import Problem

OTEL = tuple(map(int, version("opentelemetry-sdk").split(".")[:2]))
BROKEN = OTEL >= (1, 45)  # from here on AgentOps' own exporter sends nothing
WORKLOAD = f"""
memory.set("preferences", {{"theme": "{CANARY}"}})

@agentops.tool(name="lookup")
def lookup(key):
    return memory.exists(key)

@botwire_agentops.record_function("support")
def support():
    with memory.batch() as batch:
        batch.get("preferences")
    return lookup("preferences")

@agentops.trace(name="run")
def run():
    support()

run()
"""


@pytest.fixture
def service() -> Iterator[Endpoint]:
    with endpoint() as service:
        yield service


def test_operations_arrive_as_tools_below_what_called_them(service: Endpoint) -> None:
    script(f"init(); botwire_agentops.instrument(repair={BROKEN})" + WORKLOAD, service)
    parents = {span.name: span.parent for span in service.spans()}
    assert parents == {
        "botwire.set.tool": None,
        "run.session": None,
        "support.task": "run.session",
        "botwire.batch.tool": "support.task",
        "lookup.tool": "support.task",
        "botwire.exists.tool": "lookup.tool",
    }
    assert card(service.span("botwire.set.tool")) == {
        "kind": "tool",
        "name": "botwire.set",
        "arguments": {"namespace": "m", "key": "preferences"},
        "result": {"count": 1, "version": 1},
    }
    received = service.span("botwire.set.tool").request
    assert received.headers["authorization"] == f"Bearer {TOKEN}"
    assert CANARY not in service.everything()


EVERYTHING = f"""
from tracing_workload import everything

@botwire_agentops.record_tool("stream")
def stream(secret):
    while True:
        yield memory.get("a")

@botwire_agentops.record_function
def fails(secret):
    raise LookupError(secret)

with agentops.start_trace("run"):
    everything(memory)
    memory.set("a", 1)
    running = stream("{CANARY}")
    next(running)
    running.close()
    try:
        fails("{CANARY}")
    except LookupError:
        pass
"""


def test_no_value_arrives_unless_asked(service: Endpoint) -> None:
    script(f"init(); botwire_agentops.instrument(repair={BROKEN})" + EVERYTHING, service)
    assert len(service.spans()) > 15
    assert {card(span)["kind"] for span in service.spans() if "botwire." in span.name} == {"tool"}
    assert card(service.span("botwire.increment.tool"))["result"] == {"error": "wrong_type"}
    assert service.span("stream.tool").status == 0  # left early, which is no error
    assert service.span("fails.task").status_message == "LookupError"
    assert CANARY not in service.everything()


def test_nothing_arrives_from_where_instrumentation_is_suppressed(service: Endpoint) -> None:
    script(
        f"""
from opentelemetry.instrumentation.utils import suppress_instrumentation
init(); botwire_agentops.instrument(repair={BROKEN})
with suppress_instrumentation():
    memory.set("hidden", 1)
memory.set("seen", 1)
""",
        service,
    )
    arrived = [span.attributes["gen_ai.memory.record.id"] for span in service.spans()]
    assert arrived == ["seen"]


def test_instrumenting_before_init_works_and_values_show_when_asked(service: Endpoint) -> None:
    script(
        f"botwire_agentops.instrument(repair={BROKEN}, capture_content=True)\n"
        "init()\n"
        'memory.set("plan", {"step": 1}); memory.get("plan")',
        service,
    )
    assert card(service.span("botwire.set.tool"))["arguments"]["value"] == {"step": 1}
    assert card(service.span("botwire.get.tool"))["result"]["value"] == {"step": 1}


def test_check_finds_an_exporter_that_cannot_send_and_repairs_it(service: Endpoint) -> None:
    told = script(
        """
init()
found = botwire_agentops.check()
memory.get("lost")
from opentelemetry import trace
trace.get_tracer_provider().force_flush()
repaired = botwire_agentops.check(repair=True)
assert repaired == found
assert botwire_agentops.check() == []
memory.get("found")
sys.stderr.write(f"found {[problem.name for problem in found]}")
""",
        service,
    )
    arrived = [span.attributes["gen_ai.memory.record.id"] for span in service.spans()]
    if BROKEN:
        assert "found ['BROKEN_EXPORTER']" in told
        assert str(Problem.BROKEN_EXPORTER) in told
        assert arrived == ["found"]
    else:
        assert "found []" in told
        assert arrived == ["lost", "found"]


PROVIDER_FIRST = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
init()
"""


def test_check_finds_that_another_provider_was_first_and_repairs_it(service: Endpoint) -> None:
    told = script(
        PROVIDER_FIRST
        + """
assert botwire_agentops.check() == [botwire_agentops.Problem.OTHER_PROVIDER]
memory.get("lost")
botwire_agentops.check(repair=True)
assert botwire_agentops.check() == []
@agentops.tool
def lookup():
    memory.get("found")
lookup()
""",
        service,
    )
    assert str(Problem.OTHER_PROVIDER) in told
    assert [span.name for span in service.spans()] == ["lookup.tool", "search_memory"]


def test_instrument_says_once_what_keeps_spans_from_agentops(service: Endpoint) -> None:
    told = script(
        PROVIDER_FIRST
        + 'botwire_agentops.instrument(); memory.get("a"); memory.get("a"); memory.get("a")',
        service,
    )
    assert told.count(str(Problem.OTHER_PROVIDER)) == 1
    assert not service.spans()


def test_check_does_not_claim_to_have_repaired_what_it_cannot(service: Endpoint) -> None:
    told = script(
        """
from opentelemetry import trace
class Foreign(trace.TracerProvider):  # as other vendors have theirs
    def get_tracer(self, *_, **__):
        return trace.NoOpTracer()
    def force_flush(self): ...
trace.set_tracer_provider(Foreign())
init()
assert botwire_agentops.check(repair=True) == [botwire_agentops.Problem.OTHER_PROVIDER]
botwire_agentops.instrument(repair=True)
memory.set("a", 1)
assert memory.get("a") == 1
""",
        service,
    )
    assert str(Problem.OTHER_PROVIDER) in told
    assert "repaired" not in told


def test_check_before_init_says_so(caplog: pytest.LogCaptureFixture) -> None:
    from botwire_agentops import check

    assert check(repair=True) == [Problem.NOT_STARTED]
    assert "agentops.init()" in caplog.text


BOTH = """
import botwire_langfuse
from langfuse import Langfuse, get_client
{first}
{second}
botwire_agentops.instrument(repair=True)
botwire_langfuse.instrument()
with get_client().start_as_current_observation(name="agent", as_type="agent"):
    memory.set("plan", "x")
get_client().flush()
"""


@pytest.mark.parametrize("order", [("init()", "Langfuse()"), ("Langfuse()", "init()")])
def test_one_span_serves_agentops_and_langfuse_in_either_order(
    order: tuple[str, str], service: Endpoint
) -> None:
    pytest.importorskip("langfuse", reason="the environment without Langfuse")
    script(BOTH.format(first=order[0], second=order[1]), service)
    to_agentops = [span for span in service.spans() if span.request.path == "/v1/traces"]
    to_langfuse = [span for span in service.spans() if "/public/" in span.request.path]
    assert {span.name for span in to_agentops} == {"agent", "botwire.set.tool"}
    assert {span.name for span in to_langfuse} == {"agent", "botwire.set.tool"}
    (tool,) = [span for span in to_agentops if span.name == "botwire.set.tool"]
    (observation,) = [span for span in to_langfuse if span.name == "botwire.set.tool"]
    assert tool.span_id == observation.span_id
    assert card(tool)["kind"] == "tool"
    assert card(tool)["arguments"] == {"namespace": "m", "key": "plan"}
    assert observation.attributes["langfuse.observation.type"] == "tool"
