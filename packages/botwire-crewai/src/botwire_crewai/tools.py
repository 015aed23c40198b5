"""`memory_tools`: remember, recall and list, with key-value memory: no embedder, no model key.

The rules that all tools keep are in `tool.py`; those that an agent gets by option are in
`more_tools.py`.
"""

from collections.abc import Collection
from typing import Any, Literal

from crewai.tools import BaseTool
from pydantic import BaseModel, Field

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire.jsontext import encode
from botwire.operations import MISSING, Set
from botwire_crewai.more_tools import MORE
from botwire_crewai.tool import Key, MemoryTool, Seconds, Value, as_json

__all__ = ["memory_tools"]

PAGE = 100  # keys a listing shows; CrewAI moves results above a quarter of the window to a file


class RememberArguments(BaseModel):
    key: Key
    value: Value
    ttl_seconds: Seconds = None


class Remember(MemoryTool):
    name: str = "remember"
    description: str = (
        "Keep a value under a key, replacing what was there. It outlives this run, and everybody "
        "who shares this memory can recall it."
    )
    args_schema: type[BaseModel] = Field(default=RememberArguments, exclude=True)

    def answer(self, memory: Memory, asked: RememberArguments) -> str:
        ttl = self.lifetime(asked.ttl_seconds)
        memory.run(Set(memory.namespace, asked.key, as_json(asked.value), ttl))
        how_long = "" if ttl is None else f" for {ttl:g} seconds"
        return f"Remembered {asked.key!r} in memory {self.namespace!r}{how_long}."


class RecallArguments(BaseModel):
    key: Key


class Recall(MemoryTool):
    name: str = "recall"
    description: str = (
        "Read the value kept under a key, as JSON. Says so when nothing is kept there."
    )
    args_schema: type[BaseModel] = Field(default=RecallArguments, exclude=True)

    def answer(self, memory: Memory, asked: RecallArguments) -> str:
        value = memory.get(asked.key, MISSING)
        return self.nothing(asked.key) if value is MISSING else encode(value)


class ListArguments(BaseModel):
    prefix: str = Field(default="", description="Only keys that start with this; '' for all.")
    after: str | None = Field(
        default=None, description="Continue behind this key: 'continue_after' of the last page."
    )


class ListMemory(MemoryTool):
    name: str = "list_memory"
    description: str = "List the keys of what is remembered, as JSON, in order, a page at a time."
    args_schema: type[BaseModel] = Field(default=ListArguments, exclude=True)

    def answer(self, memory: Memory, asked: ListArguments) -> str:
        page = memory.page(asked.prefix, after=asked.after or None, limit=PAGE, values=False)
        if not page.entries:
            which = f" under a key that starts with {asked.prefix!r}" if asked.prefix else ""
            behind = f" behind {asked.after!r}" if asked.after else ""
            return f"Nothing is remembered{which} in memory {self.namespace!r}{behind}."
        keys = [entry.key for entry in page.entries]
        return encode({"keys": keys, "continue_after": page.cursor})


def memory_tools(
    namespace: str,
    *,
    prefix: str = "",
    more: Collection[str] | Literal["all"] = (),
    ttl: float | None = None,
    url: str | None = None,
    api_key: str | None = None,
    timeout: float = 30.0,
) -> list[BaseTool]:
    """Tools for agents that share the memory `namespace`: `[remember, recall, list_memory]`.

    They need no embedder and no key of a model provider, work in text style and with native
    function calling, and survive checkpoints. A failure of the memory reaches the agent (and
    `TaskOutput.tool_failures`) as a `ToolFailure`; nothing is raised.

    Args:
        prefix: put before the names, so that one agent can hold tools for two namespaces:
            `prefix="team"` makes `team_remember`.
        more: further tools, behind the three: any of "forget", "compare_and_set",
            "append_memory" and "wait_for_memory", or "all".
        ttl: seconds after which what these tools wrote is forgotten, unless the agent says more.
        url: where the memory is; without it BOTWIRE_URL, then the hosted service.
        api_key: for servers that want one; without it BOTWIRE_API_KEY. It is never written into
            a checkpoint.
        timeout: seconds a call may take, repeats included.

    Raises:
        InvalidRequest: `more` names a tool that does not exist.

    >>> remember, recall, list_memory = memory_tools("project-alpha", url="memory://")
    >>> remember.run(key="city", value="Oslo")
    "Remembered 'city' in memory 'project-alpha'."
    >>> recall.run(key="city")
    '"Oslo"'
    """
    start = f"{prefix.rstrip('_')}_" if prefix else ""
    place: dict[str, Any] = {"url": url, "api_key": api_key, "timeout": timeout}
    return [
        kind(
            name=start + kind.model_fields["name"].default,
            description=f"{kind.model_fields['description'].default} (Memory: {namespace!r}.)",
            namespace=namespace,
            ttl=ttl,
            **place,
        )
        for kind in (Remember, Recall, ListMemory, *_chosen(more))
    ]


def _chosen(more: Collection[str] | Literal["all"]) -> list[type[MemoryTool]]:
    names = list(MORE) if more == "all" else list(more)
    for name in names:
        if name not in MORE:
            raise InvalidRequest(
                f"there is no memory tool {name!r}", hint=f"There are: {', '.join(MORE)}."
            )
    return [MORE[name] for name in names]
