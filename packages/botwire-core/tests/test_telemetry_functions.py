"""Functions of every kind can be watched, and stay what they are."""

import asyncio
import contextvars
import inspect
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest

from botwire import telemetry
from botwire.telemetry.content import Content
from botwire.telemetry.functions import (
    Invocation,
    shown_arguments,
    shown_error,
    shown_result,
    watched,
)

where: contextvars.ContextVar[str] = contextvars.ContextVar("where", default="outside")
ended: list[Invocation] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    ended.clear()


def observer(invocation: Invocation) -> Generator[None]:
    """Makes something current, as a span is, and puts the former back in the same context."""
    invocation.items = []
    token = where.set("inside")
    try:
        yield
    finally:
        where.reset(token)  # a ValueError in another context
        ended.append(invocation)


def plain(a: int, b: int = 2) -> tuple[int, str]:
    return a + b, where.get()


async def coroutine(a: int) -> tuple[int, str]:
    await asyncio.sleep(0)
    return a, where.get()


def generator(count: int) -> Generator[Any, Any, str]:
    for n in range(count):
        sent = yield n, where.get()
        if sent is not None:
            yield "sent", sent
    return "done"


async def async_generator(count: int) -> AsyncIterator[tuple[int, str]]:
    for n in range(count):
        await asyncio.sleep(0)
        yield n, where.get()


def test_a_function_is_watched() -> None:
    assert watched(plain, observer)(1) == (3, "inside")
    (invocation,) = ended
    assert invocation.arguments() == {"a": 1}
    assert invocation.result == (3, "inside")
    assert where.get() == "outside"


async def test_a_coroutine_function_is_watched_until_it_has_been_awaited() -> None:
    running = watched(coroutine, observer)(1)
    assert not ended
    assert await running == (1, "inside")
    assert ended[0].result == (1, "inside")


def test_a_generator_runs_inside_and_its_consumer_stays_outside() -> None:
    for n, (number, there) in enumerate(watched(generator, observer)(3)):
        assert (number, there) == (n, "inside")
        assert where.get() == "outside"
        assert not ended
    assert ended[0].items == [(0, "inside"), (1, "inside"), (2, "inside")]
    assert ended[0].result == "done"


async def test_an_asynchronous_generator_runs_inside_and_its_consumer_stays_outside() -> None:
    async for _, there in watched(async_generator, observer)(3):
        assert there == "inside"
        assert where.get() == "outside"
    assert len(ended[0].items or ()) == 3


def test_two_generators_taken_in_turns_do_not_mix() -> None:
    def named(name: str) -> Any:
        def observe(invocation: Invocation) -> Generator[None]:
            token = where.set(name)
            yield
            where.reset(token)

        return watched(generator, observe)(2)

    pairs = list(zip(named("one"), named("two"), strict=True))
    assert pairs == [((0, "one"), (0, "two")), ((1, "one"), (1, "two"))]


async def test_asynchronous_generators_taken_in_tasks_of_their_own_do_not_mix() -> None:
    async def take() -> list[Any]:
        return [item async for item in watched(async_generator, observer)(5)]

    assert (
        await asyncio.gather(*(take() for _ in range(5))) == [[(n, "inside") for n in range(5)]] * 5
    )


def test_send_reaches_the_generator() -> None:
    running = watched(generator, observer)(1)
    assert next(running) == (0, "inside")
    assert running.send("hello") == ("sent", "hello")


def test_throw_reaches_the_generator() -> None:
    def stubborn() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            yield "caught"

    running: Any = watched(stubborn, observer)()
    next(running)
    assert running.throw(KeyError("x")) == "caught"


def test_a_consumer_that_stops_early_is_no_error() -> None:
    closed: list[bool] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.append(where.get() == "inside")

    running: Any = watched(endless, observer)()
    next(running)
    running.close()
    assert closed == [True]
    assert ended[0].error is None


async def test_an_asynchronous_consumer_that_stops_early_is_no_error() -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(where.get())

    running: Any = watched(endless, observer)()
    await anext(running)
    await running.aclose()
    assert closed == ["inside"]
    assert ended[0].error is None


async def test_what_is_raised_passes_through_and_is_told() -> None:
    def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    async def fails_later() -> Any:
        raise ZeroDivisionError

    def fails_between() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    async def fails_between_later() -> AsyncIterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        watched(fails, observer)()
    with pytest.raises(ZeroDivisionError):
        await watched(fails_later, observer)()
    with pytest.raises(ZeroDivisionError):
        list(watched(fails_between, observer)())
    with pytest.raises(ZeroDivisionError):
        [item async for item in watched(fails_between_later, observer)()]
    assert [type(invocation.error) for invocation in ended] == [ZeroDivisionError] * 4


async def test_cancelling_reaches_what_is_awaited() -> None:
    async def waits() -> AsyncIterator[int]:
        await asyncio.sleep(60)
        yield 1

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(watched(waits, observer)())
    assert isinstance(ended[0].error, asyncio.CancelledError)


def test_an_observer_that_fails_changes_nothing() -> None:
    def broken(invocation: Invocation) -> Generator[None]:
        raise ZeroDivisionError
        yield

    assert watched(plain, broken)(1) == (3, "outside")
    assert [number for number, _ in watched(generator, broken)(2)] == [0, 1]


async def test_where_telemetry_is_disabled_nobody_watches() -> None:
    with telemetry.disabled():
        assert watched(plain, observer)(1) == (3, "outside")
        assert await watched(coroutine, observer)(1) == (1, "outside")
        assert list(watched(generator, observer)(1)) == [(0, "outside")]
        assert [item async for item in watched(async_generator, observer)(1)] == [(0, "outside")]
    assert not ended


def test_a_wrong_call_raises_what_it_always_did() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        watched(plain, observer)()  # type: ignore[call-arg]
    assert ended[0].arguments() == {}


def test_methods_can_be_watched_and_leave_their_object_out() -> None:
    class Agent:
        @lambda function: watched(function, observer)
        def ask(self, question: str) -> str:
            return question.upper()

        @classmethod
        @lambda function: watched(function, observer)
        def ask_all(cls, question: str) -> str:
            return question.lower()

    assert Agent().ask("why") == "WHY"
    assert Agent.ask_all("Why") == "why"
    assert [invocation.arguments() for invocation in ended] == [
        {"question": "why"},
        {"question": "Why"},
    ]


# -- what observers may record ---------------------------------------------------------------------


def recording(content: Content) -> tuple[list[Any], Any]:
    """An observer, and the list of what it recorded of each call."""
    recorded: list[Any] = []

    def observe(invocation: Invocation) -> Generator[None]:
        given = shown_arguments(invocation, content)
        yield
        error = invocation.error and shown_error(invocation.error, content)
        recorded.append((given, error or shown_result(invocation, content)))

    return recorded, observe


def raises(secret: str) -> None:
    raise ValueError(secret)


def test_nothing_of_a_call_is_shown_unless_values_may_be() -> None:
    recorded, observe = recording(Content(capture=False))
    watched(plain, observe)(1)
    list(watched(generator, observe)(2))
    with pytest.raises(ValueError, match="secret"):
        watched(raises, observe)("secret")
    assert recorded == [({}, None), ({}, None), ({}, "ValueError")]


def test_arguments_results_items_and_errors_are_shown_after_redact() -> None:
    def redact(name: str, value: Any) -> Any:
        return f"hidden {name}" if "secret" in str(value) else value

    recorded, observe = recording(Content(capture=True, redact=redact))
    watched(plain, observe)(1, b=3)
    assert list(watched(lambda count: (yield from range(count)), observe)(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="secret"):
        watched(raises, observe)("secret")
    assert recorded == [
        ({"a": 1, "b": 3}, "(4, 'outside')"),  # what is no JSON, as it shows itself
        ({"count": 3}, [0, 1, 2]),
        ({"secret": "hidden secret"}, "ValueError: hidden error"),
    ]


def test_an_endless_generator_does_not_fill_the_memory() -> None:
    kept: list[Any] = []

    def observe(invocation: Invocation) -> Generator[None]:
        shown_arguments(invocation, Content(capture=True))
        yield
        kept.extend(invocation.items or ())

    assert sum(1 for _ in watched(lambda: (yield from range(100_000)), observe)()) == 100_000
    assert kept == list(range(4096))


@pytest.mark.parametrize(
    ("function", "is_kind"),
    [
        (plain, inspect.isfunction),
        (coroutine, inspect.iscoroutinefunction),
        (generator, inspect.isgeneratorfunction),
        (async_generator, inspect.isasyncgenfunction),
    ],
)
def test_a_watched_function_is_of_the_same_kind_and_name(function: Any, is_kind: Any) -> None:
    watching = watched(function, observer)
    assert is_kind(watching)
    assert watching.__name__ == function.__name__
    assert inspect.signature(watching) == inspect.signature(function)
