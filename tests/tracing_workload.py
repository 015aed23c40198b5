"""Every way in which a value passes through a memory, for tests that look where it turns up."""

from collections.abc import Callable

from botwire import Conflict, Memory
from botwire.errors import WrongType

__all__ = ["CANARY", "everything"]

CANARY = "canary-7f3a"


def everything(memory: Memory) -> None:
    """Let operations of each kind carry the canary as a value, failures included."""
    memory.set("a", {"secret": CANARY})
    memory.append("list", CANARY)
    memory.merge("a", {"more": CANARY})
    memory.set_many({"b": CANARY})
    memory.get("a"), memory.entry("a"), memory.tail("list", 1), memory.get_many(["a", "b"])
    list(memory.items())
    memory.update("a", lambda value: value)
    refused(lambda: memory.set("a", CANARY, if_version=0))
    refused(lambda: memory.increment("b"))
    refused(lambda: memory.append("b", CANARY))
    refused(lambda: memory.merge("a", {"x": CANARY}, if_version=0))
    with memory.batch() as batch:
        batch.set("c", CANARY)
        batch.get("c")
        batch.pop("c")
    memory.pop("b")


def refused(operation: Callable[[], object]) -> None:
    try:
        operation()
    except (Conflict, WrongType):
        return
    raise AssertionError("this was to be refused")
