"""`BotWireCheckpointStore`: where tasks of AG2 leave what they need to go on."""

from typing import Any

from botwire import AsyncMemory
from botwire_autogen.codec import pack, unpack

__all__ = ["BotWireCheckpointStore"]


class BotWireCheckpointStore:
    """An AG2 `CheckpointStore` for `Task(checkpoint_store=)`.

    Args:
        memory: a namespace, or the memory to use.
        ttl: seconds a checkpoint is kept; without it for ever.

    >>> import asyncio
    >>> store = BotWireCheckpointStore(AsyncMemory("team", url="memory://"))
    >>> asyncio.run(store.write("task-1", {"page": 7}))
    >>> asyncio.run(store.read("task-1"))
    {'page': 7}
    """

    def __init__(self, memory: AsyncMemory | str, *, ttl: float | None = None) -> None:
        self._memory = AsyncMemory(memory) if isinstance(memory, str) else memory
        self._ttl = ttl

    async def write(self, task_id: str, state: dict[str, Any]) -> None:
        """Keep the state of a task, in place of its last one."""
        await self._memory.set(_key(task_id), pack(state), ttl=self._ttl)

    async def read(self, task_id: str) -> dict[str, Any] | None:
        """The last state of a task, None if it has none (any more)."""
        return unpack(await self._memory.get(_key(task_id)))

    async def delete(self, task_id: str) -> bool:
        """Forget the state of a task; True if there was one."""
        return await self._memory.delete(_key(task_id))


def _key(task_id: str) -> str:
    return f"checkpoint/{task_id}"
