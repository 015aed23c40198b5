"""Tools for models: what they say, in what they fail, and with whom they share."""

from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken
from autogen_core.memory import MemoryContent
from autogen_core.tools import FunctionTool, StaticWorkbench
from autogen_scripts import ScriptedClient, blocks, tool_call, tool_calls

from botwire import Memory
from botwire_autogen import BotWireMemory, BotWireWorkbench, memory_tools


@pytest.fixture
def bench(url: str) -> BotWireWorkbench:
    return BotWireWorkbench("ada", url=url)


async def say(bench: BotWireWorkbench, name: str, **arguments: Any) -> str:
    result = await bench.call_tool(name, arguments)
    assert not result.is_error
    return result.to_text()


async def test_a_model_remembers_recalls_lists_searches_and_forgets(
    bench: BotWireWorkbench,
) -> None:
    assert await say(bench, "remember", key="drink", value="green tea") == "Remembered 'drink'."
    assert await say(bench, "remember", key="pet", value="a cat") == "Remembered 'pet'."
    assert await say(bench, "recall", key="drink") == "green tea"
    assert await say(bench, "list_memory", prefix="") == "drink: green tea\npet: a cat"
    assert await say(bench, "search_memory", query="which TEA?") == "green tea"
    assert await say(bench, "forget", key="drink") == "Forgot 'drink'."


async def test_what_is_not_there_is_said_in_a_sentence(bench: BotWireWorkbench) -> None:
    assert await say(bench, "recall", key="x") == "Nothing is remembered under 'x'."
    assert await say(bench, "forget", key="x") == "Nothing is remembered under 'x'."
    assert await say(bench, "list_memory", prefix="a") == "Nothing is remembered there."
    answer = "Nothing that is remembered holds these words."
    assert await say(bench, "search_memory", query="x") == answer


async def test_what_one_tool_remembers_stands_in_the_prompt_of_others(url: str) -> None:
    first = AssistantAgent(
        "bot",
        ScriptedClient(tool_call("remember", key="drink", value="tea"), "noted"),
        workbench=BotWireWorkbench("ada", url=url),
        max_tool_iterations=2,
    )
    result = await first.run(task="I drink tea.")
    assert result.messages[-1].to_text() == "noted"
    client = ScriptedClient("tea")
    second = AssistantAgent("bot", client, memory=[BotWireMemory("ada", url=url)])
    await second.run(task="What do I drink?")
    assert "- drink: tea\n" in blocks(client.seen[0])[0]
    assert Memory("ada", url=url).get("memory/drink") == "tea"


async def test_memories_of_every_kind_can_be_recalled(bench: BotWireWorkbench, url: str) -> None:
    memory = BotWireMemory("ada", url=url)
    await memory.put(MemoryContent(content={"meat": False}, mime_type="application/json"), "diet")
    await memory.put(MemoryContent(content=b"\xff", mime_type="application/pdf"), "file")
    assert await say(bench, "recall", key="diet") == '{"meat": false}'
    assert await say(bench, "recall", key="file") == "(1 bytes of application/pdf)"


async def test_the_tools_stand_beside_an_agents_own(url: str) -> None:
    def ping() -> str:
        return "pong"

    own = StaticWorkbench([FunctionTool(ping, description="ping")])
    client = ScriptedClient(
        tool_calls(("ping", "c1", {}), ("remember", "c2", {"key": "a", "value": "b"})),
        lambda messages: "; ".join(result.content for result in messages[-1].content),
    )
    agent = AssistantAgent(
        "bot", client, workbench=[own, BotWireWorkbench("ada", url=url)], max_tool_iterations=2
    )
    assert (await agent.run(task="go")).messages[-1].to_text() == "pong; Remembered 'a'."


async def test_an_outage_is_an_error_the_model_reads_and_the_run_goes_on(nowhere: str) -> None:
    client = ScriptedClient(
        tool_call("recall", key="drink"),
        lambda messages: messages[-1].content[0].content,
    )
    bench = BotWireWorkbench("ada", url=nowhere, timeout=0.2)
    agent = AssistantAgent("bot", client, workbench=bench, max_tool_iterations=2)
    result = await agent.run(task="What do I drink?")
    seen = client.seen[1][-1].content[0]
    assert seen.is_error
    assert "127.0.0.1" in result.messages[-1].to_text()
    assert "Traceback" not in seen.content


async def test_wrong_keys_and_arguments_are_errors_that_say_what_to_do(
    bench: BotWireWorkbench,
) -> None:
    for name, arguments in (
        ("recall", {"key": "x" * 600}),
        ("recall", {}),
        ("no_such_tool", {}),
    ):
        result = await bench.call_tool(name, arguments)
        assert result.is_error
    assert "Shorten it" in (await bench.call_tool("recall", {"key": "x" * 600})).to_text()


async def test_all_schemas_are_strict_if_asked_for(url: str) -> None:
    for tool in memory_tools("ada", strict=True, url=url):
        assert tool.schema["strict"]  # the schema itself raises where it cannot be strict
        parameters = tool.schema["parameters"]
        assert set(parameters["properties"]) == set(parameters["required"])
        assert all("description" in part for part in parameters["properties"].values())


async def test_tools_work_one_by_one_and_with_a_ttl(url: str) -> None:
    remember, recall, *_ = memory_tools("ada", prefix="notes/", ttl=60, url=url)
    token = CancellationToken()
    await remember.run_json({"key": "a", "value": "b"}, token)
    assert remember.return_value_as_string(await recall.run_json({"key": "a"}, token)) == "b"
    assert Memory("ada", url=url).ttl("notes/a") is not None
    await remember.close()
    await remember.close()


async def test_a_stopped_workbench_starts_again_and_its_state_is_the_memory(
    bench: BotWireWorkbench,
) -> None:
    async with bench:
        await say(bench, "remember", key="drink", value="tea")
    await bench.stop()
    assert (await bench.call_tool("recall", {"key": "drink"})).is_error
    async with bench:
        await bench.reset()
        await bench.load_state(await bench.save_state())
        assert await say(bench, "recall", key="drink") == "tea"
