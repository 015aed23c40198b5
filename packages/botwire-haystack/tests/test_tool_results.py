"""Tool results too long for the conversation: kept outside, read again piece by piece."""

from collections.abc import Callable
from typing import Any

import pytest
from haystack.components.agents import Agent
from haystack.dataclasses import ImageContent, TextContent
from haystack.hooks.tool_result_offloading import OffloadOverChars, ToolResultOffloadHook
from haystack.tools import tool
from haystack_scripts import ScriptedChatGenerator, awaited, call, resumes, user

from botwire.errors import NotFound
from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.hooks.botwire import BotWireHistoryHook, agent_hooks
from haystack_integrations.tool_result_stores.botwire import BotWireToolResultStore
from haystack_integrations.tools.botwire import BotWireToolResultReader

Does = Callable[..., Any]


@pytest.fixture
def results(url: str, made: Callable[..., Any]) -> BotWireToolResultStore:
    return made(BotWireToolResultStore("test", url=url))


@pytest.mark.parametrize("content", ["text", "", "\ud800 \0 ü", b"", b"\0\xff", b"plain"], ids=repr)
def test_text_stays_text_and_bytes_stay_bytes(
    results: BotWireToolResultStore, does: Does, content: str | bytes
) -> None:
    reference = does(results, "write", key="1_search_c1.txt", content=content)
    found = does(results, "read", reference)
    assert (type(found), found) == (type(content), content)


def test_runs_with_the_same_call_ids_do_not_overwrite_each_other(
    results: BotWireToolResultStore,
) -> None:
    one = results.write(key="0_search_c1.txt", content="mine")
    other = results.write(key="0_search_c1.txt", content="yours")
    assert (results.read(one), results.read(other)) == ("mine", "yours")


def test_a_reference_that_leads_nowhere_is_told(
    results: BotWireToolResultStore, does: Does
) -> None:
    with pytest.raises(NotFound, match=r"no tool result 'x/y\.txt'"):
        does(results, "read", "x/y.txt")


def test_results_can_expire(url: str, made: Callable[..., Any]) -> None:
    store = made(BotWireToolResultStore("test", url=url, ttl=60))
    reference = store.write(key="a.txt", content="x")
    assert store.memory.head(f"tool-results/{reference}").ttl == 60


@tool
def search(q: str) -> str:
    """Search."""
    return f"{q}: " + "x" * 9000


@tool(outputs_to_string={"raw_result": True})
def draw() -> list[TextContent | ImageContent]:
    """Draw."""
    return [TextContent("a picture"), ImageContent("aGk=", "image/png", validation=False)]


def agent(results: BotWireToolResultStore, *script: Any, **more: Any) -> tuple[Agent, Any]:
    llm = ScriptedChatGenerator(list(script))
    hooks = more.pop("hooks", {})
    offload = ToolResultOffloadHook(results, {("search", "draw"): OffloadOverChars(5)})
    hooks["after_tool"] = [offload, *hooks.get("after_tool", [])]
    tools = [search, draw, BotWireToolResultReader(results, max_chars=5000)]
    return Agent(chat_generator=llm, tools=tools, hooks=hooks, **more), llm


@resumes  # older messages do not name their results
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_model_reads_an_offloaded_result_again(
    results: BotWireToolResultStore, asynchronous: bool
) -> None:
    def reference(seen: list[Any]) -> str:
        return next(m.meta["tool_result_offloaded"][0] for m in seen if m.meta)

    def read(start: int) -> Any:
        return lambda seen: call("read_tool_result", reference=reference(seen), start=start)

    bot, llm = agent(results, call("search", q="tea"), read(0), read(5000), "thanks")
    if asynchronous:
        awaited(bot.run_async([user("?")]))
    else:
        bot.run([user("?")])
    pointer, first, second = (m.tool_call_results[0].result for m in llm.seen[3][2::2])
    assert "offloaded to text (9005 characters)" in pointer
    assert first.startswith('{"text": "tea: xxx')
    assert second.endswith('"start": 5000, "length": 9005}')


@resumes
def test_images_are_offloaded_and_not_read_as_text(results: BotWireToolResultStore) -> None:
    bot, llm = agent(results, call("draw"), "nice")
    bot.run([user("?")])
    text, image = llm.seen[1][-1].meta["tool_result_offloaded"]
    assert (results.read(text), results.read(image)) == ("a picture", b"hi")
    reader = BotWireToolResultReader(results)
    assert reader.invoke(reference=image) == {"error": "2 bytes that are no text"}


def test_what_is_offloaded_first_is_kept_short_in_the_history(
    results: BotWireToolResultStore, store: BotWireChatMessageStore
) -> None:
    hooks = agent_hooks(history=BotWireHistoryHook(store, chat_history_id="c"))
    bot, _ = agent(results, call("search", q="tea"), "ok", hooks=hooks)
    bot.run([user("?")])
    kept = store.retrieve_messages("c")[2]
    assert len(kept.tool_call_results[0].result) < 400
    assert kept.meta["tool_result_offloaded"]
