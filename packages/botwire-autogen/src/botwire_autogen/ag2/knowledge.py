"""`BotWireKnowledgeStore`: the files of AG2's agents, shared by processes.

- A file is a list of pieces of text at its path, and a number: its size in UTF-8. Both change in
  one batch, so that appending is one round trip, costs the same for a large file as for a small
  one, and tells its offset exactly however many append at once.
- Changes are noticed by the version of the namespace, which rises with every one: unlike
  timestamps or counters in a process, no two are alike.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botwire import AsyncMemory, Conflict
from botwire.jsontext import encode
from botwire.operations import (
    MISSING,
    Append,
    Batch,
    Clear,
    Delete,
    Exists,
    Get,
    Increment,
    Operation,
    Scan,
    Set,
    Tail,
)

if TYPE_CHECKING:
    from ag2.knowledge import ChangeCallback, ChangeSubscription

__all__ = ["BotWireKnowledgeStore"]

FILES, SIZES = "knowledge", "knowledge-bytes"
TAIL = 64  # pieces read at once for the end of a file


class BotWireKnowledgeStore:
    """An AG2 `KnowledgeStore`: files by path, in one namespace.

    Args:
        memory: a namespace, or the memory to use.
        poll_interval: seconds between two looks for changes.

    >>> import asyncio
    >>> store = BotWireKnowledgeStore(AsyncMemory("team", url="memory://"))
    >>> asyncio.run(store.append("/log/today.md", "shipped"))
    0
    >>> asyncio.run(store.list("/"))
    ['log/']
    """

    def __init__(self, memory: AsyncMemory | str, *, poll_interval: float = 0.5) -> None:
        self._memory = AsyncMemory(memory) if isinstance(memory, str) else memory
        self._poll_interval = poll_interval

    async def read(self, path: str) -> str | None:
        """The text of a file, None if there is none."""
        pieces = await self._memory.get(FILES + _normal(path))
        return None if pieces is None else "".join(pieces)

    async def write(self, path: str, content: str) -> None:
        """Write a whole file."""
        await self._run(*self._writing(_normal(path), content))

    async def append(self, path: str, content: str) -> int:
        """Add text to the end of a file (made if missing); the byte where it begins."""
        space, path, size = self._memory.namespace, _normal(path), len(content.encode())
        _, total = await self._run(
            Append(space, FILES + path, (encode(content),)),
            Increment(space, SIZES + path, encode(size)),
        )
        return total - size

    async def update(self, path: str, function: Callable[[str], str]) -> str:
        """Replace a file's text by `function(text)`, "" if there is none; no change is lost.

        `function` may run several times, on newer texts.
        """
        path = _normal(path)
        while True:  # each turn of this loop, somebody else has changed the file
            entry = await self._memory.entry(FILES + path)
            new = function("" if entry is None else "".join(entry.value))
            try:
                await self._run(*self._writing(path, new, entry.version if entry else 0))
            except Conflict:
                continue
            return new

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        """The bytes from `start` up to `end` as text; "" where there are none."""
        space, path = self._memory.namespace, _normal(path)
        size, pieces = await self._run(Get(space, SIZES + path), Tail(space, FILES + path, TAIL))
        if size is MISSING:
            return ""
        data = "".join(pieces).encode()
        first = size - len(data)
        if start < first:
            data, first = (await self.read(path) or "").encode(), 0
        stop = size if end is None else min(end, size)
        return data[start - first : stop - first].decode() if start < stop else ""

    async def list(self, path: str = "/") -> "list[str]":
        """The names in a directory, sorted; those of directories end in "/"."""
        start = FILES + _inside(path)
        names = (key.removeprefix(start) for key in await self._memory.list_keys(start))
        return sorted({name.partition("/")[0] + "/" * ("/" in name) for name in names})

    async def delete(self, path: str) -> None:
        """Delete a file, or a directory with everything in it; nothing happens if there is none."""
        space, path = self._memory.namespace, _normal(path)
        await self._run(
            *(Delete(space, root + path) for root in (FILES, SIZES)),
            *(Clear(space, root + _inside(path)) for root in (FILES, SIZES)),
        )

    async def exists(self, path: str) -> bool:
        """Whether there is such a file or directory."""
        space, path = self._memory.namespace, _normal(path)
        inside = Scan(space, FILES + _inside(path), limit=1, values=False)
        file, page = await self._run(Exists(space, FILES + path), inside)
        return file or bool(page.entries)

    async def list_versions_under(self, prefix: str) -> dict[str, int]:
        """The version of each file at or under a path."""
        path, inside = _normal(prefix), _inside(prefix)
        versions: dict[str, int] = {}
        head = await self._memory.head(FILES + path)
        if head is not None:
            versions[path] = head.version
        async for entry in self._memory.entries(FILES + inside, values=False):
            versions[entry.key.removeprefix(FILES)] = entry.version
        return versions

    async def on_change(self, path: str, callback: "ChangeCallback") -> "ChangeSubscription":
        """Call back with the path of each file at or under `path` that any process changes."""
        from ag2.knowledge.polling import PollingChangeWatcher  # AG2 takes seconds to import

        watcher = PollingChangeWatcher(
            backend=_Glances(self, self._memory),
            prefix=path,
            callback=callback,
            interval_s=self._poll_interval,
        )
        await watcher.start()
        return watcher

    async def close(self) -> None:
        """Give the connection back. Nothing is deleted; closing twice is fine."""
        await self._memory.close()

    def _writing(self, path: str, content: str, if_version: int | None = None) -> "tuple[Set, Set]":
        space = self._memory.namespace
        size = len(content.encode())
        return (
            Set(space, FILES + path, encode([content]), if_version=if_version),
            Set(space, SIZES + path, encode(size)),
        )

    async def _run(self, *operations: Operation) -> Any:
        return await self._memory.run(Batch(self._memory.namespace, operations))


class _Glances:
    """What a watcher asks: the versions, listed anew only when the namespace has changed."""

    def __init__(self, store: BotWireKnowledgeStore, memory: AsyncMemory) -> None:
        self._store = store
        self._memory = memory
        self._version = -1
        self._versions: dict[str, int] = {}

    async def list_versions_under(self, prefix: str) -> dict[str, int]:
        version = (await self._memory.usage()).version
        if version != self._version:
            self._versions = await self._store.list_versions_under(prefix)
            self._version = version
        return self._versions


def _normal(path: str) -> str:
    """The path with one "/" at its head, none at its end and no "//".

    >>> _normal("a//b/")
    '/a/b'
    """
    return "/" + "/".join(part for part in path.split("/") if part)


def _inside(path: str) -> str:
    """What the paths in a directory begin with."""
    return _normal(path).rstrip("/") + "/"
