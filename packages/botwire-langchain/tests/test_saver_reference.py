"""Our saver beside LangGraph's own: random histories with the same outcome."""

from typing import Any
from uuid import uuid4

from checkpoint_kit import checkpoint, config
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from botwire import Memory
from botwire_langchain import BotWireSaver

threads, backs = st.sampled_from("tu"), st.integers(0, 3)
texts = st.lists(st.text(max_size=900), max_size=4)
actions = st.lists(
    st.tuples(st.just("add"), threads, backs, texts)
    | st.tuples(st.just("edit"), threads, backs, st.integers(0, 9))
    | st.tuples(st.just("write"), threads, backs, st.sampled_from("xyz"))
    | st.tuples(st.just("forget"), threads, backs, st.none()),
    max_size=14,
)


class Twins:
    """The reference saver and ours, to which the same happens."""

    def __init__(self) -> None:
        memory = Memory(str(uuid4()), url="memory://")
        self.reference, self.ours = InMemorySaver(), BotWireSaver(memory=memory)
        self.saved: dict[str, list[RunnableConfig]] = {"t": [], "u": []}

    def do(self, kind: str, thread: str, back: int, what: Any) -> None:
        getattr(self, kind)(thread, self.saved[thread][-1 - back :][:1], what)

    def add(self, thread: str, parent: list[RunnableConfig], texts: list[str]) -> None:
        self._put(thread, parent, lambda items: [*items, *texts])

    def edit(self, thread: str, parent: list[RunnableConfig], at: int) -> None:
        self._put(thread, parent, lambda items: [*items[:at], "edited", *items[at + 1 :]])

    def _put(self, thread: str, parent: list[RunnableConfig], change: Any) -> None:
        where = parent[0] if parent else config(thread)
        found = self.reference.get_tuple(where) if parent else None
        values = found.checkpoint["channel_values"] if found else {}
        versions = found.checkpoint["channel_versions"] if found else {}
        new = {"items": self.ours.get_next_version(versions.get("items"), None)}
        items = change(values.get("items", []))
        saved = checkpoint({**versions, **new}, {**values, "items": items})
        for saver in (self.reference, self.ours):
            stored = saver.put(where, saved, {"step": len(items)}, new)
        self.saved[thread].append(stored)

    def write(self, thread: str, parent: list[RunnableConfig], channel: str) -> None:
        for where in parent:
            for saver in (self.reference, self.ours):
                saver.put_writes(where, [(channel, thread), ("items", [channel])], channel, channel)

    def forget(self, thread: str, parent: list[RunnableConfig], _: None) -> None:
        self.saved[thread].clear()
        for saver in (self.reference, self.ours):
            saver.delete_thread(thread)


@settings(max_examples=80, deadline=None)
@given(actions=actions)
def test_it_agrees_with_the_reference_saver_whatever_happens(actions: list[Any]) -> None:
    """Random histories with forks, edits, repeated writes on both; all checkpoints compared."""
    twins = Twins()
    for action in actions:
        twins.do(*action)
    for thread, saved in twins.saved.items():
        listed = [
            map(_comparable, saver.list(config(thread))) for saver in (twins.reference, twins.ours)
        ]
        assert list(listed[1]) == list(listed[0])
        for where in saved:
            ours, reference = twins.ours.get_tuple(where), twins.reference.get_tuple(where)
            assert _comparable(ours) == _comparable(reference)


def _comparable(found: Any) -> Any:
    return (
        found.config["configurable"],
        found.checkpoint,
        found.metadata,
        found.parent_config,
        found.pending_writes,
    )
