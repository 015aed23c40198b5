"""`BotWireMemoryRetriever`: finds memories for a query."""

from typing import Any

from haystack import component
from haystack.dataclasses import ChatMessage

from haystack_integrations.common.botwire import Owner
from haystack_integrations.memory_stores.botwire import BotWireMemoryStore

__all__ = ["BotWireMemoryRetriever"]


@component
class BotWireMemoryRetriever(Owner):
    """Finds memories of a user, an agent or a run; its sockets are those of mem0's retriever.

    Args:
        memory_store: where memories are kept.
        top_k: at most this many memories.

    >>> retriever = BotWireMemoryRetriever(memory_store=BotWireMemoryStore(url="memory://"))
    >>> retriever.run("what does Zoe like?", user_id="zoe")
    {'memories': []}
    """

    def __init__(self, *, memory_store: BotWireMemoryStore, top_k: int = 5) -> None:
        self.memory_store = memory_store
        self.top_k = top_k

    def _store(self) -> BotWireMemoryStore:
        return self.memory_store

    def _parameters(self) -> dict[str, Any]:
        return {"memory_store": self.memory_store, "top_k": self.top_k}

    @component.output_types(memories=list[ChatMessage])
    def run(
        self,
        query: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        include_memory_metadata: bool = False,
    ) -> dict[str, list[ChatMessage]]:
        """Find memories; see `BotWireMemoryStore.search_memories`."""
        found = self.memory_store.search_memories(
            query=query,
            filters=filters,
            top_k=self.top_k if top_k is None else top_k,
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            include_memory_metadata=include_memory_metadata,
        )
        return {"memories": found}

    @component.output_types(memories=list[ChatMessage])
    async def run_async(
        self,
        query: str | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        include_memory_metadata: bool = False,
    ) -> dict[str, list[ChatMessage]]:
        """As `run`."""
        found = await self.memory_store.search_memories_async(
            query=query,
            filters=filters,
            top_k=self.top_k if top_k is None else top_k,
            user_id=user_id,
            agent_id=agent_id,
            run_id=run_id,
            include_memory_metadata=include_memory_metadata,
        )
        return {"memories": found}
