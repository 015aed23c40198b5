"""What watching an operation costs, in microseconds on top of the operation itself.

    python benchmarks/tracing.py

An embedded read of a small value, with nobody listening and with each way of tracing; exporters
throw away what they get. Aims: 2 microseconds with nobody listening, 100 with tracing on. What
passes is given, and what the thread of the operation works; the rest is that exporters' threads,
which prepare what was recorded up to seconds earlier, want the interpreter at that moment. Medians
hold what else the machine does; the quietest round is what the work takes.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from statistics import median
from time import perf_counter, thread_time
from typing import Any

from langfuse import Langfuse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from table import interleaved, print_table

from botwire import Memory, otel, telemetry
from botwire.telemetry.content import Content
from botwire_agentops.shape import ToolShape
from botwire_langfuse.observations import Observations

ROUNDS = 40
REPEAT = 100


class Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...


def nowhere() -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    return provider


def langfuse(public_key: str, **options: Any) -> Langfuse:
    """A client with a provider as it would set it up, with nothing else on it."""
    return Langfuse(
        public_key=public_key,
        secret_key="sk",
        base_url="http://127.0.0.1:9",
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        span_exporter=Nowhere(),
        **options,
    )


memory = Memory("bench", url="memory://")


def reading(block: Callable[[], AbstractContextManager[Any]]) -> Callable[[], object]:
    def read() -> None:
        with block():
            for _ in range(REPEAT):
                memory.get("k")

    return read


def never_listening() -> None:
    telemetry.listening = False
    reading(nullcontext)()
    telemetry.listening = True


def traced_by(maker: telemetry.Observer, shape: otel.Shape | None = None) -> Callable[[], object]:
    def read() -> None:
        if shape is not None:
            otel.add_shape(shape)
        reading(lambda: telemetry.spans_by(maker))()
        if shape is not None:
            otel.remove_shape(shape)

    return read


def bare_spans() -> Callable[[], object]:
    tracer = nowhere().get_tracer("bench")

    def spans() -> None:
        for _ in range(REPEAT):
            with tracer.start_as_current_span("bare", attributes={"a": 1}):
                pass

    return spans


def bare_observations(client: Langfuse) -> Callable[[], object]:
    def observations() -> None:
        for _ in range(REPEAT):
            with client.start_as_current_observation(name="bare", input={"a": 1}) as bare:
                bare.update(output={"a": 1})

    return observations


def shown_to(key: str, capture: bool = False) -> Callable[[], object]:
    return traced_by(Observations(Content(capture), key))


Tasks = dict[str, Callable[[], object]]


def times(
    quiet: Tasks,
    traced: Tasks,
    clock: Callable[[], float],
    pick: Callable[[Sequence[float]], float] = median,
) -> dict[str | None, float]:
    """Microseconds an operation. First what is quiet: threads of exporters would disturb it."""
    found = interleaved(quiet, repeat=1, rounds=3 * ROUNDS, clock=clock, pick=pick)
    found |= interleaved(traced, repeat=1, rounds=ROUNDS, clock=clock, pick=pick)
    return {name: time / REPEAT for name, time in found.items()}


def main() -> None:
    memory.set("k", {"text": "x" * 100, "step": 1})
    plain = otel.SpanMaker(Content(capture=False), nowhere())
    full = otel.SpanMaker(Content(capture=True), nowhere())
    client = langfuse("pk")
    langfuse("pk-masked", mask=lambda data=None, **_: data)
    quiet = {
        "without telemetry": never_listening,
        "nobody listens": reading(nullcontext),
        "disabled": reading(telemetry.disabled),
    }
    traced = {
        "OpenTelemetry": traced_by(plain),
        "OpenTelemetry, with values": traced_by(full),
        "AgentOps": traced_by(plain, ToolShape(Content(capture=False))),
        "Langfuse": shown_to("pk"),
        "Langfuse, with values": shown_to("pk", capture=True),
        "Langfuse, with a mask": shown_to("pk-masked"),
        "(a bare span)": bare_spans(),
        "(a bare observation of Langfuse)": bare_observations(client),
    }
    waited = times(quiet, traced, perf_counter)
    own = times(quiet, traced, thread_time)
    least = times(quiet, traced, thread_time, min)
    rows: list[list[str]] = []
    for name in waited:
        less = None if name.startswith("(") else "without telemetry"
        more, busy, quietest = (each[name] - each.get(less, 0) for each in (waited, own, least))
        shown = waited[name], more, busy, quietest
        rows.append([name, *(f"{us:.1f}" for us in shown), f"{busy / own['(a bare span)']:.2f}"])
    head = ["an embedded get", "us", "us more", "on its thread", "quietest", "of a bare span"]
    versions = ", ".join(f"{name} {version(name)}" for name in ("opentelemetry-sdk", "langfuse"))
    print_table(f"Tracing with {versions}", head, rows)


if __name__ == "__main__":
    main()
