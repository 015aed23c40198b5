"""An agent for tests: a model that says what its script says, and notes what it was told."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class ScriptedModel(BaseChatModel):
    """Answers from a script: the next message, chosen by how many answers the prompt holds."""

    script: list[AIMessage]
    prompts: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> "ScriptedModel":
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        self.prompts.append(messages)
        turn = sum(isinstance(message, AIMessage) for message in messages)
        answer = self.script[turn % len(self.script)]
        # Whoever answers twice does not give the same message twice.
        fresh = answer.model_copy(update={"id": f"answer-{turn}"})
        return ChatResult(generations=[ChatGeneration(message=fresh)])

    @property
    def told(self) -> str:
        """The last system message."""
        first = self.prompts[-1][0]
        return first.text if first.type == "system" else ""


def call(name: str, call_id: str = "1", **arguments: Any) -> AIMessage:
    """An answer that calls one tool."""
    return calls((name, call_id, arguments))


def calls(*wanted: tuple[str, str, dict[str, Any]]) -> AIMessage:
    """An answer that calls several tools at once."""
    return AIMessage(
        "",
        tool_calls=[
            {"name": name, "args": arguments, "id": call_id, "type": "tool_call"}
            for name, call_id, arguments in wanted
        ],
    )
