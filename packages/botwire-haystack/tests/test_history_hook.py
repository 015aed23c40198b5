"""An Agent goes on with a stored conversation, and a failing model loses nothing of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from haystack.components.agents import Agent
from haystack.components.agents.state import State
from haystack.dataclasses import ChatMessage
from haystack.hooks import hook
from haystack.tools import tool
from haystack_scripts import ScriptedChatGenerator, assistant, awaited, call, system, texts, user

from haystack_integrations.chat_message_stores.botwire import BotWireChatMessageStore
from haystack_integrations.hooks.botwire import BotWireHistoryHook, agent_hooks


@tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def agent(
    history: BotWireHistoryHook, *script: Any, **parameters: Any
) -> tuple[Agent, ScriptedChatGenerator]:
    llm = ScriptedChatGenerator(list(script))
    hooks = agent_hooks(history=history)
    for point, more in parameters.pop("hooks", {}).items():
        hooks.setdefault(point, []).extend(more)
    return Agent(chat_generator=llm, tools=[add], hooks=hooks, **parameters), llm


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    def start(agent: Agent, *messages: ChatMessage, chat: str = "c", **more: Any) -> Any:
        context = {"chat_history_id": chat}
        if request.param == "sync":
            return agent.run(list(messages), hook_context=context, **more)
        return awaited(agent.run_async(list(messages), hook_context=context, **more))

    return start


def roles(messages: list[ChatMessage]) -> str:
    return "".join(message.role.value[0] for message in messages)


def test_a_conversation_goes_on_in_another_agent(
    store: BotWireChatMessageStore, run: Callable[..., Any]
) -> None:
    first, _ = agent(BotWireHistoryHook(store), call("add", a=1, b=2), "It is 3")
    out = run(first, user("1 + 2?"))
    assert roles(store.retrieve_messages("c")) == roles(out["messages"]) == "uata"
    second, llm = agent(BotWireHistoryHook(store), "3, as I said")
    out = run(second, user("Again?"))
    assert texts(llm.seen[0]) == ["1 + 2?", None, None, "It is 3", "Again?"]
    assert out["last_message"].text == "3, as I said"
    assert store.retrieve_messages("c") == out["messages"]
    assert store.count_messages("c") == 6


def test_each_save_adds_only_what_is_new(
    store: BotWireChatMessageStore, operations: list[str]
) -> None:
    script = [call("add", str(n), a=n, b=n) for n in range(3)]
    first, _ = agent(BotWireHistoryHook(store), *script, "done")
    first.run([user("go")], hook_context={"chat_history_id": "c"})
    assert operations == ["batch"] + ["append"] * 5
    assert store.count_messages("c") == 8


def test_a_model_that_fails_loses_nothing(
    store: BotWireChatMessageStore, run: Callable[..., Any]
) -> None:
    broken, _ = agent(BotWireHistoryHook(store), call("add", a=1, b=2), OSError("overloaded"))
    with pytest.raises(OSError, match="overloaded"):
        run(broken, user("1 + 2?"))
    assert roles(store.retrieve_messages("c")) == "uat"
    again, llm = agent(BotWireHistoryHook(store), "3")
    run(again, user("Well?"))
    assert roles(llm.seen[0]) == "uatu"


def test_a_model_that_fails_at_once_loses_nothing_either(
    store: BotWireChatMessageStore, run: Callable[..., Any]
) -> None:
    broken, _ = agent(BotWireHistoryHook(store), OSError("overloaded"))
    with pytest.raises(OSError, match="overloaded"):
        run(broken, user("hi"))
    assert texts(store.retrieve_messages("c")) == ["hi"]


def test_instructions_belong_to_the_agent_and_stand_in_front(
    store: BotWireChatMessageStore, run: Callable[..., Any]
) -> None:
    store.write_messages("c", [system("stored long ago"), user("1"), assistant("1")])
    bot, llm = agent(BotWireHistoryHook(store), "2", system_prompt="Be brief")
    run(bot, user("2"))
    assert texts(llm.seen[0]) == ["Be brief", "1", "1", "2"]
    assert "Be brief" not in texts(store.retrieve_messages("c"))


def test_the_model_sees_the_last_rounds_and_the_store_keeps_all(
    store: BotWireChatMessageStore,
) -> None:
    for number in range(3):
        bot, llm = agent(BotWireHistoryHook(store, last_k=1), f"answer {number}")
        bot.run([user(f"question {number}")], hook_context={"chat_history_id": "c"})
    assert texts(llm.seen[0]) == ["question 1", "answer 1", "question 2"]
    assert store.count_messages("c") == 6


def test_messages_that_were_retrieved_by_hand_are_not_stored_twice(
    store: BotWireChatMessageStore, run: Callable[..., Any]
) -> None:
    store.write_messages("c", [user("1"), assistant("1"), user("2"), assistant("2")])
    bot, llm = agent(BotWireHistoryHook(store, last_k=1), "3")
    run(bot, *store.retrieve_messages("c"), user("3"))
    assert texts(llm.seen[0]) == ["1", "1", "2", "2", "3"]
    assert texts(store.retrieve_messages("c")) == ["1", "1", "2", "2", "3", "3"]


def test_which_conversation_comes_from_context_state_or_hook(
    store: BotWireChatMessageStore,
) -> None:
    schema = {"chat_history_id": {"type": str}}
    bot, _ = agent(
        BotWireHistoryHook(store, chat_history_id="fixed"), "a", "b", "c", state_schema=schema
    )
    bot.run([user("1")])
    bot.run([user("2")], chat_history_id="from state")
    bot.run([user("3")], chat_history_id="x", hook_context={"chat_history_id": "from context"})
    assert store.chat_history_ids() == ["fixed", "from context", "from state"]


def test_a_run_without_a_conversation_says_what_is_missing(store: BotWireChatMessageStore) -> None:
    bot, llm = agent(BotWireHistoryHook(store), "a")
    with pytest.raises(ValueError, match="this run has no chat_history_id: pass hook_context="):
        bot.run([user("hi")])
    assert llm.seen == []


def test_two_conversations_with_one_agent_at_once_stay_apart(
    store: BotWireChatMessageStore,
) -> None:
    bot, _ = agent(BotWireHistoryHook(store), *[lambda seen: f"to {seen[-1].text}"] * 20)

    async def all_at_once() -> None:
        runs = (
            bot.run_async([user(str(n))], hook_context={"chat_history_id": f"c{n}"})
            for n in range(20)
        )
        await asyncio.gather(*runs)

    awaited(all_at_once())
    for number in range(20):
        assert texts(store.retrieve_messages(f"c{number}")) == [str(number), f"to {number}"]


def test_what_other_hooks_rewrite_is_not_stored_a_second_time(
    store: BotWireChatMessageStore,
) -> None:
    @hook
    def shorten(state: State) -> None:
        *others, last = state.data["messages"]
        pointer = ChatMessage.from_tool(
            "see file", last.tool_call_results[0].origin, meta=last.meta
        )
        state.data["messages"] = [*others, pointer]

    bot, llm = agent(
        BotWireHistoryHook(store), call("add", a=1, b=2), "3", hooks={"after_tool": [shorten]}
    )
    bot.run([user("1 + 2?")], hook_context={"chat_history_id": "c"})
    assert llm.seen[1][-1].tool_call_results[0].result == "see file"
    assert [m.tool_call_results[0].result for m in store.retrieve_messages("c")[2:3]] == ["3"]
    assert store.count_messages("c") == 4


def test_a_run_that_is_made_to_go_on_is_saved_to_its_end(store: BotWireChatMessageStore) -> None:
    @hook
    def insist(state: State) -> None:
        if len(state.data["messages"]) < 4:
            state.set("messages", [user("Are you sure?")])
            state.set("continue_run", True)

    bot, _ = agent(BotWireHistoryHook(store), "4", "5", hooks={"on_exit": [insist]})
    bot.run([user("2 + 2?")], hook_context={"chat_history_id": "c"})
    assert texts(store.retrieve_messages("c")) == ["2 + 2?", "4", "Are you sure?", "5"]
