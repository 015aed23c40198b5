"""The example: an agent that knows its user again after a restart."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack_scripts import ScriptedChatGenerator, texts

from botwire import Memory

EXAMPLE = Path(__file__).parents[3] / "examples" / "haystack_persistent_agent.py"


@pytest.fixture
def agent(url: str, made: Callable[..., Any]) -> Callable[..., Any]:
    kind = runpy.run_path(str(EXAMPLE))["PersistentAgent"]
    Memory("assistant", url=url).clear()
    return lambda user_id, *script: made(
        kind(user_id, url=url, llm=ScriptedChatGenerator(list(script)))
    )


def shown(agent: Any) -> list[Any]:
    return [texts(messages)[0] for messages in agent.pipeline.get_component("llm").seen]


def test_it_goes_on_where_another_process_stopped(agent: Callable[..., Any]) -> None:
    assert agent("ada", "Hello Ada").chat("I am Ada") == "Hello Ada"
    again = agent("ada", "You are Ada")
    again.chat("Who am I?")
    assert shown(again) == ["User: I am Ada\nAgent: Hello Ada\nUser: Who am I?\nAgent:"]
    stranger = agent("bob", "?")
    stranger.chat("Who am I?")
    assert shown(stranger) == ["User: Who am I?\nAgent:"]


def test_the_newest_2000_characters_are_kept(agent: Callable[..., Any], url: str) -> None:
    talkative = agent("ada", *["x" * 300] * 10)
    for number in range(10):
        talkative.chat(f"question {number}")
    context = Memory("assistant", url=url)["user:ada:context"]
    assert len(context) == 2000
    assert context.endswith("User: question 9\nAgent: " + "x" * 300 + "\n")


def test_preferences_end_after_7_days_of_inactivity(agent: Callable[..., Any], url: str) -> None:
    polite = agent("ada", "sì", "sì")
    polite.prefer(language="Italian")
    polite.chat("Tea?")
    assert shown(polite)[0].startswith("The user's language: Italian\nUser: Tea?")
    memory = Memory("assistant", url=url)
    entry = memory.head("user:ada:preferences")
    assert entry is not None
    assert (entry.ttl, entry.sliding) == (7 * 86400, True)
    assert memory.head("user:ada:context").ttl is None  # type: ignore[union-attr]
    memory.close()


def test_it_runs_as_a_script(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    for query in ("I drink tea", "What do I drink?"):
        done = subprocess.run(
            [sys.executable, EXAMPLE, "ada", query],
            cwd=tmp_path,
            env=environment | {"HAYSTACK_TELEMETRY_ENABLED": "False"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert "I drink tea" in done.stdout
