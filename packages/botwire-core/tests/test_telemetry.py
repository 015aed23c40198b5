"""Whoever wants to can watch operations, and nobody who watches can disturb them."""

import asyncio
import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from telemetry_kit import ScriptedServer, in_process

from botwire import AsyncMemory, Conflict, Memory, telemetry
from botwire.operations import Batch, Get
from botwire.telemetry import Call


@pytest.fixture
def seen() -> Iterator[list[Call]]:
    calls: list[Call] = []

    def watch(call: Call) -> Generator[None]:
        yield
        calls.append(call)

    telemetry.add(watch)
    yield calls
    telemetry.remove(watch)


def test_an_observer_sees_every_operation_once(seen: list[Call], botwire_memory: Memory) -> None:
    botwire_memory.set("a", 1)
    botwire_memory.get("a")
    botwire_memory.list_keys()
    assert [call.operation.name for call in seen] == ["set", "get", "scan"]


def test_an_observer_sees_what_the_caller_gets(seen: list[Call], botwire_memory: Memory) -> None:
    botwire_memory.set("a", [1, 2])
    assert botwire_memory.get("a") is seen[-1].result
    assert (seen[-1].operation, seen[-1].error) == (Get("test", "a"), None)


def test_an_observer_sees_what_is_raised(seen: list[Call], botwire_memory: Memory) -> None:
    botwire_memory.set("a", 1)
    with pytest.raises(Conflict) as raised:
        botwire_memory.set("a", 2, if_version=0)
    assert seen[-1].error is raised.value
    assert seen[-1].reply is seen[-1].result is None


async def test_an_observer_that_fails_disturbs_no_asynchronous_operation(
    seen: list[Call],
) -> None:
    memory = AsyncMemory("disturbed", url="memory://")
    for observer in OBSERVERS:
        with telemetry.spans_by(observer):
            await memory.set("a", 1)
            assert await memory.get("a") == 1
    assert len(seen) == 2 * len(OBSERVERS)


async def test_asynchronous_operations_are_observed_the_same(seen: list[Call]) -> None:
    memory = AsyncMemory("observed", url="memory://")
    await memory.set("a", 1)
    await asyncio.gather(*(memory.get("a") for _ in range(5)))
    assert [call.operation.name for call in seen] == ["set"] + ["get"] * 5


async def test_a_cancelled_operation_is_told_to_the_observer(seen: list[Call]) -> None:
    with ScriptedServer(*[503] * 1000) as server:
        memory = AsyncMemory("cancelled", url=server.url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(memory.get("a"), 0.1)
        await memory.close()
    assert isinstance(seen[-1].error, asyncio.CancelledError)


def test_a_batch_is_one_operation(seen: list[Call], botwire_memory: Memory) -> None:
    with botwire_memory.batch() as batch:
        batch.set("a", 1)
        batch.get("a")
    (call,) = seen
    assert isinstance(call.operation, Batch)


def test_an_update_shows_each_of_its_round_trips(seen: list[Call], botwire_memory: Memory) -> None:
    botwire_memory.update("count", lambda n: n + 1, default=0)
    assert [call.operation.name for call in seen] == ["read", "set"]


def test_a_call_knows_the_server_and_how_often_it_was_tried(seen: list[Call]) -> None:
    with ScriptedServer(503, 503) as server, Memory("m", url=server.url) as memory:
        memory.get("a")
        assert seen[-1].server == ("127.0.0.1", server.port)
    assert seen[-1].attempts == 3


def test_what_an_observer_puts_into_the_headers_travels_with_every_attempt() -> None:
    def tag(call: Call) -> Generator[None]:
        call.headers["x-run"] = "42"
        yield

    with ScriptedServer(503) as server, Memory("m", url=server.url) as memory:
        with telemetry.spans_by(tag):
            memory.get("a")
        memory.get("a")
    assert [headers.get("x-run") for headers in server.headers] == ["42", "42", None]


def test_an_embedded_memory_has_no_server(seen: list[Call], botwire_memory: Memory) -> None:
    botwire_memory.get("a")
    assert seen[-1].server is None


def fails_before(call: Call) -> Generator[None]:
    raise ZeroDivisionError("before")
    yield


def fails_after(call: Call) -> Generator[None]:
    yield
    raise ZeroDivisionError("after")


def not_interested(call: Call) -> Generator[None]:
    return
    yield


def never_ends(call: Call) -> Generator[None]:
    while True:
        yield


def no_generator(call: Call) -> Any:
    return call


@dataclass  # which makes it unhashable
class Unhashable:
    where: str = "here"

    def __call__(self, call: Call) -> Generator[None]:
        yield
        raise ZeroDivisionError(self.where)


OBSERVERS = [
    fails_before,
    fails_after,
    not_interested,
    never_ends,
    no_generator,
    Unhashable(),
]


@pytest.mark.parametrize("observer", OBSERVERS)
def test_no_observer_disturbs_an_operation_or_another_observer(
    observer: telemetry.Observer, seen: list[Call], botwire_memory: Memory
) -> None:
    with telemetry.spans_by(observer):
        botwire_memory.set("a", 1)
        assert botwire_memory.get("a") == 1
        with pytest.raises(Conflict):
            botwire_memory.delete("a", if_version=77)
    assert [call.operation.name for call in seen] == ["set", "get", "delete"]


def test_a_failing_observer_is_reported_once(
    botwire_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(call: Call) -> Generator[None]:
        secret = botwire_memory.namespace
        raise ZeroDivisionError(f"no sense in {secret}")
        yield

    with caplog.at_level(logging.ERROR, "botwire.telemetry"), telemetry.spans_by(broken):
        for _ in range(3):
            botwire_memory.get("a")
    (record,) = caplog.records
    assert "broken" in record.getMessage()
    assert record.exc_info is not None
    assert "in broken" in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert f"no sense in {botwire_memory.namespace}" not in caplog.text  # it may quote a value


def test_ctrl_c_in_an_observer_is_not_swallowed(botwire_memory: Memory) -> None:
    def interrupted(call: Call) -> Generator[None]:
        raise KeyboardInterrupt
        yield

    with telemetry.spans_by(interrupted), pytest.raises(KeyboardInterrupt):
        botwire_memory.get("a")


def test_one_observer_makes_the_spans_and_the_last_one_set_does(
    seen: list[Call], botwire_memory: Memory
) -> None:
    made: list[str] = []

    def first(call: Call) -> Generator[None]:
        made.append("first")
        yield

    def second(call: Call) -> Generator[None]:
        made.append("second")
        yield

    telemetry.set_span_maker(first)
    telemetry.set_span_maker(second)
    botwire_memory.get("a")
    with telemetry.spans_by(first):
        botwire_memory.get("a")
    telemetry.set_span_maker(None)
    botwire_memory.get("a")
    assert made == ["second", "first"]
    assert len(seen) == 3


def test_an_observer_that_is_added_twice_sees_everything_once(
    seen: list[Call], botwire_memory: Memory
) -> None:
    counted: list[Call] = []

    def count(call: Call) -> Generator[None]:
        counted.append(call)
        yield

    telemetry.add(count)
    telemetry.add(count)
    botwire_memory.get("a")
    telemetry.remove(count)
    botwire_memory.get("a")
    assert len(counted) == 1
    assert len(seen) == 2


def test_nobody_observes_what_is_disabled(seen: list[Call], botwire_memory: Memory) -> None:
    with telemetry.disabled():
        botwire_memory.set("a", 1)
    assert not seen


async def test_disabling_ends_with_the_block_and_the_task(seen: list[Call]) -> None:
    memory = AsyncMemory("disabled", url="memory://")
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def quiet() -> None:
        with telemetry.disabled():
            entered.set()
            await go_on.wait()

    task = asyncio.create_task(quiet())
    await entered.wait()
    await memory.set("a", 1)
    go_on.set()
    await task
    assert len(seen) == 1


WITHOUT_OPENTELEMETRY = """
import sys
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "opentelemetry" else found(name)
from botwire import Memory, telemetry
assert telemetry.listening is False
memory = Memory("m", url="memory://")
memory.set("a", 1)
telemetry.add(watch := lambda call: iter([print(call.operation.name)]))
assert telemetry.listening is True
memory.get("a")
telemetry.remove(watch)
assert telemetry.listening is False
assert "opentelemetry.trace" not in sys.modules
"""


def test_without_opentelemetry_the_short_way_is_taken_until_somebody_listens() -> None:
    assert in_process(WITHOUT_OPENTELEMETRY).split() == ["get"]


def test_botwire_never_imports_opentelemetry_by_itself() -> None:
    script = """
import sys
from botwire import Memory
Memory("m", url="memory://").set("a", 1)
print(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    assert in_process(script).strip() == "False"
