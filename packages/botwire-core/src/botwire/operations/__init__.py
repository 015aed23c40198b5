"""What can be done with a memory: the protocol, without any I/O.

Each operation is a small frozen class. Its constructor refuses what cannot be right, `request()`
says how it travels, `apply(space)` what it does to a store, and `result(reply)` what the reply
means to the caller. Embedded mode, client and server all use these, so they cannot disagree.

- A request and a reply are plain data; values in them are `Json` text, or plain Python once a reply
  was read from the wire.
- An operation travels as `POST /v1/<name>` with `request()` as its body, so that keys never stand
  in a URL (they would end up in logs, and paths cannot carry `..` or newlines).
- `OPERATIONS` names them all; `parse(name, text)` reads one from the wire.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from botwire.errors import InvalidRequest, NotFound
from botwire.jsontext import MAX_DEPTH, Json, decode_quickly, elements, members
from botwire.operations.base import Operation
from botwire.operations.many import Batch, Clear, DeleteMany, Expire, SetMany
from botwire.operations.reads import (
    Exists,
    Expect,
    Get,
    GetMany,
    Head,
    Length,
    Linked,
    Read,
    Scan,
    Tail,
    Usage,
)
from botwire.operations.results import MISSING, Entry, Page, UsageOf
from botwire.operations.writes import (
    Append,
    Delete,
    Increment,
    Merge,
    Persist,
    Pop,
    Set,
    Touch,
)

__all__ = [
    "MISSING",
    "OPERATIONS",
    "Append",
    "Batch",
    "Clear",
    "Delete",
    "DeleteMany",
    "Entry",
    "Exists",
    "Expect",
    "Expire",
    "Get",
    "GetMany",
    "Head",
    "Increment",
    "Length",
    "Linked",
    "Merge",
    "Operation",
    "Page",
    "Persist",
    "Pop",
    "Read",
    "Scan",
    "Set",
    "SetMany",
    "Tail",
    "Touch",
    "Usage",
    "UsageOf",
    "parse",
]

OPERATIONS: dict[str, type[Operation]] = {
    kind.name: kind
    for kind in (
        *(Get, Read, Head, Exists, Expect, Tail, Length, GetMany, Scan, Linked, Usage),
        *(Set, Delete, Pop, Touch, Persist, Expire, Increment, Append, Merge),
        *(SetMany, DeleteMany, Clear, Batch),
    )
}

_FIELDS = {name: {field.name for field in fields(kind)} for name, kind in OPERATIONS.items()}

WIRE_DEPTH = MAX_DEPTH + 4  # a value may be as deep as ever inside {"operations":[{"values":{"k":


def parse(name: str, text: str) -> Operation:
    """Read an operation as it travels.

    >>> parse("get", '{"namespace": "agent", "key": "plan"}')
    Get(namespace='agent', key='plan')
    """
    return _parse(name, members(text, WIRE_DEPTH))


def _parse(name: str, given: Mapping[str, Json], **known: str) -> Operation:
    kind = OPERATIONS.get(name)
    if kind is None:
        raise NotFound(
            f"there is no operation {name!r}", hint=f"There are: {', '.join(OPERATIONS)}."
        )
    if kind is Batch and not known:
        return _parse_batch(given)
    if kind is Batch:
        raise InvalidRequest("a batch cannot hold a batch", hint="List its operations directly.")
    values: dict[str, Any] = {**known}
    allowed = _FIELDS[name]
    for field, value in given.items():
        if field not in allowed or field in known:
            raise InvalidRequest(
                f"{name} has no field {field!r}", hint=f"It has: {', '.join(sorted(allowed))}."
            )
        read = kind.raw.get(field)
        values[field] = read(value) if read else decode_quickly(value)
    try:
        return kind(**values)
    except TypeError as error:
        raise InvalidRequest(f"{name}: {str(error).partition('__init__() ')[2] or error}") from None


def _parse_batch(given: Mapping[str, Json]) -> Batch:
    if set(given) != {"namespace", "operations"}:
        raise InvalidRequest("a batch has the fields 'namespace' and 'operations'")
    namespace = cast("str", decode_quickly(given["namespace"]))
    parts: list[Operation] = []
    for text in elements(given["operations"], WIRE_DEPTH):
        part = members(text, WIRE_DEPTH)
        parts.append(
            _parse(str(decode_quickly(part.pop("op", Json('""')))), part, namespace=namespace)
        )
    return Batch(namespace, tuple(parts))
