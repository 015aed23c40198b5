"""A language model that plays a script, in both styles crewai knows, and keeps what it was told.

A step of the script is an answer (text), a tool call, or a list of tool calls of one turn. Steps
are plain data, so that a model restored from a checkpoint still has its script.
"""

import hashlib
import json
import math
from typing import Any, Literal

from crewai.agents.agent_builder import base_agent
from crewai.llms.base_llm import BaseLLM
from pydantic import BaseModel, Field, PrivateAttr

# A checkpoint names its model by `llm_type`; this is where crewai looks for custom ones.
base_agent._LLM_TYPE_REGISTRY["scripted"] = "scripted_model.ScriptedModel"


def use(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}


class ScriptedModel(BaseLLM):
    llm_type: str = "scripted"
    style: Literal["text", "native"] = "text"
    script: list[Any] = Field(default_factory=list)
    answers: dict[str, Any] = Field(default_factory=dict, exclude=True)  # model name -> instance
    _told: list[list[dict[str, Any]]] = PrivateAttr(default_factory=list)
    _schemas: list[Any] = PrivateAttr(default_factory=list)
    _step: int = PrivateAttr(default=0)

    def __init__(self, **data: Any) -> None:
        super().__init__(**{"model": "scripted", **data})

    def supports_function_calling(self) -> bool:
        return self.style == "native"

    def get_context_window_size(self) -> int:
        return 200_000

    def get_input_tokens_count(self, messages: Any, *_: Any, **__: Any) -> int:
        return len(str(messages)) // 4

    @property
    def told(self) -> list[list[dict[str, Any]]]:
        """The messages of each turn."""
        return self._told

    @property
    def schemas(self) -> list[Any]:
        """The tool schemas of each turn (native style)."""
        return self._schemas

    def results(self) -> list[str]:
        """What the tools answered, as the model read it by its last turn."""
        found: list[str] = []
        for message in self._told[-1]:
            text = str(message.get("content") or "")
            if message.get("role") == "tool":
                found.append(text)
            elif message.get("role") == "assistant" and "\nObservation:" in text:
                found.append(text.partition("\nObservation:")[2].strip())
        return found

    def call(
        self,
        messages: Any,
        tools: Any = None,
        callbacks: Any = None,
        available_functions: Any = None,
        from_task: Any = None,
        from_agent: Any = None,
        response_model: type[BaseModel] | None = None,
    ) -> Any:
        if response_model is not None and tools is None:  # crewai's own questions about memories
            return self.answers.get(response_model.__name__) or response_model()
        told = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        self._told.append([dict(message) for message in told])
        self._schemas.append(tools)
        step = self.script[self._step]
        self._step += 1
        return self._in_text(step) if self.style == "text" else self._native(step)

    def _in_text(self, step: Any) -> str:
        if isinstance(step, str):
            return f"Thought: I know it\nFinal Answer: {step}"
        (only,) = step if isinstance(step, list) else [step]
        given = json.dumps(only["arguments"])
        return f"Thought: a tool\nAction: {only['tool']}\nAction Input: {given}"

    def _native(self, step: Any) -> Any:
        if isinstance(step, str):
            return step
        return [
            {
                "id": f"call_{self._step}_{number}",
                "type": "function",
                "function": {"name": each["tool"], "arguments": json.dumps(each["arguments"])},
            }
            for number, each in enumerate(step if isinstance(step, list) else [step])
        ]


def words(texts: list[str], size: int = 64) -> list[list[float]]:
    """An embedder for tests: texts that share words are near each other. Unit vectors."""
    return [_direction(text, size) for text in texts]


def _direction(text: str, size: int) -> list[float]:
    vector = [0.0] * size
    for word in text.lower().split():
        digest = hashlib.sha256(word.strip(".,:;!?'\"").encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]
