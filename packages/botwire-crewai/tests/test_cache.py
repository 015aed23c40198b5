"""Tool results that one process has and another one uses."""

import json
from typing import Any

import pytest
from crewai import Agent, Crew, Task
from crewai.agents.cache.cache_handler import CacheHandler
from crewai.tools import BaseTool
from pydantic import BaseModel
from scripted_model import ScriptedModel, use
from storage_help import eventually, newer

from botwire import Memory
from botwire_crewai import BotWireCacheHandler, memory_tools
from botwire_crewai.failures import ToolFailure


class Answer(BaseModel):
    n: int = 1


class Counted(BaseTool):
    name: str = "Look Up"
    description: str = "Look something up."
    runs: int = 0
    answers: Any = "Oslo"

    def _run(self, question: str) -> Any:
        self.runs += 1
        return self.answers


@pytest.fixture
def cache(url: str) -> BotWireCacheHandler:
    return BotWireCacheHandler("tool-cache", url=url)


def ask(cache: CacheHandler, tool: BaseTool, style: Any, *script: Any) -> list[str]:
    model = ScriptedModel(style=style, script=[*script, "done"])
    agent = Agent(role="r", goal="g", backstory="b", llm=model, tools=[tool], cache_handler=cache)
    task = Task(description="d", expected_output="e", agent=agent)
    Crew(agents=[agent], tasks=[task], cache=False, tracing=False).kickoff()
    return model.results()


@pytest.mark.parametrize("style", ["text", "native"])
def test_what_one_process_looked_up_another_one_knows(url: str, style: Any) -> None:
    first, second = Counted(), Counted()
    script = use("look_up", question="the capital of Norway")
    for tool in (first, second):
        (found,) = ask(BotWireCacheHandler("tool-cache", url=url), tool, style, script)
        assert found.startswith("Oslo")
    assert (first.runs, second.runs) == (1, 0)


@newer
def test_failures_are_never_kept(cache: BotWireCacheHandler) -> None:
    tool = Counted(answers=ToolFailure(message="no"))
    for _ in range(2):
        ask(cache, tool, "native", use("look_up", question="x"))
    assert tool.runs == 2


def test_memory_tools_are_never_cached(cache: BotWireCacheHandler, url: str) -> None:
    recall = memory_tools("team", url=url)[1]
    Memory("team", url=url).set("k", 1)
    assert ask(cache, recall, "native", use("recall", key="k")) == ["1"]
    Memory("team", url=url).set("k", 2)
    assert ask(cache, recall, "native", use("recall", key="k")) == ["2"]


@pytest.mark.parametrize("output", ["text", "", {"a": [1, None]}, 0, False, 1.5])
def test_json_is_shared_and_comes_back_equal(url: str, output: Any) -> None:
    BotWireCacheHandler("c", url=url).add("tool", '{"a": 1, "b": 2}', output)
    found = BotWireCacheHandler("c", url=url).read("tool", '{"b": 2, "a": 1}')
    assert found == output
    assert type(found) is type(output)


@pytest.mark.parametrize("output", [(1, 2), Answer(), b"bytes", {1: 2}])
def test_what_is_no_json_stays_in_the_process(url: str, output: Any) -> None:
    cache = BotWireCacheHandler("c", url=url)
    cache.add("tool", "{}", output)
    assert cache.read("tool", "{}") is output
    assert BotWireCacheHandler("c", url=url).read("tool", "{}") is None


def test_tools_and_arguments_are_told_apart(cache: BotWireCacheHandler) -> None:
    cache.add("a", '{"q": 1}', "one")
    assert cache.read("a", '{"q": 2}') is None
    assert cache.read("b", '{"q": 1}') is None
    assert cache.read("a", "not json") is None
    assert cache.read("A", '{"q": 1}') == "one"  # crewai writes names both ways


def test_results_are_forgotten_after_a_while(url: str) -> None:
    cache = BotWireCacheHandler("c", url=url, ttl=0.2)
    cache.add("tool", "{}", "x")
    eventually(lambda: cache.read("tool", "{}") is None)


def test_a_cache_that_cannot_be_reached_lets_the_tool_run(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = BotWireCacheHandler("c", url=nowhere, timeout=0.2)
    tool = Counted()
    assert ask(cache, tool, "native", use("look_up", question="x")) == ["Oslo"]
    assert tool.runs == 1
    assert "the cache does not answer" in caplog.text


def test_its_key_is_not_serialised(url: str) -> None:
    cache = BotWireCacheHandler("c", url=url, api_key="bw-very-secret")
    assert "bw-very-secret" not in json.dumps(cache.model_dump(mode="json")) + repr(cache)
