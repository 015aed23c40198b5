"""An AutoGen assistant that knows its user, and its half-finished turns, after a restart.

    python examples/autogen_assistant.py ada "I drink tea."
    python examples/autogen_assistant.py ada "What do I drink?"

Memory is in memory.db beside you, or on the server that BOTWIRE_URL names. With OPENAI_API_KEY set
a real model answers; without it a stand-in that remembers what it is told and repeats it if asked.
"""

import asyncio
import json
import os
import sys
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core import FunctionCall
from autogen_core.model_context import BufferedChatCompletionContext
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    RequestUsage,
)
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire_autogen import BotWireChatCompletionContext, BotWireMemory, BotWireWorkbench


class PersistentAssistant:
    """One user's assistant: it remembers facts, and the newest 20 messages of the conversation."""

    def __init__(self, user: str, model: ChatCompletionClient, *, url: str | None = None) -> None:
        namespace = f"assistant-{user}"
        self.model = model
        self.memory = BotWireMemory(namespace, url=url)
        self.tools = BotWireWorkbench(namespace, url=url)
        self.context = BotWireChatCompletionContext(
            namespace, view=BufferedChatCompletionContext(20), url=url
        )
        self.agent = AssistantAgent(
            "assistant",
            model,
            memory=[self.memory],
            workbench=self.tools,
            model_context=self.context,
            max_tool_iterations=5,
        )

    async def chat(self, query: str) -> str:
        """Answer; before that, finish a turn that a crash cut short."""
        if await self.context.broke_off():
            await self.agent.run()
        return (await self.agent.run(task=query)).messages[-1].to_text()

    async def close(self) -> None:
        await self.model.close()
        await self.tools.stop()
        await self.memory.close()
        await self.context.close()


class StandIn(ReplayChatCompletionClient):
    """Remembers what it is told under `fact-<number>`, and repeats its memory when it is asked."""

    def __init__(self) -> None:
        can = dict.fromkeys(("function_calling", "json_output", "structured_output"), True)
        super().__init__([], model_info={**can, "vision": False, "family": "unknown"})

    async def create(self, messages: Any, **options: Any) -> CreateResult:
        self.chat_completions.append(self._answer(messages))
        return await super().create(messages, **options)

    def _answer(self, messages: Any) -> str | CreateResult:
        if isinstance(messages[-1], FunctionExecutionResultMessage):
            return "I shall remember that."
        if messages[-1].content.endswith("?"):
            known = [m.content for m in messages if str(m.content).startswith("<memory")]
            return known[0] if known else "I do not know anything about you yet."
        name = f"fact-{sum(message.type == 'UserMessage' for message in messages)}"
        arguments = json.dumps({"key": name, "value": messages[-1].content})
        return CreateResult(
            finish_reason="function_calls",
            content=[FunctionCall(id=name, name="remember", arguments=arguments)],
            usage=RequestUsage(0, 0),
            cached=False,
        )


def model() -> ChatCompletionClient:
    if not os.environ.get("OPENAI_API_KEY"):
        return StandIn()
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    return OpenAIChatCompletionClient(model="gpt-4.1-mini")


async def main(user: str, query: str) -> None:
    url = os.environ.get("BOTWIRE_URL", "sqlite:///memory.db")
    assistant = PersistentAssistant(user, model(), url=url)
    print(await assistant.chat(query))
    await assistant.close()


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ["ada", "What do you know about me?"])))
