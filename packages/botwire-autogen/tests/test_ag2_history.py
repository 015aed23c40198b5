"""An AG2 agent's conversation outlives its process, wherever that broke off."""

from collections.abc import Sequence
from typing import Any

import pytest
from ag2 import Agent
from ag2.config import LLMClient
from ag2.events import (
    BaseEvent,
    DrainedModelRequest,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolCallEvent,
    ToolCallsEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
    UsageEvent,
)
from ag2.history import MemoryStorage
from ag2.testing import TestConfig
from ag2.tools import tool

from botwire import AsyncMemory
from botwire_autogen.ag2 import BotWireStorage, finish_turn, stream_id
from botwire_autogen.ag2.history import INTERRUPTED, mended

STREAM = stream_id("chat")


@pytest.fixture
def storage(url: str) -> BotWireStorage:
    return BotWireStorage(AsyncMemory("ada", url=url))


class Seeing(TestConfig):
    """A scripted model that keeps the messages it was shown."""

    def __init__(self, *turns: Any) -> None:
        super().__init__(*turns, raise_tool_errors=False)
        self.seen: list[list[BaseEvent]] = []

    def create(self) -> LLMClient:
        client, seen = super().create(), self.seen

        class Client(LLMClient):
            async def __call__(self, messages: Sequence[BaseEvent], context: Any, **kw: Any) -> Any:
                seen.append(list(messages))
                return await client(messages, context=context, **kw)

        return Client()


pings: list[str] = []


@tool
async def ping(host: str) -> str:
    """Ping a host."""
    pings.append(host)
    return f"pong from {host}"


def call(name: str = "ping", call_id: str = "c1") -> ToolCallEvent:
    return ToolCallEvent(name, id=call_id, arguments='{"host": "a"}')


def names(events: Sequence[BaseEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_an_agent_in_a_new_process_continues_the_conversation(url: str) -> None:
    storage = BotWireStorage(AsyncMemory("ada", url=url))
    first = Agent("bot", config=Seeing(call(), "it pongs"), tools=[ping])
    reply = await first.ask("Ping a.", stream=storage.stream("chat"))
    assert reply.body == "it pongs"
    second = Seeing("as I said, it pongs")
    elsewhere = BotWireStorage(AsyncMemory("ada", url=url))
    agent = Agent("bot", config=second, tools=[ping])
    reply = await agent.ask("What did it say?", stream=elsewhere.stream("chat"))
    assert reply.body == "as I said, it pongs"
    assert names(second.seen[0]) == [
        *("ModelRequest", "ModelResponse", "ToolCallsEvent", "ToolCallEvent"),
        *("ToolResultEvent", "ToolResultsEvent", "ModelResponse", "ModelRequest"),
    ]


async def test_histories_are_kept_apart_replaced_and_dropped(
    storage: BotWireStorage,
) -> None:
    agent = Agent("bot", config=Seeing("one"))
    await agent.ask("1", stream=storage.stream("chat"))
    await Agent("bot", config=Seeing("two")).ask("2", stream=storage.stream("other"))
    events = await storage.get_history(STREAM)
    assert names(events) == ["ModelRequest", "ModelResponse"]
    await storage.set_history(STREAM, events[:1])
    assert await storage.get_history(STREAM) == events[:1]
    await storage.drop_history(STREAM)
    await storage.drop_history(STREAM)
    assert await storage.get_history(STREAM) == []
    assert len(await storage.get_history(stream_id("other"))) == 2


async def test_a_history_that_others_changed_is_read_as_it_is_now(url: str) -> None:
    one, two = (BotWireStorage(AsyncMemory("ada", url=url)) for _ in range(2))
    await one.set_history(STREAM, [asked("1"), answered("2"), asked("3")])
    first = await one.get_history(STREAM)
    assert await two.get_history(STREAM) == first
    await two.set_history(STREAM, [first[0], first[2], answered("4")])
    changed = await one.get_history(STREAM)
    assert changed == [asked("1"), asked("3"), answered("4")]
    assert changed[0] is first[0]  # what has not changed is not made anew
    for number in range(40):
        await one.set_history(stream_id(str(number)), [asked(str(number))])
        assert await one.get_history(stream_id(str(number))) == [asked(str(number))]
    assert await one.get_history(STREAM) == changed


async def test_a_history_is_forgotten_after_its_ttl(url: str) -> None:
    memory = AsyncMemory("ada", url=url)
    storage = BotWireStorage(memory, ttl=60)
    await Agent("bot", config=Seeing("one")).ask("1", stream=storage.stream("chat"))
    left = await memory.ttl(f"history/{STREAM}")
    assert left is not None
    assert 59 < left <= 60


# -- turns that broke off -------------------------------------------------------------------------


def asked(text: str = "q") -> ModelRequest:
    return ModelRequest([TextInput(text)])


def answered(text: str = "a") -> ModelResponse:
    return ModelResponse(ModelMessage(text))


def calling(*ids: str) -> ModelResponse:
    return ModelResponse(tool_calls=ToolCallsEvent([call(call_id=name) for name in ids]))


def result(call_id: str = "c1", text: str = "pong") -> ToolResultEvent:
    return ToolResultEvent(parent_id=call_id, name="ping", result=ToolResult(text))


def texts(event: BaseEvent) -> list[str]:
    assert isinstance(event, ToolResultsEvent)
    return [part.content for each in event.results for part in each.result.parts]


def test_a_whole_history_stays_as_it_is() -> None:
    events = [
        *(asked(), calling("c1"), ToolCallsEvent([call()]), call(), result()),
        *(ToolResultsEvent([result()]), answered(), asked(), answered()),
    ]
    assert all(a is b for a, b in zip(mended(events), events, strict=True))


def test_a_call_that_broke_off_before_a_later_question_gets_a_result_that_says_so() -> None:
    events = mended([asked(), calling("c1", "c2"), result("c2"), asked()])
    assert names(events)[-2:] == ["ToolResultsEvent", "ModelRequest"]
    assert texts(events[-2]) == [INTERRUPTED, "pong"]


def test_a_turn_that_still_runs_or_ended_by_its_tool_is_not_touched() -> None:
    running = [asked(), calling("c1"), ToolCallsEvent([call()])]
    assert mended(running) == running
    drained = [*running, DrainedModelRequest([TextInput("more")])]
    assert mended(drained) == drained
    final = [asked(), calling("c1"), result(), answered(), asked()]
    assert mended(final) == final


async def test_a_new_question_after_a_crash_finds_every_call_answered(
    storage: BotWireStorage,
) -> None:
    await storage.set_history(STREAM, [asked(), calling("c1"), ToolCallsEvent([call()])])
    model = Seeing("I do not know whether it was pinged.")
    await Agent("bot", config=model, tools=[ping]).ask("And?", stream=storage.stream("chat"))
    assert names(model.seen[0]) == [
        *("ModelRequest", "ModelResponse", "ToolCallsEvent", "ToolResultsEvent", "ModelRequest"),
    ]


BROKEN = {
    "after the question": ([asked()], "ModelRequest"),
    "after the usage": ([asked(), UsageEvent()], "ModelRequest"),
    "after the call": ([asked(), calling("c1")], "ToolResultsEvent"),
    "within the tool": (
        [asked(), calling("c1"), ToolCallsEvent([call()]), call()],
        "ToolResultsEvent",
    ),
    "after the result": (
        [asked(), calling("c1"), ToolCallsEvent([call()]), call(), result()],
        "ToolResultsEvent",
    ),
    "after all results": (
        [asked(), calling("c1"), result(), ToolResultsEvent([result()])],
        "ToolResultsEvent",
    ),
}


@pytest.mark.parametrize("where", BROKEN)
async def test_a_turn_goes_on_where_it_broke_off(storage: BotWireStorage, where: str) -> None:
    events, trigger = BROKEN[where]
    await storage.set_history(STREAM, events)
    model = Seeing("done")
    pings.clear()
    reply = await finish_turn(Agent("bot", config=model, tools=[ping]), storage, STREAM)
    assert reply is not None
    assert reply.body == "done"
    assert trigger in names(model.seen[0])
    assert pings == []  # no tool ran again
    stored = await storage.get_history(STREAM)
    assert stored[: len(events)] == events
    assert names(stored)[len(events) :] in (
        ["ModelResponse"],
        ["ToolResultsEvent", "ModelResponse"],
    )
    if "result" in where:
        last = [event for event in stored if isinstance(event, ToolResultsEvent)][-1]
        assert texts(last) == ["pong"]
    assert await finish_turn(Agent("bot", config=Seeing()), storage, STREAM) is None
    again = await reply.ask("And?", config=Seeing("more"))
    assert again.body == "more"
    assert len(await storage.get_history(STREAM)) == len(stored) + 2


async def test_there_is_nothing_to_finish_in_an_empty_or_a_whole_history(
    storage: BotWireStorage,
) -> None:
    agent = Agent("bot", config=Seeing())
    assert await finish_turn(agent, storage, STREAM) is None
    await storage.set_history(STREAM, [asked(), calling("c1"), result(), answered()])
    assert await finish_turn(agent, storage, STREAM) is None


async def test_other_storages_of_ag2_can_be_finished_too() -> None:
    storage = MemoryStorage()
    await storage.set_history(STREAM, [asked()])
    reply = await finish_turn(Agent("bot", config=Seeing("done")), storage, STREAM)
    assert reply is not None
    assert names(list(await storage.get_history(STREAM))) == ["ModelRequest", "ModelResponse"]
