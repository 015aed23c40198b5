"""Answers of models, shared by processes, apart by model, and never in an agent's way."""

import json

import pytest
from autogen_core.models import CreateResult, UserMessage
from autogen_ext.models.cache import ChatCompletionCache
from autogen_scripts import ScriptedClient, tool_call

from botwire import BotWireError, Memory
from botwire_autogen import BotWireCacheStore

QUESTION = [UserMessage(content="hi", source="user")]


def cached(url: str, *steps: str | CreateResult, model: str = "m") -> ChatCompletionCache:
    return ChatCompletionCache(
        ScriptedClient(*steps), BotWireCacheStore("cache", model=model, url=url)
    )


async def test_an_answer_is_made_once_and_found_by_others(url: str) -> None:
    first = await cached(url, "answer").create(QUESTION)
    again = await cached(url).create(QUESTION)  # an empty script: nobody may ask it
    assert again.cached
    assert first.content == again.content == "answer"


async def test_tool_calls_and_streams_are_cached_too(url: str) -> None:
    calling = tool_call("ping", "c1", at="home")
    await cached(url, calling).create(QUESTION)
    assert (await cached(url).create(QUESTION)).content == calling.content
    asked = [UserMessage(content="stream", source="user")]
    streamed = [part async for part in cached(url, "one two").create_stream(asked)]
    again = [part async for part in cached(url).create_stream(asked)]
    assert again[:-1] == streamed[:-1] == ["one ", "two"]
    assert again[-1].content == "one two"
    assert (await cached(url).create(asked)).content == "one two"


async def test_models_do_not_answer_for_each_other(url: str) -> None:
    await cached(url, "from m", model="m").create(QUESTION)
    other = await cached(url, "from m/2", model="m/2").create(QUESTION)
    assert other.content == "from m/2"
    BotWireCacheStore("cache", model="m", url=url).clear()
    assert (await cached(url, model="m/2").create(QUESTION)).content == "from m/2"
    assert (await cached(url, "new", model="m").create(QUESTION)).content == "new"


def test_an_answer_is_kept_for_its_ttl(url: str) -> None:
    store = BotWireCacheStore[str]("cache", model="m", ttl=60, url=url)
    store.set("key", "answer")
    assert store.get("key") == "answer"
    left = Memory("cache", url=url).ttl("cache/m/key")
    assert left is not None
    assert 59 < left <= 60
    assert store.get("other", "nothing") == "nothing"


async def test_an_unreachable_cache_is_a_miss_and_is_logged(
    nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = BotWireCacheStore("cache", model="m", url=nowhere, timeout=0.2)
    client = ChatCompletionCache(ScriptedClient("answer"), store)
    assert (await client.create(QUESTION)).content == "answer"
    assert caplog.text.count("the cache of m was left out") == 2  # reading and writing
    strict = BotWireCacheStore("cache", model="m", on_error="raise", url=nowhere, timeout=0.2)
    with pytest.raises(BotWireError):
        strict.get("key")


def test_what_cannot_be_stored_is_a_miss_and_not_an_error(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = BotWireCacheStore("cache", model="m", url=url)
    store.set("key", float("nan"))
    assert store.get("key") is None
    assert "$ is nan" in caplog.text


async def test_the_store_of_a_cache_survives_a_configuration(url: str) -> None:
    dumped = json.dumps(cached(url, model="m").store.dump_component().model_dump())
    loaded = BotWireCacheStore.load_component(json.loads(dumped))
    await cached(url, "answer", model="m").create(QUESTION)
    assert (await ChatCompletionCache(ScriptedClient(), loaded).create(QUESTION)).cached
    loaded.close()
    loaded.close()
