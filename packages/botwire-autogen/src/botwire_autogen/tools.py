"""Tools with which a model remembers and recalls, as `BaseTool`s that survive a configuration.

- They work on a `BotWireMemory`: what a model remembers stands in the memory block of every agent
  that has this memory, and what was added there can be recalled.
- Arguments are text and none has a default, so that strict schemas accept them.
- A result is text, and a whole sentence where there is nothing. An error says what to do; autogen
  shows it to the model as an error, and the run goes on.
- Autogen's own `FunctionTool` runs its source again when it is loaded, which no closure survives.
"""

from typing import Any, ClassVar, Self, TypeVar, cast

from autogen_core import CancellationToken, Component
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.tools import BaseTool
from pydantic import BaseModel, Field

from botwire_autogen.content import text_of
from botwire_autogen.memory import BotWireMemory
from botwire_autogen.place import Place, options

__all__ = [
    "ForgetTool",
    "ListMemoryTool",
    "RecallTool",
    "RememberTool",
    "SearchMemoryTool",
    "ToolConfig",
    "memory_tools",
]

LISTED = 100  # most memories a listing shows
A = TypeVar("A", bound=BaseModel)


class ToolConfig(Place):
    """What `dump_component` writes: the address and the options, never a key."""

    prefix: str = "memory/"
    ttl: float | None = None
    strict: bool = False


class Answer(BaseModel):
    """What a tool gives back: the text the model reads."""

    text: str


class MemoryTool(BaseTool[A, Answer], Component[ToolConfig]):
    """What the tools share: the memory, and how they are configured.

    Args:
        namespace, prefix, ttl: as for `BotWireMemory`.
        strict: ask the provider for a strict schema.
        url, api_key, api_key_env, timeout: as for `BotWireMemory`.
    """

    component_config_schema = ToolConfig
    arguments: ClassVar[type[BaseModel]]
    tool_name: ClassVar[str]
    tool_description: ClassVar[str]

    def __init__(
        self,
        namespace: str,
        *,
        prefix: str = "memory/",
        ttl: float | None = None,
        strict: bool = False,
        url: str | None = None,
        api_key: str | None = None,
        api_key_env: str = "BOTWIRE_API_KEY",
        timeout: float = 30.0,
    ) -> None:
        kind = cast("type[A]", self.arguments)
        super().__init__(kind, Answer, self.tool_name, self.tool_description, strict)
        self._config = ToolConfig(
            namespace=namespace,
            prefix=prefix,
            ttl=ttl,
            strict=strict,
            url=url,
            api_key_env=api_key_env,
            timeout=timeout,
        )
        given = options(self._config)
        del given["strict"]
        self._memory = BotWireMemory(**given, limit=LISTED, api_key=api_key)

    def return_value_as_string(self, value: Any) -> str:
        """The text of the answer; autogen would show it as JSON."""
        return value.text

    async def close(self) -> None:
        """Give the connection back. Nothing is deleted; closing twice is fine."""
        await self._memory.close()

    def _to_config(self) -> ToolConfig:
        return self._config.shareable()

    @classmethod
    def _from_config(cls, config: ToolConfig) -> Self:
        return cls(**options(config))


class KeyArguments(BaseModel):
    key: str = Field(description="Name under which it is kept, such as 'favourite_drink'.")


class RememberArguments(KeyArguments):
    value: str = Field(description="What to remember, as text.")


class RememberTool(MemoryTool[RememberArguments]):
    """Keeps a text under a key."""

    component_provider_override = "botwire_autogen.RememberTool"
    arguments = RememberArguments
    tool_name = "remember"
    tool_description = (
        "Remember a text under a key, in place of what was there. It outlives this conversation."
    )

    async def run(self, args: RememberArguments, cancellation_token: CancellationToken) -> Answer:
        content = MemoryContent(content=args.value, mime_type=MemoryMimeType.TEXT)
        key = await self._memory.put(content, args.key)
        return Answer(text=f"Remembered {key!r}.")


class RecallTool(MemoryTool[KeyArguments]):
    """Reads what is kept under a key."""

    component_provider_override = "botwire_autogen.RecallTool"
    arguments = KeyArguments
    tool_name = "recall"
    tool_description = "Recall what is remembered under a key."

    async def run(self, args: KeyArguments, cancellation_token: CancellationToken) -> Answer:
        found = await self._memory.get(args.key)
        return _nothing(args.key) if found is None else Answer(text=text_of(found.content))


class ListArguments(BaseModel):
    prefix: str = Field(description="Only keys that start with this; '' for all.")


class ListMemoryTool(MemoryTool[ListArguments]):
    """Shows the newest memories with their keys."""

    component_provider_override = "botwire_autogen.ListMemoryTool"
    arguments = ListArguments
    tool_name = "list_memory"
    tool_description = f"List what is remembered: the newest {LISTED} memories with their keys."

    async def run(self, args: ListArguments, cancellation_token: CancellationToken) -> Answer:
        found = await self._memory.list(limit=LISTED, prefix=args.prefix)
        lines = [f"{memory.key}: {text_of(memory.content)}" for memory in found]
        return Answer(text="\n".join(lines) or "Nothing is remembered there.")


class SearchArguments(BaseModel):
    query: str = Field(description="Words that the memories should hold.")


class SearchMemoryTool(MemoryTool[SearchArguments]):
    """Finds memories by the words in them."""

    component_provider_override = "botwire_autogen.SearchMemoryTool"
    arguments = SearchArguments
    tool_name = "search_memory"
    tool_description = "Search what is remembered for words; the best matches come first."

    async def run(self, args: SearchArguments, cancellation_token: CancellationToken) -> Answer:
        found = (await self._memory.query(args.query, top_k=20)).results
        lines = [text_of(content) for content in found]
        return Answer(text="\n".join(lines) or "Nothing that is remembered holds these words.")


class ForgetTool(MemoryTool[KeyArguments]):
    """Deletes what is kept under a key."""

    component_provider_override = "botwire_autogen.ForgetTool"
    arguments = KeyArguments
    tool_name = "forget"
    tool_description = "Forget what is remembered under a key, for everybody."

    async def run(self, args: KeyArguments, cancellation_token: CancellationToken) -> Answer:
        if not await self._memory.delete(args.key):
            return _nothing(args.key)
        return Answer(text=f"Forgot {args.key!r}.")


def _nothing(key: str) -> Answer:
    return Answer(text=f"Nothing is remembered under {key!r}.")


def memory_tools(namespace: str, **options: Any) -> list[MemoryTool[Any]]:
    """All five tools on one memory: remember, recall, list_memory, search_memory and forget.

    Args:
        options: as for each tool: `prefix`, `ttl`, `strict`, `url`, `api_key`...

    >>> [tool.name for tool in memory_tools("ada", url="memory://")]
    ['remember', 'recall', 'list_memory', 'search_memory', 'forget']
    """
    kinds: list[type[MemoryTool[Any]]] = [
        *(RememberTool, RecallTool, ListMemoryTool, SearchMemoryTool, ForgetTool)
    ]
    return [kind(namespace, **options) for kind in kinds]
