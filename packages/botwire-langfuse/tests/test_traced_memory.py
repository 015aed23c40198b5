"""`traced_memory` shows functions and blocks of every kind, with what they remember below them."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from langfuse import Langfuse
from langfuse_kit import Service, observed
from tracing_workload import CANARY

import botwire_langfuse
from botwire import Memory
from botwire_langfuse import traced_memory


def test_a_function_is_an_observation_around_its_operations(
    service: Service, botwire_memory: Memory
) -> None:
    @traced_memory
    def recall(key: str) -> Any:
        return botwire_memory.get(key)

    recall("plan")
    assert service.span("botwire.get").parent == "recall"
    assert observed(service.span("recall")) == {"type": "span"}


async def test_coroutine_functions_and_both_kinds_of_generators_work(
    service: Service, botwire_memory: Memory
) -> None:
    memory = botwire_memory.to_async()

    @traced_memory
    async def coroutine() -> None:
        await memory.get("plan")

    @traced_memory()
    def generator() -> Iterator[int]:
        botwire_memory.get("plan")
        yield 1
        botwire_memory.get("plan")

    @traced_memory("stream")
    async def async_generator() -> AsyncIterator[int]:
        await memory.get("plan")
        yield 1
        await memory.get("plan")

    await coroutine()
    for _ in generator():
        botwire_memory.exists("between")  # the consumer's own, outside of the generator
    assert [item async for item in async_generator()] == [1]
    assert inspect.isasyncgenfunction(async_generator)
    parents = [span.parent for span in service.spans() if span.name == "botwire.get"]
    assert parents == ["coroutine", "generator", "generator", "stream", "stream"]
    assert not [span for span in service.spans() if span.name == "botwire.exists"]


async def test_a_generator_that_is_not_taken_to_its_end_is_no_error(
    service: Service, botwire_memory: Memory
) -> None:
    memory = botwire_memory.to_async()

    @traced_memory
    def endless() -> Iterator[int]:
        while True:
            yield botwire_memory.increment("n")

    @traced_memory
    async def endless_later() -> AsyncIterator[int]:
        while True:
            yield await memory.increment("n")

    def around_a_block() -> Iterator[int]:
        with traced_memory("block"):
            yield botwire_memory.increment("n")

    running, block, later = endless(), around_a_block(), endless_later()
    assert (next(running), next(block), await anext(later)) == (1, 2, 3)
    running.close(), block.close()  # type: ignore[attr-defined]
    await later.aclose()  # type: ignore[attr-defined]
    botwire_memory.get("n")  # theirs no more
    found = {span.name: span for span in service.spans() if "endless" in span.name}
    assert found.keys() == {"endless", "endless_later"}
    for name in ("endless", "endless_later", "block"):
        assert observed(service.span(name)) == {"type": "span"}
    parents = [span.parent for span in service.spans() if span.name == "botwire.increment"]
    assert parents == ["endless", "block", "endless_later"]
    assert not [span for span in service.spans() if span.name == "botwire.get"]


@pytest.mark.parametrize("broken", ["redact", "client"])
async def test_what_fails_in_observing_changes_nothing(
    broken: str, service: Service, botwire_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    if broken == "client":
        monkeypatch.setattr(Langfuse, "start_as_current_observation", fails)
    traced = traced_memory(capture_content=True, redact=fails)

    @traced
    def recall(key: str) -> Any:
        return botwire_memory.get(key, "none")

    @traced
    async def recall_later(key: str) -> Any:
        raise LookupError(botwire_memory.get(key, "none"))

    assert recall("plan") == "none"
    with pytest.raises(LookupError, match="none"):
        await recall_later("plan")
    with pytest.raises(KeyError), traced:
        raise KeyError("plan")


def test_a_block_is_an_observation_that_can_be_written_to(
    service: Service, botwire_memory: Memory
) -> None:
    with traced_memory("round", as_type="chain") as observation:
        botwire_memory.get("plan")
        observation.update(output="done")
    assert service.span("botwire.get").parent == "round"
    assert observed(service.span("round")) == {"type": "chain", "output": "done"}


def test_user_session_and_tags_stand_on_everything_inside(
    service: Service, botwire_memory: Memory
) -> None:
    @traced_memory(user_id="ada", session_id="s-1", tags=["support"])
    def recall() -> None:
        botwire_memory.get("plan")

    recall()
    for name in ("recall", "botwire.get"):
        attributes = service.span(name).attributes
        assert (attributes["user.id"], attributes["session.id"]) == ("ada", "s-1")


def test_arguments_and_results_are_values_and_stay_here_unless_asked(
    service: Service, botwire_memory: Memory
) -> None:
    @traced_memory
    def recall(secret: str) -> str:
        raise ValueError(secret)

    with pytest.raises(ValueError, match=CANARY):
        recall(CANARY)
    with pytest.raises(KeyError), traced_memory("block"):
        raise KeyError(CANARY)
    assert observed(service.span("recall"))["status_message"] == "ValueError"
    assert observed(service.span("block"))["level"] == "ERROR"
    assert CANARY not in service.endpoint.everything()


def test_arguments_and_results_are_shown_when_asked(
    service: Service, botwire_memory: Memory
) -> None:
    @traced_memory(capture_content=True)
    def recall(key: str, *, memory: object) -> Any:
        return botwire_memory.get(key, "nothing")

    @traced_memory(capture_content=True)
    def stream() -> Iterator[int]:
        yield from (1, 2)

    recall("plan", memory=botwire_memory)
    list(stream())
    found = observed(service.span("recall"))
    assert found["input"]["key"] == "plan"
    assert found["input"]["memory"].startswith("Memory('test'")
    assert found["output"] == "nothing"
    assert observed(service.span("stream"))["output"] == [1, 2]


def test_they_pass_through_redact_by_name(service: Service) -> None:
    @traced_memory(capture_content=True, redact=lambda name, value: f"hidden {name}")
    def recall(key: str) -> str:
        return CANARY

    recall(CANARY)
    found = observed(service.span("recall"))
    assert found["input"] == {"key": "hidden key"}
    assert found["output"] == "hidden return"


def test_it_follows_what_the_process_was_instrumented_with(
    service: Service, botwire_memory: Memory
) -> None:
    @traced_memory
    def recall() -> Any:
        return botwire_memory.get("plan", "none")

    botwire_langfuse.instrument(capture_content=True)
    recall()
    assert observed(service.span("recall"))["output"] == "none"


def test_it_can_send_what_is_inside_to_another_project(
    service: Service, botwire_memory: Memory
) -> None:
    service.project(public_key="pk-lf-other")

    @traced_memory(public_key="pk-lf-other")
    def recall() -> None:
        botwire_memory.get("plan")

    recall()
    assert service.span("botwire.get").parent == "recall"


def test_without_langfuse_it_changes_nothing(service: Service, botwire_memory: Memory) -> None:
    service.forget()

    @traced_memory
    def recall() -> Any:
        return botwire_memory.get("plan", 1)

    assert recall() == 1
    with traced_memory("block") as observation:
        assert observation is None


async def test_one_block_can_be_entered_by_many_at_once_and_in_itself(
    service: Service, botwire_memory: Memory
) -> None:
    block = traced_memory("block")
    both = threading.Barrier(2, timeout=10)

    def work(key: str) -> None:
        with block as outer:
            outer.update(output=key)
            both.wait()  # the other has entered, too
            with block:
                botwire_memory.get(key)
            both.wait()
            botwire_memory.exists(key)

    async def work_later(key: str) -> None:
        with block as outer:
            outer.update(output=key)
            await asyncio.sleep(0)
            botwire_memory.head(key)

    await asyncio.gather(*(asyncio.to_thread(work, key) for key in "ab"))
    await asyncio.gather(*(work_later(key) for key in "cd"))
    spans = {span.span_id: span for span in service.spans()}
    written = {id_: observed(span).get("output") for id_, span in spans.items()}
    for span in spans.values():
        if span.name in ("botwire.exists", "botwire.head"):
            assert written[span.parent_id] == observed(span)["input"]["key"]
        elif span.name == "botwire.get":
            outer = spans[spans[span.parent_id].parent_id]
            assert written[outer.span_id] == observed(span)["input"]["key"]
    assert [span.name for span in spans.values()].count("block") == 6


def test_a_block_that_is_left_in_another_context_ends(
    service: Service, botwire_memory: Memory
) -> None:
    """As web frameworks do with what a dependency yields."""

    def dependency() -> Iterator[None]:
        with traced_memory("block"):
            yield

    running = dependency()
    copy_context().run(next, running)
    copy_context().run(next, running, None)
    botwire_memory.get("plan")
    assert [span.name for span in service.spans()] == ["block"]
