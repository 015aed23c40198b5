"""`create_memory_tools`: remember, recall, list and forget, for agents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from langgraph.store.base import BaseStore
from pydantic import BaseModel, Field

from botwire_langchain.agents.memories import Flow, Memories, adrive, drive
from botwire_langchain.agents.scope import Scope

__all__ = ["create_memory_tools"]


class Remember(BaseModel):
    """Remember something beyond this conversation."""

    content: str = Field(description="One fact, in a sentence that is clear by itself.")
    key: str | None = Field(
        default=None,
        max_length=100,
        description="A short name for it; what has this name is replaced. Left out: a new one.",
    )


class Recall(BaseModel):
    """Look up what was remembered, in this conversation or in earlier ones."""

    query: str = Field(description="What to look for.")
    limit: int = Field(default=5, ge=1, le=50, description="How many memories at most.")


class ListMemories(BaseModel):
    """List all that is remembered, the latest first."""


class Forget(BaseModel):
    """Forget what is remembered under a key."""

    key: str = Field(max_length=100, description="The key, as the other tools show it.")


ARGUMENTS: dict[str, type[BaseModel]] = {  # by tool; `Memories` has a method for each
    "remember": Remember,
    "recall": Recall,
    "list_memories": ListMemories,
    "forget": Forget,
}


@dataclass(frozen=True, slots=True)
class _Tool:
    """One of the tools: its blocking and its asynchronous function."""

    method: str
    scope: Scope
    ttl: float | None

    def run(self, **arguments: Any) -> str:
        store, flow = self._flow(arguments)
        return drive(store, flow)

    async def arun(self, **arguments: Any) -> str:
        store, flow = self._flow(arguments)
        return await adrive(store, flow)

    def _flow(self, arguments: dict[str, Any]) -> tuple[BaseStore, Flow[str]]:
        store, namespace = self.scope.current()
        memories = Memories(namespace, self.ttl, bool(getattr(store, "index_config", None)))
        return store, getattr(memories, self.method)(**arguments)


def create_memory_tools(
    namespace: str | Sequence[str],
    *,
    store: BaseStore | None = None,
    ttl: float | None = None,
    prefix: str = "",
) -> list[BaseTool]:
    """Tools for an agent to remember with: `[remember, recall, list_memories, forget]`.

    They use the agent's store (`create_agent(store=...)`) unless one is given here, and serve
    `invoke` and `ainvoke`.

    Args:
        namespace: labels, of which some may be filled from the run's context or config, as in
            `("memories", "{user_id}")`. The model does not see it and cannot choose it.
        store: a LangGraph store such as `BotWireStore()`.
        ttl: minutes after which what is remembered is forgotten.
        prefix: put before the tools' names, so that an agent can have two sets.

    Raises:
        InvalidRequest: (when a tool is used) a field of the namespace is nowhere to be found, or
            there is no store.

    >>> from botwire_langchain import BotWireStore
    >>> remember, recall, *_ = create_memory_tools("facts", store=BotWireStore(url="memory://"))
    >>> remember.invoke({"content": "Ada likes tea.", "key": "drink"})
    "Remembered under the key 'drink'."
    >>> recall.invoke({"query": "tea"})
    '- drink: "Ada likes tea."'
    """
    scope = Scope.of(namespace, store)
    return [_made(prefix + name, _Tool(name, scope, ttl)) for name in ARGUMENTS]


def _made(name: str, tool: _Tool) -> BaseTool:
    schema = ARGUMENTS[tool.method]
    return StructuredTool.from_function(
        tool.run, tool.arun, name, description=schema.__doc__, args_schema=schema
    )
