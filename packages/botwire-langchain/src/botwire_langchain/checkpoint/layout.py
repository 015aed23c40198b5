"""Which key holds what. All threads share one BotWire namespace, so one batch can touch all of it.

    c/<thread>/<ns>/<id>                a checkpoint: a small document, and the keys of its values
    v/<thread>/<ns>/<channel>/<version> a value, or items of a list that grows (see `values.py`)
    w/<thread>/<ns>/<id>                the pending writes of a checkpoint, in the order they came
    t/<thread>                          the thread itself: who may write to it, when it expires
    r/<run>/<thread>                    that a run wrote to a thread

- Each part is escaped and closed by "/" (see `names.py`), so nothing of thread "a" is ever found
  under "ab" or "a/b", and everything of a kind and thread is one prefix.
- Checkpoint ids sort by time, so the newest checkpoint is the last key under its prefix.
- A document names every key it needs in `links`, so that it is read together with them.
- What was written is never changed, but for lists that grow at their end; deleting is the only
  other change. A document and its values are written in one batch.
"""

from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig

from botwire_langchain.names import part, path

__all__ = ["KINDS", "Place", "everything", "guard_key", "id_of", "run_key", "thread_of"]

KINDS = ("c", "v", "w")  # everything that belongs to a thread lies under these and its own name


def configurable(config: RunnableConfig) -> dict[str, Any]:
    return config.get("configurable", {})


def thread_of(config: RunnableConfig) -> str:
    """The thread's name, as text whatever the user gave (LangGraph passes numbers and UUIDs on)."""
    return str(configurable(config)["thread_id"])


class Place(NamedTuple):
    """A thread and one of its checkpoint namespaces (subgraphs have one each)."""

    thread: str
    ns: str

    @classmethod
    def of(cls, config: RunnableConfig) -> "Place":
        return cls(thread_of(config), configurable(config).get("checkpoint_ns") or "")

    def prefix(self, kind: str) -> str:
        return path(kind, self.thread, self.ns)

    def checkpoint(self, checkpoint_id: str) -> str:
        return self.prefix("c") + part(checkpoint_id, 100)

    def writes(self, checkpoint_id: str) -> str:
        return self.prefix("w") + part(checkpoint_id, 100)

    def values(self, channel: str) -> str:
        return self.prefix("v") + part(channel) + "/"

    def config(self, checkpoint_id: str) -> RunnableConfig:
        return {
            "configurable": {
                "thread_id": self.thread,
                "checkpoint_ns": self.ns,
                "checkpoint_id": checkpoint_id,
            }
        }


def id_of(config: RunnableConfig) -> str | None:
    """The checkpoint a config names; None for the newest."""
    return configurable(config).get("checkpoint_id") or None


def everything(thread: str) -> list[str]:
    """The prefixes under which all of a thread lies."""
    return [path(kind, thread) for kind in KINDS]


def guard_key(thread: str) -> str:
    return "t/" + part(thread)


def run_key(run: Any, thread: str) -> str:
    return path("r", str(run)) + part(thread)
