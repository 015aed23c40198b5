"""Checkpoints for tests: configs, checkpoints, and chains of them."""

from collections.abc import Callable
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint
from langgraph.checkpoint.base.id import uuid6

Face = Callable[[Any], Any]
MESSAGES = [HumanMessage(f"question {n} " + "x" * 400, id=str(n)) for n in range(30)]


def config(thread: Any = "t", checkpoint_id: str | None = None, ns: str = "") -> RunnableConfig:
    named = {} if checkpoint_id is None else {"checkpoint_id": checkpoint_id}
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, **named}}


def checkpoint(versions: dict[str, Any], values: dict[str, Any], step: int = 0) -> Checkpoint:
    return {
        "v": 4,
        "id": str(uuid6(clock_seq=step)),
        "ts": "2026-11-20T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": {"node": dict(versions)},
        "updated_channels": None,
    }


class Chain:
    """Saves one checkpoint after the other, each the child of the one before."""

    def __init__(self, saver: Any, thread: Any = "t", ns: str = "") -> None:
        self.saver, self.thread, self.ns = saver, thread, ns
        self.versions: dict[str, Any] = {}
        self.values: dict[str, Any] = {}
        self.config = config(thread, ns=ns)
        self.next = getattr(saver, "target", saver).get_next_version

    def put(self, metadata: dict[str, Any] | None = None, **changed: Any) -> RunnableConfig:
        new = {name: self.next(self.versions.get(name), None) for name in changed}
        self.versions = {**self.versions, **new}
        self.values = {**self.values, **changed}
        saved = checkpoint(dict(self.versions), dict(self.values))
        self.config = self.saver.put(self.config, saved, metadata or {"step": 0}, new)
        return self.config


def values_of(saver: Any, where: RunnableConfig) -> dict[str, Any]:
    return saver.get_tuple(where).checkpoint["channel_values"]


def writes_of(saver: Any, where: RunnableConfig) -> list[Any]:
    return saver.get_tuple(where).pending_writes
