"""Checkpoints, locks and tools for AG2."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from ag2 import Agent, Task, TaskSpec
from ag2.events import ToolCallEvent, ToolResultsEvent
from ag2.task import CheckpointStore
from ag2.testing import TestConfig, TrackingConfig

from botwire import AsyncMemory
from botwire_autogen.ag2 import BotWireCheckpointStore, BotWireLock, memory_toolkit


@pytest.fixture
def memory(url: str) -> AsyncMemory:
    return AsyncMemory("team", url=url)


# -- checkpoints -----------------------------------------------------------------------------------


async def test_a_task_goes_on_from_the_checkpoint_of_another(memory: AsyncMemory) -> None:
    store = BotWireCheckpointStore(memory)
    assert isinstance(store, CheckpointStore)
    state = {"page": 7, "seen": (1, 2), "$type": "mine"}
    async with Task(owner_id="a", spec=TaskSpec("read"), checkpoint_store=store) as first:
        await first.checkpoint(state)
        name = first.task_id
    again = BotWireCheckpointStore(memory)
    async with Task(
        owner_id="a", spec=TaskSpec("read"), checkpoint_store=again, resume_from=name
    ) as second:
        assert second.resumed_state == state
    assert await store.read("no such task") is None
    assert await store.delete(name)
    assert await store.read(name) is None


async def test_a_checkpoint_is_kept_for_its_ttl(memory: AsyncMemory) -> None:
    await BotWireCheckpointStore(memory, ttl=60).write("t", {})
    left = await memory.ttl("checkpoint/t")
    assert left is not None
    assert 59 < left <= 60


# -- locks -----------------------------------------------------------------------------------------


async def test_only_one_holds_a_lock_and_the_next_waits_for_it(memory: AsyncMemory) -> None:
    one, two = BotWireLock(memory), BotWireLock(memory, wait=0.05)
    assert await one.acquire("report")
    assert await one.acquire("other")
    assert not await two.acquire("report")
    patient = BotWireLock(memory, wait=30)
    waiting = asyncio.create_task(patient.acquire("report"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await one.release("report")
    assert await waiting
    await one.release("report")  # held by another now, and never released twice
    assert not await two.acquire("report")


async def test_a_lock_that_expired_is_free_and_its_old_holder_does_not_take_it_away(
    memory: AsyncMemory, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = BotWireLock(memory), BotWireLock(memory)
    assert await one.acquire("report", ttl=0.02)
    assert await two.acquire("report")
    await one.release("report")
    assert "'report' had expired" in caplog.text
    assert not await BotWireLock(memory, wait=0).acquire("report")


async def test_one_that_expired_is_not_taken_from_another_task_either(
    memory: AsyncMemory, caplog: pytest.LogCaptureFixture
) -> None:
    shared = BotWireLock(memory)
    assert await shared.acquire("report", ttl=0.02)
    assert await shared.acquire("report")  # by another task, once the first one's time ran out
    await shared.release("report")  # by the first
    assert "'report' had expired" in caplog.text
    assert not await BotWireLock(memory, wait=0).acquire("report")
    await shared.release("report")
    assert await BotWireLock(memory, wait=0).acquire("report")


COUNTING = """
import asyncio, sys
from botwire import AsyncMemory
from botwire_autogen.ag2 import BotWireLock

async def main(url):
    memory = AsyncMemory("team", url=url)
    lock = BotWireLock(memory, wait=60)
    for _ in range(10):
        assert await lock.acquire("counter")
        number = await memory.get("counter", 0)
        await asyncio.sleep(0)
        await memory.set("counter", number + 1)
        await lock.release("counter")

asyncio.run(main(sys.argv[1]))
"""


def test_a_lock_keeps_processes_from_losing_each_others_changes(url: str) -> None:
    counting = [subprocess.Popen([sys.executable, "-c", COUNTING, url]) for _ in range(3)]
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert asyncio.run(AsyncMemory("team", url=url).get("counter")) == 30


# -- tools -----------------------------------------------------------------------------------------


async def answers(toolkit: Any, *calls: ToolCallEvent, **options: Any) -> list[str]:
    """What an agent's model is told by the tools it calls."""
    config = TestConfig(*calls, "done", raise_tool_errors=False)
    agent = Agent("bot", config=config, tools=[toolkit])
    reply = await agent.ask("go", **options)
    events = await reply.history.get_events()
    results = [event for event in events if isinstance(event, ToolResultsEvent)]
    return [
        part.content for event in results for each in event.results for part in each.result.parts
    ]


def call(name: str, arguments: str) -> ToolCallEvent:
    return ToolCallEvent(name, arguments=arguments)


async def test_an_agent_remembers_and_recalls(memory: AsyncMemory) -> None:
    told = await answers(
        memory_toolkit(memory),
        call("remember", '{"key": "drink", "value": "tea"}'),
        call("recall", '{"key": "drink"}'),
        call("list_memory", '{"starts_with": ""}'),
        call("forget", '{"key": "drink"}'),
        call("recall", '{"key": "drink"}'),
        call("list_memory", '{"starts_with": "d"}'),
    )
    assert told == [
        "Remembered 'drink'.",
        "tea",
        "drink",
        "Forgot 'drink'.",
        "Nothing is remembered under 'drink'.",
        "Nothing is remembered there.",
    ]


async def test_what_others_stored_is_recalled_and_long_lists_say_so(memory: AsyncMemory) -> None:
    await memory.set_many({f"memory/{number:03}": {"n": number} for number in range(120)})
    told = await answers(
        memory_toolkit(memory),
        call("recall", '{"key": "007"}'),
        call("list_memory", '{"starts_with": ""}'),
    )
    assert told[0] == '{"n":7}'
    assert told[1].splitlines()[-1] == "... and more"


async def test_each_user_has_a_memory_of_their_own_which_the_model_cannot_choose(
    memory: AsyncMemory,
) -> None:
    toolkit = memory_toolkit(memory, user_variable="user", ttl=60)
    remember = call("remember", '{"key": "drink", "value": "tea"}')
    recall = call("recall", '{"key": "drink"}')
    await answers(toolkit, remember, variables={"user": "ada/1"})
    assert await answers(toolkit, recall, variables={"user": "ada/1"}) == ["tea"]
    assert "Nothing" in (await answers(toolkit, recall, variables={"user": "ben"}))[0]
    assert await AsyncMemory("team/ada%2F1", url=memory.url).ttl("memory/drink") is not None
    (told,) = await answers(toolkit, recall)
    assert "which is not set" in told
    config = TrackingConfig(TestConfig("done"))
    await Agent("bot", config=config, tools=[toolkit]).ask("hi", variables={"user": "ada/1"})
    schemas = [schema.function.parameters["properties"] for schema in config.calls[0].tools]
    assert [sorted(properties) for properties in schemas] == [
        *(["key", "value"], ["key"], ["starts_with"], ["key"])
    ]
    assert all("description" in part for schema in schemas for part in schema.values())


async def test_errors_are_sentences_without_a_traceback(nowhere: str) -> None:
    toolkit = memory_toolkit(AsyncMemory("team", url=nowhere, timeout=0.2))
    for arguments in ('{"key": "drink"}', '{"wrong": 1}', '{"key": ""}'):
        (told,) = await answers(toolkit, call("recall", arguments))
        assert told.startswith("Error: ")
        assert "Traceback" not in told
        assert "File " not in told
