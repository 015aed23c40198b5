"""`Batch`: collects operations on one namespace and runs them together when its block ends."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from botwire import operations
from botwire.jsontext import encode

__all__ = ["Batch"]


class Batch:
    """Operations that happen at one moment, all or none. Made by `Memory.batch()`.

    The methods take what those of `Memory` take and return nothing; the results are in `results`,
    in order, once the block has ended. When the block raises, nothing is sent.
    """

    def __init__(
        self,
        namespace: str,
        *,
        run: Callable[[operations.Operation], Any] | None = None,
        run_async: Callable[[operations.Operation], Awaitable[Any]] | None = None,
    ) -> None:
        self.namespace = namespace
        self.operations: list[operations.Operation] = []
        self.results: list[Any] = []
        self._run = run
        self._run_async = run_async

    def add(self, operation: operations.Operation) -> None:
        """Add any operation of `botwire.operations`."""
        self.operations.append(operation)

    def get(self, key: str) -> None:
        self.add(operations.Get(self.namespace, key))

    def entry(self, key: str) -> None:
        self.add(operations.Read(self.namespace, key))

    def exists(self, key: str) -> None:
        self.add(operations.Exists(self.namespace, key))

    def expect(self, key: str, if_version: int) -> None:
        """Let nothing of this batch happen unless `key` is at this version (0: does not exist)."""
        self.add(operations.Expect(self.namespace, key, if_version))

    def tail(self, key: str, count: int) -> None:
        self.add(operations.Tail(self.namespace, key, count))

    def length(self, key: str) -> None:
        self.add(operations.Length(self.namespace, key))

    def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> None:
        self.add(operations.Set(self.namespace, key, encode(value), ttl, sliding, if_version))

    def delete(self, key: str, *, if_version: int | None = None) -> None:
        self.add(operations.Delete(self.namespace, key, if_version))

    def pop(self, key: str) -> None:
        self.add(operations.Pop(self.namespace, key))

    def increment(self, key: str, by: float = 1, *, ttl: float | None = None) -> None:
        self.add(operations.Increment(self.namespace, key, encode(by), ttl))

    def append(
        self,
        key: str,
        *items: Any,
        max_items: int | None = None,
        ttl: float | None = None,
        sliding: bool = False,
        if_version: int | None = None,
    ) -> None:
        texts = tuple(map(encode, items))
        self.add(operations.Append(self.namespace, key, texts, max_items, ttl, sliding, if_version))

    def merge(
        self, key: str, patch: Any, *, ttl: float | None = None, if_version: int | None = None
    ) -> None:
        self.add(operations.Merge(self.namespace, key, encode(patch), ttl, if_version))

    def touch(self, key: str, ttl: float | None = None) -> None:
        self.add(operations.Touch(self.namespace, key, ttl))

    def persist(self, key: str) -> None:
        self.add(operations.Persist(self.namespace, key))

    def expire(self, prefix: str, ttl: float) -> None:
        self.add(operations.Expire(self.namespace, prefix, ttl))

    def clear(self, prefix: str = "") -> None:
        self.add(operations.Clear(self.namespace, prefix))

    def _whole(self) -> operations.Batch:
        return operations.Batch(self.namespace, tuple(self.operations))

    def _keep(self, results: list[Any]) -> None:
        missing = operations.MISSING
        self.results = [None if result is missing else result for result in results]

    def __enter__(self) -> Self:
        if self._run is None:
            raise TypeError("use 'async with' for a batch of an AsyncMemory")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._run is not None:
            self._keep(self._run(self._whole()))

    async def __aenter__(self) -> Self:
        if self._run_async is None:
            raise TypeError("use 'with' for a batch of a Memory")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._run_async is not None:
            self._keep(await self._run_async(self._whole()))
