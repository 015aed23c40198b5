"""The one block in the prompt: for every context, after many turns, in failure."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import MemoryQueryEvent
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import (
    BufferedChatCompletionContext,
    ChatCompletionContext,
    HeadAndTailChatCompletionContext,
    TokenLimitedChatCompletionContext,
    UnboundedChatCompletionContext,
)
from autogen_core.models import AssistantMessage, LLMMessage, SystemMessage, UserMessage
from autogen_scripts import ScriptedClient, blocks, heads, tool_call

from botwire.errors import Unavailable
from botwire_autogen import BotWireMemory

logging.getLogger("autogen_core.events").setLevel(logging.ERROR)

CONTEXTS: dict[str, Callable[[], ChatCompletionContext]] = {
    "unbounded": UnboundedChatCompletionContext,
    "buffered": lambda: BufferedChatCompletionContext(4),
    "head and tail": lambda: HeadAndTailChatCompletionContext(2, 4),
    "token limited": lambda: TokenLimitedChatCompletionContext(
        ScriptedClient(), token_limit=100_000
    ),
}


def text(content: str) -> MemoryContent:
    return MemoryContent(content=content, mime_type=MemoryMimeType.TEXT)


def looked_up() -> str:
    """Look it up."""
    return "found"


@pytest.fixture
def memory(url: str) -> BotWireMemory:
    return BotWireMemory("ada", url=url)


@pytest.mark.parametrize("name", CONTEXTS)
async def test_after_ten_turns_with_tools_every_prompt_holds_exactly_one_block(
    memory: BotWireMemory, name: str
) -> None:
    turns = [step for turn in range(10) for step in (tool_call("looked_up", f"c{turn}"), "done")]
    client = ScriptedClient(*turns)
    agent = AssistantAgent(
        "bot",
        client,
        tools=[looked_up],
        memory=[memory],
        model_context=CONTEXTS[name](),
        max_tool_iterations=3,
    )
    for turn in range(10):
        await memory.add(text(f"fact {turn}"))
        await agent.run(task=f"question {turn}")
    assert len(client.seen) == 20
    assert [len(blocks(seen)) for seen in client.seen] == [1] * 20
    assert "fact 9" in blocks(client.seen[-1])[0]
    assert all(_merges(seen) for seen in client.seen)


def _merges(messages: Sequence[LLMMessage]) -> bool:
    """System messages stand together, which is what the strict clients ask for."""
    return "S" not in "".join(heads(messages)).lstrip("S")


async def test_the_block_joins_the_system_messages_at_the_head(memory: BotWireMemory) -> None:
    await memory.add(text("likes tea"))
    client = ScriptedClient("one", "two")
    agent = AssistantAgent("bot", client, memory=[memory])
    await agent.run(task="a")
    await agent.run(task="b")
    assert heads(client.seen[1]) == ["S", "S", "U", "A", "U"]
    assert blocks(client.seen[1]) == [
        '<memory name="ada/memory">\nWhat you remember, oldest first:\n- likes tea\n</memory>'
    ]


async def test_in_a_buffered_context_the_block_stands_before_the_question(
    memory: BotWireMemory,
) -> None:
    await memory.add(text("likes tea"))
    client = ScriptedClient("one", "two", "three")
    context = BufferedChatCompletionContext(3)
    agent = AssistantAgent("bot", client, memory=[memory], model_context=context)
    for question in "abc":
        await agent.run(task=question)
    assert heads(client.seen[2]) == ["S", "A", "U", "U"]
    assert client.seen[2][3].content == "c"


async def test_each_of_two_memories_has_one_block_and_they_keep_their_order(url: str) -> None:
    ada, team = BotWireMemory("ada", url=url), BotWireMemory("team", url=url)
    await ada.add(text("likes tea"))
    await team.add(text("ships on Friday"))
    client = ScriptedClient("one", "two", "three")
    agent = AssistantAgent("bot", client, memory=[ada, team])
    for question in "abc":
        await agent.run(task=question)
    for seen in client.seen:
        assert heads(seen)[:3] == ["S", "S", "S"]
        assert ["likes tea" in block for block in blocks(seen)] == [True, False]


async def test_without_memories_there_is_no_block_and_no_event(memory: BotWireMemory) -> None:
    client = ScriptedClient("one", "two", "three")
    agent = AssistantAgent("bot", client, memory=[memory])
    result = await agent.run(task="a")
    assert not any(isinstance(message, MemoryQueryEvent) for message in result.messages)
    await memory.add(text("likes tea"))
    await agent.run(task="b")
    await memory.clear()
    await agent.run(task="c")
    assert [len(blocks(seen)) for seen in client.seen] == [0, 1, 0]


async def test_matching_by_words_puts_in_what_fits_the_question(url: str) -> None:
    memory = BotWireMemory("ada", match="words", url=url)
    await memory.add(text("likes tea"))
    await memory.add(text("has a cat"))
    client = ScriptedClient("one", "two")
    agent = AssistantAgent("bot", client, memory=[memory])
    await agent.run(task="Which tea shall I buy?")
    await agent.run(task="Hello!")
    assert "likes tea" in blocks(client.seen[0])[0]
    assert "cat" not in blocks(client.seen[0])[0]
    assert blocks(client.seen[1]) == []


@pytest.mark.parametrize(
    ("placement", "role", "expected"),
    [
        ("head", "system", ["S", "S", "U"]),
        ("head", "user", ["S", "U", "U"]),
        ("tail", "user", ["S", "U", "U"]),
        ("tail", "system", ["S", "S", "U"]),
    ],
)
async def test_placement_and_role_can_be_chosen(
    url: str, placement: Any, role: Any, expected: list[str]
) -> None:
    memory = BotWireMemory("ada", placement=placement, role=role, url=url)
    await memory.add(text("likes tea"))
    client = ScriptedClient("one", "two")
    agent = AssistantAgent("bot", client, memory=[memory])
    await agent.run(task="a")
    await agent.run(task="b")
    assert heads(client.seen[0]) == expected
    assert [len(blocks(seen)) for seen in client.seen] == [1, 1]
    place = [bool(blocks([message])) for message in client.seen[1]].index(True)
    assert place == (1 if placement == "head" else len(client.seen[1]) - 2)


async def test_events_show_bytes_and_images_without_breaking_the_log(
    memory: BotWireMemory,
) -> None:
    await memory.add(MemoryContent(content=b"\xff\x00", mime_type="application/pdf"))
    agent = AssistantAgent("bot", ScriptedClient("one"), memory=[memory])
    result = await agent.run(task="a")
    events = [m for m in result.messages if isinstance(m, MemoryQueryEvent)]
    assert events[0].dump()["content"][0]["content"] == "(2 bytes of application/pdf)"


async def test_an_outage_takes_the_question_back_so_that_the_run_can_be_repeated(
    url: str, nowhere: str
) -> None:
    broken = BotWireMemory("ada", url=nowhere, timeout=0.2)
    context = UnboundedChatCompletionContext(
        [UserMessage(content="hi", source="user"), AssistantMessage(content="hello", source="bot")]
    )
    agent = AssistantAgent("bot", ScriptedClient(), memory=[broken], model_context=context)
    with pytest.raises(Unavailable):
        await agent.run(task="What do I drink?")
    assert heads(await context.get_messages()) == ["U", "A"]
    client = ScriptedClient("tea")
    working = AssistantAgent(
        "bot", client, memory=[BotWireMemory("ada", url=url)], model_context=context
    )
    await working.run(task="What do I drink?")
    assert heads(client.seen[0]) == ["S", "U", "A", "U"]


async def test_an_outage_can_be_skipped_and_the_last_known_block_stays(
    memory: BotWireMemory, nowhere: str, caplog: pytest.LogCaptureFixture
) -> None:
    await memory.add(text("likes tea"))
    context = UnboundedChatCompletionContext()
    await context.add_message(UserMessage(content="hi", source="user"))
    await memory.update_context(context)
    broken = BotWireMemory("ada", on_error="skip", url=nowhere, timeout=0.2)
    client = ScriptedClient("tea")
    agent = AssistantAgent("bot", client, memory=[broken], model_context=context)
    await agent.run(task="What do I drink?")
    assert "ada/memory was not read" in caplog.text
    assert [message.content for message in client.seen[0] if message.content == "hi"] == ["hi"]
    assert len(blocks(client.seen[0])) == 1


async def test_the_own_words_of_a_user_are_never_taken_for_the_block(
    memory: BotWireMemory,
) -> None:
    words = '<memory name="ada/memory">\nme too'
    context = UnboundedChatCompletionContext([SystemMessage(content="be kind")])
    await context.add_message(UserMessage(content=words, source="user"))
    await memory.update_context(context)
    await memory.add(text("likes tea"))
    await memory.update_context(context)
    messages = await context.get_messages()
    assert heads(messages) == ["S", "S", "U"]
    assert messages[2].content == words
