"""One memory with its two faces, for classes whose methods exist twice: blocking and awaited.

What such methods do is written once as a flow (a generator that yields operations and is sent their
results, see `botwire.handle`); `drive` and `adrive` are all that differs between the two.
"""

from collections.abc import Generator
from contextlib import closing
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from botwire import AsyncMemory, Memory

__all__ = ["Faces", "Flow", "shared_faces"]

T = TypeVar("T")
Flow = Generator[Any, Any, T]


class Faces:
    """A memory for code that blocks (`sync`) and the same one for code that awaits (`awaited`).

    Args:
        memory: a Memory or AsyncMemory to use; the other arguments then say nothing.
        namespace, url, api_key: as for `Memory`.
    """

    def __init__(
        self,
        memory: Memory | AsyncMemory | None,
        namespace: str,
        url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._given = memory or Memory(namespace, url=url, api_key=api_key)
        self.namespace = self._given.namespace

    @cached_property
    def sync(self) -> Memory:
        return self._given if isinstance(self._given, Memory) else self._given.to_sync()

    @cached_property
    def awaited(self) -> AsyncMemory:
        return self._given if isinstance(self._given, AsyncMemory) else self._given.to_async()

    def drive(self, flow: Flow[T]) -> T:
        """Run what the flow yields and return what it returns; a lost race is raised in it.

        When anything else ends it, its `finally` blocks run at once.
        """
        with closing(flow):
            return self.sync.drive(flow)

    async def adrive(self, flow: Flow[T]) -> T:
        with closing(flow):
            return await self.awaited.drive(flow)

    def close(self) -> None:
        """Give the connection back; what is used afterwards raises `Closed`."""
        self.sync.close()

    async def aclose(self) -> None:
        await self.awaited.close()
        self.sync.close()


@lru_cache(maxsize=64)
def shared_faces(namespace: str, url: str, api_key: str | None) -> Faces:
    """The same faces for the same address: callers that live for one call keep its connection."""
    return Faces(None, namespace, url, api_key)
