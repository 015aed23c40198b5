"""The server joins its callers' traces, and tells nobody what they remember or under which name."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from botwire import AsyncMemory, otel, telemetry
from botwire.errors import Conflict
from botwire.telemetry.content import Content
from botwire.testing import ServerProcess

sys.path.append(str(Path(__file__).parents[2] / "tests"))  # for the endpoint of all tracing tests

CANARY = "canary"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def endpoint() -> Iterator[Any]:
    from tracing_endpoint import Endpoint

    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def start(endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartServer]:
    """Starts a server that sends its spans to the endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.url)
    started: list[ServerProcess] = []

    def start(**options: Any) -> ServerProcess:
        started.append(ServerProcess(f"sqlite:///{tmp_path / 'server.db'}", **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_an_agent_and_its_server_are_in_one_trace(start: StartServer, endpoint: Any) -> None:
    server = start()
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.url}/v1/traces")
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with (
        telemetry.spans_by(otel.SpanMaker(Content(capture=False), provider)),
        server.memory(f"{CANARY} namespace") as memory,
        provider.get_tracer("agent").start_as_current_span("agent"),
    ):
        memory.set(f"{CANARY} key", 1)
        with pytest.raises(Conflict):
            memory.set(f"{CANARY} key", 2, if_version=0)
    server.stop()  # which sends what it has
    spans = {span.name: span for span in endpoint.spans()}
    assert spans["upsert_memory"].parent == "agent"
    assert spans["POST /v1/set"].parent in ("upsert_memory", "create_memory")
    assert len({span.trace_id for span in endpoint.spans()}) == 1
    by_server = [span for span in endpoint.spans() if span.scope == "botwire.server"]
    assert [span.attributes["http.response.status_code"] for span in by_server] == [200, 412]
    assert CANARY not in str([(span.name, span.attributes) for span in by_server])


def test_operations_side_by_side_are_each_above_the_server_s_part_of_them(
    start: StartServer, endpoint: Any
) -> None:
    server = start()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{endpoint.url}/v1/traces")))

    async def agent() -> None:
        async with AsyncMemory(CANARY, url=server.url) as memory:
            with provider.get_tracer("agent").start_as_current_span("agent"):
                await asyncio.gather(*(memory.set(f"{CANARY}{n}", n) for n in range(8)))

    with telemetry.spans_by(otel.SpanMaker(Content(capture=False), provider)):
        asyncio.run(agent())
    server.stop()
    by_server = [span for span in endpoint.spans() if span.scope == "botwire.server"]
    operations = {span.span_id for span in endpoint.spans() if span.name == "upsert_memory"}
    assert len(by_server) == len(operations) == 8
    assert {span.parent_id for span in by_server} == operations
    assert len({span.trace_id for span in endpoint.spans()}) == 1
    assert CANARY not in str([(span.name, span.attributes) for span in by_server])


def test_a_span_has_the_route_and_never_the_path(start: StartServer, endpoint: Any) -> None:
    server = start()
    with httpx.Client(base_url=server.url) as client:
        client.put(f"/memory/{CANARY}/{CANARY}/more", json={"value": CANARY})
        client.get(f"/memory/{CANARY}/{CANARY}/more?x={CANARY}")
        client.get(f"/memory/{CANARY}")
        client.post(f"/v1/{CANARY}", json={"namespace": CANARY})
        client.get(f"/nothing/{CANARY}")
        client.request("LOCK", f"/memory/{CANARY}/pot")
    server.stop()
    assert [span.name for span in endpoint.spans()] == [
        "PUT /memory/{namespace}/{key}",
        "GET /memory/{namespace}/{key}",
        "GET /memory/{namespace}",
        "POST /v1/unknown",
        "HTTP /memory/{namespace}/{key}",
    ]
    assert {span.kind for span in endpoint.spans()} == {2}  # a server's
    assert CANARY not in endpoint.everything()


def ask(server: ServerProcess, traceparent: str) -> None:
    asked = {"namespace": "a", "key": "b"}
    headers = {"traceparent": traceparent.encode("latin-1")}
    assert httpx.post(f"{server.url}/v1/get", json=asked, headers=headers).status_code == 200


def test_any_flags_are_understood(start: StartServer, endpoint: Any) -> None:
    server = start()
    for flags in ("00", "01", "02", "03", "ff"):
        ask(server, f"{PARENT}-{flags}")
    server.stop()
    assert [span.parent_id for span in endpoint.spans()] == ["b7ad6b7169203331"] * 3


def test_a_traceparent_that_is_none_begins_a_trace(start: StartServer, endpoint: Any) -> None:
    server = start()
    for header in ("", "nonsense", "00-00-00-00", f"{PARENT}-01-", "\xff"):
        ask(server, header)
    server.stop()
    assert [span.parent for span in endpoint.spans()] == [None] * 5


def test_where_callers_are_not_trusted_their_trace_is_only_linked(
    start: StartServer, endpoint: Any
) -> None:
    server = start(trust_trace=False)
    ask(server, f"{PARENT}-00")
    ask(server, f"{PARENT}-01")
    server.stop()
    assert [span.parent for span in endpoint.spans()] == [None, None]
    assert "0af7651916cd43dd8448eb211c80319c" not in {s.trace_id for s in endpoint.spans()}


def test_without_an_endpoint_nothing_is_sent(tmp_path: Path, endpoint: Any) -> None:
    with ServerProcess(f"sqlite:///{tmp_path / 'server.db'}") as server:
        server.memory("a").set("b", 1)
    assert not endpoint.requests


def test_operations_go_on_when_the_endpoint_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_EXPORT_TIMEOUT", "500")
    with ServerProcess(f"sqlite:///{tmp_path / 'server.db'}") as server:
        with server.memory("a") as memory:
            memory.set("b", 1)
            assert memory.get("b") == 1
        server.kill()


def test_a_server_without_the_sdk_says_what_is_missing_and_serves(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["opentelemetry.sdk"] = None
from botwire_server.serve import serve
from botwire_server.settings import Settings
from botwire_server.tracing import export_spans
from botwire_server.logs import set_up
set_up()
export_spans()
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "PATH": ""},
    )
    line = json.loads(done.stderr)
    assert line["message"] == "no spans are sent"
    assert "botwire-server[otel]" in line["hint"]


def test_an_instrumentation_around_the_application_makes_the_only_span(tmp_path: Path) -> None:
    script = f"""
import asyncio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
import httpx
from botwire_server.app import create_app
from botwire_server.settings import Settings
app = create_app(Settings(url="sqlite:///{tmp_path}/server.db"))
around = trace.get_tracer("around")

async def wrapped(scope, receive, send):
    with around.start_as_current_span("around", kind=trace.SpanKind.SERVER):
        await app(scope, receive, send)

async def call(served):
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.post("/v1/get", json={{"namespace": "a", "key": "b"}})
        assert answer.status_code == 200, answer.text

async def main():
    await call(wrapped)
    print([span.name for span in exporter.get_finished_spans()])
    await call(app)
    print([span.name for span in exporter.get_finished_spans()])

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["['around']", "['around', 'POST /v1/get']"], done.stderr


def test_a_caller_s_mistake_is_no_failure_of_the_server(start: StartServer, endpoint: Any) -> None:
    server = start()
    assert httpx.post(f"{server.url}/v1/get", content=b"x").status_code == 415
    server.stop()
    (span,) = endpoint.spans()
    assert (span.attributes["http.response.status_code"], span.status) == (415, 0)
