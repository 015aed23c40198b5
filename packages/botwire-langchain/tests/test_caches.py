"""The caches: of models' answers and of nodes' outputs."""

import logging
from collections import deque
from typing import Any, TypedDict

import pytest
from langchain_core.caches import BaseCache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    GenerationChunk,
)
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite
from langgraph.graph import END, START, StateGraph
from langgraph.types import CachePolicy

from botwire import Memory
from botwire.errors import InvalidRequest
from botwire.testing import FakeClock
from botwire_langchain import BotWireCache, BotWireNodeCache

# -- answers of models ---------------------------------------------------------------------------


class TestStandardSync(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, url: str) -> BaseCache:
        return BotWireCache(url=url)


class TestStandardAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, url: str) -> BaseCache:
        return BotWireCache(url=url)


ANSWER = AIMessage(
    "hi \ud83d",
    id="run-1",
    tool_calls=[{"name": "f", "args": {"a": 2**70}, "id": "1", "type": "tool_call"}],
    usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    response_metadata={"model_name": "m"},
)


ANSWERS: dict[str, Generation] = {
    "text": Generation(text="hi", generation_info={"raw": b"1", "pair": (1, 2)}),
    "text chunk": GenerationChunk(text="hi"),
    "message": ChatGeneration(message=ANSWER, generation_info={"logprobs": None}),
    "other message": ChatGeneration(message=ChatMessage("hi", role="critic")),
    "message chunk": ChatGenerationChunk(message=AIMessageChunk("hi")),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_comes_back_with_everything(url: str, face: Any, answer: Generation) -> None:
    cache = face(BotWireCache(url=url))
    cache.update("prompt", "model", [answer, answer])
    assert face(BotWireCache(url=url)).lookup("prompt", "model") == [answer, answer]
    assert cache.lookup("prompt", "other model") is None
    assert cache.lookup("promptm", "odel") is None


def test_what_is_no_data_is_not_cached_and_that_is_said(
    url: str, face: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Mine(Generation):
        pass

    cache = face(BotWireCache(url=url))
    with caplog.at_level(logging.WARNING, "botwire_langchain"):
        cache.update("p", "m", [Generation(text="x", generation_info={"raw": object()})])
        cache.update("p", "m", [Mine(text="x")])
    assert cache.lookup("p", "m") is None
    assert [record.message[:10] for record in caplog.records] == ["not cached"] * 2


def test_a_model_is_asked_once(url: str) -> None:
    model = FakeListChatModel(responses=["one", "two"], cache=BotWireCache(url=url))
    assert model.invoke("hi").content == model.invoke("hi").content == "one"
    assert model.invoke("other").content == "two"


def test_answers_expire_and_prompts_are_not_kept(timed: Memory, clock: FakeClock) -> None:
    cache = BotWireCache(memory=timed, ttl=60)
    cache.update("a secret prompt", "m", [Generation(text="x")])
    assert "secret" not in str(list(timed.items()))
    clock.advance(59)
    assert cache.lookup("a secret prompt", "m") is not None
    clock.advance(1)
    assert cache.lookup("a secret prompt", "m") is None
    with pytest.raises(InvalidRequest, match="ttl"):
        BotWireCache(memory=timed, ttl=0)


# -- outputs of nodes ----------------------------------------------------------------------------

KEYS: Any = [(("a",), "k"), (("a", "b"), "k"), (("a,b",), "k"), (("ab",), "k"), ((), "k")]


def test_outputs_are_kept_by_namespace_and_key(url: str, face: Any, round_trips: list[str]) -> None:
    cache = face(BotWireNodeCache(url=url))
    cache.set({key: (deque([("channel", number)]), None) for number, key in enumerate(KEYS)})
    found = cache.get([*KEYS, (("a",), "other")])
    assert round_trips == ["batch", "get_many"]
    assert found == {key: deque([["channel", number]]) for number, key in enumerate(KEYS)}
    cache.clear([("a",), ("never",)])
    assert set(cache.get(KEYS)) == set(KEYS[1:])
    cache.clear()
    assert cache.get(KEYS) == {}
    assert cache.get([]) == {}


def test_outputs_expire_each_in_its_time(timed: Memory, clock: FakeClock, face: Any) -> None:
    cache = face(BotWireNodeCache(memory=timed))
    cache.set({KEYS[0]: ("short", 10), KEYS[1]: ("long", 100), KEYS[2]: ("ever", None)})
    clock.advance(10)
    assert cache.get(KEYS) == {KEYS[1]: "long", KEYS[2]: "ever"}


class State(TypedDict):
    number: int


def test_a_node_runs_once_for_the_same_input_even_in_another_process(url: str) -> None:
    runs: list[int] = []

    def double(state: State) -> State:
        runs.append(state["number"])
        return {"number": state["number"] * 2}

    for _ in range(2):
        builder = StateGraph(State)
        builder.add_node("double", double, cache_policy=CachePolicy(ttl=60))
        builder.add_edge(START, "double")
        builder.add_edge("double", END)
        graph = builder.compile(cache=BotWireNodeCache(url=url))
        assert graph.invoke({"number": 4}) == {"number": 8}
    assert runs == [4]
