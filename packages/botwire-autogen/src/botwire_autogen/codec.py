"""Python values as JSON and back, exactly: what JSON lacks travels under a tag.

- Plain JSON stays as it is, so that what is stored can be read with curl.
- Only the types named in this file are ever made from stored data. `other` adds some of the
  caller's own; it decides what a name means, and no name is ever imported.
- A dict that holds the tag itself, or keys that are not text, travels as a list of pairs.
"""

import base64
import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from botwire.errors import InvalidValue

__all__ = ["TAG", "OtherDown", "OtherUp", "pack", "unpack"]

TAG = "$type"

OtherDown = Callable[[Any], tuple[str, Any] | None]
OtherUp = Callable[[str, Any], Any]


def pack(value: Any, other: OtherDown = lambda _: None) -> Any:
    """The value as JSON data.

    Args:
        other: for a type this file does not know, its name and the value to pack in its place.

    Raises:
        InvalidValue: a part is of a type that could not be rebuilt, or contains itself.

    >>> pack({"raw": b"ab", "pair": (1, 2)})
    {'raw': {'$type': 'bytes', 'value': 'YWI='}, 'pair': {'$type': 'tuple', 'value': [1, 2]}}
    """
    try:
        return _pack(value, other)
    except RecursionError:
        raise InvalidValue("the value is nested too deep or contains itself") from None


def _pack(value: Any, other: OtherDown) -> Any:
    kind = cast("type[Any]", type(value))
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [_pack(item, other) for item in value]
    if kind is dict and TAG not in value and all(type(name) is str for name in value):
        return {name: _pack(item, other) for name, item in value.items()}
    if kind in _DOWN:
        return {TAG: kind.__name__, "value": _pack(_DOWN[kind](value), other)}
    named = other(value)
    if named is not None:
        return {TAG: named[0], "value": _pack(named[1], other)}
    for base, plain in _BASES.items():
        if isinstance(value, base):  # a subclass is kept as what it is equal to
            return _pack(plain(value), other)
    raise InvalidValue(
        f"a {kind.__name__} cannot be stored", hint="Convert it to text, numbers, lists or dicts."
    )


_DOWN: dict[type[Any], Callable[[Any], Any]] = {
    bytes: lambda value: base64.b64encode(value).decode(),
    bytearray: lambda value: base64.b64encode(value).decode(),
    tuple: list,
    set: list,
    frozenset: list,
    dict: lambda value: [list(pair) for pair in value.items()],
    float: repr,
    datetime: datetime.isoformat,
    date: date.isoformat,
    Decimal: str,
    UUID: str,
}
_BASES: dict[type[Any], Callable[[Any], Any]] = {
    str: str.__str__,  # str() would ask an Enum for its name
    int: int.__int__,
    float: float.__float__,
    list: list,
    dict: dict,
}
_UP: dict[str, Callable[[Any], Any]] = {
    "bytes": base64.b64decode,
    "bytearray": lambda value: bytearray(base64.b64decode(value)),
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "float": float,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "Decimal": Decimal,
    "UUID": UUID,
}


def _unknown(name: str, value: Any) -> Any:
    raise InvalidValue(
        f"the stored data holds a {name!r}, which is not among the types that may be rebuilt"
    )


def unpack(data: Any, other: OtherUp = _unknown) -> Any:
    """The value that `pack` was given.

    Args:
        other: rebuilds the types of the caller from their name and unpacked value.

    Raises:
        InvalidValue: the data names a type that is not known here.

    >>> unpack({"$type": "tuple", "value": [1, 2]})
    (1, 2)
    """
    if isinstance(data, list):
        return [unpack(item, other) for item in cast("list[Any]", data)]
    if not isinstance(data, dict):
        return data
    members = cast("dict[str, Any]", data)
    name = members.get(TAG)
    if name is None:
        return {key: unpack(item, other) for key, item in members.items()}
    value = unpack(members.get("value"), other)
    up = _UP.get(name)
    return up(value) if up else other(name, value)
