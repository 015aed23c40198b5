"""An AG2 agent whose conversation and memory outlive its process.

    python examples/ag2_agent.py ada "I drink tea."
    python examples/ag2_agent.py ada "What do I drink?"

Memory is in memory.db beside you, or on the server that BOTWIRE_URL names. With OPENAI_API_KEY set
a real model answers; without it a stand-in that remembers what it is told and recalls it if asked.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from ag2 import Agent
from ag2.config import LLMClient, ModelConfig
from ag2.events import (
    BaseEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallEvent,
    ToolCallsEvent,
    ToolResultsEvent,
)
from ag2.testing import TestConfig

from botwire import AsyncMemory
from botwire_autogen.ag2 import BotWireStorage, finish_turn, memory_toolkit, stream_id


class PersistentAgent:
    """One user's agent: its conversation, and what it was asked to remember."""

    def __init__(self, user: str, config: ModelConfig, *, url: str | None = None) -> None:
        self.memory = AsyncMemory(f"agent-{user}", url=url)
        self.storage = BotWireStorage(self.memory)
        self.agent = Agent("agent", config=config, tools=[memory_toolkit(self.memory)])

    async def chat(self, query: str) -> str | None:
        """Answer; before that, finish a turn that a crash cut short."""
        await finish_turn(self.agent, self.storage, stream_id("chat"))
        reply = await self.agent.ask(query, stream=self.storage.stream("chat"))
        return reply.body

    async def close(self) -> None:
        await self.memory.close()


class StandInClient(LLMClient):
    """Remembers what it is told under "fact", and recalls that when it is asked."""

    async def __call__(
        self, messages: Sequence[BaseEvent], context: Any, **options: Any
    ) -> ModelResponse:
        last = messages[-1]
        if isinstance(last, ToolResultsEvent):
            return ModelResponse(ModelMessage(last.results[0].result.parts[0].content))
        assert isinstance(last, ModelRequest)
        said = last.parts[0].content
        if said.endswith("?"):
            call = ToolCallEvent("recall", arguments=json.dumps({"key": "fact"}))
        else:
            call = ToolCallEvent("remember", arguments=json.dumps({"key": "fact", "value": said}))
        return ModelResponse(tool_calls=ToolCallsEvent([call]))


class StandIn(TestConfig):
    def create(self) -> Any:
        return StandInClient()


def model() -> ModelConfig:
    if not os.environ.get("OPENAI_API_KEY"):
        return StandIn()
    from ag2.config.openai import OpenAIConfig

    return OpenAIConfig(model="gpt-5-mini")


async def main(user: str, query: str) -> None:
    url = os.environ.get("BOTWIRE_URL", "sqlite:///memory.db")
    agent = PersistentAgent(user, model(), url=url)
    print(await agent.chat(query))
    await agent.close()


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ["ada", "What do you know about me?"])))
