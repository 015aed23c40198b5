"""Agents that are killed in the middle of a turn, and others that go on with it.

    python dying_agents.py autogen|ag2 URL

For each point of a turn this forks a child whose agent runs until it kills itself there with
SIGKILL, and another one whose agent goes on; the frameworks are imported only once. It prints one
line of JSON for each point: what the second agent's model saw, what it said, and how often the
tool took effect.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any

from botwire import AsyncMemory

logging.getLogger("autogen_core.events").setLevel(logging.ERROR)  # the replay client's warnings
POINTS = ("model:1", "before effect", "after effect", "model:2", "never")


class Fate:
    """Kills the process when it reaches its point."""

    def __init__(self, point: str) -> None:
        self.point = point
        self.asked = 0

    def reach(self, point: str) -> None:
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    def ask(self) -> None:
        self.asked += 1
        self.reach(f"model:{self.asked}")


async def book(memory: AsyncMemory, fate: Fate, table: str) -> str:
    """The tool's work, whose effect must not happen twice."""
    fate.reach("before effect")
    await memory.append("booked", table)
    fate.reach("after effect")
    return f"booked {table}"


async def run_autogen(url: str, name: str, point: str, question: str | None) -> dict[str, Any]:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_core.memory import MemoryContent
    from autogen_core.models import FunctionExecutionResultMessage
    from autogen_scripts import ScriptedClient, blocks, heads, tool_call

    from botwire_autogen import BotWireChatCompletionContext, BotWireMemory

    fate, store = Fate(point), AsyncMemory(name, url=url)

    def step(messages: Sequence[Any]) -> Any:
        fate.ask()
        last = messages[-1]
        if isinstance(last, FunctionExecutionResultMessage):
            return f"answer: {last.content[0].content}"
        return tool_call("book_table", "call-1", table="by the window")

    async def book_table(table: str) -> str:
        """Book a table."""
        return await book(store, fate, table)

    memory = BotWireMemory(name, url=url)
    if question:
        await memory.add(MemoryContent(content="likes the window", mime_type="text/plain"))
    client = ScriptedClient(step, step)
    context = BotWireChatCompletionContext(name, url=url)
    agent = AssistantAgent(
        "bot",
        client,
        tools=[book_table],
        memory=[memory],
        model_context=context,
        max_tool_iterations=3,
    )
    said = None
    if question or await context.broke_off():
        said = (await agent.run(task=question)).messages[-1].to_text()
    seen = client.seen[-1] if client.seen else []
    return {
        "seen": "".join(heads(seen)),
        "blocks": len(blocks(seen)),
        "said": said,
        "stored": "".join(heads(await _stored_messages(name, url))),
    }


async def _stored_messages(name: str, url: str) -> list[Any]:
    from autogen_core.model_context import UnboundedChatCompletionContext

    context = UnboundedChatCompletionContext()
    stored = await AsyncMemory(name, url=url).get("conversation/default", [])
    await context.load_state({"messages": stored})
    return await context.get_messages()


async def run_ag2(url: str, name: str, point: str, question: str | None) -> dict[str, Any]:
    from ag2 import Agent, tool
    from ag2.config import LLMClient
    from ag2.events import ModelMessage, ModelResponse, ToolCallEvent, ToolCallsEvent
    from ag2.testing import TestConfig

    from botwire_autogen.ag2 import BotWireStorage, finish_turn, stream_id

    fate, store = Fate(point), AsyncMemory(name, url=url)
    seen: list[list[str]] = []

    class Client(LLMClient):
        async def __call__(self, messages: Any, context: Any, **options: Any) -> ModelResponse:
            fate.ask()
            seen.append([type(message).__name__ for message in messages])
            last = messages[-1]
            if hasattr(last, "results"):
                text = last.results[0].result.parts[0].content
                return ModelResponse(ModelMessage(f"answer: {text}"))
            call = ToolCallEvent("book_table", id="call-1", arguments='{"table": "by the window"}')
            return ModelResponse(tool_calls=ToolCallsEvent([call]))

    class Config(TestConfig):
        def create(self) -> Any:
            return Client()

    @tool
    async def book_table(table: str) -> str:
        """Book a table."""
        return await book(store, fate, table)

    storage = BotWireStorage(AsyncMemory(name, url=url))
    agent = Agent("bot", config=Config(), tools=[book_table])
    if question:
        reply = await agent.ask(question, stream=storage.stream("chat"))
    else:
        reply = await finish_turn(agent, storage, stream_id("chat"))
    return {
        "seen": seen[-1] if seen else [],
        "said": reply.body if reply else None,
        "stored": [type(event).__name__ for event in await storage.get_history(stream_id("chat"))],
    }


RUNS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "autogen": run_autogen,
    "ag2": run_ag2,
}

MODULES = {
    "autogen": ("autogen_agentchat.agents", "autogen_scripts", "botwire_autogen.context"),
    "ag2": ("ag2.testing", "botwire_autogen.ag2"),
}


def in_a_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Run it in a forked process; the signal that ended that, and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(work(), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status), json.loads(said or "null")


def main(framework: str, url: str) -> None:
    run = RUNS[framework]
    for module in MODULES[framework]:
        import_module(module)
    for point in POINTS:
        name = f"{framework} {point}"
        first = in_a_child(lambda n=name, p=point: asyncio.run(_one(run, url, n, p, "A table!")))
        second = in_a_child(lambda n=name: asyncio.run(_one(run, url, n, "never", None)))
        outcome = {"point": point, "killed": first[0], **second[1]}
        sys.stdout.write(f"{json.dumps(outcome)}\n")


async def _one(
    run: Callable[..., Any], url: str, name: str, point: str, question: str | None
) -> dict[str, Any]:
    result = await run(url, name, point, question)
    return {**result, "effects": len(await AsyncMemory(name, url=url).get("booked", []))}


if __name__ == "__main__":
    main(*sys.argv[1:])
