"""Scripted models and small helpers for the tests."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import cache
from importlib.metadata import version
from typing import Any

import pytest
from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import ChatMessage, ToolCall

# Before it no hook can end a run, so a finished run cannot be given again.
resumes = pytest.mark.skipif(
    tuple(map(int, version("haystack-ai").split(".")[:2])) < (3, 2), reason="haystack before 3.2"
)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="tests").start()
    return loop


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns, run on the event loop that all tests share."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


user = ChatMessage.from_user
assistant = ChatMessage.from_assistant
system = ChatMessage.from_system


def call(tool_name: str, call_id: str = "c1", **arguments: Any) -> ChatMessage:
    """A model's wish to call one tool."""
    return assistant(tool_calls=[ToolCall(tool_name=tool_name, arguments=arguments, id=call_id)])


def calling(id_: str) -> ChatMessage:
    return call("search", id_, q=id_)


def answering(id_: str) -> ChatMessage:
    """What the tool returned to `calling` of the same id."""
    return ChatMessage.from_tool("found", origin=calling(id_).tool_calls[0])


def texts(messages: list[ChatMessage]) -> list[str | None]:
    return [message.text for message in messages]


@component
class ScriptedChatGenerator:
    """Plays a script, keeps what it was shown, and fails loudly when the script is over."""

    def __init__(self, script: list[Any] | None = None) -> None:
        self.script = list(script or [])
        self.seen: list[list[ChatMessage]] = []
        self.tools_seen: list[list[str]] = []

    def to_dict(self) -> dict[str, Any]:
        items = [item.to_dict() if isinstance(item, ChatMessage) else item for item in self.script]
        return default_to_dict(self, script=items)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ScriptedChatGenerator":
        items = data["init_parameters"]["script"]
        script = [ChatMessage.from_dict(i) if isinstance(i, dict) else i for i in items]
        return default_from_dict(cls, {**data, "init_parameters": {"script": script}})

    def _reply(self, messages: list[ChatMessage], tools: Any) -> dict[str, list[ChatMessage]]:
        step = len(self.seen)
        self.seen.append(list(messages))
        self.tools_seen.append([tool.name for tool in tools or []])
        if step >= len(self.script):
            raise AssertionError(f"the script is over at call {step + 1}")
        item = self.script[step]
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Callable):
            item = item(messages)
        return {"replies": [assistant(item) if isinstance(item, str) else item]}

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage],
        tools: Any = None,
        streaming_callback: Any = None,
        generation_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        return self._reply(messages, tools)

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage],
        tools: Any = None,
        streaming_callback: Any = None,
        generation_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, list[ChatMessage]]:
        return self._reply(messages, tools)
