"""A list in a memory that may grow beyond the largest value a server takes (10 MB as a rule).

- New items are appended to one key. When that grows large, its items move into a part, a key of
  their own, and the list goes on with a first item that names its parts in order.
- A part is written before the list names it and deleted after, so a reader finds a whole list, and
  a process that dies in between leaves at most a part that nobody names.
"""

from collections.abc import Iterable, Sequence
from typing import Any, cast
from uuid import uuid4

from botwire import AsyncMemory, Conflict, Entry
from botwire.errors import TooLarge
from botwire.jsontext import Json, encode
from botwire.operations import Append, Batch, Head, Operation, Set, Touch
from botwire_autogen.codec import TAG

__all__ = ["LongList"]

LARGE = 4_000_000  # bytes a list may have before its items move
PARTS = "parts"


class LongList:
    """The list at a key; each change gives its version.

    Args:
        ttl: seconds after its last change the list is forgotten; `sliding`: or after its last
            reading.
    """

    def __init__(
        self, memory: AsyncMemory, key: str, ttl: float | None = None, sliding: bool = False
    ) -> None:
        self._memory = memory
        self._key = key
        self._ttl = ttl
        self._sliding = sliding
        self._parts: list[str] = []  # as far as they are known

    async def read(self) -> tuple[list[Any], int]:
        """All items and the version; ([], 0) if the list does not exist."""
        entry = await self._memory.entry(self._key)
        self._parts, newest = _split(entry.value if entry else [])
        if not self._parts:
            return newest, entry.version if entry else 0
        parts = await self._memory.get_many(self._parts)
        if len(parts) < len(self._parts) and await self._version() != (entry and entry.version):
            return await self.read()  # it was replaced between the two readings
        if self._ttl is not None:
            await self._run(self._touches())
        older = [item for part in self._parts for item in parts.get(part, [])]
        return [*older, *newest], entry.version if entry else 0

    async def append(self, items: Iterable[Any], if_version: int | None = None) -> int:
        """Add items to the end.

        Raises:
            Conflict: the list is not at `if_version` (0: it exists).
        """
        texts = tuple(map(encode, items))
        try:
            head = await self._append(texts, if_version)
        except TooLarge:  # beside what is there; when that has moved there may be room
            known = await self._version() or 0
            version = await self._move(known) if if_version in (None, known) else known
            if version == known:
                raise
            head = await self._append(texts, None if if_version is None else version)
        return head.version if head.bytes < LARGE else await self._move(head.version)

    async def _append(self, texts: tuple[Json, ...], if_version: int | None) -> Entry:
        space, ttl, sliding = self._memory.namespace, self._ttl, self._sliding
        append = Append(space, self._key, texts, None, ttl, sliding, if_version)
        _, head, *_ = await self._run([append, Head(space, self._key), *self._touches()])
        return head

    async def replace(self, items: Sequence[Any], if_version: int | None = None) -> int:
        """Write all items anew.

        Raises:
            Conflict: the list is not at `if_version` (0: it exists).
        """
        old, (parts, newest) = await self._named(), _cut(list(map(encode, items)))
        names = [await self._store_part(part) for part in parts]
        try:
            version = await self._store(names, newest, if_version)
        except Conflict:
            await self._memory.delete_many(names)
            raise
        await self._memory.delete_many(old)
        return version

    async def delete(self) -> None:
        """Delete the list and its parts."""
        await self._memory.delete_many([self._key, *await self._named()])
        self._parts = []

    # -- inside ------------------------------------------------------------------------------------

    async def _version(self) -> int | None:
        head = await self._memory.head(self._key)
        return head and head.version

    async def _named(self) -> list[str]:
        return _split(await self._memory.get(self._key, []))[0]

    async def _run(self, operations: Sequence[Operation]) -> Any:
        return await self._memory.run(Batch(self._memory.namespace, tuple(operations)))

    def _touches(self) -> list[Operation]:
        if self._ttl is None:
            return []
        return [Touch(self._memory.namespace, part, self._ttl) for part in self._parts]

    async def _store(self, parts: list[str], newest: Sequence[str], if_version: int | None) -> int:
        """Write the key of the list."""
        first = [encode({TAG: PARTS, "value": parts})] if parts else []
        version = await self._set(self._key, [*first, *newest], if_version)
        self._parts = parts
        return version

    async def _store_part(self, items: Sequence[str]) -> str:
        name = f"part/{uuid4()}"
        await self._set(name, items)
        return name

    async def _set(self, key: str, items: Sequence[str], if_version: int | None = None) -> int:
        text = Json(f"[{','.join(items)}]")
        space = self._memory.namespace
        return await self._memory.run(Set(space, key, text, self._ttl, self._sliding, if_version))

    async def _move(self, version: int) -> int:
        """Move the items into a part, unless somebody has changed the list since."""
        entry = await self._memory.entry(self._key)
        if entry is None or entry.version != version:
            return version
        parts, newest = _split(entry.value)
        if not newest:
            return version
        name = await self._store_part(list(map(encode, newest)))
        try:
            return await self._store([*parts, name], [], version)
        except Conflict:
            await self._memory.delete(name)
            return version


def _split(stored: list[Any]) -> tuple[list[str], list[Any]]:
    """The names of the parts, and the items behind them."""
    if stored and isinstance(stored[0], dict):
        first = cast("dict[str, Any]", stored[0])
        if first.get(TAG) == PARTS:
            return first["value"], stored[1:]
    return [], stored


def _cut(items: list[Json]) -> tuple[list[list[Json]], list[Json]]:
    """The items in parts that are not too large, and the newest, which are no part yet."""
    parts: list[list[Json]] = []
    start = size = 0
    for place, item in enumerate(items):
        size += len(item.encode())
        if size >= LARGE:
            parts.append(items[start : place + 1])
            start, size = place + 1, 0
    return parts, items[start:]
