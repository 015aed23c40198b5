"""`BotWireMemoryWriter`: remembers messages."""

from typing import Any

from haystack import component
from haystack.dataclasses import ChatMessage

from haystack_integrations.common.botwire import Owner
from haystack_integrations.memory_stores.botwire import BotWireMemoryStore

__all__ = ["BotWireMemoryWriter"]


@component
class BotWireMemoryWriter(Owner):
    """Remembers messages of a user, an agent or a run, as they are.

    >>> writer = BotWireMemoryWriter(memory_store=BotWireMemoryStore(url="memory://"))
    >>> writer.run([ChatMessage.from_user("I live in Turin")], user_id="luca")
    {'memories_written': 1}
    """

    def __init__(self, *, memory_store: BotWireMemoryStore) -> None:
        self.memory_store = memory_store

    def _store(self) -> BotWireMemoryStore:
        return self.memory_store

    def _parameters(self) -> dict[str, Any]:
        return {"memory_store": self.memory_store}

    @component.output_types(memories_written=int)
    def run(
        self,
        messages: list[ChatMessage],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> dict[str, int]:
        """Remember messages and say how many they were."""
        ids = self.memory_store.add_memories(
            messages=messages, user_id=user_id, agent_id=agent_id, run_id=run_id
        )
        return {"memories_written": len(ids)}

    @component.output_types(memories_written=int)
    async def run_async(
        self,
        messages: list[ChatMessage],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
    ) -> dict[str, int]:
        """As `run`."""
        ids = await self.memory_store.add_memories_async(
            messages=messages, user_id=user_id, agent_id=agent_id, run_id=run_id
        )
        return {"memories_written": len(ids)}
