"""`Blocking`: an AsyncMemory with the surface of Memory, so that a test is written once."""

import asyncio
import copy
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, Self, cast

from botwire.async_memory import AsyncMemory
from botwire.batch import Batch
from botwire.memory import Memory

__all__ = ["Blocking", "blocking"]


class _Loop:
    """An event loop that runs in a thread of its own until the process ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True, name="botwire-test").start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()


_loops: list[_Loop] = []


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    if not _loops:
        _loops.append(_Loop())
    return _loops[0].run(coroutine)


def blocking(memory: AsyncMemory) -> Memory:
    """The AsyncMemory as something to use like a Memory (but not as a mapping)."""
    return cast("Memory", Blocking(memory))


class Blocking:
    """Runs every method of an AsyncMemory on one event loop that all of them share.

    Calls from several threads then run side by side on that loop, as tasks of one program do.
    """

    def __init__(self, memory: AsyncMemory) -> None:
        self._memory = memory

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        attribute = getattr(self._memory, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **options: Any) -> Any:
            return _blocking(attribute(*args, **options))

        return call

    def update(self, key: str, function: Callable[[Any], Any], *args: Any, **options: Any) -> Any:
        def aside(value: Any) -> Awaitable[Any]:  # the loop is free while the function works
            return asyncio.to_thread(function, value)

        return _run(self._memory.update(key, aside, *args, **options))

    def to_async(self) -> AsyncMemory:
        return copy.copy(self._memory)

    def __copy__(self) -> Self:
        return type(self)(copy.copy(self._memory))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(copy.deepcopy(self._memory, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._memory,)

    def __repr__(self) -> str:
        return repr(self._memory)

    def __enter__(self) -> Self:
        _run(self._memory.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        _run(self._memory.__aexit__(*error))


class _BlockingBatch:
    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __enter__(self) -> Batch:
        return _run(self._batch.__aenter__())

    def __exit__(self, *error: Any) -> None:
        _run(self._batch.__aexit__(*error))


def _blocking(result: Any) -> Any:
    if inspect.isawaitable(result):
        return _run(cast("Coroutine[Any, Any, Any]", result))
    if isinstance(result, AsyncIterator):
        return _iterate(cast("AsyncIterator[Any]", result))
    if isinstance(result, Batch):
        return _BlockingBatch(result)
    return Blocking(result) if isinstance(result, AsyncMemory) else result


def _iterate(results: AsyncIterator[Any]) -> Iterator[Any]:
    async def following() -> Any:
        return await anext(results, _END)

    while (result := _run(following())) is not _END:
        yield result


_END = object()
