"""Memory tools that an agent gets by option: forget, compare and set, append, wait."""

import time

from pydantic import BaseModel, Field

from botwire import Conflict, Memory
from botwire.errors import InvalidValue
from botwire.jsontext import check, decode, encode
from botwire.operations import MISSING, Append, Entry, Set
from botwire_crewai.tool import Key, MemoryTool, Seconds, Value, as_json

__all__ = ["MORE"]

LONGEST_WAIT = 600.0


class ForgetArguments(BaseModel):
    key: Key


class Forget(MemoryTool):
    name: str = "forget"
    description: str = "Delete what is kept under a key, for everybody who shares this memory."
    args_schema: type[BaseModel] = Field(default=ForgetArguments, exclude=True)

    def answer(self, memory: Memory, asked: ForgetArguments) -> str:
        if not memory.delete(asked.key):
            return self.nothing(asked.key)
        return f"Forgot {asked.key!r} in memory {self.namespace!r}."


class CompareAndSetArguments(BaseModel):
    key: Key
    expected: str | None = Field(
        description="The value recall showed; null if nothing may be kept there yet."
    )
    value: Value
    ttl_seconds: Seconds = None


class CompareAndSet(MemoryTool):
    name: str = "compare_and_set"
    description: str = (
        "Replace the value under a key only if it still is the expected one, so that nobody's "
        "change is lost. Says what is kept there now when it is another one."
    )
    args_schema: type[BaseModel] = Field(default=CompareAndSetArguments, exclude=True)

    def answer(self, memory: Memory, asked: CompareAndSetArguments) -> str:
        entry = memory.entry(asked.key)
        if not _is(entry, asked.expected):
            return self.not_replaced(asked.key, entry is not None, entry and entry.value)
        ttl, version = self.lifetime(asked.ttl_seconds), entry.version if entry else 0
        new = as_json(asked.value)
        try:
            memory.run(Set(memory.namespace, asked.key, new, ttl, False, version, ttl is None))
        except Conflict as lost:
            return self.not_replaced(asked.key, lost.current_version > 0, lost.current_value)
        return f"Replaced {asked.key!r} in memory {self.namespace!r}."

    def not_replaced(self, key: str, exists: bool, value: object) -> str:
        now = f"{key!r} holds {encode(value)}" if exists else self.nothing(key).rstrip(".")
        return f"Not replaced: {now}, which is not what was expected."


def _is(entry: Entry | None, expected: str | None) -> bool:
    """Whether this is what the model expects; it may write a text with or without its quotes."""
    if entry is None or expected is None:
        return entry is None and expected is None
    if entry.value == expected:
        return True
    try:
        meant = decode(check(expected))
    except InvalidValue:
        return False
    return type(meant) is type(entry.value) and meant == entry.value  # True == 1 in Python


class AppendArguments(BaseModel):
    key: Key
    item: Value


class AppendMemory(MemoryTool):
    name: str = "append_memory"
    description: str = (
        "Add an item to the end of the list kept under a key, which is made if it is missing. "
        "What others add at the same time is kept, too."
    )
    args_schema: type[BaseModel] = Field(default=AppendArguments, exclude=True)

    def answer(self, memory: Memory, asked: AppendArguments) -> str:
        items = (as_json(asked.item),)
        length = memory.run(Append(memory.namespace, asked.key, items, None, self.ttl))
        return f"Added to {asked.key!r} in memory {self.namespace!r}, a list of {length} now."


class WaitArguments(BaseModel):
    key: Key
    timeout_seconds: float = Field(
        default=60, description=f"How long to wait; at most {LONGEST_WAIT:g}."
    )


class WaitForMemory(MemoryTool):
    name: str = "wait_for_memory"
    description: str = (
        "Wait until somebody remembers something under a key and read it, as JSON. Use this "
        "instead of calling recall again and again."
    )
    args_schema: type[BaseModel] = Field(default=WaitArguments, exclude=True)

    def answer(self, memory: Memory, asked: WaitArguments) -> str:
        seconds = min(max(0.0, asked.timeout_seconds), LONGEST_WAIT)  # a NaN is none, too
        deadline, pause = time.monotonic() + seconds, 0.05
        while (value := memory.get(asked.key, MISSING)) is MISSING:
            left = deadline - time.monotonic()
            if left <= 0:
                return f"{self.nothing(asked.key)} Waited {seconds:g} seconds."
            time.sleep(min(pause, left))
            pause = min(2 * pause, 1.0)
        return encode(value)


MORE: dict[str, type[MemoryTool]] = {
    "forget": Forget,
    "compare_and_set": CompareAndSet,
    "append_memory": AppendMemory,
    "wait_for_memory": WaitForMemory,
}
