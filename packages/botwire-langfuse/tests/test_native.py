"""Observations made as spans arrive as those do that Langfuse's own call makes."""

import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from langfuse import Langfuse, get_client, propagate_attributes
from langfuse_kit import Service, observed
from opentelemetry import trace
from opentelemetry.sdk.trace import Span as OtelSpan
from opentelemetry.sdk.trace import SpanLimits, Tracer, TracerProvider
from tracing_endpoint import Endpoint, Received, Span
from tracing_workload import CANARY, everything

import botwire_langfuse
from botwire import Memory
from botwire_langfuse import native

PARAMETERS = inspect.signature(Langfuse.__init__).parameters


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    yield
    native.maker.cache_clear()


def by_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let observations be made by Langfuse's own call from now on."""
    monkeypatch.setattr(native, "tracer_of", lambda client: None)
    native.maker.cache_clear()


def sent(work: Callable[[Memory], object], **options: Any) -> list[dict[str, Any]]:
    """What Langfuse gets of what is done with a new memory, but for what differs each time."""
    with (
        Endpoint() as endpoint,
        TemporaryDirectory() as folder,
        Memory("123", url=f"sqlite:///{folder}/memory.db") as memory,
    ):
        service = Service(endpoint)
        service.project(**options)
        work(memory)
        found = [comparable(span) for span in service.spans()]
        service.forget()
    return found


def comparable(span: Span) -> dict[str, Any]:
    left_out = ("trace_id", "span_id", "parent_id", "request", "started")
    found = {name: value for name, value in vars(span).items() if name not in left_out}
    for name in ("input", "output"):  # with a mask, Langfuse writes JSON with white space
        if (text := span.attributes.get(f"langfuse.observation.{name}", "")).startswith("{"):
            found["attributes"] |= {f"langfuse.observation.{name}": json.loads(text)}
    return found


def instrumented(memory: Memory, *, around: Any = nullcontext, **options: Any) -> None:
    botwire_langfuse.instrument(**options)
    with around():
        everything(memory)
    botwire_langfuse.uninstrument()


def inside_an_observation() -> Any:
    return get_client().start_as_current_observation(name="agent", as_type="agent")


def retried(memory: Memory) -> None:
    """An operation on a server that is not there at the first attempt."""
    answers = iter([503])

    def answer(_: Received) -> tuple[int, Any]:
        return next(answers, 200), {"value": 1, "version": 7}

    botwire_langfuse.instrument()
    with Endpoint(answer) as server, Memory("ada", url=server.url) as remote:
        remote.get("plan")
        assert len(server.requests) == 2
    botwire_langfuse.uninstrument()


def shouted(data: Any = None, **_: Any) -> Any:
    """A mask as they are: it looks for texts, however deep."""
    if isinstance(data, dict):
        return {key: shouted(part) for key, part in data.items()}
    if isinstance(data, list):
        return [shouted(part) for part in data]
    return data.upper() if isinstance(data, str) else data


def odd(data: Any = None, **_: Any) -> Any:
    """A mask that returns what is not plain data."""
    return data and {"when": datetime(2026, 11, 28, tzinfo=UTC), "what": (1, {2}), 3: data}


def emptied(data: Any = None, **_: Any) -> Any:
    """A mask that changes what it is given and returns nothing."""
    if data:
        data.clear()


def fails(data: Any = None, **_: Any) -> Any:
    raise ValueError(f"cannot mask {data}")


MASKS = {
    "as it is": lambda data=None, **_: data,
    "texts": shouted,
    "a text": lambda data=None, **_: "MASKED" if data else data,
    "a list": lambda data=None, **_: ["MASKED"] if data else data,
    "nothing": emptied,
    "odd": odd,
}
propagated = partial(
    propagate_attributes,
    user_id="ada",
    session_id="s-1",
    metadata={"tenant": "t-1"},
    version="v-1",
    tags=["support"],
)
WORK = {
    "plain": (instrumented, {}),
    "values": (partial(instrumented, capture_content=True), {}),
    "hashes": (partial(instrumented, hash_keys=True), {}),
    "propagated": (partial(instrumented, around=propagated), {}),
    "baggage": (partial(instrumented, around=partial(propagated, as_baggage=True)), {}),
    "inside": (partial(instrumented, around=inside_an_observation), {}),
    "environment": (instrumented, {"environment": "staging", "release": "r-1"}),
    "switched off": (instrumented, {"tracing_enabled": False}),
    "blocked": (instrumented, {"blocked_instrumentation_scopes": ["langfuse-sdk"]}),
    "filtered": (instrumented, {"should_export_span": lambda span: "get" in span.name}),
}
WORK |= {
    f"masked: {name}": (partial(instrumented, capture_content=True), {"mask": mask})
    for name, mask in MASKS.items()
}
WORK = {name: work for name, work in WORK.items() if work[1].keys() <= PARAMETERS.keys()}


@pytest.mark.filterwarnings("ignore:.*blocked_instrumentation_scopes:DeprecationWarning")
@pytest.mark.parametrize("name", WORK)
def test_what_arrives_is_what_langfuse_s_own_call_sends(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, options = WORK[name]
    as_spans = sent(work, **options)
    by_call(monkeypatch)
    assert as_spans == sent(work, **options)
    assert bool(as_spans) == (name not in ("switched off", "blocked"))


def test_so_do_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    (span,) = sent(retried)
    by_call(monkeypatch)
    (called,) = sent(retried)
    for attributes in (span["attributes"], called["attributes"]):
        del attributes["server.port"], attributes["langfuse.observation.metadata.server"]
    assert span == called
    assert str(span["attributes"]["langfuse.observation.metadata.attempts"]) == "2"


@pytest.mark.parametrize("mask", [*MASKS.values(), fails], ids=[*MASKS, "fails"])
def test_they_are_made_as_spans_with_any_mask_as_well(
    mask: Callable[..., Any], service: Service
) -> None:
    assert type(native.maker(get_client())) is native.BySpan
    assert type(native.maker(service.project(mask=mask))) is native.Masked


def test_a_mask_that_fails_masks_everything_and_is_quoted_nowhere(
    botwire_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    with Endpoint() as endpoint:
        service = Service(endpoint)
        service.project(mask=fails)
        botwire_langfuse.instrument(capture_content=True)
        everything(botwire_memory)
        found = observed(service.span("botwire.get"))
        service.forget()
        assert found["input"] == found["output"] == found["metadata.namespace"] == native.FAILED
        assert CANARY not in endpoint.everything()
    assert CANARY not in caplog.text
    assert "the mask failed with ValueError" in caplog.text


def test_a_mask_cannot_change_what_the_caller_gets(botwire_memory: Memory) -> None:
    with Endpoint() as endpoint:
        service = Service(endpoint)
        service.project(mask=emptied)
        botwire_langfuse.instrument(capture_content=True)
        botwire_memory.set("plan", value := {"steps": [1]})
        assert botwire_memory.get("plan") == value == {"steps": [1]}
        service.forget()


def test_where_a_mask_cannot_be_told_there_may_be_one(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = get_client()
    monkeypatch.delattr(client, "_mask")
    monkeypatch.delattr(Langfuse, "_mask")  # its default
    assert isinstance(native.maker(client), native.ByCall)
    assert native.maker(client).masked


@pytest.mark.parametrize("otherwise", ["fails", "types", "metadata"])
def test_where_langfuse_makes_them_otherwise_its_own_call_is_used(
    otherwise: str, service: Service, botwire_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Changed:
        def __init__(self, *, otel_span: Any, metadata: dict[str, Any], **_: Any) -> None:
            if otherwise == "fails":
                raise ZeroDivisionError
            kind = "TOOL" if otherwise == "types" else "tool"
            otel_span.set_attribute("langfuse.observation.type", kind)
            form = repr if otherwise == "metadata" else str
            for name, value in metadata.items():
                otel_span.set_attribute(f"langfuse.observation.metadata.{name}", form(value))

    monkeypatch.setattr(native, "LangfuseTool", Changed)
    botwire_langfuse.instrument()
    botwire_memory.set("plan", 1)
    assert isinstance(native.maker(get_client()), native.ByCall)
    assert observed(service.span("botwire.set"))["type"] == "tool"


def test_asking_langfuse_how_it_makes_them_sends_nothing(service: Service) -> None:
    assert isinstance(native.maker(get_client()), native.BySpan)
    assert not service.spans()


@pytest.mark.parametrize(("kind", "method"), [(Tracer, "start_span"), (OtelSpan, "set_attributes")])
def test_opentelemetry_that_fails_does_not_break_memory(
    kind: type,
    method: str,
    service: Service,
    botwire_memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(kind, method, fails)
    botwire_langfuse.instrument()
    botwire_memory.set("plan", 1)
    assert botwire_memory.get("plan") == 1
    assert not trace.get_current_span().get_span_context().is_valid


def test_a_span_that_is_full_keeps_what_langfuse_shows(botwire_memory: Memory) -> None:
    provider = TracerProvider(shutdown_on_exit=False, span_limits=SpanLimits(max_span_attributes=8))
    with Endpoint() as endpoint:
        service = Service(endpoint)
        service.project(tracer_provider=provider)
        botwire_langfuse.instrument()
        botwire_memory.get("plan")
        found = observed(service.span("botwire.get"))
        service.forget()
    assert (found["type"], found["input"], found["output"]) == (
        "retriever",
        {"key": "plan"},
        {"count": 0},
    )
