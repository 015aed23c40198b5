"""The examples: run as scripts, one process after the other, and continued after a crash."""

import asyncio
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from ag2.events import ModelRequest, ModelResponse, TextInput, ToolCallEvent, ToolCallsEvent
from autogen_core.models import UserMessage

from botwire_autogen import BotWireChatCompletionContext
from botwire_autogen.ag2 import stream_id

EXAMPLES = Path(__file__).parents[3] / "examples"


def say(example: str, folder: Path, user: str, query: str) -> str:
    """What one process answers."""
    unset = {"OPENAI_API_KEY", "BOTWIRE_URL"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / example, user, query],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in unset},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_the_autogen_assistant_knows_its_user_after_a_restart(tmp_path: Path) -> None:
    def chat(query: str, user: str = "ada") -> str:
        return say("autogen_assistant.py", tmp_path, user, query)

    assert chat("What do you know about me?") == "I do not know anything about you yet."
    assert chat("I drink tea.") == "I shall remember that."
    assert "fact-2: I drink tea." in chat("What do I drink?")
    assert "I do not know" in chat("What do I drink?", user="ben")


def test_the_autogen_assistant_finishes_a_turn_that_a_crash_cut_short(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/memory.db"
    example = runpy.run_path(str(EXAMPLES / "autogen_assistant.py"))

    async def chat() -> tuple[str, str]:
        context = BotWireChatCompletionContext("assistant-ada", url=url)
        await context.add_message(UserMessage(content="I drink tea.", source="user"))
        assistant = example["PersistentAssistant"]("ada", example["StandIn"](), url=url)
        answer = await assistant.chat("What do I drink?")
        await context.refresh()
        messages = await context.get_messages()
        await assistant.close()
        return answer, "".join(type(message).__name__[0] for message in messages)

    answer, stored = asyncio.run(chat())
    assert "I drink tea." in answer
    assert stored == "UAFAUA"


def test_the_ag2_agent_knows_its_user_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    example = runpy.run_path(str(EXAMPLES / "ag2_agent.py"))

    async def tell() -> str:
        url = f"sqlite:///{tmp_path}/memory.db"
        agent = example["PersistentAgent"]("ada", example["model"](), url=url)
        answer = await agent.chat("I drink tea.")
        await agent.close()
        return answer

    assert asyncio.run(tell()) == "Remembered 'fact'."
    assert say("ag2_agent.py", tmp_path, "ada", "What do I drink?") == "I drink tea."


def test_the_ag2_agent_finishes_a_turn_that_a_crash_cut_short(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "ag2_agent.py"))
    call = ToolCallEvent("remember", id="c1", arguments="{}")
    broken = [
        ModelRequest([TextInput("I drink tea.")]),
        ModelResponse(tool_calls=ToolCallsEvent([call])),
    ]

    async def chat() -> tuple[str, list[str]]:
        url = f"sqlite:///{tmp_path}/memory.db"
        agent = example["PersistentAgent"]("ada", example["StandIn"](), url=url)
        await agent.storage.set_history(stream_id("chat"), broken)
        answer = await agent.chat("What do I drink?")
        events = await agent.storage.get_history(stream_id("chat"))
        await agent.close()
        return answer, [type(event).__name__ for event in events]

    answer, stored = asyncio.run(chat())
    assert answer == "Nothing is remembered under 'fact'."  # that call had broken off
    assert stored[:4] == ["ModelRequest", "ModelResponse", "ToolResultsEvent", "ModelResponse"]
