"""A conversation that outlives processes, is shared by workers and is what autogen expects."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall, Image
from autogen_core.memory import MemoryContent
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    ChatCompletionContext,
    HeadAndTailChatCompletionContext,
    TokenLimitedChatCompletionContext,
    UnboundedChatCompletionContext,
)
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from autogen_scripts import ScriptedClient, blocks, heads, tool_call
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from botwire import AsyncMemory, Conflict
from botwire_autogen import (
    BotWireChatCompletionContext,
    BotWireMemory,
    load_team,
    save_team,
)

Context = BotWireChatCompletionContext


def asked(content: str = "q") -> UserMessage:
    return UserMessage(content=content, source="user")


def said(content: str = "a") -> AssistantMessage:
    return AssistantMessage(content=content, source="bot")


def called(*ids: str) -> AssistantMessage:
    calls = [FunctionCall(id=name, name="tool", arguments="{}") for name in ids]
    return AssistantMessage(content=calls, source="bot")


def ping() -> str:
    """ping"""
    return "pong"


async def added(context: ChatCompletionContext, *messages: LLMMessage) -> None:
    for message in messages:
        await context.add_message(message)


# -- stored message by message ---------------------------------------------------------------------


async def test_each_message_is_there_for_others_as_soon_as_it_was_added(url: str) -> None:
    context = Context("ada", "chat", url=url)
    for message in (asked(), said(), asked("again")):
        await context.add_message(message)
        other = Context("ada", "chat", url=url)
        assert await other.get_messages() == await context.get_messages()
    assert await Context("ada", "other chat", url=url).get_messages() == []


async def test_an_agent_in_a_new_process_continues_the_conversation(url: str) -> None:
    first = AssistantAgent(
        "bot",
        ScriptedClient(tool_call("ping"), "it says pong"),
        tools=[ping],
        model_context=Context("ada", url=url),
        max_tool_iterations=2,
    )
    await first.run(task="Ping it.")
    client = ScriptedClient("as I said, pong")
    second = AssistantAgent("bot", client, model_context=Context("ada", url=url))
    await second.run(task="What did it say?")
    assert heads(client.seen[0]) == ["S", "U", "A", "F", "A", "U"]


text = st.text(max_size=8)
messages = st.one_of(
    st.builds(SystemMessage, content=text),
    st.builds(UserMessage, content=text | st.lists(text, max_size=2), source=text),
    st.builds(AssistantMessage, content=text, thought=st.none() | text, source=text),
    st.builds(
        AssistantMessage,
        content=st.lists(st.builds(FunctionCall, text, text, text), min_size=1, max_size=2),
        thought=st.none() | text,
        source=text,
    ),
    st.builds(
        FunctionExecutionResultMessage,
        content=st.lists(
            st.builds(
                FunctionExecutionResult,
                content=text,
                name=text,
                call_id=text,
                is_error=st.none() | st.booleans(),
            ),
            max_size=2,
        ),
    ),
)


@given(conversation=st.lists(messages, max_size=6))
@settings(deadline=None, max_examples=100)
def test_any_conversation_equals_itself_when_a_new_process_reads_it(
    conversation: list[LLMMessage], elsewhere: Any
) -> None:
    name = elsewhere.namespace()
    asyncio.run(added(Context(name, url=elsewhere.url), *conversation))
    back = UnboundedChatCompletionContext()
    asyncio.run(back.load_state({"messages": elsewhere.read("messages", name)}))
    assert asyncio.run(back.get_messages()) == conversation


async def test_images_of_users_come_back_with_every_pixel(url: str) -> None:
    shown = Image(Pillow.new("RGB", (3, 2), (250, 10, 3)))
    await Context("ada", url=url).add_message(UserMessage(content=["see", shown], source="user"))
    (message,) = await Context("ada", url=url).get_messages()
    assert isinstance(message.content[1], Image)
    assert message.content[1].image.tobytes() == shown.image.tobytes()


async def test_initial_messages_begin_a_new_conversation_and_are_stored_with_it(url: str) -> None:
    begin: list[LLMMessage] = [SystemMessage(content="Be kind.")]
    context = Context("ada", initial_messages=begin, url=url)
    assert await context.get_messages() == begin
    await context.add_message(asked())
    again = Context("ada", initial_messages=[SystemMessage(content="Be rude.")], url=url)
    assert await again.get_messages() == [*begin, asked()]
    await again.clear()
    assert await again.get_messages() == []
    await again.add_message(asked())
    assert await Context("ada", url=url).get_messages() == [asked()]


async def test_clear_deletes_and_close_does_not(url: str) -> None:
    context = Context("ada", url=url)
    await context.add_message(asked())
    await context.close()
    await context.close()
    again = Context("ada", url=url)
    assert await again.get_messages() == [asked()]
    await again.clear()
    assert await AsyncMemory("ada", url=url).list_keys() == []


async def test_a_conversation_lives_as_long_as_it_is_continued(url: str) -> None:
    context = Context("ada", ttl=3600, url=url)
    await context.add_message(asked())
    store = AsyncMemory("ada", url=url)
    await store.touch("conversation/default", 60)
    await context.add_message(said())
    left = await store.ttl("conversation/default")
    assert left is not None
    assert left > 3500


# -- a process that broke off ----------------------------------------------------------------------


async def test_a_call_without_result_is_shown_with_one_and_the_conversation_goes_on(
    url: str,
) -> None:
    await added(Context("ada", url=url), asked(), called("c1"))  # and here the process died
    client = ScriptedClient("I shall look again.")
    agent = AssistantAgent("bot", client, model_context=Context("ada", url=url))
    await agent.run()
    assert heads(client.seen[0]) == ["S", "U", "A", "F"]
    await Context("ada", url=url).add_message(asked("And?"))
    shown = await Context("ada", url=url).get_messages()
    assert heads(shown) == ["U", "A", "F", "A", "U"]


async def test_a_conversation_knows_whether_its_last_turn_broke_off(url: str) -> None:
    context = Context("ada", initial_messages=[SystemMessage(content="Be kind.")], url=url)
    result = FunctionExecutionResult(content="ok", name="tool", call_id="c")
    steps = (asked(), called("c"), FunctionExecutionResultMessage(content=[result]), said())
    assert not await context.broke_off()
    found: list[bool] = []
    for message in steps:
        await Context("ada", url=url).add_message(message)
        found.append(await context.broke_off())
    assert found == [True, True, True, False]


# -- views -----------------------------------------------------------------------------------------

VIEWS: dict[str, Callable[[], ChatCompletionContext | None]] = {
    "everything": lambda: None,
    "buffered": lambda: BufferedChatCompletionContext(4),
    "head and tail": lambda: HeadAndTailChatCompletionContext(2, 4),
    "token limited": lambda: TokenLimitedChatCompletionContext(ScriptedClient(), token_limit=40),
}


@pytest.mark.parametrize("name", VIEWS)
async def test_after_ten_turns_with_tools_there_is_one_block_and_every_call_has_its_result(
    url: str, name: str
) -> None:
    memory = BotWireMemory("ada", url=url)
    steps = [step for turn in range(10) for step in (tool_call("ping", f"c{turn}"), "done")]
    client = ScriptedClient(*steps)
    for turn in range(10):
        await memory.add(MemoryContent(content=f"fact {turn}", mime_type="text/plain"))
        agent = AssistantAgent(  # a new one each turn, as a web server makes it
            "bot",
            client,
            tools=[ping],
            memory=[memory],
            model_context=Context("ada", view=VIEWS[name](), url=url),
            max_tool_iterations=2,
        )
        await agent.run(task=f"question {turn}")
    for number, seen in enumerate(client.seen):
        letters = "".join(heads(seen))
        assert len(blocks(seen)) == 1
        assert letters.startswith("SSU")
        assert f"question {number // 2}" in [message.content for message in seen]
        assert _calls_are_whole(seen)
    stored = await AsyncMemory("ada", url=url).get("conversation/default")
    assert len(stored) == 40
    assert "remember" not in json.dumps(stored)  # no block is stored


def _calls_are_whole(seen: list[LLMMessage]) -> bool:
    calls = [
        i for i, m in enumerate(seen) if isinstance(m, AssistantMessage) and m.content != "done"
    ]
    results = [i for i, m in enumerate(seen) if isinstance(m, FunctionExecutionResultMessage)]
    return [place + 1 for place in calls] == results


async def test_a_view_that_skips_as_many_messages_as_it_adds_is_trimmed_too(url: str) -> None:
    view = HeadAndTailChatCompletionContext(2, 4)
    context = Context("ada", view=view, url=url)
    result = FunctionExecutionResult(content="ok", name="tool", call_id="c")
    results = FunctionExecutionResultMessage(content=[result])
    await added(context, asked("0"), said(), called("c"), results, said(), asked("1"), said())
    assert [message.content for message in await context.get_messages()] == [
        *("0", "a", "Skipped 1 messages.", "a", "1", "a")
    ]


# -- several workers -------------------------------------------------------------------------------


async def test_a_question_goes_behind_what_another_worker_said(url: str) -> None:
    one, two = Context("ada", url=url), Context("ada", url=url)
    await added(one, asked("1"), said("1"))
    await added(two, asked("2"), said("2"))
    await added(one, asked("3"))
    contents = ["1", "1", "2", "2", "3"]
    assert [message.content for message in await one.get_messages()] == contents
    await added(two, asked("4"))
    assert [message.content for message in await two.get_messages()] == [*contents, "4"]


async def test_an_answer_made_without_knowing_what_another_worker_said_is_refused(
    url: str,
) -> None:
    one, two = Context("ada", url=url), Context("ada", url=url)
    await added(one, asked("1"), called("c"))
    await added(two, asked("2"))
    result = FunctionExecutionResult(content="ok", name="tool", call_id="c")
    with pytest.raises(Conflict) as refused:
        await one.add_message(FunctionExecutionResultMessage(content=[result]))
    assert "another worker" in refused.value.__notes__[0].lower()
    assert heads(await one.get_messages()) == ["U", "A", "F", "U"]  # it now knows


async def test_many_workers_ask_at_the_same_time_and_no_question_is_lost(url: str) -> None:
    workers = [Context("ada", url=url) for _ in range(8)]
    await asyncio.gather(
        *(added(worker, asked(f"{name}")) for name, worker in enumerate(workers) for _ in range(5))
    )
    assert len(await Context("ada", url=url).get_messages()) == 40


# -- states ----------------------------------------------------------------------------------------

CORE: dict[str, Callable[[], ChatCompletionContext]] = {
    "unbounded": UnboundedChatCompletionContext,
    "buffered": lambda: BufferedChatCompletionContext(20),
    "head and tail": lambda: HeadAndTailChatCompletionContext(9, 9),
    "token limited": lambda: TokenLimitedChatCompletionContext(ScriptedClient(), token_limit=999),
}


@pytest.mark.parametrize("name", CORE)
async def test_states_can_be_exchanged_with_the_contexts_of_autogen(url: str, name: str) -> None:
    theirs, ours = CORE[name](), Context("ada", url=url)
    await added(theirs, asked("1"), said("1"))
    await ours.load_state(json.loads(json.dumps(await theirs.save_state())))
    assert await Context("ada", url=url).get_messages() == await theirs.get_messages()
    await ours.add_message(asked("2"))
    back = CORE[name]()
    await back.load_state(json.loads(json.dumps(await ours.save_state())))
    assert await back.get_messages() == await ours.get_messages()


async def test_loading_a_state_replaces_what_is_stored(url: str) -> None:
    context = Context("ada", url=url)
    await added(context, asked("1"), said("1"))
    await context.load_state({"messages": [asked("2").model_dump()]})
    assert await Context("ada", url=url).get_messages() == [asked("2")]
    await context.load_state({"messages": []})
    assert await Context("ada", url=url).get_messages() == []


async def test_an_older_state_of_the_conversation_takes_away_nothing_said_since(url: str) -> None:
    context = Context("ada", url=url)
    await added(context, asked("1"), said("1"))
    state = await context.save_state()
    await added(context, asked("2"), called("c"))
    again = Context("ada", url=url)
    await again.load_state(json.loads(json.dumps(state)))
    assert heads(await again.get_messages()) == ["U", "A", "U", "A", "F"]
    await again.load_state({"messages": state["messages"]})  # back in time
    assert heads(await Context("ada", url=url).get_messages()) == ["U", "A"]
    elsewhere = Context("ben", url=url)
    await elsewhere.add_message(asked("mine"))
    await elsewhere.load_state(state)
    assert heads(await elsewhere.get_messages()) == ["U", "A"]


async def test_blocks_in_a_state_are_not_stored(url: str) -> None:
    memory = BotWireMemory("ada", url=url)
    await memory.add(MemoryContent(content="likes tea", mime_type="text/plain"))
    theirs = UnboundedChatCompletionContext([asked()])
    await memory.update_context(theirs)
    ours = Context("ada", url=url)
    await ours.load_state(await theirs.save_state())
    assert await ours.get_messages() == [asked()]


# -- teams -----------------------------------------------------------------------------------------


def team(*steps: str, turns: int = 3) -> tuple[RoundRobinGroupChat, list[ScriptedClient]]:
    clients = [ScriptedClient(*steps) for _ in "ab"]
    agents = [AssistantAgent(name, client) for name, client in zip("ab", clients, strict=True)]
    return (
        RoundRobinGroupChat(list(agents), termination_condition=MaxMessageTermination(turns)),
        clients,
    )


async def test_a_team_goes_on_where_the_saved_one_stood(url: str) -> None:
    memory = AsyncMemory("support", url=url)
    first, _ = team("first", "first")
    await first.run(task="hello")
    version = await save_team(first, memory)
    second, clients = team("second", "second")
    assert await load_team(second, memory) == version
    await second.run(task="again")
    assert "hello" in [message.content for message in clients[0].seen[0]]


async def test_two_workers_that_save_one_team_notice_each_other(url: str) -> None:
    memory = AsyncMemory("support", url=url)
    one, _ = team()
    assert await load_team(one, memory, "chat-7") == 0
    version = await save_team(one, memory, "chat-7", if_version=0, ttl=3600)
    await save_team(one, memory, "chat-7", if_version=version)
    with pytest.raises(Conflict):
        await save_team(one, memory, "chat-7", if_version=version)
    left = await memory.ttl("chat-7")
    assert left == float("inf")


async def test_a_team_of_persistent_agents_loses_nothing_said_after_it_was_saved(url: str) -> None:
    memory = AsyncMemory("support", url=url)

    def persistent(*steps: Any) -> tuple[RoundRobinGroupChat, ScriptedClient]:
        client = ScriptedClient(*steps)
        context = Context("support", "agent-a", url=url)
        agent = AssistantAgent("a", client, model_context=context)
        return RoundRobinGroupChat([agent], max_turns=1), client

    first, _ = persistent("one", "two")
    await first.run(task="first")
    await save_team(first, memory)
    await first.run(task="second")  # and here the process died, before it saved the team
    second, client = persistent("three")
    await load_team(second, memory)
    await second.run(task="third")
    said_so_far = [message.content for message in client.seen[0][1:]]
    assert said_so_far == ["first", "one", "second", "two", "third"]
