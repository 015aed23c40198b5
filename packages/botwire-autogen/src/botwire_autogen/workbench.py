"""`BotWireWorkbench`: the memory tools as one workbench, beside which an agent may have others."""

from collections.abc import Mapping
from typing import Any, Self

from autogen_core import CancellationToken, Component
from autogen_core.tools import StaticWorkbench, ToolResult, ToolSchema, Workbench

from botwire_autogen.place import options
from botwire_autogen.tools import MemoryTool, ToolConfig, memory_tools

__all__ = ["BotWireWorkbench"]


class BotWireWorkbench(Workbench, Component[ToolConfig]):
    """The tools remember, recall, list_memory, search_memory and forget.

    Its state is the memory itself: `reset`, `save_state` and `load_state` leave it alone.

    Args:
        namespace, prefix, ttl: as for `BotWireMemory`; an agent that has both on one memory finds
            in its prompt what it remembered.
        strict: ask the provider for strict schemas.
        url, api_key, api_key_env, timeout: as for `BotWireMemory`.

    >>> import asyncio
    >>> bench = BotWireWorkbench("ada", url="memory://")
    >>> remembering = bench.call_tool("remember", {"key": "drink", "value": "tea"})
    >>> asyncio.run(remembering).to_text()
    "Remembered 'drink'."
    """

    component_config_schema = ToolConfig
    component_provider_override = "botwire_autogen.BotWireWorkbench"

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
        self._config = ToolConfig(
            namespace=namespace,
            prefix=prefix,
            ttl=ttl,
            strict=strict,
            url=url,
            api_key_env=api_key_env,
            timeout=timeout,
        )
        self._api_key = api_key
        self._tools: list[MemoryTool[Any]] = []
        self._open()

    def _open(self) -> None:
        self._tools = memory_tools(**options(self._config), api_key=self._api_key)
        self._bench = StaticWorkbench([*self._tools])

    async def list_tools(self) -> list[ToolSchema]:
        return await self._bench.list_tools()

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        return await self._bench.call_tool(name, arguments, cancellation_token, call_id)

    async def start(self) -> None:
        """Make a stopped workbench ready again; a new one is."""
        if not self._tools:
            self._open()

    async def stop(self) -> None:
        """Give the connections back. Nothing is deleted."""
        tools, self._tools = self._tools, []
        for tool in tools:
            await tool.close()

    async def reset(self) -> None:
        """Nothing: what is remembered stays."""

    async def save_state(self) -> Mapping[str, Any]:
        """Nothing: what is remembered is stored already."""
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing: what is remembered is stored already."""

    def _to_config(self) -> ToolConfig:
        return self._config.shareable()

    @classmethod
    def _from_config(cls, config: ToolConfig) -> Self:
        return cls(**options(config))
