"""Deleting, copying and pruning: what goes, what stays whole, and what was never touched."""

from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from checkpoint_kit import MESSAGES, Chain, Face, config, values_of, writes_of
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.graph import END, START, StateGraph

from botwire import Memory
from botwire.errors import Unavailable
from botwire_langchain import BotWireSaver


@pytest.fixture
def saver(url: str, face: Face) -> Any:
    return face(BotWireSaver(url=url))


@pytest.fixture
def stored(url: str) -> Callable[[], list[str]]:
    return lambda: Memory("checkpoints", url=url).list_keys()


def test_deleting_a_thread_leaves_nothing_of_it_and_all_of_the_others(
    saver: Any, stored: Callable[[], list[str]]
) -> None:
    Chain(saver, "ab").put({"run_id": "r"}, messages=MESSAGES)
    before = stored()
    chain = Chain(saver, "a")
    for count in (5, 10, 30):
        where = chain.put({"run_id": "r"}, messages=MESSAGES[:count], big="x" * 999)
    Chain(saver, "a", "sub").put(a=1)
    saver.put_writes(where, [("x", 1)], "task")
    saver.delete_thread("a")
    assert stored() == before
    saver.delete_thread("never was")


def test_a_deleted_thread_begins_anew(saver: Any) -> None:
    chain = Chain(saver)
    chain.put(messages=MESSAGES)
    saver.delete_thread("t")
    chain.config = config()
    where = chain.put(messages=[*MESSAGES, AIMessage("more", id="m")])
    assert values_of(saver, where)["messages"] == [*MESSAGES, AIMessage("more", id="m")]
    assert len(list(saver.list(config()))) == 1


def test_what_a_run_made_is_deleted_and_what_others_share_with_it_stays(
    saver: Any, stored: Callable[[], list[str]]
) -> None:
    chain, other = Chain(saver), Chain(saver, "other")
    kept = [chain.put({"run_id": "keep"}, messages=MESSAGES[:count]) for count in (5, 10)]
    gone = [
        chain.put({"run_id": "go"}, messages=MESSAGES[:count], big="x" * 999) for count in (15, 20)
    ]
    saver.put_writes(gone[0], [("x", 1)], "task")
    other.put({"run_id": "go"}, a=1)
    saver.delete_for_runs(["go", "unknown"])
    assert [values_of(saver, where)["messages"] for where in kept] == [MESSAGES[:5], MESSAGES[:10]]
    assert [saver.get_tuple(where) for where in gone] == [None, None]
    assert saver.get_tuple(config("other")) is None
    assert not any("/big/" in key or key.startswith("w/") for key in stored())
    saver.delete_for_runs(["keep"])
    assert stored() == ["t/other", "t/t"]  # who may write to them stays


def test_a_copy_has_everything_and_goes_its_own_way(saver: Any) -> None:
    chain = Chain(saver, "from")
    for count in (5, 10, 30):
        where = chain.put({"step": count}, messages=MESSAGES[:count], big="x" * 999)
        saver.put_writes(where, [("x", count)], "task")
    Chain(saver, "from", "sub/ns").put(a=1)
    saver.copy_thread("from", "to/here")
    originals, copies = list(saver.list(config("from"))), list(saver.list(config("to/here")))
    assert [copy.checkpoint for copy in copies] == [one.checkpoint for one in originals]
    assert [copy.metadata for copy in copies] == [one.metadata for one in originals]
    assert [copy.pending_writes for copy in copies] == [one.pending_writes for one in originals]
    assert values_of(saver, config("to/here", ns="sub/ns")) == {"a": 1}

    chain.put(messages=[*MESSAGES, AIMessage("only here", id="o")])
    assert values_of(saver, config("to/here"))["messages"] == MESSAGES
    saver.delete_thread("from")
    assert values_of(saver, config("to/here"))["messages"] == MESSAGES


def test_a_large_thread_is_copied_in_several_parts(saver: Any, round_trips: list[str]) -> None:
    chain = Chain(saver, "from")
    for number in range(5):
        chain.put(big=str(number) * 900_000)
    saver.copy_thread("from", "to")
    assert [one.checkpoint["channel_values"]["big"][0] for one in saver.list(config("to"))] == list(
        "43210"
    )


def test_pruning_keeps_the_newest_checkpoint_whole_and_nothing_else(
    saver: Any, stored: Callable[[], list[str]]
) -> None:
    chain = Chain(saver)
    for count in (5, 10, 30):
        where = chain.put(messages=MESSAGES[:count], big=str(count) * 999)
        saver.put_writes(where, [("x", count)], "task")
    child = Chain(saver, ns="sub").put(a=1)
    saver.prune(["t"])
    [newest, _] = list(saver.list({"configurable": {"thread_id": "t"}}))
    assert newest.config == child
    [kept] = list(saver.list(config()))
    assert kept.checkpoint["channel_values"] == {"messages": MESSAGES, "big": "30" * 999}
    assert kept.parent_config is None
    assert [write[2] for write in writes_of(saver, where)] == [30]
    assert len([key for key in stored() if key.startswith("v/")]) == 2
    again = chain.put(messages=[*MESSAGES, AIMessage("m", id="m")])
    assert values_of(saver, again)["messages"][-1].content == "m"


def test_pruning_says_what_it_cannot_do(saver: Any) -> None:
    saver.prune([])
    saver.prune(["never was"])
    with pytest.raises(TypeError, match="sequence"):
        saver.prune("t")
    with pytest.raises(ValueError, match="keep_all"):
        saver.prune(["t"], strategy="keep_all")


def test_pruning_leaves_writes_alone_whose_checkpoint_is_still_to_come(saver: Any) -> None:
    chain = Chain(saver)
    chain.put(a=1)
    chain.put(a=2)
    saver.put_writes(config("t", "ffff"), [("x", "early")], "task")
    saver.prune(["t"])
    chain.saver = Coming(saver)
    assert [write[2] for write in writes_of(saver, chain.put(a=3))] == ["early"]


class Coming:
    """Saves a checkpoint under the id for which writes wait."""

    def __init__(self, saver: Any) -> None:
        self.saver = saver

    def put(self, where: Any, saved: Any, metadata: Any, new: Any) -> Any:
        return self.saver.put(where, {**saved, "id": "ffff"}, metadata, new)


# -- delta channels --------------------------------------------------------------------------------


class State(TypedDict):
    items: Annotated[
        list[str], DeltaChannel(lambda old, new: sum(new, list(old)), snapshot_frequency=5)
    ]
    plain: str


def graph(saver: BotWireSaver) -> Any:
    builder = StateGraph(State)
    builder.add_node("work", lambda state: {"items": [f"answer {len(state['items'])}"]})
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile(checkpointer=saver)


class Graph:
    """A graph with a delta channel, run through either face."""

    def __init__(self, saver: Any) -> None:
        self.face = type(saver) if saver is not getattr(saver, "target", saver) else None
        self.saver = getattr(saver, "target", saver)
        self.graph = graph(self.saver)

    def run(self, text: str, where: RunnableConfig) -> list[str]:
        return self.graph.invoke({"items": [text], "plain": text}, where)["items"]


def test_a_delta_channel_is_read_in_one_round_trip_however_far_back_it_begins(
    saver: Any, round_trips: list[str]
) -> None:
    run = Graph(saver)
    expected: list[str] = []
    for turn in range(12):
        found = run.run(f"question {turn}", config())
        expected += [f"question {turn}", f"answer {len(expected) + 1}"]
        assert found == expected
    again = Graph(BotWireSaver(memory=run.saver._faces.sync))
    where = again.graph.get_state(config()).config
    round_trips.clear()
    history = saver.get_delta_channel_history(config=where, channels=["items"])["items"]
    assert round_trips == ["batch"]
    seed = history["seed"].value if "seed" in history else []
    assert sum((write[2] for write in history["writes"]), list(seed)) == expected
    assert saver.get_delta_channel_history(config=where, channels=[]) == {}


def test_our_walk_gives_what_langgraphs_own_does(saver: Any) -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    run = Graph(saver)
    for turn in range(8):
        run.run(f"question {turn}", config())
    for found in run.saver.list(config()):
        args = {"config": found.config, "channels": ["items", "plain", "unknown"]}
        ours = saver.get_delta_channel_history(**args)
        assert ours == BaseCheckpointSaver.get_delta_channel_history(run.saver, **args)


def test_a_long_walk_goes_on_over_pages(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from botwire_langchain.checkpoint import history

    monkeypatch.setattr(history, "STEPS", 3)
    saver = BotWireSaver(url=url)
    for turn in range(8):
        graph(saver).invoke({"items": [f"q {turn}"], "plain": ""}, config())
    fresh = BotWireSaver(url=url)
    for found in saver.list(config()):
        args = {"config": found.config, "channels": ["items"]}
        ours = fresh.get_delta_channel_history(**args)
        assert ours == BaseCheckpointSaver.get_delta_channel_history(saver, **args)


@pytest.mark.parametrize("turns", range(1, 9))
def test_pruning_keeps_the_ancestors_a_delta_channel_is_made_of(saver: Any, turns: int) -> None:
    run = Graph(saver)
    for turn in range(turns):
        before = run.run(f"question {turn}", config())
    count = len(list(run.saver.list(config())))
    saver.prune(["t"])
    assert run.graph.get_state(config()).values["items"] == before
    left = len(list(run.saver.list(config())))
    assert left < count if turns > 2 else left == count  # before the first snapshot all is needed
    after = Graph(saver).run("after", config())
    assert after[:-2] == before
    saver.prune(["t"])
    saver.prune(["t"])
    assert run.graph.get_state(config()).values["items"] == after


def test_a_copied_thread_has_its_delta_channels(saver: Any) -> None:
    run = Graph(saver)
    for turn in range(4):
        before = run.run(f"question {turn}", config())
    saver.copy_thread("t", "copy")
    assert run.graph.get_state(config("copy")).values["items"] == before


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_every_durability_gives_the_same_thread(saver: Any, durability: Any) -> None:
    run = Graph(saver)
    for turn in range(7):
        found = run.graph.invoke(
            {"items": [f"q {turn}"], "plain": ""}, config(), durability=durability
        )
    assert run.graph.get_state(config()).values["items"] == found["items"]
    assert len(found["items"]) == 14


# -- damage ----------------------------------------------------------------------------------------


def test_a_checkpoint_whose_values_somebody_deleted_is_an_error_and_not_half_a_state(
    saver: Any, url: str
) -> None:
    chain = Chain(saver)
    first = chain.put(big="x" * 999)
    chain.put(big="y" * 999)
    memory = Memory("checkpoints", url=url)
    memory.delete(memory.list_keys("v/t//big/")[-1])
    with pytest.raises(Unavailable, match="lacks some of its values"):
        saver.get_tuple(config())
    assert [found.config for found in saver.list(config())] == [first]
    assert values_of(saver, first) == {"big": "x" * 999}
