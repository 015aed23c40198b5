"""The names under which OpenTelemetry knows operations on an agent's memory, in one place.

They are the GenAI conventions for memory (open-telemetry/semantic-conventions-genai#140, status
Development), written out because no package carries them. A namespace is their memory store, a key
their record. What they have no name for stands under `botwire.`.

- Whatever identifies an operation is known at its start and set then: samplers see it, and Langfuse
  finds the root of a trace by it.
- They know no reading by key: `get` is a search for one record, and a miss is one that found none.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from botwire.errors import BotWireError, Conflict
from botwire.jsontext import write
from botwire.operations import Operation
from botwire.stores.base import Mode
from botwire.telemetry import Call
from botwire.telemetry.content import Content, given, outcome

__all__ = ["at_end", "at_start", "error_type", "memory_operation"]

Attributes = dict[str, Any]

NAMES: Mapping[str, str] = {
    **dict.fromkeys(("set", "append", "merge", "increment", "set_many"), "upsert_memory"),
    **dict.fromkeys(("touch", "persist", "expire"), "update_memory"),
    **dict.fromkeys(("delete", "pop", "delete_many", "clear"), "delete_memory"),
    "batch": "batch_memory",  # these two are ours: none of the official names applies
    "usage": "describe_memory_store",
}


def memory_operation(operation: Operation) -> str:
    """What the conventions call an operation.

    >>> from botwire.operations import Get
    >>> memory_operation(Get("ns", "key"))
    'search_memory'
    """
    name = NAMES.get(operation.name, "search_memory")
    if name == "upsert_memory" and (version := _expected(operation)) is not None:
        return "update_memory" if version else "create_memory"
    if operation.name == "clear" and not getattr(operation, "prefix", ""):
        return "delete_memory_store"
    return name


def at_start(call: Call, content: Content) -> Attributes:
    """The attributes that identify an operation."""
    operation = call.operation
    found: Attributes = {
        "gen_ai.operation.name": memory_operation(operation),
        "gen_ai.provider.name": "botwire",
        "gen_ai.memory.store.id": content.name(operation.namespace),
        "openinference.span.kind": "TOOL" if operation.mode is Mode.WRITE else "RETRIEVER",
        "botwire.operation": operation.name,
    }
    if (key := getattr(operation, "key", None)) is not None:
        found["gen_ai.memory.record.id"] = content.name(key)
    if call.server is not None:
        found["server.address"], found["server.port"] = call.server
    if _tells(type(operation)):
        found |= _told(operation, content)
    if content.capture:
        found |= _given(call, content)
    return found


@cache
def _tells(kind: type[Operation]) -> bool:
    """Whether operations of a kind can have any of what `_told` looks for; most reads have not."""
    fields = ("prefix", "ttl", "if_version", "operations")
    return kind.needs is Mode.WRITE or any(hasattr(kind, field) for field in fields)


def _told(operation: Operation, content: Content) -> Attributes:
    found: Attributes = {}
    if prefix := getattr(operation, "prefix", ""):
        found["botwire.prefix"] = content.name(prefix)
    if (ttl := getattr(operation, "ttl", None)) is not None:
        found["botwire.ttl_seconds"] = float(ttl)
    if (version := _expected(operation)) is not None:
        found["botwire.cas.expected_version"] = version
    if operation.mode is Mode.WRITE and (count := _attempted(operation)):
        found["gen_ai.memory.record.count"] = count
    if size := sum(len(value.encode()) for _, value in given(operation)):
        found["botwire.value.bytes"] = size
    return found


def _given(call: Call, content: Content) -> Attributes:
    records = content.given(call)
    found: Attributes = {"input.value": write(content.input(call, records))}
    found["input.mime_type"] = "application/json"
    if prefix := getattr(call.operation, "prefix", ""):
        found["gen_ai.memory.query.text"] = content.name(prefix)
    if records:
        found["gen_ai.memory.records"] = write(records)
    return found


def at_end(call: Call, content: Content) -> Attributes:
    """The attributes that tell what came of it."""
    found: Attributes = {}
    if call.server is not None:
        found["botwire.attempts"] = call.attempts
    if _expected(call.operation) is not None and isinstance(call.error, (Conflict, type(None))):
        found["botwire.cas.applied"] = call.error is None
    if call.error is not None:
        return found | _failed(call.error)
    facts = outcome(call.reply)
    if "version" in facts:
        found["botwire.version"] = facts["version"]
    if "count" in facts:
        found[_count_of(call.operation)] = facts["count"]
    if content.capture:
        found |= _returned(call, content)
    return found


def _returned(call: Call, content: Content) -> Attributes:
    records = content.returned(call)
    found: Attributes = {"output.value": write(content.output(call, records))}
    found["output.mime_type"] = "application/json"
    if call.operation.mode is not Mode.WRITE:
        found["gen_ai.memory.records"] = write(records)
    return found


def _failed(error: BaseException) -> Attributes:
    found: Attributes = {"error.type": error_type(error)}
    if isinstance(error, BotWireError):
        found["botwire.error.code"] = error.code
    return found


def error_type(error: BaseException) -> str:
    """The kind of an error as one word of few: `conflict`, `quota_exceeded`, `TypeError`.

    >>> from botwire.errors import QuotaExceeded
    >>> error_type(QuotaExceeded("used up"))
    'quota_exceeded'
    """
    name = type(error).__name__
    if not isinstance(error, BotWireError):
        return name
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _expected(operation: Operation) -> int | None:
    return getattr(operation, "if_version", None)


def _attempted(operation: Operation) -> int:
    """How many records a write is about, as far as it knows; 0: it does not."""
    several = getattr(operation, "operations", None) or getattr(operation, "values", None)
    return len(several or operation.keys)


def _count_of(operation: Operation) -> str:
    """Searches count what they returned, writes what they attempted; what they did is ours."""
    if operation.mode is Mode.WRITE:
        return "botwire.affected"
    return "gen_ai.memory.record.count"
