"""How many requests LangGraph's supersteps take, over a network."""

import asyncio
import operator
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from checkpoint_kit import config
from langgraph.graph import START, StateGraph
from slow_stores import PATIENCE, Distant

from botwire import Memory
from botwire_langchain import BotWireSaver


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[Distant]:
    store = Distant(tmp_path / "memory.db")
    yield store
    store.close()


class State(TypedDict):
    a: Annotated[list[int], operator.add]


def graph(saver: BotWireSaver, *nodes: Callable[[State], Any]) -> Any:
    """All nodes side by side, in one superstep."""
    builder = StateGraph(State)
    for number, node in enumerate(nodes):
        builder.add_node(f"node {number}", node)
        builder.add_edge(START, f"node {number}")
    return builder.compile(checkpointer=saver)


def together(count: int) -> list[Callable[[State], Any]]:
    """Nodes that end at one moment."""
    barrier = threading.Barrier(count)

    def node(state: State) -> State:
        barrier.wait(PATIENCE)
        return {"a": [1]}

    return [node] * count


@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_superstep_of_tasks_that_end_together_takes_at_most_two_requests(
    distant: Distant, count: int, durability: Any
) -> None:
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    agent = graph(saver, *together(count))
    found = agent.invoke({"a": []}, config("sync"), durability=durability)
    assert found == {"a": [1] * count}
    assert len(distant.writes) <= 2 * len(list(saver.list(config("sync"))))


def test_a_write_waits_a_moment_for_the_checkpoint_that_follows_it(
    distant: Distant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botwire_langchain.checkpoint.together.MOMENT", PATIENCE)
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    agent = graph(saver, *together(2))
    agent.invoke({"a": []}, config("sync"), durability="sync")
    assert len(distant.writes) == len(list(saver.list(config("sync"))))


def test_a_write_that_no_checkpoint_follows_is_kept_after_a_moment(distant: Distant) -> None:
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    place = {"configurable": {**config()["configurable"], "checkpoint_id": "1"}}
    saver.put_writes(place, [("a", 1)], "task")
    assert len(distant.writes) == 1


def test_awaited_the_last_tasks_of_a_superstep_are_saved_together_with_its_checkpoint(
    distant: Distant,
) -> None:
    saver = BotWireSaver(memory=Memory("checkpoints", store=distant))
    moment = asyncio.Event()

    async def early(state: State) -> State:
        distant.writes.clear()
        asyncio.get_running_loop().call_later(0.1, moment.set)
        return {"a": [1]}

    async def late(state: State) -> State:
        await moment.wait()
        return {"a": [2]}

    async def run() -> None:
        agent = graph(saver, early, early, late, late)
        await agent.ainvoke({"a": []}, config(), durability="sync")

    asyncio.run(run())
    assert [len(one.keys) for one in distant.writes] == [2, 4]
    assert saver.get_tuple(config()).checkpoint["channel_values"]["a"] == [1, 1, 2, 2]
