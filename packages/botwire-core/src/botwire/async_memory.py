"""`AsyncMemory`: the methods of `Memory`, awaited. Their documentation is taken from there."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from botwire import telemetry
from botwire.batch import Batch
from botwire.errors import Conflict
from botwire.handle import Flow, Handle, pages, seconds_left, updating
from botwire.jsontext import encode
from botwire.memory import Memory
from botwire.operations import (
    MISSING,
    Append,
    Clear,
    Delete,
    DeleteMany,
    Entry,
    Exists,
    Expect,
    Expire,
    Get,
    GetMany,
    Head,
    Increment,
    Length,
    Merge,
    Operation,
    Page,
    Persist,
    Pop,
    Read,
    Scan,
    Set,
    SetMany,
    Tail,
    Touch,
    Usage,
    UsageOf,
)
from botwire.operations.checks import listed

__all__ = ["AsyncMemory"]

PAGE = 1000


class AsyncMemory(Handle):
    """`Memory` for asynchronous code: the same methods, awaited, on any number of event loops."""

    async def _run(self, operation: Operation) -> Any:
        connection = self._connection or self._connect()
        if telemetry.listening:
            return await telemetry.observe_async(operation, connection)
        return operation.result(await connection.run_async(operation))

    async def drive(self, flow: Flow) -> Any:
        try:
            step = next(flow)
            while True:
                try:
                    answer = await self._run(step) if isinstance(step, Operation) else step
                    answer = await answer if inspect.isawaitable(answer) else answer
                except Conflict as conflict:
                    step = flow.throw(conflict)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            return done.value

    async def get(self, key: str, default: Any = None) -> Any:
        value = await self._run(Get(self.namespace, key))
        return default if value is MISSING else value

    async def entry(self, key: str) -> Entry | None:
        return await self._run(Read(self.namespace, key))

    async def head(self, key: str) -> Entry | None:
        return await self._run(Head(self.namespace, key))

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> int:
        return await self._run(Set(self.namespace, key, encode(value), ttl, sliding, if_version))

    async def delete(self, key: str, *, if_version: int | None = None) -> bool:
        return await self._run(Delete(self.namespace, key, if_version))

    async def pop(self, key: str, default: Any = None) -> Any:
        value = await self._run(Pop(self.namespace, key))
        return default if value is MISSING else value

    async def exists(self, key: str) -> bool:
        return await self._run(Exists(self.namespace, key))

    async def expect(self, key: str, if_version: int) -> int:
        return await self._run(Expect(self.namespace, key, if_version))

    async def update(
        self,
        key: str,
        function: Callable[[Any], Any] | Callable[[Any], Awaitable[Any]],
        default: Any = None,
        *,
        ttl: float | None = None,
        sliding: bool = False,
    ) -> Any:
        return await self.drive(updating(self.namespace, key, function, default, ttl, sliding))

    async def increment(self, key: str, by: float = 1, *, ttl: float | None = None) -> Any:
        return await self._run(Increment(self.namespace, key, encode(by), ttl))

    async def append(
        self,
        key: str,
        *items: Any,
        max_items: int | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> int:
        texts = tuple(map(encode, items))
        return await self._run(
            Append(self.namespace, key, texts, max_items, ttl, sliding, if_version)
        )

    async def tail(self, key: str, count: int) -> list[Any]:
        return await self._run(Tail(self.namespace, key, count))

    async def length(self, key: str) -> int:
        return await self._run(Length(self.namespace, key))

    async def merge(
        self, key: str, patch: Any, *, ttl: float | None = None, if_version: int | None = None
    ) -> int:
        return await self._run(Merge(self.namespace, key, encode(patch), ttl, if_version))

    async def ttl(self, key: str) -> float | None:
        return seconds_left(await self._run(Head(self.namespace, key)))

    async def touch(self, key: str, ttl: float | None = None) -> bool:
        return await self._run(Touch(self.namespace, key, ttl))

    async def persist(self, key: str) -> bool:
        return await self._run(Persist(self.namespace, key))

    async def expire(self, prefix: str, ttl: float) -> int:
        return await self._run(Expire(self.namespace, prefix, ttl))

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        return await self._run(GetMany(self.namespace, listed(keys)))

    async def set_many(
        self, values: Mapping[str, Any], *, ttl: float | None = None, sliding: bool = False
    ) -> dict[str, int]:
        texts = {key: encode(value) for key, value in values.items()}
        return await self._run(SetMany(self.namespace, texts, ttl, sliding))

    async def delete_many(self, keys: Iterable[str]) -> int:
        return await self._run(DeleteMany(self.namespace, listed(keys)))

    async def clear(self, prefix: str = "") -> int:
        return await self._run(Clear(self.namespace, prefix))

    async def list_keys(self, prefix: str = "") -> list[str]:
        scan = Scan(self.namespace, prefix, limit=PAGE, values=False)
        return [entry.key for entry in await self.drive(pages(scan))]

    async def items(self, prefix: str = "") -> AsyncIterator[tuple[str, Any]]:
        async for entry in self.entries(prefix):
            yield entry.key, entry.value

    async def entries(
        self, prefix: str = "", *, values: bool = True, reverse: bool = False
    ) -> AsyncIterator[Entry]:
        scan: Scan | None = Scan(self.namespace, prefix, values=values, reverse=reverse)
        while scan is not None:
            page: Page = await self._run(scan)
            for entry in page.entries:
                yield entry
            scan = scan.after_cursor(page.cursor)

    async def page(
        self,
        prefix: str = "",
        *,
        after: str | None = None,
        limit: int = PAGE,
        reverse: bool = False,
        values: bool = True,
        newer_than: int = 0,
    ) -> Page:
        return await self._run(
            Scan(self.namespace, prefix, after, limit, reverse, values, newer_than)
        )

    def batch(self) -> Batch:
        """As in `Memory`, with `async with`."""
        return Batch(self.namespace, run_async=self._run)

    async def run(self, operation: Operation) -> Any:
        return await self._run(operation)

    async def usage(self) -> UsageOf:
        return await self._run(Usage(self.namespace))

    async def __aiter__(self) -> AsyncIterator[str]:
        async for entry in self.entries(values=False):
            yield entry.key

    def to_sync(self) -> Memory:
        """The same memory for code that blocks."""
        return Memory(self.namespace, **self._config())

    async def close(self) -> None:
        connection = self._release()
        if connection is not None:
            await connection.close_async()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


for _name, _method in vars(AsyncMemory).items():
    if callable(_method) and not _method.__doc__ and not _name.startswith("_"):
        _method.__doc__ = getattr(Memory, _name).__doc__
