"""A model that follows a script, for real AutoGen agents without a network."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from autogen_core import FunctionCall
from autogen_core.models import CreateResult, LLMMessage, ModelInfo, RequestUsage, SystemMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

TOOL_MODEL = ModelInfo(
    vision=False, function_calling=True, json_output=True, family="unknown", structured_output=True
)
Step = str | CreateResult | Callable[[Sequence[LLMMessage]], "str | CreateResult"]


def tool_calls(*calls: tuple[str, str, Mapping[str, Any]]) -> CreateResult:
    """A turn in which the model calls tools: (name, call id, arguments) each."""
    return CreateResult(
        finish_reason="function_calls",
        content=[FunctionCall(id=i, name=n, arguments=json.dumps(dict(a))) for n, i, a in calls],
        usage=RequestUsage(prompt_tokens=0, completion_tokens=0),
        cached=False,
    )


def tool_call(name: str, call_id: str = "call_1", **arguments: Any) -> CreateResult:
    return tool_calls((name, call_id, arguments))


class ScriptedClient(ReplayChatCompletionClient):
    """Replays its steps; a step may be a function of the messages. Keeps what the model saw."""

    component_provider_override = None

    def __init__(self, *steps: Step) -> None:
        super().__init__(list(steps), model_info=TOOL_MODEL)  # type: ignore[arg-type]
        self.seen: list[list[LLMMessage]] = []

    def _prepare(self, messages: Sequence[LLMMessage]) -> None:
        self.seen.append(list(messages))
        place = self._current_index
        if place < len(self.chat_completions):
            step = self.chat_completions[place]
            self.chat_completions[place] = step(messages) if callable(step) else step

    async def create(self, messages: Any, **kwargs: Any) -> CreateResult:
        self._prepare(messages)
        return await super().create(messages, **kwargs)

    async def create_stream(self, messages: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        self._prepare(messages)
        async for item in super().create_stream(messages, **kwargs):
            yield item


def blocks(messages: Sequence[LLMMessage]) -> list[str]:
    """The memory blocks among the messages."""
    found = [m.content for m in messages if isinstance(m.content, str)]
    return [text for text in found if text.startswith('<memory name="')]


def heads(messages: Sequence[LLMMessage]) -> list[str]:
    """S, U, A or F for each message."""
    return ["S" if isinstance(m, SystemMessage) else type(m).__name__[0] for m in messages]
