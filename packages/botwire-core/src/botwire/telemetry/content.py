"""What of an operation observers may show: names always, values only when somebody asked for them.

- Without `capture` nothing of a value is recorded, not even of an error, whose text may quote one.
- A value is passed through `redact` first and cut to the limit then, so that a redaction sees all.
- What comes out is plain data with `Json` parts: `jsontext.write` makes text of it, `plain` values.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botwire.errors import InvalidValue
from botwire.jsontext import Json, decode, encode, write
from botwire.operations import (
    MISSING,
    Append,
    Batch,
    Get,
    GetMany,
    Increment,
    Linked,
    Merge,
    Operation,
    Pop,
    Read,
    Scan,
    Set,
    SetMany,
    Tail,
)
from botwire.telemetry import Call

__all__ = ["Content", "given", "outcome", "plain", "returned"]

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
CAPTURING = {"true", "1", "span_only", "span_and_event"}  # the last two are the newer spelling
LIMIT = 8192
FEW = 50  # keys or parts that are listed before the rest is only counted

Records = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Content:
    """What may be recorded.

    Args:
        capture: whether values are; None: if OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT
            is `true`, `SPAN_ONLY` or `SPAN_AND_EVENT`.
        redact: `redact(key, value)` returns what is recorded in place of a value.
        hash_keys: record hashes of namespaces, keys and prefixes instead of themselves.
        limit: characters of JSON recorded of the values of one operation.

    >>> content = Content(capture=True, limit=12)
    >>> plain(content.input(Call(Set("ns", "k", encode("x" * 99)), None)))
    {'key': 'k', 'value': '"xxxxxxxxxxx... (101 characters)'}
    """

    capture: bool | None = None
    redact: Callable[[str, Any], Any] | None = None
    hash_keys: bool = False
    limit: int = LIMIT

    def __post_init__(self) -> None:
        if self.capture is None:
            object.__setattr__(self, "capture", os.environ.get(CAPTURE, "").lower() in CAPTURING)

    def name(self, text: str) -> str:
        """A namespace, key or prefix as it may be recorded."""
        if not self.hash_keys:
            return text
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def arguments(self, operation: Operation) -> dict[str, Any]:
        """What the operation was told beside its namespace and values."""
        told = operation.request()
        del told["namespace"]
        for field in operation.raw:
            told.pop(field, None)
        if self.hash_keys:
            for field in told.keys() & {"key", "prefix", "after"}:
                told[field] = self.name(told[field])
        if "key" in told:
            return told
        if isinstance(operation, Batch):
            told["operations"] = _few(
                {"op": part.name} | self.arguments(part) for part in operation.operations
            )
        elif operation.keys:
            told["keys"] = _few(map(self.name, operation.keys))
        elif isinstance(operation, SetMany):
            told["keys"] = _few(map(self.name, operation.values))
        return told

    def input(self, call: Call, records: Records | None = None) -> dict[str, Any]:
        """What the operation was told, with the values it was given if they may be recorded.

        Args:
            records: these values, from whoever has them already; `redact` is not asked again then.
        """
        told = self.arguments(call.operation)
        if not self.capture:
            return told
        return told | _values(call, self.given(call) if records is None else records)

    def output(self, call: Call, records: Records | None = None) -> dict[str, Any]:
        """What came of it, with the values it returned if they may be recorded."""
        found: dict[str, Any] = {} if call.error else dict(outcome(call.reply))
        if not self.capture:
            return found
        return found | _values(call, self.returned(call) if records is None else records)

    def given(self, call: Call) -> Records:
        """The values that the operation brings with it."""
        return self.records(given(call.operation))

    def returned(self, call: Call) -> Records:
        """The values in what the caller gets."""
        return self.records(_text_of_value(call) or returned(call.operation, call.result))

    def records(self, pairs: Iterable[tuple[str, Any]]) -> Records:
        """Keys with their values, as the conventions for `gen_ai.memory.records` want them."""
        records: Records = []
        left = self.limit
        for key, value in pairs if self.capture else ():
            if left <= 0:
                break
            text = self._redacted(key, value)
            records.append({"id": self.name(key), "content": _cut(text, left)})
            left -= len(text)
        return records

    def shown(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Named values of any type, such as a function's arguments, if they may be recorded."""
        if not self.capture:
            return {}
        redacted = {
            name: self.redact(name, value) if self.redact else value
            for name, value in values.items()
        }
        return plain({name: _cut(_text_of(v), self.limit) for name, v in redacted.items()})

    def _redacted(self, key: str, value: Any) -> Json:
        if self.redact is None:
            return value if isinstance(value, Json) else encode(value)
        return encode(self.redact(key, decode(value) if isinstance(value, Json) else value))


def _values(call: Call, records: Records) -> dict[str, Any]:
    if not records:
        return {}
    if hasattr(call.operation, "key"):
        return {"value": records[0]["content"]}
    return {"records": records}


def plain(data: Any) -> Any:
    """The data as Python values of their own, which nobody else holds."""
    return decode(write(data))


def _text_of(value: Any) -> Json:
    try:
        return encode(value)
    except InvalidValue:  # an object: what it says of itself
        return encode(repr(value))


def _cut(text: Json, left: int) -> Json:
    if len(text) <= left:
        return text
    return encode(f"{text[:left]}... ({len(text):,} characters)")


def _few(items: Iterable[Any]) -> list[Any]:
    """The first items, and how many more there are."""
    listed = list(items)
    return listed if len(listed) <= FEW else [*listed[:FEW], f"... {len(listed) - FEW:,} more"]


# -- values ----------------------------------------------------------------------------------------

Pairs = Iterator[tuple[str, Any]]


def given(operation: Operation) -> Pairs:
    """The keys and values that an operation brings with it, as `Json`."""
    find = _GIVEN.get(type(operation))
    return iter(find(operation)) if find else iter(())


def returned(operation: Operation, result: Any) -> Pairs:
    """The keys and values in what the caller gets."""
    find = _RETURNED.get(type(operation))
    return iter(find(operation, result)) if find and result is not None else iter(())


def _text_of_value(call: Call) -> list[tuple[str, Json]] | None:
    """The value of a `Get`, if it came as text: making text of what the caller gets takes time."""
    if type(call.operation) is Get and call.reply and isinstance(call.reply["value"], Json):
        return [(call.operation.key, call.reply["value"])]
    return None


def _list_of(items: Sequence[Json]) -> Json:
    return Json(f"[{','.join(items)}]")


def _given_to_parts(batch: Batch) -> Pairs:
    for part in batch.operations:
        yield from given(part)


_GIVEN: dict[type[Operation], Callable[[Any], Iterable[tuple[str, Any]]]] = {
    Set: lambda o: [(o.key, o.value)],
    Append: lambda o: [(o.key, _list_of(o.items))],
    Merge: lambda o: [(o.key, o.patch)],
    Increment: lambda o: [(o.key, o.by)],
    SetMany: lambda o: o.values.items(),
    Batch: _given_to_parts,
}


def _one(operation: Any, result: Any) -> list[tuple[str, Any]]:
    return [] if result is MISSING else [(operation.key, result)]


def _of_page(operation: Any, page: Any) -> list[tuple[str, Any]]:
    return [(entry.key, entry.value) for entry in page.entries] if operation.values else []


def _linked(operation: Any, result: Any) -> list[tuple[str, Any]]:
    page, linked = result
    return [(entry.key, entry.value) for entry in (*page.entries, *linked.values())]


def _returned_by_parts(batch: Batch, results: list[Any]) -> Pairs:
    for part, result in zip(batch.operations, results, strict=True):
        yield from returned(part, result)


_RETURNED: dict[type[Operation], Callable[[Any, Any], Iterable[tuple[str, Any]]]] = {
    Get: _one,
    Pop: _one,
    Tail: _one,
    Increment: _one,
    Read: lambda o, entry: [(o.key, entry.value)],
    GetMany: lambda _, values: values.items(),
    Scan: _of_page,
    Linked: _linked,
    Batch: _returned_by_parts,
}


# -- what came of it -------------------------------------------------------------------------------

_DONE = frozenset(("exists", "deleted", "touched", "persisted"))
_LISTED = frozenset(("entries", "results", "versions"))


def outcome(reply: Any) -> dict[str, int]:
    """What a reply says beside values: how many entries it is about, version, length.

    `count` is how many were found, changed or deleted: 0 tells a miss. It reads any reply by its
    form, so that it need not know each operation.

    >>> outcome(None), outcome({"deleted": True}), outcome({"version": 7, "created": False})
    ({'count': 0}, {'count': 1}, {'count': 1, 'version': 7})
    """
    if reply is None:
        return {"count": 0}
    facts: dict[str, int] = {}
    for field in reply:
        if field in _DONE:
            facts["count"] = int(reply[field])
        elif field in _LISTED and isinstance(reply[field], (list, dict)):
            facts["count"] = len(reply[field])
    if "namespace" not in reply and (version := reply.get("version")) is not None:
        facts |= {"count": int(version > 0), "version": version}
    if "length" in reply:
        facts["length"] = reply["length"]
    return facts
