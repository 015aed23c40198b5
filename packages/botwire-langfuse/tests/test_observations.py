"""Operations arrive at Langfuse as native observations, with nothing in them that should not be."""

import asyncio
import json
import logging
from typing import Any

import pytest
from langfuse import get_client, observe, propagate_attributes
from langfuse_kit import Service, observed
from opentelemetry import context
from tracing_endpoint import Endpoint
from tracing_workload import CANARY, everything

import botwire_langfuse
from botwire import AsyncMemory, Conflict, Memory, telemetry
from botwire.errors import WrongType
from botwire.testing import ServerProcess
from botwire_langfuse import traced_memory


@pytest.fixture(autouse=True)
def _instrumented(service: Service) -> None:
    botwire_langfuse.instrument()


def test_a_read_is_a_retriever_and_a_write_a_tool(service: Service, botwire_memory: Memory) -> None:
    botwire_memory.set("plan", {"step": 1}, ttl=60)
    botwire_memory.get("plan")
    written, read = service.span("botwire.set"), service.span("botwire.get")
    assert {written.scope, read.scope} == {"langfuse-sdk"}
    assert observed(written) == {
        "type": "tool",
        "input": {"key": "plan", "ttl": 60},
        "output": {"count": 1, "version": 1},
        "metadata.namespace": "test",
    }
    assert observed(read) == {
        "type": "retriever",
        "input": {"key": "plan"},
        "output": {"count": 1, "version": 1},
        "metadata.namespace": "test",
    }


def test_observations_arrive_where_langfuse_takes_them_with_its_credentials(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_memory.get("plan")
    received = service.span("botwire.get").request
    assert received.path == "/api/public/otel/v1/traces"
    assert received.headers["authorization"].startswith("Basic ")


def test_they_carry_the_standard_attributes_for_other_exporters(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_memory.set("plan", 1, if_version=0)
    attributes = service.span("botwire.set").attributes
    assert attributes["gen_ai.operation.name"] == "create_memory"
    assert attributes["gen_ai.memory.record.id"] == "plan"
    assert attributes["botwire.cas.applied"] is True


def test_a_miss_shows_as_found_nothing(service: Service, botwire_memory: Memory) -> None:
    botwire_memory.get("gone")
    found = observed(service.span("botwire.get"))
    assert found["output"] == {"count": 0}
    assert "level" not in found


def test_a_lost_race_is_a_warning(service: Service, botwire_memory: Memory) -> None:
    botwire_memory.set("plan", CANARY)
    with pytest.raises(Conflict):
        botwire_memory.delete("plan", if_version=99)
    found = observed(service.span("botwire.delete"))
    assert found["level"] == "WARNING"
    assert found["status_message"] == "Version conflict (BW-412-version)"


def test_a_failure_is_an_error(service: Service, botwire_memory: Memory) -> None:
    botwire_memory.set("text", CANARY)
    with pytest.raises(WrongType):
        botwire_memory.increment("text")
    found = observed(service.span("botwire.increment"))
    assert found["level"] == "ERROR"
    assert found["status_message"] == "Stored value has another type (BW-409-type)"


def test_no_value_is_sent_unless_asked(service: Service, botwire_memory: Memory) -> None:
    everything(botwire_memory)
    assert len(service.spans()) > 12
    assert CANARY not in service.endpoint.everything()


def test_values_stand_in_input_and_output_when_asked(
    service: Service, botwire_memory: Memory
) -> None:
    botwire_langfuse.instrument(capture_content=True)
    botwire_memory.set("plan", {"step": 1})
    botwire_memory.get("plan")
    assert observed(service.span("botwire.set"))["input"]["value"] == {"step": 1}
    assert observed(service.span("botwire.get"))["output"]["value"] == {"step": 1}
    other = {
        name: value
        for name, value in service.span("botwire.set").attributes.items()
        if not name.startswith("langfuse.observation.")
    }
    assert "step" not in json.dumps(other)  # where the mask would not see it


def test_a_long_value_is_cut_before_it_is_sent(service: Service, botwire_memory: Memory) -> None:
    """Langfuse itself sends megabytes whole."""
    botwire_langfuse.instrument(capture_content=True, content_limit=20)
    botwire_memory.set("book", "x" * 2_000_000)
    value = observed(service.span("botwire.set"))["input"]["value"]
    assert value == f'"{"x" * 19}... (2,000,002 characters)'
    assert len(service.endpoint.everything()) < 10_000


def test_values_pass_through_redact(service: Service, botwire_memory: Memory) -> None:
    botwire_langfuse.instrument(capture_content=True, redact=lambda key, value: "hidden")
    everything(botwire_memory)
    service.spans()
    assert CANARY not in service.endpoint.everything()
    assert "hidden" in service.endpoint.everything()


def test_a_redact_that_fails_sends_nothing_of_a_value(
    service: Service, botwire_memory: Memory
) -> None:
    def broken(key: str, value: Any) -> Any:
        raise ValueError(f"cannot redact {value}")

    @traced_memory
    def answer() -> str:
        everything(botwire_memory)
        return CANARY

    botwire_langfuse.instrument(capture_content=True, redact=broken)
    assert answer() == CANARY
    service.spans()
    (read,) = [span for span in service.spans() if span.name == "botwire.get"]
    assert read.attributes["gen_ai.memory.record.count"] == 1  # what else is known of it
    assert CANARY not in service.endpoint.everything()


def test_names_can_be_hashed(service: Service, botwire_memory: Memory) -> None:
    botwire_langfuse.instrument(hash_keys=True)
    botwire_memory.namespaced("ada@example.com").set("ada@example.com:plan", 1)
    service.spans()
    assert "ada@" not in service.endpoint.everything()


def test_the_user_s_mask_applies() -> None:
    def mask(data: Any = None, **_: Any) -> Any:
        return "MASKED" if data else data

    with Endpoint() as endpoint:
        service = Service(endpoint)
        service.project(mask=mask)
        botwire_langfuse.instrument(capture_content=True)
        memory = Memory("ada@example.com", url="memory://")
        memory.set("ada@example.com:secret", CANARY)
        memory.get("ada@example.com:secret")
        found = observed(service.span("botwire.get"))
        assert (found["input"], found["output"]) == ("MASKED", "MASKED")
        assert CANARY not in endpoint.everything()
        assert "ada@" not in endpoint.everything()
        service.forget()


def test_operations_nest_under_what_observe_watches(
    service: Service, botwire_memory: Memory
) -> None:
    @observe(as_type="agent")
    def agent(question: str) -> Any:
        return botwire_memory.get("plan")

    agent("what now?")
    assert service.span("botwire.get").parent == "agent"


async def test_asynchronous_operations_nest_too(service: Service) -> None:
    memory = AsyncMemory("nest", url="memory://")

    @observe
    async def agent(n: int) -> None:
        await asyncio.gather(memory.set(f"k{n}", n), memory.get("plan"))

    await asyncio.gather(*(agent(n) for n in range(3)))
    children = [span for span in service.spans() if span.name.startswith("botwire.")]
    assert [span.parent for span in children] == ["agent"] * 6
    assert len({span.trace_id for span in children}) == 3


def test_user_and_session_are_inherited(service: Service, botwire_memory: Memory) -> None:
    with propagate_attributes(user_id="ada", session_id="s-1"):
        botwire_memory.get("plan")
    attributes = service.span("botwire.get").attributes
    assert (attributes["user.id"], attributes["session.id"]) == ("ada", "s-1")


def test_each_project_gets_its_own_operations(service: Service, botwire_memory: Memory) -> None:
    other = service.project()
    with other.start_as_current_observation(name="other agent"):
        botwire_memory.get("plan")
    assert service.span("botwire.get").parent == "other agent"
    requests = {span.request.headers["authorization"] for span in service.spans()}
    assert len(requests) == 1


def test_where_several_projects_would_do_none_gets_it(
    service: Service, botwire_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    service.project()
    with caplog.at_level(logging.WARNING, "botwire.langfuse"):
        botwire_memory.get("plan")
        botwire_memory.get("plan")
    assert not service.spans()
    (record,) = caplog.records
    assert "public_key" in record.getMessage()


def test_a_project_can_be_named_for_everything(service: Service, botwire_memory: Memory) -> None:
    service.project(public_key="pk-lf-chosen")
    botwire_langfuse.instrument(public_key="pk-lf-chosen")
    botwire_memory.get("plan")
    import base64

    sent = service.span("botwire.get").request.headers["authorization"].split()[1]
    assert base64.b64decode(sent).startswith(b"pk-lf-chosen:")


def test_without_a_client_operations_go_on_unseen(service: Service, botwire_memory: Memory) -> None:
    service.forget()
    botwire_memory.set("plan", 1)
    assert botwire_memory.get("plan") == 1
    assert not service.endpoint.requests


def test_nothing_is_observed_where_instrumentation_is_suppressed(
    service: Service, botwire_memory: Memory
) -> None:
    token = context.attach(context.set_value("suppress_instrumentation", True))
    try:
        botwire_memory.get("plan")
        with traced_memory("block"):
            botwire_memory.get("plan")
    finally:
        context.detach(token)
    assert not service.spans()


def test_no_baggage_is_sent_to_the_server(service: Service) -> None:
    """Langfuse puts users into it, if it is told to; any other library would send that along."""
    with (
        Endpoint(lambda _: (200, None)) as server,
        Memory("ada", url=server.url) as memory,
        propagate_attributes(user_id="ada@example.com", as_baggage=True),
        get_client().start_as_current_observation(name="agent"),
    ):
        memory.get("plan")
    (request,) = server.requests
    assert request.headers["traceparent"].split("-")[2] == service.span("botwire.get").span_id
    assert "baggage" not in request.headers
    assert "ada@" not in server.everything()


def test_nothing_is_observed_where_telemetry_is_disabled(
    service: Service, botwire_memory: Memory
) -> None:
    with telemetry.disabled(), traced_memory("block") as observation:
        botwire_memory.get("plan")
    assert observation is None
    assert not service.spans()


def test_uninstrumenting_ends_it(service: Service, botwire_memory: Memory) -> None:
    botwire_langfuse.uninstrument()
    botwire_memory.get("plan")
    assert not service.spans()


def test_on_a_server_the_place_is_shown_and_the_trace_is_continued(
    service: Service, botwire_server: ServerProcess
) -> None:
    with botwire_server.memory("ada") as memory:
        memory.set("plan", 1)
    found = observed(service.span("botwire.set"))
    assert found["metadata.server"] == f"127.0.0.1:{botwire_server.port}"
    assert service.span("botwire.set").attributes["server.port"] == botwire_server.port


def test_a_client_that_dies_does_not_break_memory(
    service: Service, botwire_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = get_client()
    monkeypatch.setattr(type(client), "start_as_current_observation", None)
    botwire_memory.set("plan", 1)
    assert botwire_memory.get("plan") == 1
